-- What two operators have booked, or one proposes to book, because no block will ever explain it.
CREATE TABLE book_correction (
    id              text PRIMARY KEY,
    kind            text NOT NULL CHECK (kind IN ('opening_balance', 'proved_loss')),
    hot_wallet_id   text NOT NULL REFERENCES hot_wallet,
    token           text NOT NULL REFERENCES assets,
    tx_hash         text NOT NULL,                                -- by which a proved loss left; '' where no block tells
    amount_token    numeric(78, 0) NOT NULL CHECK (amount_token > 0),
    reason          text NOT NULL CHECK (reason <> ''),
    proposed_by     text NOT NULL,
    proposed_at_ms  bigint NOT NULL,
    confirmed_by    text,
    confirmed_at_ms bigint,
    CHECK (kind = 'proved_loss' OR tx_hash = ''),
    CHECK ((confirmed_by IS NULL) = (confirmed_at_ms IS NULL)),
    CHECK (confirmed_by <> proposed_by)
);
CREATE INDEX book_correction_proposed ON book_correction (proposed_at_ms);
CREATE INDEX book_correction_loss ON book_correction (hot_wallet_id, tx_hash)
    WHERE tx_hash <> '' AND confirmed_at_ms IS NOT NULL;
