-- Where nothing new is signed. One person may freeze; leaving needs several.
CREATE TABLE payout_freeze (
    id           text PRIMARY KEY,
    scope        text NOT NULL CHECK (scope IN ('global', 'network', 'wallet', 'company')),
    subject      text NOT NULL,                                  -- '' for global
    is_safe_mode boolean NOT NULL,                               -- entered by the machine
    reason       text NOT NULL,
    entered_by   text NOT NULL,
    entered_at_ms bigint NOT NULL,
    entered_moment bigint NOT NULL DEFAULT nextval('club_moment'),
    lifted_at_ms bigint,
    lifted_moment bigint,
    CHECK ((lifted_at_ms IS NULL) = (lifted_moment IS NULL))
);
CREATE UNIQUE INDEX payout_freeze_current ON payout_freeze (scope, subject, is_safe_mode) WHERE lifted_at_ms IS NULL;

CREATE TABLE payout_freeze_lift (
    freeze_id text NOT NULL REFERENCES payout_freeze,
    actor     text NOT NULL,
    at_ms     bigint NOT NULL,
    PRIMARY KEY (freeze_id, actor)
);

-- What somebody must look at. `kind` names the runbook: api/docs/runbooks/<kind>.md.
CREATE TABLE alarm (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind          text NOT NULL,
    subject       text NOT NULL,
    severity      integer NOT NULL CHECK (severity BETWEEN 1 AND 3),
    detail        text NOT NULL,
    raised_at_ms  bigint NOT NULL,
    cleared_at_ms bigint
);
CREATE UNIQUE INDEX alarm_current ON alarm (kind, subject) WHERE cleared_at_ms IS NULL;
