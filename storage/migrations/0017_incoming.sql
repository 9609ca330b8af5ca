-- How far a network has been read, by the identity of the last block and not by its height.
CREATE TABLE chain_cursor (
    network   text PRIMARY KEY,
    number    bigint NOT NULL,
    block_id  text NOT NULL,
    time_ms   bigint NOT NULL,
    epoch     bigint NOT NULL
);

-- The blocks behind the cursor, for going back when a chain proves to be another one.
CREATE TABLE chain_block (
    network   text NOT NULL,
    number    bigint NOT NULL,
    block_id  text NOT NULL,
    parent_id text NOT NULL,
    time_ms   bigint NOT NULL,
    PRIMARY KEY (network, number)
);

-- Each transfer to an address of ours, exactly once, with what was made of it.
CREATE TABLE incoming_tx (
    id            text PRIMARY KEY,                              -- network:tx:log
    network       text NOT NULL,
    tx_hash       text NOT NULL,
    log_index     integer NOT NULL,
    hot_wallet_id text NOT NULL REFERENCES hot_wallet,
    company_id    text NOT NULL REFERENCES company,
    contract      text NOT NULL,
    token         text REFERENCES assets,                        -- NULL: a token that nobody asked for
    amount_token  numeric(78, 0) NOT NULL CHECK (amount_token > 0),
    from_address  text NOT NULL,
    block_number  bigint NOT NULL,
    block_id      text NOT NULL,
    status        text NOT NULL CHECK (status IN ('credited', 'tolerance', 'suspense', 'refund', 'reversed')),
    reason        text NOT NULL,
    matched_to    text NOT NULL DEFAULT '',                      -- the deal, the verified wallet …
    at_ms         bigint NOT NULL,
    resolved_at_ms bigint,                                       -- when an operator has dealt with a suspense
    UNIQUE (network, tx_hash, log_index)
);
CREATE INDEX incoming_tx_company ON incoming_tx (company_id);
CREATE INDEX incoming_tx_status ON incoming_tx (status);
CREATE INDEX incoming_tx_block ON incoming_tx (network, block_number);

-- Each transfer from an address of ours, as the chain tells it: the other side of every payout.
CREATE TABLE outgoing_tx (
    network       text NOT NULL,
    tx_hash       text NOT NULL,
    log_index     integer NOT NULL,
    hot_wallet_id text NOT NULL REFERENCES hot_wallet,
    contract      text NOT NULL,
    to_address    text NOT NULL,
    amount_token  numeric(78, 0) NOT NULL,
    block_number  bigint NOT NULL,
    at_ms         bigint NOT NULL,
    PRIMARY KEY (network, tx_hash, log_index)
);
CREATE INDEX outgoing_tx_wallet ON outgoing_tx (hot_wallet_id, block_number);

-- What a transaction of ours has burned of the network's own coin.
CREATE TABLE chain_fee (
    network       text NOT NULL,
    tx_hash       text NOT NULL,
    hot_wallet_id text NOT NULL REFERENCES hot_wallet,
    fee_units     numeric(78, 0) NOT NULL,
    block_number  bigint NOT NULL,
    PRIMARY KEY (network, tx_hash)
);
