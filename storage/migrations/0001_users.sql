-- Times are whole milliseconds UTC, as in the engine; the database's own clock is read here and nowhere else.
CREATE FUNCTION now_ms() RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN (extract(epoch FROM clock_timestamp()) * 1000)::bigint;

CREATE TABLE users (
    id            text PRIMARY KEY,
    email         text,
    phone         text,
    status        text NOT NULL DEFAULT 'active',
    created_at_ms bigint NOT NULL DEFAULT now_ms()
);
CREATE UNIQUE INDEX users_email ON users (lower(email));

CREATE TABLE profiles (
    user_id       text PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    display_name  text NOT NULL DEFAULT '',
    locale        text NOT NULL DEFAULT 'en',
    time_zone     text NOT NULL DEFAULT 'UTC',
    preferences   jsonb NOT NULL DEFAULT '{}'
);

-- Either a reference to a key kept elsewhere (an environment variable, a file, a vault path) or the key itself,
-- sealed; never a key in the clear.
CREATE TABLE exchange_accounts (
    id             text PRIMARY KEY,
    owner          text NOT NULL REFERENCES users,
    exchange       text NOT NULL,
    environment    text NOT NULL CHECK (environment IN ('paper', 'demo', 'testnet', 'live')),
    label          text NOT NULL,
    key_reference  text,
    sealed_key     bytea,
    sealing_key_id text,
    created_at_ms  bigint NOT NULL DEFAULT now_ms(),
    retired_at_ms  bigint,
    CHECK ((sealed_key IS NULL) = (sealing_key_id IS NULL)),
    CHECK (key_reference IS NULL OR sealed_key IS NULL)
);
CREATE INDEX exchange_accounts_owner ON exchange_accounts (owner);
