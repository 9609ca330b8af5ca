"""Freezes as rows: entered by one, in force for every signer at its next look, lifted only by several."""

from collections.abc import Set

import asyncpg
import msgspec

from engine.errors import Refusal
from engine.ids import Instant
from engine.payments.freeze import Freeze, Scope, may_leave
from storage import audit, ledger, outbox
from storage.club_commands import Command, once
from storage.database import Connection, Database
from storage.events import wake_signers
from storage.rows import columns, to_rows


class FreezeRow(msgspec.Struct, frozen=True):
    """A freeze, in force or over."""

    id: str
    scope: Scope
    subject: str
    is_safe_mode: bool
    reason: str
    entered_by: str
    entered_at_ms: Instant
    lifted_at_ms: Instant | None
    lifters: list[str]
    """Who wants it lifted."""


async def in_force(connection: Connection) -> list[Freeze]:
    """Give the freezes of this moment."""
    records = await connection.fetch(
        f"SELECT {columns(Freeze)} FROM payout_freeze WHERE lifted_at_ms IS NULL ORDER BY id"
    )
    return to_rows(records, Freeze)


async def enter(
    connection: Connection,
    scope: Scope,
    subject: str,
    reason: str,
    actor: str,
    at_ms: Instant,
    *,
    is_safe_mode: bool = False,
) -> str:
    """Freeze in the caller's transaction and give the freeze's id; the one that is in force, if there is one.

    Takes the ledger's turn, as a signature does: whichever of the two comes first, the other one sees it.
    """
    await ledger.take_turn(connection)
    word = "safe" if is_safe_mode else "frozen"
    inserted = await connection.fetchval(
        """
        INSERT INTO payout_freeze (id, scope, subject, is_safe_mode, reason, entered_by, entered_at_ms)
        SELECT concat_ws(':', $1::text, $2::text, $3::text, count(*) + 1), $2, $3, $4, $5, $6, $7
        FROM payout_freeze WHERE scope = $2 AND subject = $3 AND is_safe_mode = $4
        ON CONFLICT DO NOTHING RETURNING id
        """,
        word,
        scope,
        subject,
        is_safe_mode,
        reason,
        actor,
        at_ms,
    )
    if inserted is None:
        current: str = await connection.fetchval(
            "SELECT id FROM payout_freeze WHERE scope = $1 AND subject = $2 AND is_safe_mode = $3 "
            "AND lifted_at_ms IS NULL",
            scope,
            subject,
            is_safe_mode,
        )
        return current
    facts = {"scope": scope, "subject": subject, "is_safe_mode": is_safe_mode, "reason": reason}
    await outbox.write(connection, [outbox.NewEvent("freeze.entered", inserted, facts)])
    await wake_signers(connection)
    await audit.append(connection, [audit.NewEntry(actor, "freeze.enter", f"freeze:{inserted}", None, facts)])
    return str(inserted)


class Freezes:
    """What people do about freezes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self) -> list[FreezeRow]:
        """List what is frozen now."""
        return await self._list("frozen.lifted_at_ms IS NULL")

    async def history(self) -> list[FreezeRow]:
        """List every freeze, newest first."""
        return await self._list("true")

    async def enter(self, scope: Scope, subject: str, reason: str, command: Command) -> str:
        """Freeze and give the freeze's id. When this returns, no signer writes a signature that it stops."""
        target = f"freeze:{scope}:{subject}"
        content = {"scope": scope, "subject": subject, "reason": reason}

        async def write(connection: Connection) -> str:
            await ledger.take_turn(connection)

            async def work() -> str | Refusal:
                return await enter(connection, scope, subject, reason, command.actor, command.at_ms)

            async def again() -> str:
                known: str = await connection.fetchval(
                    "SELECT id FROM payout_freeze WHERE scope = $1 AND subject = $2 AND NOT is_safe_mode "
                    "ORDER BY entered_at_ms DESC, id DESC LIMIT 1",
                    scope,
                    subject,
                )
                return known

            entered = await once(connection, command, "freeze.enter", target, content, work, again)
            assert isinstance(entered, str)
            return entered

        return await self._database.repeat(write)

    async def lift(self, freeze: str, command: Command) -> bool | Refusal:
        """Want a freeze lifted; True when enough people do and it is.

        Refused: `unknown_freeze`; `forgotten_attempts` for a safe mode while the journal knows signed transfers
        that have no task in the database.
        """

        async def write(connection: Connection) -> bool | Refusal:
            await ledger.take_turn(connection)
            row = await connection.fetchrow("SELECT * FROM payout_freeze WHERE id = $1 FOR UPDATE", freeze)

            async def work() -> bool | Refusal:
                refusal = await _refuse_to_lift(connection, freeze, row)
                return refusal or await _lift(connection, freeze, command)

            async def again() -> bool:
                return row is not None and row["lifted_at_ms"] is not None

            return await once(connection, command, "freeze.lift", f"freeze:{freeze}", {}, work, again)

        return await self._database.repeat(write)

    async def _list(self, condition: str) -> list[FreezeRow]:
        records = await self._database.rows(
            f"""
            SELECT frozen.id, scope, subject, is_safe_mode, reason, entered_by, entered_at_ms, lifted_at_ms,
                   array_remove(array_agg(lift.actor ORDER BY lift.at_ms), NULL) AS lifters
            FROM payout_freeze AS frozen LEFT JOIN payout_freeze_lift AS lift ON lift.freeze_id = frozen.id
            WHERE {condition} GROUP BY frozen.id ORDER BY entered_at_ms DESC, frozen.id
            """
        )
        return to_rows(records, FreezeRow)


async def _refuse_to_lift(connection: Connection, freeze: str, row: asyncpg.Record | None) -> Refusal | None:
    if row is None:
        return Refusal("unknown_freeze", "freeze", f"there is no freeze {freeze}")
    if not row["is_safe_mode"]:
        return None
    forgotten: int = await connection.fetchval("SELECT count(*) FROM payout_forgotten WHERE bound_at_ms IS NULL")
    if not forgotten:
        return None
    words = f"{forgotten} signed transfers of the journal have no task in the database yet"
    return Refusal("forgotten_attempts", "freeze", words, allowed="when the chain is read again up to its head")


async def _lift(connection: Connection, freeze: str, command: Command) -> bool:
    await connection.execute(
        "INSERT INTO payout_freeze_lift (freeze_id, actor, at_ms) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        freeze,
        command.actor,
        command.at_ms,
    )
    records = await connection.fetch("SELECT actor FROM payout_freeze_lift WHERE freeze_id = $1", freeze)
    actors = {record["actor"] for record in records}
    leaves = may_leave(actors)
    if leaves:
        await _let_go(connection, freeze, actors, command.at_ms)
    entry = audit.NewEntry(command.actor, "freeze.lift", f"freeze:{freeze}", None, {"lifted": leaves})
    await audit.append(connection, [entry])
    return leaves


async def _let_go(connection: Connection, freeze: str, actors: Set[str], at_ms: Instant) -> None:
    await connection.execute(
        "UPDATE payout_freeze SET lifted_at_ms = $2, lifted_moment = nextval('club_moment') "
        "WHERE id = $1 AND lifted_at_ms IS NULL",
        freeze,
        at_ms,
    )
    await connection.execute(
        "UPDATE payout_task SET due_at_ms = $1 "
        "WHERE waits_for = 'frozen' AND due_at_ms > $1 AND state IN ('queued', 'signing')",
        at_ms,
    )
    await outbox.write(connection, [outbox.NewEvent("freeze.lifted", freeze, {"actors": sorted(actors)})])
    await wake_signers(connection)
