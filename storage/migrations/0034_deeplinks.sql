-- Tickets that open one action of a Telegram bot, once, for one person of one company. The word that opens it is nowhere
-- here, only its SHA-256 (it is random, so a plain hash is enough).
CREATE TABLE deeplink_ticket (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company_id    text NOT NULL REFERENCES company,
    tg_id         bigint NOT NULL,
    bot           text NOT NULL,
    action        text NOT NULL,
    token         bytea NOT NULL UNIQUE,
    created_at_ms bigint NOT NULL,
    expires_at_ms bigint NOT NULL CHECK (expires_at_ms > created_at_ms),
    used_at_ms    bigint
);
CREATE INDEX deeplink_ticket_expires ON deeplink_ticket (expires_at_ms);
