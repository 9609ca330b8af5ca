"""Sampled figures of each bot over time: what the charts are drawn from. Grid and floating profit never mix."""

from collections.abc import Mapping, Sequence
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
        """Read samples in [since_ms, until_ms), oldest first: the last one of each of `points_max` even spans.

        A sample is looked up for each span, so a month costs what a day costs.
        """
        span_ms = max(1, -(-(until_ms - since_ms) // points_max))
        records = await self._database.rows(
            f"""
            SELECT sample.* FROM generate_series($2::bigint, $3::bigint - 1, $4::bigint) AS span (from_ms)
            CROSS JOIN LATERAL (
                SELECT {_COLUMNS} FROM bot_metrics
                WHERE bot = $1 AND at_ms >= span.from_ms AND at_ms < least(span.from_ms + $4, $3)
                ORDER BY at_ms DESC LIMIT 1
            ) AS sample
            ORDER BY span.from_ms
            """,
            bot,
            since_ms,
            until_ms,
            span_ms,
        )
        return to_rows(records, MetricRow)

    async def totals_at(
        self, bots: Mapping[BotId, str], moments_ms: Sequence[Instant]
    ) -> list[tuple[Instant, str, Decimal]]:
        """Add up the bots' total results at each moment, by the coin that `bots` names for each.

        A bot counts with its last sample before the moment, and not at all before its first one.
        """
        records = await self._database.rows(
            """
            SELECT moment.at_ms, wanted.coin, sum(sample.total_profit) AS total
            FROM unnest($1::bigint[]) AS moment (at_ms)
            CROSS JOIN unnest($2::text[], $3::text[]) AS wanted (bot, coin)
            CROSS JOIN LATERAL (
                SELECT total_profit FROM bot_metrics
                WHERE bot_metrics.bot = wanted.bot AND bot_metrics.at_ms <= moment.at_ms
                ORDER BY bot_metrics.at_ms DESC LIMIT 1
            ) AS sample
            GROUP BY 1, 2 ORDER BY 1, 2
            """,
            list(moments_ms),
            list(bots),
            list(bots.values()),
        )
        return [(Instant(record["at_ms"]), record["coin"], record["total"]) for record in records]
