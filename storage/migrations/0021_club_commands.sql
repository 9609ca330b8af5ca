-- What people asked for, under an id of their own, with the "no" if it was one: asked again, the answer is the same.
CREATE TABLE club_command (
    actor   text NOT NULL,
    id      text NOT NULL,
    name    text NOT NULL,
    target  text NOT NULL,
    content jsonb NOT NULL,
    refusal jsonb,
    at_ms   bigint NOT NULL,
    PRIMARY KEY (actor, id)
);
CREATE INDEX club_command_refused ON club_command (at_ms) WHERE refusal IS NOT NULL;
