-- What a connected key was seen to allow, and when. A removed account keeps its row, which its bots' history names,
-- and loses its key.
ALTER TABLE exchange_accounts
    ADD COLUMN key_hint      text NOT NULL DEFAULT '',
    ADD COLUMN permissions   jsonb,
    ADD COLUMN checked_at_ms bigint;

CREATE INDEX bots_account ON bots (account);
