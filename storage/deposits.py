"""Commands that move a company's money between its accounts here: collateral in, held, released, forfeited.

Each is one transaction in the ledger's turn with its audit entry and event, and happens once under its command id.
What a movement posts is `engine.ledger.templates`' to say; a "no" of the ledger becomes a refusal in words.
"""

from collections.abc import Callable, Sequence
from typing import Any

from engine.errors import Refusal
from engine.ids import CompanyId, Instant
from engine.ledger import templates
from engine.ledger.postings import Posted, Posting, Transfer
from engine.money import AssetId
from storage import audit, club_commands, ledger, outbox
from storage.club_commands import Command
from storage.database import Connection, Database

Movement = Callable[[str], Sequence[Transfer]]
"""Makes the transfers of a movement from its reference, which names the command."""


class Deposits:
    """The collateral of companies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fund(self, company: CompanyId, asset: AssetId, units: int, command: Command) -> Refusal | str:
        """Make collateral of a company's free funds; give the movement's reference."""
        return await self._move(
            "deposit.fund",
            company,
            {"asset": asset, "units": str(units)},
            command,
            lambda reference: templates.fund(company, asset, units, reference, command.at_ms),
        )

    async def hold_open(
        self, company: CompanyId, asset: AssetId, units: int, command: Command, *, until_ms: Instant | None = None
    ) -> Refusal | str:
        """Hold a part of a deposit for a case; the reference that it gives names the hold."""
        return await self._move(
            "deposit.hold_open",
            company,
            {"asset": asset, "units": str(units), "until_ms": until_ms},
            command,
            lambda reference: templates.hold_open(company, asset, units, reference, command.at_ms, until_ms),
        )

    async def hold_release(
        self, company: CompanyId, asset: AssetId, command: Command, *, hold: str
    ) -> Refusal | str:
        """Let a hold go: the deposit is as it was."""
        return await self._move(
            "deposit.hold_release",
            company,
            {"asset": asset, "hold": hold},
            command,
            lambda _: templates.hold_release(company, asset, hold, command.at_ms),
        )

    async def penalty(
        self, company: CompanyId, asset: AssetId, units: int, command: Command, *, hold: str
    ) -> Refusal | str:
        """Take what a hold holds, or a part of it, as a penalty; the rest is free again."""
        return await self._move(
            "deposit.penalty",
            company,
            {"asset": asset, "units": str(units), "hold": hold},
            command,
            lambda _: templates.penalty(company, asset, units, hold, command.at_ms),
        )

    async def adjust(self, company: CompanyId, asset: AssetId, units: int, command: Command) -> Refusal | str:
        """Correct a deposit by hand, up or down, against what the operator has put in."""
        return await self._move(
            "deposit.adjust",
            company,
            {"asset": asset, "units": str(units)},
            command,
            lambda reference: templates.adjustment(company, asset, units, reference, command.at_ms),
        )

    async def _move(
        self, name: str, about: str, content: dict[str, Any], command: Command, movement: Movement
    ) -> Refusal | str:
        reference = f"{command.actor}:{command.id}"
        target = f"{name.partition('.')[0]}:{about}"

        async def work(connection: Connection) -> Refusal | str:
            await ledger.take_turn(connection)

            async def move() -> Refusal | str:
                posted = await ledger.post(connection, movement(reference))
                refusal = next((_refusal(each, content) for each in posted if not each.ok), None)
                if refusal is not None:
                    return refusal
                facts = {**content, "reference": reference}
                await outbox.write(connection, [outbox.NewEvent(name, about, facts)])
                await audit.append(connection, [audit.NewEntry(command.actor, name, target, None, facts)])
                return reference

            async def again() -> str:
                return reference

            return await club_commands.once(connection, command, name, target, content, move, again)

        return await self._database.repeat(work)


_WORDS = {
    Posting.INSUFFICIENT: ("insufficient", "there is not so much on the account it would leave"),
    Posting.NO_SUCH_HOLD: ("no_such_hold", "there is no such hold"),
    Posting.HOLD_ALREADY_POSTED: ("hold_over", "the hold has been taken already"),
    Posting.HOLD_ALREADY_VOIDED: ("hold_over", "the hold has been released already"),
    Posting.HOLD_EXPIRED: ("hold_over", "the hold's time has run out"),
    Posting.EXCEEDS_HOLD: ("exceeds_hold", "the hold holds less than that"),
    Posting.NOT_POSITIVE: ("not_positive", "an amount above zero is needed"),
}


def _refusal(posted: Posted, content: dict[str, Any]) -> Refusal:
    code, words = _WORDS.get(posted.result, (posted.result.value, "the ledger refuses it"))
    where = f": {posted.account}" if posted.account else ""
    return Refusal(code, "hold" if "hold" in code else "amount", words + where)
