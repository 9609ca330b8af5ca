-- Companies, the people who act for them, the addresses they may be paid at. Times are given by the caller, not by
-- the database: the same code runs under the simulation's clock.
CREATE TABLE assets (
    id        text PRIMARY KEY,
    network   text NOT NULL,
    symbol    text NOT NULL,
    contract  text NOT NULL,
    decimals  integer NOT NULL CHECK (decimals BETWEEN 0 AND 36),
    is_dollar boolean NOT NULL,
    UNIQUE (network, contract)
);

CREATE TABLE company (
    id            text PRIMARY KEY,
    name          text NOT NULL,
    tz            text NOT NULL,
    tier          text NOT NULL CHECK (tier IN ('S', 'M', 'L', 'XL')),
    status        text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    created_at_ms bigint NOT NULL
);

CREATE TABLE member (
    id            text PRIMARY KEY,
    user_id       text UNIQUE REFERENCES users,
    tg_id         bigint UNIQUE,
    name          text NOT NULL,
    created_at_ms bigint NOT NULL
);

CREATE TABLE company_member (
    company_id text NOT NULL REFERENCES company,
    member_id  text NOT NULL REFERENCES member,
    role       text NOT NULL CHECK (role IN ('ADMIN', 'TRADER', 'APPROVER')),
    PRIMARY KEY (company_id, member_id, role)
);
CREATE INDEX company_member_member ON company_member (member_id);

-- The platform's own addresses. Each belongs to one company and holds that company's money in transit: what came in
-- there goes out from there. The key is sealed; only the wallet's signer opens it.
CREATE TABLE hot_wallet (
    id             text PRIMARY KEY,
    network        text NOT NULL,
    address        text NOT NULL,
    company_id     text NOT NULL REFERENCES company,
    sealed_key     bytea,
    sealing_key_id text,
    created_at_ms  bigint NOT NULL,
    UNIQUE (network, address),
    UNIQUE (network, company_id),
    CHECK ((sealed_key IS NULL) = (sealing_key_id IS NULL))
);

-- The allow-list: where a company may be paid. A row is a version: what changes is a new row, and the old is revoked.
CREATE TABLE wallet (
    id              text PRIMARY KEY,
    company_id      text NOT NULL REFERENCES company,
    network         text NOT NULL,
    token           text NOT NULL REFERENCES assets,
    address         text NOT NULL,
    label           text NOT NULL DEFAULT '',
    challenge_units numeric(78, 0),          -- the micro-transfer that proves the address, while it is awaited
    challenge_until_ms bigint,
    verified        boolean NOT NULL DEFAULT false,
    verified_at_ms  bigint,
    cooling_off_ms  bigint NOT NULL DEFAULT 86400000,  -- as the policy was when the address was added
    active_from_ms  bigint,                  -- the end of the cooling-off
    revoked_at_ms   bigint,
    added_by        text NOT NULL REFERENCES member,
    created_at_ms   bigint NOT NULL,
    CHECK (verified = (verified_at_ms IS NOT NULL)),
    CHECK (verified = (active_from_ms IS NOT NULL))
);
CREATE UNIQUE INDEX wallet_current ON wallet (company_id, network, token, address) WHERE revoked_at_ms IS NULL;
CREATE INDEX wallet_created ON wallet (created_at_ms);

CREATE TABLE offer (
    id            text PRIMARY KEY,
    company_id    text NOT NULL REFERENCES company,
    side          text NOT NULL CHECK (side IN ('sell', 'buy')),  -- sell: the maker delivers the token
    network       text NOT NULL,
    token         text NOT NULL REFERENCES assets,
    amount_token  numeric(78, 0) NOT NULL CHECK (amount_token > 0),
    price         numeric(38, 18) NOT NULL CHECK (price > 0),
    status        text NOT NULL CHECK (status IN ('open', 'accepted', 'cancelled', 'expired')),
    expires_at_ms bigint NOT NULL,
    created_by    text NOT NULL REFERENCES member,
    wallet_id     text REFERENCES wallet,                              -- where a buying maker is paid
    created_at_ms bigint NOT NULL,
    CHECK ((side = 'buy') = (wallet_id IS NOT NULL))
);
CREATE INDEX offer_company ON offer (company_id);
CREATE INDEX offer_status ON offer (status);
CREATE INDEX offer_created ON offer (created_at_ms);

