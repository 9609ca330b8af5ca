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

-- Who said yes for a company to just these terms. Without a yes of both sides a pair is not enabled.
CREATE TABLE trust_pair_consent (
    pair_id    text NOT NULL REFERENCES trust_pair,
    company_id text NOT NULL REFERENCES company,
    member_id  text NOT NULL REFERENCES member,
    terms_hash bytea NOT NULL,
    at_ms      bigint NOT NULL,
    PRIMARY KEY (pair_id, company_id, member_id)
);

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
