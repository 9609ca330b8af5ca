-- What came first, where clocks cannot tell: every host has its own, and any of them may be set back. A signature, a
-- freeze, its end and a revocation draw their number in the ledger's turn, an approval before it can be seen.
CREATE SEQUENCE club_moment;

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
    revoked_moment  bigint,
    added_by        text NOT NULL REFERENCES member,
    created_at_ms   bigint NOT NULL,
    CHECK (verified = (verified_at_ms IS NOT NULL)),
    CHECK (verified = (active_from_ms IS NOT NULL)),
    CHECK ((revoked_at_ms IS NULL) = (revoked_moment IS NULL))
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
