-- Each transfer of a listed asset from an address of ours, as the chain tells it: the other side of every payout.
CREATE TABLE outgoing_tx (
    network       text NOT NULL,
    tx_hash       text NOT NULL,
    log_index     integer NOT NULL,
    hot_wallet_id text NOT NULL REFERENCES hot_wallet,
    token         text NOT NULL REFERENCES assets,
    to_address    text NOT NULL,
    amount_token  numeric(78, 0) NOT NULL CHECK (amount_token > 0),
    block_number  bigint NOT NULL,
    created_at_ms bigint NOT NULL,
    PRIMARY KEY (network, tx_hash, log_index)
);
CREATE INDEX outgoing_tx_wallet ON outgoing_tx (hot_wallet_id, token, block_number);
CREATE INDEX outgoing_tx_block ON outgoing_tx (network, block_number);

-- What a transaction of ours has burned of the network's own coin. Not booked: the books know of too little coin at
-- the address, which is a break that an operator must explain first.
CREATE TABLE chain_fee (
    id             text PRIMARY KEY,                             -- the transaction's, and ~2 for its second appearance
    network        text NOT NULL,
    tx_hash        text NOT NULL,
    hot_wallet_id  text NOT NULL REFERENCES hot_wallet,
    fee_token      numeric(78, 0) NOT NULL CHECK (fee_token > 0),
    block_number   bigint NOT NULL,
    booked         boolean NOT NULL,
    created_at_ms  bigint NOT NULL,
    reversed_at_ms bigint
);
CREATE UNIQUE INDEX chain_fee_once ON chain_fee (network, tx_hash) WHERE reversed_at_ms IS NULL;
CREATE INDEX chain_fee_vanished ON chain_fee (tx_hash) WHERE reversed_at_ms IS NOT NULL;
CREATE INDEX chain_fee_wallet ON chain_fee (hot_wallet_id, block_number);
CREATE INDEX chain_fee_block ON chain_fee (network, block_number);
CREATE INDEX chain_fee_unbooked ON chain_fee (hot_wallet_id) WHERE NOT booked AND reversed_at_ms IS NULL;

-- The books of an address compared with its chain, at one block. `explained` lists every difference that has a reason.
CREATE TABLE reconciliation (
    hot_wallet_id     text NOT NULL REFERENCES hot_wallet,
    token             text NOT NULL REFERENCES assets,
    block_number      bigint NOT NULL,
    ledger_units      numeric(78, 0) NOT NULL,
    chain_units       numeric(78, 0) NOT NULL,
    explained         jsonb NOT NULL,
    unexplained_units numeric(78, 0) NOT NULL,
    at_ms             bigint NOT NULL,
    PRIMARY KEY (hot_wallet_id, token, block_number)
);

-- A payout whose incoming transfer vanished before anything was signed. The next one of the same deal is another one.
ALTER TABLE payout ADD COLUMN withdrawn_at_ms bigint;
ALTER TABLE payout DROP CONSTRAINT payout_purpose_purpose_id_key;
CREATE UNIQUE INDEX payout_purpose ON payout (purpose, purpose_id) WHERE withdrawn_at_ms IS NULL;
