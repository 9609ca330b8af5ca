"""Figures of the club for whoever measures it, read from the rows at each scrape: they agree with the screens."""

import msgspec

from engine.ids import Instant
from storage.database import Database

WINDOW_MS = 3_600_000


class ClubFigures(msgspec.Struct, frozen=True):
    """What the club does now. Times in milliseconds."""

    tasks: dict[str, int]
    """Payout transfers by state."""
    oldest_ms: dict[str, int]
    """The age of the oldest open one by state."""
    confirmation_ms: dict[str, int]
    """From a payout's request to its confirmation: exact quantiles (`0.5`, `0.95`) of the last hour."""
    incoming: dict[str, int]
    """Incoming transfers by status."""
    alarms: dict[str, int]
    """Standing alarms by kind."""
    freezes: int


async def read(database: Database, now: Instant) -> ClubFigures:
    """Read the figures; a scrape every few seconds is cheap."""
    states = await database.rows(
        "SELECT state, count(*) AS count, $1::bigint - min(created_at_ms) AS age_ms "
        "FROM payout_task GROUP BY state",
        now,
    )
    quantiles = await database.row(
        "SELECT percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY confirmed_at_ms - created_at_ms) "
        "AS found FROM payout_task WHERE confirmed_at_ms > $1",
        now - WINDOW_MS,
    )
    incoming = await database.rows("SELECT status, count(*) AS count FROM incoming_tx GROUP BY status")
    alarms = await database.rows(
        "SELECT kind, count(*) AS count FROM alarm WHERE cleared_at_ms IS NULL GROUP BY kind"
    )
    freezes = await database.value("SELECT count(*) FROM payout_freeze WHERE lifted_at_ms IS NULL")
    found = None if quantiles is None else quantiles["found"]
    return ClubFigures(
        tasks={row["state"]: row["count"] for row in states},
        oldest_ms={row["state"]: row["age_ms"] for row in states if row["state"] not in ("confirmed", "failed")},
        confirmation_ms=dict(zip(("0.5", "0.95"), found or (), strict=False)),
        incoming={row["status"]: row["count"] for row in incoming},
        alarms={row["kind"]: row["count"] for row in alarms},
        freezes=freezes,
    )
