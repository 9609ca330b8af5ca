CREATE TABLE outbox (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic           text NOT NULL,
    key             text NOT NULL,
    payload         jsonb NOT NULL,
    created_at_ms   bigint NOT NULL DEFAULT now_ms(),
    due_at_ms       bigint NOT NULL DEFAULT now_ms(),
    attempts        integer NOT NULL DEFAULT 0,
    last_error      text NOT NULL DEFAULT '',
    published_at_ms bigint
);
CREATE INDEX outbox_waiting ON outbox (id) WHERE published_at_ms IS NULL;
CREATE INDEX outbox_order ON outbox (topic, key, id) WHERE published_at_ms IS NULL;

-- What each consumer has already taken into account; written in the same transaction as the effect.
CREATE TABLE consumed_events (
    consumer       text NOT NULL,
    event_id       bigint NOT NULL,
    consumed_at_ms bigint NOT NULL DEFAULT now_ms(),
    PRIMARY KEY (consumer, event_id)
);
