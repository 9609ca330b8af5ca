-- What one side of a pair owes the other after a close, per asset; 0 when they are quits. The rest that is carried
-- is netted again with the next session, whose row names this one in `carried_from`.
CREATE TABLE eod_settlement (
    id               text PRIMARY KEY,
    session_id       text NOT NULL REFERENCES trust_session,
    payer_company_id text NOT NULL REFERENCES company,
    payee_company_id text NOT NULL REFERENCES company,
    network          text NOT NULL,
    token            text NOT NULL REFERENCES assets,
    net_token        numeric(78, 0) NOT NULL CHECK (net_token >= 0),       -- this session's deals and the rest before it
    amount_token     numeric(78, 0) NOT NULL CHECK (amount_token >= 0),    -- what is paid of it
    carried_token    numeric(78, 0) NOT NULL CHECK (carried_token >= 0),   -- what goes to the next session
    carried_in_token numeric(78, 0) NOT NULL,                              -- the rest within net; < 0: the payee owed it
    carried_from     text UNIQUE REFERENCES eod_settlement,
    carried_because  text NOT NULL,
    since_ms         bigint NOT NULL,                                      -- the cut-off at which the debt began
    payout_id        text,
    wallet_id        text REFERENCES wallet,
    status           text NOT NULL CHECK (status IN ('carried', 'queued', 'settled')),
    tx_hash          text,
    created_at_ms    bigint NOT NULL,
    settled_at_ms    bigint,
    UNIQUE (session_id, token),
    CHECK (payer_company_id <> payee_company_id),
    CHECK (net_token = amount_token + carried_token),
    CHECK ((amount_token > 0) = (payout_id IS NOT NULL)),
    CHECK ((amount_token > 0) = (wallet_id IS NOT NULL)),
    CHECK ((carried_token > 0) = (carried_because <> '')),
    CHECK ((status = 'carried') = (amount_token = 0 AND carried_token > 0)),
    CHECK ((status = 'settled') = (settled_at_ms IS NOT NULL))
);
CREATE INDEX eod_settlement_status ON eod_settlement (status);
CREATE INDEX eod_settlement_payer ON eod_settlement (payer_company_id);
