-- Signed bytes, there before anybody outside has seen them.
CREATE TABLE payout_attempt (
    task_id       text NOT NULL REFERENCES payout_task,
    n             integer NOT NULL CHECK (n > 0),
    network       text NOT NULL,
    hot_wallet_id text NOT NULL REFERENCES hot_wallet,
    epoch         bigint NOT NULL,                               -- of the signer's lease
    tx_id         text NOT NULL,
    intent        jsonb NOT NULL,                                -- engine.payments.chain.PayoutIntent
    signed        bytea NOT NULL,
    timestamp_ms  bigint NOT NULL,
    expires_at_ms bigint NOT NULL,
    reference_number bigint NOT NULL,
    status        text NOT NULL CHECK (status IN ('live', 'confirmed', 'dead')),
    ended_because text NOT NULL DEFAULT '',
    evidence      jsonb,                                         -- the proof: Included or Absent
    signed_at_ms  bigint NOT NULL,
    moment        bigint DEFAULT nextval('club_moment'),         -- none: remembered from the journal after a restore
    handed_over_at_ms bigint,                                    -- to nodes, the last time
    ended_at_ms   bigint,
    PRIMARY KEY (task_id, n),
    UNIQUE (network, tx_id),
    UNIQUE (hot_wallet_id, timestamp_ms),
    CHECK ((status = 'live') = (ended_at_ms IS NULL))
);
CREATE UNIQUE INDEX payout_attempt_one_live ON payout_attempt (task_id) WHERE status = 'live';
CREATE UNIQUE INDEX payout_attempt_one_paid ON payout_attempt (task_id) WHERE status = 'confirmed';
CREATE INDEX payout_attempt_live ON payout_attempt (hot_wallet_id) WHERE status = 'live';
CREATE INDEX payout_attempt_signed ON payout_attempt (hot_wallet_id, signed_at_ms);

-- Attempts that the broadcast journal knows and the database has forgotten: it was restored to an earlier time. Their
-- task is not signed until they are attempts again and their outcome is known.
CREATE TABLE payout_forgotten (
    tx_id         text PRIMARY KEY,
    hot_wallet_id text NOT NULL REFERENCES hot_wallet,
    task_id       text NOT NULL,                                 -- the task itself may be forgotten too
    n             integer NOT NULL,
    intent        jsonb NOT NULL,
    signed        jsonb NOT NULL,                                -- engine.payments.chain.SignedPayout
    found_at_ms   bigint NOT NULL,
    bound_at_ms   bigint
);
CREATE INDEX payout_forgotten_task ON payout_forgotten (task_id) WHERE bound_at_ms IS NULL;

-- The database that a wallet's signer last compared with its journal. After a restore the present one is another, and
-- nobody may decide anything about a payout until the signer has put back what was forgotten.
CREATE TABLE payout_database_seen (
    hot_wallet_id text PRIMARY KEY REFERENCES hot_wallet,
    system        text NOT NULL,
    timeline      integer NOT NULL,
    seen_at_ms    bigint NOT NULL
);
