"""Sums over many rows, precomputed as materialised views: profit per bot and day, totals per owner.

They are as fresh as the last `refresh`; what a bot's own page shows comes from its samples instead.
"""

import datetime
from decimal import Decimal

import msgspec

from engine.ids import BotId, UserId
from storage.database import Database, sorted_errors
from storage.rows import columns, to_rows

REFRESH_LIMIT_S = 300.0


class DailyProfitRow(msgspec.Struct, frozen=True):
    """One bot's UTC day. Amounts in the quote coin; fees are those of the round trips closed that day."""

    bot: BotId
    day: datetime.date
    trades: int
    volume: Decimal
    round_trips: int
    gross: Decimal
    fees: Decimal
    grid_profit: Decimal
    funding: Decimal


class OwnerTotalsRow(msgspec.Struct, frozen=True):
    """An owner's bots on one symbol, summed. Profits of different symbols may be in different coins."""

    owner: UserId
    symbol: str
    bots: int
    bots_wanted_running: int
    trades: int
    volume: Decimal
    round_trips: int
    grid_profit: Decimal
    total_profit: Decimal


class Analytics:
    """The materialised views."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def refresh(self) -> None:
        """Bring the views up to date while others go on reading them. Concurrent refreshes take turns."""
        connection = await self._database.dedicated()
        try:
            with sorted_errors():
                await connection.execute(
                    "SET statement_timeout = 0; SET lock_timeout = 0; SET transaction_timeout = 0"
                )
                # In this order: the totals read the days.
                for view in ("daily_bot_profit", "owner_totals"):
                    sql = f"REFRESH MATERIALIZED VIEW CONCURRENTLY {view}"
                    await connection.execute(sql, timeout=REFRESH_LIMIT_S)
        finally:
            connection.terminate()

    async def daily_profit(self, bot: BotId, since: datetime.date, until: datetime.date) -> list[DailyProfitRow]:
        """Read a bot's days in [since, until), oldest first; days without a trade are absent."""
        records = await self._database.rows(
            f"SELECT {columns(DailyProfitRow)} FROM daily_bot_profit "
            "WHERE bot = $1 AND day >= $2 AND day < $3 ORDER BY day",
            bot,
            since,
            until,
        )
        return to_rows(records, DailyProfitRow)

    async def owner_totals(self, owner: UserId) -> list[OwnerTotalsRow]:
        """Read an owner's totals, by symbol."""
        records = await self._database.rows(
            f"SELECT {columns(OwnerTotalsRow)} FROM owner_totals WHERE owner = $1 ORDER BY symbol", owner
        )
        return to_rows(records, OwnerTotalsRow)
