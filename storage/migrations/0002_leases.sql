-- One writer per name. UNIQUE (name, epoch) makes the epoch a key column, so that a takeover (which changes it)
-- waits for every write that holds the row FOR KEY SHARE, while a renewal (which does not) waits for none.
CREATE TABLE leases (
    name          text PRIMARY KEY,
    holder        text NOT NULL,
    epoch         bigint NOT NULL CHECK (epoch > 0),
    expires_at_ms bigint NOT NULL,
    UNIQUE (name, epoch)
);
