-- The sums of a bot's whole life, kept beside those of its days: what everybody has ever traded is read in one look.
CREATE TABLE total_trades (
    bot       text NOT NULL,
    side      text NOT NULL CHECK (side IN ('buy', 'sell')),
    fee_asset text NOT NULL,
    trades    bigint NOT NULL,
    volume    numeric NOT NULL,
    fees      numeric NOT NULL,
    PRIMARY KEY (bot, side, fee_asset)
);
INSERT INTO total_trades
SELECT bot, side, fee_asset, sum(trades), sum(volume), sum(fees) FROM daily_trades GROUP BY 1, 2, 3;
