"""Executions across bots: the trades page, its totals and its export.

A page reads no more than its own rows of the bots that have some; totals read whole days as sums and only the
edges of the span row by row. Neither grows with a bot's history.
"""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import msgspec

from engine.ids import BotId, ExecutionId, Instant, LinkId, UserId
from engine.trading.orders import Side
from storage.database import Database
from storage.executions import BY_TIME, DAY_MS
from storage.paging import PAGE_ROWS_MAX, Bound, Page, page_limit


class TradeRow(msgspec.Struct, frozen=True):
    """One fill of one bot, with what is needed to read it alone."""

    bot: BotId
    bot_name: str
    symbol: str
    base: str
    quote: str
    exec_id: ExecutionId
    link_id: LinkId
    side: Side
    price: Decimal
    quantity: Decimal
    value: Decimal
    """Price × quantity, in the quote coin."""
    fee: Decimal
    """In `fee_asset`; negative for a rebate."""
    fee_asset: str
    is_maker: bool
    at_ms: Instant


class TradeTotals(msgspec.Struct, frozen=True):
    """What a filter's trades add up to in one quote coin."""

    quote: str
    trades: int
    bought: Decimal
    """Value of the buys."""
    sold: Decimal
    """Value of the sells."""
    fees: dict[str, Decimal]
    """By the coin in which they were taken."""


class TradeFilter(msgspec.Struct, frozen=True):
    """Which trades: of an owner (None: of everybody), narrowed by whatever is given; `until_ms` not included."""

    owner: UserId | None
    bot: BotId | None = None
    symbol: str | None = None
    side: Side | None = None
    since_ms: Instant | None = None
    until_ms: Instant | None = None


_SUMS = "count(*) AS trades, sum(price * quantity) AS volume, sum(fee) AS fees"
_KEPT_SUMS = "sum(trades)::bigint AS trades, sum(volume) AS volume, sum(fees) AS fees"


class Trades:
    """Reads of executions across bots."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, wanted: TradeFilter, *, cursor: str | None = None, limit: int = 50) -> Page[TradeRow]:
        """List trades, newest first."""
        limit = page_limit(limit)
        bound = Bound()
        bots, fills, rows = _bots(wanted, bound), _fills(wanted, cursor, bound), bound(limit + 1)
        # Whatever is on the page belongs to the bots whose newest rows are the newest: no others need be read.
        records = await self._database.rows(
            f"""
            WITH wanted AS (
                SELECT bots.*, newest.at_ms AS newest_ms, newest.exec_id AS newest_id
                FROM ({bots}) AS bots
                CROSS JOIN LATERAL (
                    SELECT at_ms, exec_id FROM executions WHERE executions.bot = bots.id AND {fills} LIMIT 1
                ) AS newest
                ORDER BY newest_ms DESC, newest_id DESC LIMIT {rows}
            )
            SELECT wanted.id AS bot, wanted.name AS bot_name, symbol, base, quote, exec_id, link_id, side, price,
                   quantity, price * quantity AS value, fee, fee_asset, is_maker, at_ms
            FROM wanted CROSS JOIN LATERAL (
                SELECT * FROM executions WHERE executions.bot = wanted.id AND {fills} LIMIT {rows}
            ) AS fills
            ORDER BY at_ms DESC, exec_id DESC LIMIT {rows}
            """,
            *bound.values,
        )
        return BY_TIME.cut(records, limit, TradeRow)

    async def all(self, wanted: TradeFilter) -> AsyncIterator[list[TradeRow]]:
        """Read every trade, newest first, page by page: an export may be larger than memory."""
        cursor = None
        while True:
            page = await self.page(wanted, cursor=cursor, limit=PAGE_ROWS_MAX)
            yield page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    async def totals(self, wanted: TradeFilter) -> list[TradeTotals]:
        """Add up every trade of the filter, by quote coin."""
        days, edges = split_span(wanted.since_ms, wanted.until_ms)
        records = []
        if days == (None, None):
            records += await self._sums(wanted, "total_trades", _KEPT_SUMS)
        elif days is not None:
            records += await self._sums(wanted, "daily_trades", _KEPT_SUMS, "day", days)
        for edge in edges:
            records += await self._sums(wanted, "executions", _SUMS, "at_ms", edge)
        totals: dict[str, TradeTotals] = {}
        for quote, side, fee_asset, trades, volume, fees in records:
            known = totals.get(quote, TradeTotals(quote, 0, Decimal(0), Decimal(0), {}))
            totals[quote] = TradeTotals(
                quote,
                known.trades + trades,
                known.bought + (volume if side == Side.BUY else 0),
                known.sold + (volume if side == Side.SELL else 0),
                known.fees | {fee_asset: known.fees.get(fee_asset, Decimal(0)) + fees},
            )
        return [totals[quote] for quote in sorted(totals)]

    async def _sums(
        self,
        wanted: TradeFilter,
        table: str,
        sums: str,
        time: str = "",
        span: tuple[int | None, int | None] = (None, None),
    ) -> list[Any]:
        """Sum a table of lives, of days or of rows, over a span of its time."""
        bound = Bound()
        bots = _bots(wanted, bound)
        asked = bound.all_of({"side = {}": wanted.side, f"{time} >= {{}}": span[0], f"{time} < {{}}": span[1]})
        return await self._database.rows(
            f"""
            SELECT quote, side, fee_asset, {sums}
            FROM ({bots}) AS wanted JOIN {table} AS traded ON traded.bot = wanted.id
            WHERE {asked} GROUP BY 1, 2, 3
            """,
            *bound.values,
        )


def _bots(wanted: TradeFilter, bound: Bound) -> str:
    asked = bound.all_of(
        {"owner = {}": wanted.owner, "id = {}": wanted.bot, "config ->> 'symbol' = {}": wanted.symbol}
    )
    return f"SELECT id, name, config ->> 'symbol' AS symbol, base, quote FROM bots WHERE {asked}"


def _fills(wanted: TradeFilter, cursor: str | None, bound: Bound) -> str:
    asked = bound.all_of({"side = {}": wanted.side, "at_ms >= {}": wanted.since_ms, "at_ms < {}": wanted.until_ms})
    return f"{asked} AND {BY_TIME.behind(cursor, bound)} ORDER BY {BY_TIME.newest_first}"


def split_span(
    since_ms: Instant | None, until_ms: Instant | None
) -> tuple[tuple[int | None, int | None] | None, list[tuple[int, int]]]:
    """Split a span into the whole days inside it (from, to: days since the epoch) and what is left at its ends."""
    first = None if since_ms is None else -(-since_ms // DAY_MS)
    last = None if until_ms is None else until_ms // DAY_MS
    if since_ms is not None and until_ms is not None and first is not None and last is not None and first > last:
        return None, [(since_ms, until_ms)] if since_ms < until_ms else []
    edges: list[tuple[int, int]] = []
    if since_ms is not None and first is not None and since_ms < first * DAY_MS:
        edges.append((since_ms, first * DAY_MS))
    if until_ms is not None and last is not None and last * DAY_MS < until_ms:
        edges.append((last * DAY_MS, until_ms))
    return (first, last), edges
