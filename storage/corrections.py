"""Corrections of the books as rows: proposed by one operator, booked when another confirms.

Booking happens in the ledger's turn, against what the books say in that moment, so two proposals for one
difference cannot both be booked. Each command is one transaction with its audit entry and event, and happens once
under its id.
"""

from typing import Any

import asyncpg
import msgspec

from engine.errors import Refusal
from engine.ids import CorrectionId
from engine.payments import corrections as rules
from engine.payments.corrections import Correction, NewCorrection
from storage import assets, audit, club_commands, ledger, outbox
from storage.club_commands import Command
from storage.database import Connection, Database
from storage.reconciliation import position_now
from storage.rows import columns, to_money_row, to_plain

LISTED_MAX = 100
_COLUMNS = columns(Correction)


class Corrections:
    """The table of corrections."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def propose(self, new: NewCorrection, command: Command) -> Correction | Refusal:
        """Propose to book a difference between books and chain; nothing is booked yet.

        Refused: `unknown_wallet`, `unknown_token`, `not_positive`, `no_such_difference` with what it is.
        """

        async def work(connection: Connection) -> Correction | Refusal:
            await ledger.take_turn(connection)

            async def write() -> Correction | Refusal:
                return await _refuse(connection, new) or await _propose(connection, new, command)

            async def again() -> Correction:
                known = await _held(connection, new.id)
                assert known is not None
                return known

            return await club_commands.once(
                connection, command, "correction.propose", f"correction:{new.id}", to_plain(new), write, again
            )

        return await self._database.repeat(work)

    async def confirm(self, correction: CorrectionId, command: Command) -> Correction | Refusal:
        """Agree with another operator's proposal: it is booked now, if books and chain still differ by as much.

        Refused: `unknown_correction`, `already_booked`, `same_operator`, `proposal_expired`, `no_such_difference`
        with what the difference is now, `insufficient` while payouts hold what has left.
        """

        async def work(connection: Connection) -> Correction | Refusal:
            await ledger.take_turn(connection)
            known = await _held(connection, correction)

            async def write() -> Correction | Refusal:
                if known is None:
                    return Refusal("unknown_correction", "correction", f"there is no correction {correction}")
                refused = rules.refuse_second(known, command.actor, command.at_ms)
                refused = refused or await _refuse(connection, known)
                return refused or await _book(connection, known, command)

            async def again() -> Correction:
                assert known is not None
                return known

            return await club_commands.once(
                connection, command, "correction.confirm", f"correction:{correction}", {}, write, again
            )

        return await self._database.repeat(work)

    async def newest(self) -> list[Correction]:
        """List corrections, proposed and booked, newest first. There are few in a club's life."""
        records = await self._database.rows(
            f"SELECT {_COLUMNS} FROM book_correction ORDER BY proposed_at_ms DESC, id DESC LIMIT {LISTED_MAX}"
        )
        return [_read(record) for record in records]


async def _held(connection: Connection, correction: CorrectionId) -> Correction | None:
    record = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM book_correction WHERE id = $1 FOR NO KEY UPDATE", correction
    )
    return None if record is None else _read(record)


async def _refuse(connection: Connection, new: NewCorrection | Correction) -> Refusal | None:
    asset = (await assets.listed(connection)).get(new.token)
    if asset is None:
        return Refusal("unknown_token", "token", f"{new.token} is not listed")
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM hot_wallet WHERE id = $1)", new.hot_wallet_id):
        return Refusal("unknown_wallet", "hot_wallet", f"there is no address {new.hot_wallet_id} of ours")
    return rules.refuse(new, await position_now(connection, new.hot_wallet_id, new.token), asset)


async def _propose(connection: Connection, new: NewCorrection, command: Command) -> Correction:
    proposed = Correction(**msgspec.structs.asdict(new), proposed_by=command.actor, proposed_at_ms=command.at_ms)
    await connection.execute(
        "INSERT INTO book_correction (id, kind, hot_wallet_id, token, tx_hash, amount_token, reason, proposed_by, "
        "proposed_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        *msgspec.structs.astuple(proposed)[:9],
    )
    await _tell(connection, command, "correction.propose", None, proposed)
    return proposed


async def _book(connection: Connection, proposed: Correction, command: Command) -> Correction | Refusal:
    posted = await ledger.post(connection, rules.movement(proposed, command.at_ms))
    if not all(each.ok for each in posted):
        words = f"the books of {proposed.hot_wallet_id} hold what has left for payouts that wait"
        return Refusal("insufficient", "amount", words, allowed="give those payouts up first")
    booked = msgspec.structs.replace(proposed, confirmed_by=command.actor, confirmed_at_ms=command.at_ms)
    await connection.execute(
        "UPDATE book_correction SET confirmed_by = $2, confirmed_at_ms = $3 WHERE id = $1",
        booked.id,
        booked.confirmed_by,
        booked.confirmed_at_ms,
    )
    await _tell(connection, command, "correction.confirm", proposed, booked)
    return booked


async def _tell(
    connection: Connection, command: Command, name: str, before: Correction | None, after: Correction
) -> None:
    facts: tuple[Any, Any] = (None if before is None else to_plain(before), to_plain(after))
    await outbox.write(connection, [outbox.NewEvent(name, after.id, facts[1])])
    await audit.append(connection, [audit.NewEntry(command.actor, name, f"correction:{after.id}", *facts)])


def _read(record: asyncpg.Record) -> Correction:
    return to_money_row(record, Correction)
