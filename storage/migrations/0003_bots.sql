CREATE TABLE bots (
    id            text PRIMARY KEY CHECK (id ~ '^[a-z2-7]{8}$'),
    owner         text NOT NULL REFERENCES users,
    account       text NOT NULL REFERENCES exchange_accounts,
    name          text NOT NULL,
    config        jsonb NOT NULL,
    desired_state text NOT NULL,
    status        text NOT NULL,
    status_reason text NOT NULL DEFAULT '',
    version       bigint NOT NULL DEFAULT 1,
    carried_out   bigint NOT NULL DEFAULT 0,
    created_at_ms bigint NOT NULL DEFAULT now_ms(),
    updated_at_ms bigint NOT NULL DEFAULT now_ms()
);
CREATE INDEX bots_newest ON bots (created_at_ms DESC, id DESC);
CREATE INDEX bots_owner_newest ON bots (owner, created_at_ms DESC, id DESC);

-- The primary keys begin with the bot, so that either table can be partitioned by hash of it later on.
-- Tables that are written in bulk have no foreign key to bots: its check was 9 µs a row, half of the write. Their
-- one writer holds the lease of a bot that it has read from the table, and bots are never deleted.
CREATE TABLE bot_journal (
    bot     text NOT NULL,
    seq     bigint NOT NULL CHECK (seq > 0),
    epoch   bigint NOT NULL,
    at_ms   bigint NOT NULL,
    message bytea NOT NULL,
    PRIMARY KEY (bot, seq)
);

CREATE TABLE bot_snapshots (
    bot        text NOT NULL REFERENCES bots,
    seq        bigint NOT NULL CHECK (seq >= 0),
    epoch      bigint NOT NULL,
    state      bytea NOT NULL,
    state_hash bytea NOT NULL,
    PRIMARY KEY (bot, seq)
);
