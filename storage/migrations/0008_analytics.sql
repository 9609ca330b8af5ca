-- Refreshed by storage/analytics.py; CONCURRENTLY, so that readers never wait, which needs the unique indexes.
CREATE MATERIALIZED VIEW daily_bot_profit AS
WITH trips AS (
    SELECT bot, (to_timestamp(closed_at_ms / 1000.0) AT TIME ZONE 'UTC')::date AS day,
           count(*) AS round_trips, sum(gross) AS gross, sum(fees) AS fees, sum(net) AS grid_profit
    FROM round_trips GROUP BY 1, 2
), fills AS (
    SELECT bot, (to_timestamp(at_ms / 1000.0) AT TIME ZONE 'UTC')::date AS day,
           count(*) AS trades, sum(price * quantity) AS volume
    FROM executions GROUP BY 1, 2
), paid AS (
    SELECT bot, (to_timestamp(at_ms / 1000.0) AT TIME ZONE 'UTC')::date AS day, sum(amount) AS funding
    FROM funding_payments GROUP BY 1, 2
)
SELECT bot, day,
       coalesce(trades, 0) AS trades,
       coalesce(volume, 0) AS volume,
       coalesce(round_trips, 0) AS round_trips,
       coalesce(gross, 0) AS gross,
       coalesce(fees, 0) AS fees,
       coalesce(grid_profit, 0) AS grid_profit,
       coalesce(funding, 0) AS funding
FROM fills FULL JOIN trips USING (bot, day) FULL JOIN paid USING (bot, day);
CREATE UNIQUE INDEX daily_bot_profit_key ON daily_bot_profit (bot, day);

-- Profits in different coins are never added: one row per owner and quote coin would need the instrument, so the
-- symbol of the bot's config is the finest safe grain.
CREATE MATERIALIZED VIEW owner_totals AS
SELECT bots.owner,
       coalesce(bots.config ->> 'symbol', '') AS symbol,
       count(*) AS bots,
       count(*) FILTER (WHERE bots.desired_state = 'running') AS bots_wanted_running,
       coalesce(sum(days.trades), 0)::bigint AS trades,
       coalesce(sum(days.volume), 0) AS volume,
       coalesce(sum(days.round_trips), 0)::bigint AS round_trips,
       coalesce(sum(days.grid_profit), 0) AS grid_profit,
       coalesce(sum(newest.total_profit), 0) AS total_profit
FROM bots
LEFT JOIN LATERAL (
    SELECT sum(trades) AS trades, sum(volume) AS volume, sum(round_trips) AS round_trips,
           sum(grid_profit) AS grid_profit
    FROM daily_bot_profit WHERE daily_bot_profit.bot = bots.id
) AS days ON true
LEFT JOIN LATERAL (
    SELECT total_profit FROM bot_metrics WHERE bot_metrics.bot = bots.id ORDER BY at_ms DESC LIMIT 1
) AS newest ON true
GROUP BY 1, 2;
CREATE UNIQUE INDEX owner_totals_key ON owner_totals (owner, symbol);
