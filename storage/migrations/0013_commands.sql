-- The commands that came with an id of the caller's own, written with what they changed: a command that is repeated
-- later, when the wish has changed again meanwhile, changes nothing.
CREATE TABLE commands (
    target     text NOT NULL,
    actor      text NOT NULL,
    command_id text NOT NULL,
    command    text NOT NULL,
    at_ms      bigint NOT NULL DEFAULT now_ms(),
    PRIMARY KEY (target, actor, command_id)
);
