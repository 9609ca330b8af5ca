"""Writes the history of many bots as their lives would have left it, in bulk, by the database itself.

The rows have the shapes and numbers of real ones: a month of executions, orders, round trips, log lines and
samples, sums by day, and a last written state from which a bot's result is worked out.
"""

import secrets
from base64 import b32encode
from decimal import Decimal

import msgspec

from adapters.exchanges.paper.catalogue import LISTINGS
from engine.grid.backtest import TouchMarket
from engine.grid.config import Direction, GridConfig
from engine.grid.state import encode_state
from engine.ids import AccountId, BotId, Instant, UserId
from engine.trading.instrument import FeeRates, Instrument, Market
from storage.accounts import Accounts, Environment, NewAccount
from storage.analytics import Analytics
from storage.bots import Bots, DesiredState, NewBot
from storage.database import Connection, Database
from storage.users import add_user

DAYS = 30
DAY_MS = 86_400_000
TABLES = (
    "bots",
    "orders",
    "executions",
    "round_trips",
    "bot_actions",
    "bot_metrics",
    "daily_trades",
    "total_trades",
)
FEES = FeeRates(Decimal("0.001"), Decimal("0.001"))


class Size(msgspec.Struct, frozen=True):
    """How much history there is."""

    owners: int
    bots_each: int
    fills: int
    """Of each bot; it has twice as many orders, log lines and samples."""


class Written(msgspec.Struct, frozen=True):
    """Whose history was written, and how much of it."""

    owners: list[UserId]
    bots: dict[UserId, list[BotId]]
    rows: dict[str, int]


async def write_history(database: Database, size: Size) -> Written:
    """Write everything, and bring the planner's statistics up to date."""
    bots: dict[UserId, list[BotId]] = {}
    for number in range(size.owners):
        owner = UserId(f"reader{number}")
        bots[owner] = await _write_owner(database, owner, size.bots_each)
    for table in _FILLING:
        await database.repeat(lambda connection, table=table: _fill(connection, table, size.fills))  # type: ignore[misc]
    await Analytics(database).refresh()
    connection = await database.dedicated()
    try:
        await connection.execute("SET statement_timeout = 0; SET transaction_timeout = 0")
        await connection.execute("VACUUM ANALYZE", timeout=600)
    finally:
        connection.terminate()
    rows = {table: await database.value(f"SELECT count(*) FROM {table}") for table in TABLES}  # noqa: S608
    return Written(list(bots), bots, rows)


async def _write_owner(database: Database, owner: UserId, count: int) -> list[BotId]:
    await database.repeat(lambda connection: add_user(connection, owner, owner))
    account = AccountId(owner)
    await Accounts(database).add(NewAccount(account, owner, "bybit", Environment.PAPER, "Paper"), "benchmark")
    made = []
    for number in range(count):
        config, state = _ended(number)
        bot = BotId(b32encode(secrets.token_bytes(5)).decode().lower())
        new = NewBot(bot, owner, account, f"bot {number}", config, DesiredState.STOPPED_KEEPING, "BTC", "USDT")
        await Bots(database).create(new, "benchmark")
        await database.repeat(lambda connection, bot=bot, state=state: _end(connection, bot, state))  # type: ignore[misc]
        made.append(bot)
    return made


def _ended(number: int) -> tuple[GridConfig, bytes]:
    """Give a grid and its state after some trading."""
    lower, upper = Decimal(58_000 - 10 * number), Decimal(62_000)
    config = GridConfig(
        symbol="BTCUSDT", direction=Direction.SPOT, lower=lower, upper=upper, grids=40, amount=Decimal(5_000)
    )
    instrument = _btc()
    market = TouchMarket(config, instrument, FEES)
    market.start(instrument.ticks("60000"), Instant(1))
    for at, price in enumerate(("59200", "60400", "59700")):
        market.move_to(instrument.ticks(price), Instant(2 + at))
    return config, encode_state(market.state)


def _btc() -> Instrument:
    found = (each.instrument for each in LISTINGS)
    return next(each for each in found if each.symbol == "BTCUSDT" and each.market is Market.SPOT)


