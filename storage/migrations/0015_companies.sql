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
