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
    moment      bigint NOT NULL DEFAULT nextval('club_moment'),
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
