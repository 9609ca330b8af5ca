-- A session is a family of tokens: one browser of one person. It ends once, for one reason.
CREATE TABLE sessions (
    id              text PRIMARY KEY,
    user_id         text NOT NULL REFERENCES users ON DELETE CASCADE,
    csrf_key        bytea NOT NULL,
    device          text NOT NULL,
    ip              text NOT NULL,
    created_at_ms   bigint NOT NULL DEFAULT now_ms(),
    last_used_at_ms bigint NOT NULL DEFAULT now_ms(),
    expires_at_ms   bigint NOT NULL,
    ended_at_ms     bigint,
    ended_because   text NOT NULL DEFAULT ''
);
CREATE INDEX sessions_of_user ON sessions (user_id) WHERE ended_at_ms IS NULL;

CREATE TABLE session_tokens (
    hash           bytea PRIMARY KEY,
    session_id     text NOT NULL REFERENCES sessions ON DELETE CASCADE,
    kind           text NOT NULL CHECK (kind IN ('access', 'refresh')),
    expires_at_ms  bigint NOT NULL,
    replaced_at_ms bigint
);
CREATE INDEX session_tokens_of_session ON session_tokens (session_id, kind);
CREATE INDEX session_tokens_expired ON session_tokens (expires_at_ms);

-- One-time tokens that travel by mail or on the operator's screen. A registration waits here, not among the users:
-- an address that nobody has confirmed is nobody's.
CREATE TABLE one_time_tokens (
    hash          bytea PRIMARY KEY,
    purpose       text NOT NULL CHECK (purpose IN ('set_up', 'register', 'recover', 'change_email')),
    user_id       text REFERENCES users ON DELETE CASCADE,
    email         text NOT NULL DEFAULT '',
    payload       jsonb NOT NULL DEFAULT '{}',
    created_at_ms bigint NOT NULL DEFAULT now_ms(),
    expires_at_ms bigint NOT NULL
);
CREATE INDEX one_time_tokens_expired ON one_time_tokens (expires_at_ms);

CREATE TABLE invites (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash          bytea NOT NULL UNIQUE,
    hint          text NOT NULL,
    note          text NOT NULL,
    uses_left     integer NOT NULL CHECK (uses_left >= 0),
    created_by    text NOT NULL REFERENCES users,
    created_at_ms bigint NOT NULL DEFAULT now_ms(),
    expires_at_ms bigint
);

-- Wrong passwords and codes, by account and by where they came from: the key is a hash of both.
CREATE TABLE sign_in_failures (
    key         bytea PRIMARY KEY,
    failures    integer NOT NULL,
    last_at_ms  bigint NOT NULL
);
CREATE INDEX sign_in_failures_old ON sign_in_failures (last_at_ms);

CREATE INDEX outbox_topic ON outbox (topic, id DESC);
