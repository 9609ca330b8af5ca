"""What was traded: executions, the round trips they closed, and the funding paid on positions between them.

A bot's profit follows from these rows and nothing else. They are derived from the journal and written with it.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from engine.ids import BotId, ExecutionId, Instant, LinkId
from engine.trading.orders import Side
from storage.database import Connection, Database, transpose
from storage.paging import BY_PLACE, Key, Page, read_page
from storage.rows import columns

DAY_MS = 86_400_000
BY_TIME = Key(("at_ms", "exec_id"), tuple[int, str])


class ExecutionRow(msgspec.Struct, frozen=True):
    """One fill, with the fee actually charged (negative for a rebate)."""

    exec_id: ExecutionId
    link_id: LinkId
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    is_maker: bool
    at_ms: Instant
    seq: int
    """The journal entry that brought it."""


class RoundTripRow(msgspec.Struct, frozen=True):
    """A completed buy and sell (or sell and buy) of one grid interval. Amounts in the quote coin."""

    seq: int
    ordinal: int
    """Counts the round trips that one journal entry closed."""
    level: int
    opened_by: Side
    buy_price: Decimal | None
    """None, like the selling price, where the trip has no single price; the result is exact all the same."""
    sell_price: Decimal | None
    quantity: Decimal
    gross: Decimal
    fees: Decimal
    net: Decimal
    opened_at_ms: Instant
    closed_at_ms: Instant


class FundingRow(msgspec.Struct, frozen=True):
    """A funding payment on the bot's position, in the quote coin. Positive: we paid."""

    exec_id: ExecutionId
    amount: Decimal
    at_ms: Instant
    seq: int
    """The journal entry that brought it."""


_EXECUTION = columns(ExecutionRow)
_ROUND_TRIP = columns(RoundTripRow)
_FUNDING = columns(FundingRow)
_ADDED = ", ".join(f"{each} = known.{each} + excluded.{each}" for each in ("trades", "volume", "fees"))


async def write(connection: Connection, bot: BotId, rows: Sequence[ExecutionRow]) -> None:
    """Write executions in the journal's transaction, and add them to the sums of their days and of the bot's life.

    One that is already there stays as it is, and is not added a second time.
    """
    if not rows:
        return
    await connection.execute(
        f"""
        WITH new AS (
            INSERT INTO executions (bot, {_EXECUTION})
            SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::numeric[], $6::numeric[],
                                     $7::numeric[], $8::text[], $9::boolean[], $10::bigint[], $11::bigint[])
            ON CONFLICT (bot, exec_id) DO NOTHING
            RETURNING bot, side, price, quantity, fee, fee_asset, at_ms
        ), days AS (
            INSERT INTO daily_trades AS known (bot, day, side, fee_asset, trades, volume, fees)
            SELECT bot, at_ms / {DAY_MS}, side, fee_asset, count(*), sum(price * quantity), sum(fee)
            FROM new GROUP BY 1, 2, 3, 4
            ON CONFLICT (bot, day, side, fee_asset) DO UPDATE SET {_ADDED}
        )
        INSERT INTO total_trades AS known (bot, side, fee_asset, trades, volume, fees)
        SELECT bot, side, fee_asset, count(*), sum(price * quantity), sum(fee) FROM new GROUP BY 1, 2, 3
        ON CONFLICT (bot, side, fee_asset) DO UPDATE SET {_ADDED}
        """,
        bot,
        *transpose(rows),
    )


async def write_round_trips(connection: Connection, bot: BotId, rows: Sequence[RoundTripRow]) -> None:
    """Write round trips in the journal's transaction; one that is already there stays as it is."""
    if not rows:
        return
    await connection.execute(
        f"""
        INSERT INTO round_trips (bot, {_ROUND_TRIP})
        SELECT $1, * FROM unnest($2::bigint[], $3::int[], $4::int[], $5::text[], $6::numeric[], $7::numeric[],
                                 $8::numeric[], $9::numeric[], $10::numeric[], $11::numeric[],
                                 $12::bigint[], $13::bigint[])
        ON CONFLICT (bot, seq, ordinal) DO NOTHING
        """,
        bot,
        *transpose(rows),
    )


async def write_funding(connection: Connection, bot: BotId, rows: Sequence[FundingRow]) -> None:
    """Write funding payments in the journal's transaction; one that is already there stays as it is."""
    if not rows:
        return
    await connection.execute(
        f"""
        INSERT INTO funding_payments (bot, {_FUNDING})
        SELECT $1, * FROM unnest($2::text[], $3::numeric[], $4::bigint[], $5::bigint[])
        ON CONFLICT (bot, exec_id) DO NOTHING
        """,
        bot,
        *transpose(rows),
    )


async def newest_ids(database: Database, bot: BotId, limit: int) -> list[ExecutionId]:
    """Name the newest executions and funding payments of a bot, oldest first."""
    records = await database.rows(
        """
        SELECT exec_id FROM (
            (SELECT exec_id, at_ms FROM executions WHERE bot = $1 ORDER BY at_ms DESC, exec_id DESC LIMIT $2)
            UNION ALL
            (SELECT exec_id, at_ms FROM funding_payments WHERE bot = $1 ORDER BY at_ms DESC LIMIT $2)
        ) AS newest
        ORDER BY at_ms DESC LIMIT $2
        """,
        bot,
        limit,
    )
    return [ExecutionId(record["exec_id"]) for record in reversed(records)]


class Executions:
    """The tables of executions, round trips and funding payments."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        bot: BotId,
        *,
        link_id: LinkId | None = None,
        since_ms: Instant | None = None,
        until_ms: Instant | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[ExecutionRow]:
        """List executions of a bot, newest first, filtered by whatever is given; `until_ms` is not included."""
        select = f"SELECT {_EXECUTION} FROM executions"
        asked = {"bot = {}": bot, "link_id = {}": link_id, "at_ms >= {}": since_ms, "at_ms < {}": until_ms}
        return await read_page(self._database, select, asked, BY_TIME, ExecutionRow, cursor, limit)

    async def round_trips(
        self, bot: BotId, *, level: int | None = None, cursor: str | None = None, limit: int = 50
    ) -> Page[RoundTripRow]:
        """List round trips of a bot, newest first, of one level or of all."""
        select = f"SELECT {_ROUND_TRIP} FROM round_trips"
        asked = {"bot = {}": bot, "level = {}": level}
        return await read_page(self._database, select, asked, BY_PLACE, RoundTripRow, cursor, limit)

    async def funding(self, bot: BotId, *, cursor: str | None = None, limit: int = 50) -> Page[FundingRow]:
        """List funding payments of a bot, newest first."""
        select = f"SELECT {_FUNDING} FROM funding_payments"
        return await read_page(self._database, select, {"bot = {}": bot}, BY_TIME, FundingRow, cursor, limit)
