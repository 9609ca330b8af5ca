CREATE TABLE deal (
    id                 text PRIMARY KEY,
    offer_id           text NOT NULL REFERENCES offer,
    maker_company_id   text NOT NULL REFERENCES company,
    taker_company_id   text NOT NULL REFERENCES company,
    payer_company_id   text NOT NULL REFERENCES company,
    payee_company_id   text NOT NULL REFERENCES company,
    mode               text NOT NULL CHECK (mode IN ('pass_through', 'netting')),
    network            text NOT NULL,
    token              text NOT NULL REFERENCES assets,
    amount_token       numeric(78, 0) NOT NULL CHECK (amount_token > 0),
    exposure_usd       bigint NOT NULL CHECK (exposure_usd > 0),   -- of the payer, while the deal is open
    headroom_usd       bigint NOT NULL,                            -- what its tightest limit left on acceptance
    wallet_id          text REFERENCES wallet,                     -- where the payee is paid (pass-through)
    hot_wallet_id      text REFERENCES hot_wallet,                 -- where the payer pays in (pass-through)
    session_id         text REFERENCES trust_session,              -- netting
    status             text NOT NULL CHECK (status IN
        ('awaiting_incoming', 'paying', 'in_session', 'netted', 'settled', 'cancelled', 'expired')),
    deadline_ms        bigint,                                     -- of the incoming transfer
    accepted_by        text NOT NULL REFERENCES member,
    created_at_ms      bigint NOT NULL,
    ended_at_ms        bigint,
    CHECK (exposure_usd <= headroom_usd),
    CHECK (payer_company_id <> payee_company_id),
    CHECK ((payer_company_id, payee_company_id) IN ((maker_company_id, taker_company_id),
                                                    (taker_company_id, maker_company_id))),
    CHECK ((mode = 'netting') = (session_id IS NOT NULL)),
    CHECK ((mode = 'pass_through') = (wallet_id IS NOT NULL)),
    CHECK ((mode = 'pass_through') = (hot_wallet_id IS NOT NULL)),
    CHECK ((mode = 'pass_through') = (deadline_ms IS NOT NULL)),
    CHECK ((status IN ('settled', 'cancelled', 'expired')) = (ended_at_ms IS NOT NULL)),
    UNIQUE (offer_id)
);
CREATE INDEX deal_mode_status ON deal (mode, status);
CREATE INDEX deal_payer ON deal (payer_company_id, created_at_ms);
CREATE INDEX deal_expected ON deal (hot_wallet_id) WHERE status IN ('awaiting_incoming', 'cancelled', 'expired');
CREATE INDEX deal_payee ON deal (payee_company_id);
CREATE INDEX deal_session ON deal (session_id);
CREATE INDEX deal_created ON deal (created_at_ms);
