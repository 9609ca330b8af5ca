-- Double entry. There is one writer at a time: whoever posts holds the row of ledger_head until its transaction ends.
-- That row is also the end of a chain of hashes with one step per batch, over the accounts it opened and the transfers
-- it posted, so that nothing can be edited, slipped in, taken out or cut off unseen.
CREATE TABLE ledger_head (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    batch    bigint NOT NULL,                                    -- the newest, counted from 1 without gaps
    transfer bigint NOT NULL,                                    -- likewise
    hash     bytea NOT NULL
);
INSERT INTO ledger_head (batch, transfer, hash) VALUES (0, 0, '\x');

-- What was posted by one statement. A statement of account walks back from batch to batch, as in a paper ledger: each
-- names the accounts that it touched, and for each the batch `before` that touched it (0: none). Two indexes would
-- do the same, and take half as long again as all the rest of posting.
CREATE TABLE ledger_batch (
    seq            bigint PRIMARY KEY,
    first_transfer bigint NOT NULL,
    last_transfer  bigint NOT NULL CHECK (last_transfer >= first_transfer - 1),
    accounts       text[] COLLATE "C" NOT NULL,
    before         bigint[] NOT NULL,
    hash           bytea NOT NULL
);

-- Balances live here, on the account's normal side. `held` is what pending transfers would take from it.
CREATE TABLE ledger_account (
    code      text COLLATE "C" PRIMARY KEY,
    asset     text NOT NULL,
    normal    text COLLATE "C" NOT NULL CHECK (normal IN ('debit', 'credit')),
    floor     numeric(78, 0),                                    -- NULL: may go below zero
    opened_in bigint NOT NULL,                                   -- the batch that named it first
    touched_in bigint NOT NULL DEFAULT 0,                        -- the newest batch that changed it
    touched_before bigint NOT NULL DEFAULT 0,                    -- and the one before that
    balance   numeric(78, 0) NOT NULL DEFAULT 0,
    held      numeric(78, 0) NOT NULL DEFAULT 0 CHECK (held >= 0),
    CONSTRAINT ledger_account_floor CHECK (floor IS NULL OR balance - held >= floor)
) WITH (fillfactor = 90);          -- room for updates that touch no index; with more, pages are tidied at every visit

-- Never changed. A hold is resolved by another transfer, at most one. No foreign keys: they would cost two more
-- look-ups a row, for what the one function that writes here has looked up already.
CREATE TABLE ledger_transfer (
    seq           bigint PRIMARY KEY,
    id            text COLLATE "C" NOT NULL UNIQUE,
    kind          text COLLATE "C" NOT NULL,
    debit         text COLLATE "C" NOT NULL,
    credit        text COLLATE "C" NOT NULL,
    units         numeric(78, 0) NOT NULL CHECK (units > 0),     -- moved; of a void or an expiry: released
    reference     text COLLATE "C" NOT NULL,
    at_ms         bigint NOT NULL,
    phase         text COLLATE "C" NOT NULL,
    resolves      text COLLATE "C",
    expires_at_ms bigint,
    CHECK (debit <> credit),
    CHECK (CASE WHEN resolves IS NULL THEN phase IN ('posted', 'pending') ELSE phase IN ('post', 'void', 'expire') END)
);
CREATE INDEX ledger_transfer_reference ON ledger_transfer (reference);
CREATE INDEX ledger_transfer_deposit ON ledger_transfer (kind, seq) WHERE kind IN
    ('fund', 'hold_open', 'hold_release', 'penalty', 'reserve_trust', 'reserve_release', 'adjustment');
CREATE UNIQUE INDEX ledger_transfer_resolves ON ledger_transfer (resolves) WHERE resolves IS NOT NULL;

-- The holds that are open now: a working copy of pending transfers that nothing resolves yet.
CREATE TABLE ledger_hold (
    id            text COLLATE "C" PRIMARY KEY,
    debit         text COLLATE "C" NOT NULL,
    credit        text COLLATE "C" NOT NULL,
    units         numeric(78, 0) NOT NULL,
    expires_at_ms bigint
);
CREATE INDEX ledger_hold_expires ON ledger_hold (expires_at_ms) WHERE expires_at_ms IS NOT NULL;

CREATE TRIGGER ledger_transfer_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transfer
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_batch_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_batch
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_account_stays BEFORE DELETE OR TRUNCATE ON ledger_account
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_head_stays BEFORE DELETE OR TRUNCATE ON ledger_head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE, TRUNCATE ON ledger_transfer, ledger_batch FROM PUBLIC;
