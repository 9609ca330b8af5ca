-- The rules for paying an asset. One without a row is not paid.
CREATE TABLE payout_policy (
    token         text PRIMARY KEY REFERENCES assets,
    cap_token     numeric(78, 0) NOT NULL CHECK (cap_token > 0),      -- of one transfer; more is split
    approvals     integer NOT NULL CHECK (approvals >= 0),
    window_ms     bigint NOT NULL CHECK (window_ms > 0),
    window_token  numeric(78, 0) NOT NULL CHECK (window_token >= 0),  -- at most this leaves a wallet in `window_ms`
    changed_at_ms bigint NOT NULL
);

-- What is approved and paid as one amount. `purpose_id` is the deal, the settlement, the refunded transfer …
CREATE TABLE payout (
    id            text PRIMARY KEY,
    company_id    text NOT NULL REFERENCES company,              -- whose money it is
    payee_id      text NOT NULL REFERENCES company,              -- whose allow-list the destination is in
    purpose       text NOT NULL CHECK (purpose IN ('pass_through', 'eod', 'refund', 'withdrawal', 'canary')),
    purpose_id    text NOT NULL,
    network       text NOT NULL,
    token         text NOT NULL REFERENCES assets,
    amount_token  numeric(78, 0) NOT NULL CHECK (amount_token > 0),
    to_address    text NOT NULL,
    wallet_id     text NOT NULL REFERENCES wallet,
    hot_wallet_id text NOT NULL REFERENCES hot_wallet,
    initiator     text NOT NULL,                                 -- a member, or `engine`
    approvals     integer NOT NULL CHECK (approvals >= 0),       -- how many it needs
    fields_hash   bytea NOT NULL,                                -- what is approved: id, network, asset, amount, destination
    created_at_ms bigint NOT NULL,
    UNIQUE (purpose, purpose_id)
);
CREATE INDEX payout_company ON payout (company_id);
CREATE INDEX payout_created ON payout (created_at_ms);

-- May be given before the payout exists: approvers arm a deal, and its payout leaves when the money has come.
CREATE TABLE payout_approval (
    payout_id   text NOT NULL,
    member_id   text NOT NULL REFERENCES member,
    fields_hash bytea NOT NULL,
    at_ms       bigint NOT NULL,
    PRIMARY KEY (payout_id, member_id, fields_hash)
);

-- One transfer on the chain: a payout over the cap is several.
CREATE TABLE payout_task (
    id            text PRIMARY KEY,
    payout_id     text NOT NULL REFERENCES payout,
    part          integer NOT NULL CHECK (part > 0),
    amount_token  numeric(78, 0) NOT NULL CHECK (amount_token > 0),
    hot_wallet_id text NOT NULL REFERENCES hot_wallet,
    state         text NOT NULL CHECK (state IN ('queued', 'signing', 'broadcast', 'confirmed', 'failed')),
    waits_for     text NOT NULL DEFAULT '',                      -- why nothing happens to it now, as a code
    due_at_ms     bigint NOT NULL,                               -- when to look at it again
    attempts      integer NOT NULL DEFAULT 0,
    failures      integer NOT NULL DEFAULT 0,                    -- attempts that the chain included and refused
    tx_hash       text,
    created_at_ms bigint NOT NULL,
    confirmed_at_ms bigint,
    UNIQUE (payout_id, part),
    CHECK ((state = 'confirmed') = (confirmed_at_ms IS NOT NULL)),
    CHECK ((state = 'confirmed') = (tx_hash IS NOT NULL))
);
CREATE INDEX payout_task_open ON payout_task (hot_wallet_id, due_at_ms) WHERE state IN ('queued', 'signing', 'broadcast');
CREATE INDEX payout_task_state ON payout_task (state);

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

-- Where nothing new is signed. One person may freeze; leaving needs several.
CREATE TABLE payout_freeze (
    id           text PRIMARY KEY,
    scope        text NOT NULL CHECK (scope IN ('global', 'network', 'wallet', 'company')),
    subject      text NOT NULL,                                  -- '' for global
    is_safe_mode boolean NOT NULL,                               -- entered by the machine
    reason       text NOT NULL,
    entered_by   text NOT NULL,
    entered_at_ms bigint NOT NULL,
    lifted_at_ms bigint
);
CREATE UNIQUE INDEX payout_freeze_current ON payout_freeze (scope, subject, is_safe_mode) WHERE lifted_at_ms IS NULL;

CREATE TABLE payout_freeze_lift (
    freeze_id text NOT NULL REFERENCES payout_freeze,
    actor     text NOT NULL,
    at_ms     bigint NOT NULL,
    PRIMARY KEY (freeze_id, actor)
);

-- What somebody must look at. `kind` names the runbook: api/docs/runbooks/<kind>.md.
CREATE TABLE alarm (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind          text NOT NULL,
    subject       text NOT NULL,
    severity      integer NOT NULL CHECK (severity BETWEEN 1 AND 3),
    detail        text NOT NULL,
    raised_at_ms  bigint NOT NULL,
    cleared_at_ms bigint
);
CREATE UNIQUE INDEX alarm_current ON alarm (kind, subject) WHERE cleared_at_ms IS NULL;