async def _end(connection: Connection, bot: BotId, state: bytes) -> None:
    await connection.execute(
        "INSERT INTO bot_journal (bot, seq, epoch, at_ms, message) VALUES ($1, 1, 1, now_ms(), '')", bot
    )
    await connection.execute(
        "INSERT INTO bot_snapshots (bot, seq, epoch, state, state_hash) VALUES ($1, 1, 1, $2, '')", bot, state
    )
    await connection.execute("UPDATE bots SET status = 'stopped', carried_out = version WHERE id = $1", bot)


async def _fill(connection: Connection, sql: str, fills: int) -> None:
    await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL transaction_timeout = 0")
    await connection.execute(sql, fills, DAYS * DAY_MS, timeout=600)


# Evenly over the month; $1 is the number of fills, $2 the month in milliseconds.
_FILLING = (
    """
    INSERT INTO orders (link_id, bot, venue_id, level, side, kind, price, quantity, filled, status, is_live,
                        created_at_ms, updated_at_ms, seq)
    SELECT 'tg-' || id || '_' || n, id, n::text, n % 40, CASE n % 2 WHEN 0 THEN 'buy' ELSE 'sell' END, 'post_only',
           60000 + n % 40 * 100, 0.001, 0.001, CASE n % 4 WHEN 0 THEN 'cancelled' ELSE 'filled' END, false,
           now_ms() - $2 + n * $2 / (2 * $1), now_ms() - $2 + n * $2 / (2 * $1) + 5000, n
    FROM bots, generate_series(1, 2 * $1::bigint) AS n
    """,
    """
    INSERT INTO executions (bot, exec_id, link_id, side, price, quantity, fee, fee_asset, is_maker, at_ms, seq)
    SELECT id, id || n, 'tg-' || id || '_' || n, CASE n % 2 WHEN 0 THEN 'buy' ELSE 'sell' END,
           60000 + n % 40 * 100, 0.001, 0.06, CASE n % 2 WHEN 0 THEN 'BTC' ELSE 'USDT' END, true,
           now_ms() - $2 + n * $2 / $1, n
    FROM bots, generate_series(1, $1::bigint) AS n
    """,
    """
    INSERT INTO daily_trades (bot, day, side, fee_asset, trades, volume, fees)
    SELECT bot, at_ms / 86400000, side, fee_asset, count(*), sum(price * quantity), sum(fee)
    FROM executions WHERE $1::bigint > 0 AND $2::bigint > 0 GROUP BY 1, 2, 3, 4
    """,
    """
    INSERT INTO total_trades (bot, side, fee_asset, trades, volume, fees)
    SELECT bot, side, fee_asset, sum(trades), sum(volume), sum(fees)
    FROM daily_trades WHERE $1::bigint > 0 AND $2::bigint > 0 GROUP BY 1, 2, 3
    """,
    """
    INSERT INTO round_trips (bot, seq, ordinal, level, opened_by, quantity, gross, fees, net, opened_at_ms,
                             closed_at_ms)
    SELECT id, n, 0, n % 40, 'buy', 0.001, 0.1, 0.04, 0.06, now_ms() - $2 + (n - 1) * $2 / $1,
           now_ms() - $2 + n * $2 / $1
    FROM bots, generate_series(1, $1::bigint) AS n
    """,
    """
    INSERT INTO bot_actions (bot, seq, ordinal, at_ms, kind, level, text)
    SELECT id, n, 0, now_ms() - $2 + n * $2 / (2 * $1), 'placed', n % 40, 'buy 0.001 at 60000'
    FROM bots, generate_series(1, 2 * $1::bigint) AS n
    """,
    """
    INSERT INTO bot_metrics (bot, at_ms, price, position, grid_profit, floating_profit, fees, funding,
                             total_profit, drawdown, round_trips, trades)
    SELECT id, now_ms() - $2 + n * $2 / (2 * $1), 60000, 0.01, n * 0.01, -1, n * 0.004, 0,
           n * 0.006 - 1, 3, n, 2 * n
    FROM bots, generate_series(1, 2 * $1::bigint) AS n
    """,
)
