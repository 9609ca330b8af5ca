-- How far a network has been read, by the identity of the last block and not by its height.
CREATE TABLE chain_cursor (
    network   text PRIMARY KEY,
    number    bigint NOT NULL,
    block_id  text NOT NULL,
    time_ms   bigint NOT NULL,
    epoch     bigint NOT NULL
);

-- The blocks behind the cursor, for going back when a chain proves to be another one. Old ones are forgotten.
CREATE TABLE chain_block (
    network   text NOT NULL,
    number    bigint NOT NULL,
    block_id  text NOT NULL,
    parent_id text NOT NULL,
    time_ms   bigint NOT NULL,
    PRIMARY KEY (network, number)
);

-- Each transfer to an address of ours, exactly once, with what was made of it. When its block vanishes the row stays,
-- reversed; if the transfer comes again, that is another row.
CREATE TABLE incoming_tx (
    id             text PRIMARY KEY,                             -- network:tx:log, and ~2 for its second appearance
    network        text NOT NULL,
    tx_hash        text NOT NULL,
    log_index      integer NOT NULL,
    hot_wallet_id  text NOT NULL REFERENCES hot_wallet,
    company_id     text NOT NULL REFERENCES company,
    contract       text NOT NULL,
    token          text REFERENCES assets,                       -- NULL: a token that we do not list
    amount_token   numeric(78, 0) NOT NULL CHECK (amount_token > 0),
    surplus_token  numeric(78, 0) NOT NULL CHECK (surplus_token BETWEEN 0 AND amount_token),  -- kept as tolerance
    from_address   text NOT NULL,
    block_number   bigint NOT NULL,
    block_id       text NOT NULL,
    block_time_ms  bigint NOT NULL,
    status         text NOT NULL CHECK (status IN ('credited', 'tolerance', 'suspense', 'refund', 'reversed')),
    reason         text NOT NULL,
    place          text NOT NULL CHECK (place IN ('deal', 'funds', 'suspense', 'tolerance', 'owner', 'nowhere')),
    matched_to     text NOT NULL DEFAULT '',                     -- the deal, the verified wallet …
    created_at_ms  bigint NOT NULL,
    resolved_at_ms bigint,                                       -- when an operator has dealt with a suspense
    resolved_by    text NOT NULL DEFAULT '',
    reversed_at_ms bigint,
    undone         text NOT NULL DEFAULT '' CHECK (undone IN ('', 'waits', 'reversed', 'claimed')),
    CHECK ((status = 'reversed') = (reversed_at_ms IS NOT NULL)),
    CHECK ((status = 'reversed') = (undone <> '')),
    CHECK ((token IS NULL) = (place = 'nowhere'))
);
CREATE UNIQUE INDEX incoming_tx_once ON incoming_tx (network, tx_hash, log_index) WHERE status <> 'reversed';
-- A transfer funds a deal alone. Only a person may put several together.
CREATE UNIQUE INDEX incoming_tx_deal_once ON incoming_tx (matched_to)
    WHERE place = 'deal' AND status <> 'reversed' AND resolved_at_ms IS NULL;
CREATE INDEX incoming_tx_matched ON incoming_tx (matched_to) WHERE matched_to <> '';
CREATE INDEX incoming_tx_company ON incoming_tx (company_id, created_at_ms);
CREATE INDEX incoming_tx_status ON incoming_tx (status);
CREATE INDEX incoming_tx_block ON incoming_tx (network, block_number);
CREATE INDEX incoming_tx_waits ON incoming_tx (network) WHERE undone = 'waits';
