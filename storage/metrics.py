"""Sampled figures of each bot over time: what the charts are drawn from. Grid and floating profit never mix."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from engine.ids import BotId, Instant
from storage.database import Connection, Database, transpose
from storage.rows import columns, to_rows


class MetricRow(msgspec.Struct, frozen=True):
    """A bot's figures at one moment. Amounts in the quote coin, `position` in the base coin."""

    at_ms: Instant
    price: Decimal
    position: Decimal
    grid_profit: Decimal
    floating_profit: Decimal
    fees: Decimal
    funding: Decimal
    total_profit: Decimal
    drawdown: Decimal
    round_trips: int
    trades: int


_COLUMNS = columns(MetricRow)


async def write(connection: Connection, bot: BotId, rows: Sequence[MetricRow]) -> None:
    """Write samples in the journal's transaction; one sample per bot and millisecond, the first stays."""
    if not rows:
        return
    await connection.execute(
        f"""
        INSERT INTO bot_metrics (bot, {_COLUMNS})
        SELECT $1, * FROM unnest($2::bigint[], $3::numeric[], $4::numeric[], $5::numeric[], $6::numeric[],
                                 $7::numeric[], $8::numeric[], $9::numeric[], $10::numeric[],
                                 $11::bigint[], $12::bigint[])
        ON CONFLICT (bot, at_ms) DO NOTHING
        """,
        bot,
        *transpose(rows),
    )


class Metrics:
    """The table of samples."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def series(
        self, bot: BotId, since_ms: Instant, until_ms: Instant, *, points_max: int = 500
    ) -> list[MetricRow]:
        """Read samples in [since_ms, until_ms), oldest first, thinned evenly in time to at most `points_max`."""
        bucket_ms = max(1, -(-(until_ms - since_ms) // points_max))
        records = await self._database.rows(
            f"""
            SELECT DISTINCT ON ((at_ms - $2) / $4) {_COLUMNS} FROM bot_metrics
            WHERE bot = $1 AND at_ms >= $2 AND at_ms < $3
            ORDER BY (at_ms - $2) / $4, at_ms DESC
            """,
            bot,
            since_ms,
            until_ms,
            bucket_ms,
        )
        return to_rows(records, MetricRow)
