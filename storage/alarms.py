"""What somebody must look at. An alarm is raised once and stays until what raised it says that it is over."""

from collections.abc import Sequence

import msgspec

from engine.ids import Instant
from engine.payments.alarms import AlarmKind, Severity
from storage import outbox
from storage.database import Connection, Database
from storage.paging import BY_ID, Page, read_page
from storage.rows import columns, to_rows


class AlarmRow(msgspec.Struct, frozen=True):
    """An alarm. `kind` names the runbook, `subject` what it is about; severity 1 wakes people up."""

    id: int
    kind: str
    subject: str
    severity: int
    detail: str
    raised_at_ms: Instant
    cleared_at_ms: Instant | None


async def raise_alarm(
    connection: Connection, kind: AlarmKind, subject: str, severity: Severity, detail: str, at_ms: Instant
) -> bool:
    """Raise an alarm in the caller's transaction; False when it is raised already."""
    new = await connection.fetchval(
        "INSERT INTO alarm (kind, subject, severity, detail, raised_at_ms) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (kind, subject) WHERE cleared_at_ms IS NULL DO NOTHING RETURNING id",
        kind,
        subject,
        severity,
        detail,
        at_ms,
    )
    if new is not None:
        facts = {"kind": kind, "subject": subject, "severity": severity, "detail": detail}
        await outbox.write(connection, [outbox.NewEvent("alarm.raised", f"{kind}:{subject}", facts)])
    return new is not None


async def clear_alarm(connection: Connection, kind: str, subject: str, at_ms: Instant) -> bool:
    """End an alarm in the caller's transaction; False when there is none."""
    return bool(await clear_alarms(connection, kind, [subject], at_ms))


async def clear_alarms(connection: Connection, kind: str, subjects: Sequence[str], at_ms: Instant) -> int:
    """End the alarms of one kind about these subjects, in the caller's transaction; count them."""
    records = await connection.fetch(
        "UPDATE alarm SET cleared_at_ms = $3 WHERE kind = $1 AND subject = ANY ($2) AND cleared_at_ms IS NULL "
        "RETURNING subject",
        kind,
        list(subjects),
        at_ms,
    )
    cleared = [record["subject"] for record in records]
    facts = [{"kind": kind, "subject": subject} for subject in cleared]
    await outbox.write(
        connection, [outbox.NewEvent("alarm.cleared", f"{kind}:{fact['subject']}", fact) for fact in facts]
    )
    return len(cleared)


class Alarms:
    """The list of alarms."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self) -> list[AlarmRow]:
        """List what is not over, the gravest first."""
        records = await self._database.rows(
            f"SELECT {columns(AlarmRow)} FROM alarm WHERE cleared_at_ms IS NULL "
            "ORDER BY severity, raised_at_ms, id"
        )
        return to_rows(records, AlarmRow)

    async def page(self, *, cursor: str | None = None, limit: int = 50) -> Page[AlarmRow]:
        """List all alarms, newest first."""
        select = f"SELECT {columns(AlarmRow)} FROM alarm"
        return await read_page(self._database, select, {}, BY_ID, AlarmRow, cursor, limit)

    async def raise_alarm(
        self, kind: AlarmKind, subject: str, severity: Severity, detail: str, at_ms: Instant
    ) -> bool:
        """Raise an alarm by itself; False when it is raised already."""

        async def write(connection: Connection) -> bool:
            return await raise_alarm(connection, kind, subject, severity, detail, at_ms)

        return await self._database.repeat(write)

    async def clear(self, kind: str, subject: str, at_ms: Instant) -> bool:
        """End an alarm by itself; False when there is none."""

        async def write(connection: Connection) -> bool:
            return await clear_alarm(connection, kind, subject, at_ms)

        return await self._database.repeat(write)
