-- Derived from the journal in the same transaction; `seq` is the journal entry that said so.
CREATE TABLE orders (
    link_id       text PRIMARY KEY,
    bot           text NOT NULL,
    venue_id      text,
    level         integer,
    side          text NOT NULL CHECK (side IN ('buy', 'sell')),
    kind          text NOT NULL,
    price         numeric,
    quantity      numeric NOT NULL,
    filled        numeric NOT NULL DEFAULT 0,
    status        text NOT NULL,
    reason        text NOT NULL DEFAULT '',
    is_live       boolean NOT NULL,
    created_at_ms bigint NOT NULL,
    updated_at_ms bigint NOT NULL,
    seq           bigint NOT NULL
);
CREATE INDEX orders_newest ON orders (bot, created_at_ms DESC, link_id DESC);
CREATE INDEX orders_live ON orders (bot) WHERE is_live;

CREATE TABLE executions (
    bot       text NOT NULL,
    exec_id   text NOT NULL,
    link_id   text NOT NULL,
    side      text NOT NULL CHECK (side IN ('buy', 'sell')),
    price     numeric NOT NULL,
    quantity  numeric NOT NULL,
    fee       numeric NOT NULL,
    fee_asset text NOT NULL,
    is_maker  boolean NOT NULL,
    at_ms     bigint NOT NULL,
    seq       bigint NOT NULL,
    PRIMARY KEY (bot, exec_id)
);
CREATE INDEX executions_newest ON executions (bot, at_ms DESC, exec_id DESC);
CREATE INDEX executions_order ON executions (link_id);

CREATE TABLE round_trips (
    bot          text NOT NULL,
    seq          bigint NOT NULL,
    ordinal      integer NOT NULL,
    level        integer NOT NULL,
    opened_by    text NOT NULL CHECK (opened_by IN ('buy', 'sell')),
    buy_price    numeric,
    sell_price   numeric,
    quantity     numeric NOT NULL,
    gross        numeric NOT NULL,
    fees         numeric NOT NULL,
    net          numeric NOT NULL,
    opened_at_ms bigint NOT NULL,
    closed_at_ms bigint NOT NULL,
    PRIMARY KEY (bot, seq, ordinal),
    CHECK (net = gross - fees)
);

CREATE TABLE funding_payments (
    bot     text NOT NULL,
    exec_id text NOT NULL,
    amount  numeric NOT NULL,
    at_ms   bigint NOT NULL,
    seq     bigint NOT NULL,
    PRIMARY KEY (bot, exec_id)
);
CREATE INDEX funding_payments_newest ON funding_payments (bot, at_ms DESC, exec_id DESC);
