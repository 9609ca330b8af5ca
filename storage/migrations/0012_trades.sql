-- The coins of a bot's pair: figures in different quote coins are never added. Bots from before get them from the
-- symbol's end; where it tells nothing, an empty word keeps their figures apart.
ALTER TABLE bots
    ADD COLUMN base           text NOT NULL DEFAULT '',
    ADD COLUMN quote          text NOT NULL DEFAULT '',
    ADD COLUMN archived_at_ms bigint;
UPDATE bots SET
    quote = coalesce(substring(config ->> 'symbol' FROM '(USDT|USDC|USDE|DAI|EUR|BTC|ETH)$'), ''),
    base  = coalesce(substring(config ->> 'symbol' FROM '^([A-Z0-9]+?)[-/]?(?:USDT|USDC|USDE|DAI|EUR|BTC|ETH)$'), '');

-- The sums of each UTC day (counted from the epoch), kept with each execution: a total over years reads days.
CREATE TABLE daily_trades (
    bot       text NOT NULL,
    day       bigint NOT NULL,
    side      text NOT NULL CHECK (side IN ('buy', 'sell')),
    fee_asset text NOT NULL,
    trades    bigint NOT NULL,
    volume    numeric NOT NULL,
    fees      numeric NOT NULL,
    PRIMARY KEY (bot, day, side, fee_asset)
);
INSERT INTO daily_trades
SELECT bot, at_ms / 86400000, side, fee_asset, count(*), sum(price * quantity), sum(fee)
FROM executions GROUP BY 1, 2, 3, 4;