CREATE TABLE trust_pair (
    id              text PRIMARY KEY,
    a_company_id    text NOT NULL REFERENCES company,
    b_company_id    text NOT NULL REFERENCES company,
    daily_limit_usd bigint NOT NULL CHECK (daily_limit_usd > 0),   -- millionths of a dollar
    cutoff_local    time NOT NULL,
    tz              text NOT NULL,
    reserve_pct     integer NOT NULL CHECK (reserve_pct BETWEEN 0 AND 100),
    enabled         boolean NOT NULL DEFAULT false,
    automatic_eod   boolean NOT NULL DEFAULT true,
    reserve_round   integer NOT NULL DEFAULT 0,                    -- how often a reserve was set aside
    created_at_ms   bigint NOT NULL,
    CHECK (a_company_id < b_company_id),
    UNIQUE (a_company_id, b_company_id)
);
CREATE INDEX trust_pair_b ON trust_pair (b_company_id);

-- What a company has set aside for a pair, in the ledger's account `reserve:<company>:<asset>`.
CREATE TABLE trust_reserve (
    pair_id        text NOT NULL REFERENCES trust_pair,
    round          integer NOT NULL,
    company_id     text NOT NULL REFERENCES company,
    token          text NOT NULL REFERENCES assets,
    amount_token   numeric(78, 0) NOT NULL CHECK (amount_token > 0),
    reserved_at_ms bigint NOT NULL,
    released_at_ms bigint,
    PRIMARY KEY (pair_id, round, company_id, token)
);
CREATE INDEX trust_reserve_held ON trust_reserve (company_id, token) WHERE released_at_ms IS NULL;

CREATE TABLE trust_session (
    id            text PRIMARY KEY,
    pair_id       text NOT NULL REFERENCES trust_pair,
    session_date  date NOT NULL,
    opens_at_ms   bigint NOT NULL,
    cutoff_at_ms  bigint NOT NULL CHECK (cutoff_at_ms > opens_at_ms),
    status        text NOT NULL CHECK (status IN ('open', 'closed')),
    closed_at_ms  bigint,
    closed_by     text,
    created_at_ms bigint NOT NULL,
    UNIQUE (pair_id, session_date),
    CHECK ((status = 'closed') = (closed_at_ms IS NOT NULL))
);
CREATE INDEX trust_session_status ON trust_session (status);

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

-- What was agreed and what was closed stays as it is, whatever a program does.
CREATE FUNCTION deal_keeps_its_terms() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    terms deal;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF EXISTS (SELECT FROM trust_session WHERE id = NEW.session_id AND status = 'closed') THEN
            RAISE EXCEPTION 'session % is closed', NEW.session_id USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NEW;
    END IF;
    terms := NEW;
    terms.status := OLD.status;
    terms.ended_at_ms := OLD.ended_at_ms;
    IF terms IS DISTINCT FROM OLD THEN
        RAISE EXCEPTION 'the terms of deal % are agreed', OLD.id USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER deal_keeps_its_terms BEFORE INSERT OR UPDATE ON deal
    FOR EACH ROW EXECUTE FUNCTION deal_keeps_its_terms();
CREATE TRIGGER deal_stays BEFORE DELETE OR TRUNCATE ON deal
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION settlement_keeps_its_amounts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moves text[] := '{status,tx_hash,settled_at_ms}';
BEGIN
    IF to_jsonb(NEW) - moves <> to_jsonb(OLD) - moves THEN
        RAISE EXCEPTION 'settlement % is closed', OLD.id USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER settlement_keeps_its_amounts BEFORE UPDATE ON eod_settlement
    FOR EACH ROW EXECUTE FUNCTION settlement_keeps_its_amounts();
CREATE TRIGGER settlement_stays BEFORE DELETE OR TRUNCATE ON eod_settlement
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER closed_session_stays BEFORE UPDATE ON trust_session
    FOR EACH ROW WHEN (OLD.status = 'closed') EXECUTE FUNCTION refuse_change();
CREATE TRIGGER session_stays BEFORE DELETE OR TRUNCATE ON trust_session
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What people asked for, under an id of their own, with the "no" if it was one: asked again, the answer is the same.
CREATE TABLE club_command (
    actor   text NOT NULL,
    id      text NOT NULL,
    name    text NOT NULL,
    target  text NOT NULL,
    content jsonb NOT NULL,
    refusal jsonb,
    at_ms   bigint NOT NULL,
    PRIMARY KEY (actor, id)
);
CREATE INDEX club_command_refused ON club_command (at_ms) WHERE refusal IS NOT NULL;
