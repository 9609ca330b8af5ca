"""What operators decide about transfers that wait: give them to a deal, to the company, or back.

Each decision is a command with an id, one transaction with its postings, its payout and its audit entry. A payout
that follows needs the same approvals as any other, and the operator who asked for it cannot give one.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from engine.errors import Refusal
from engine.ids import DealId, Instant, PayoutId, WalletId
from engine.ledger import templates
from engine.ledger.accounts import clearing
from engine.ledger.postings import Transfer
from engine.payments.incoming import IncomingId, IncomingStatus, Place, again
from engine.payments.payout import Purpose, payout_of_deal, payout_of_refund
from engine.payments.request import NewPayout
from engine.settlement.deals import Expected
from storage import address_book, audit, club_commands, deals, ledger, outbox, payouts
from storage.club_commands import Command
from storage.database import Connection, Database
from storage.incoming import IncomingRow
from storage.rows import columns, to_money_row

T = TypeVar("T")

_COLUMNS = columns(IncomingRow)


class Suspense:
    """The transfers that wait for somebody's word. Saying a command twice is safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def to_funds(self, incoming: IncomingId, command: Command) -> IncomingRow | Refusal:
        """Give a transfer to the company at whose address it arrived."""

        async def work(connection: Connection) -> IncomingRow | Refusal:
            (row,) = await _waiting(connection, [incoming])
            await _post(connection, _into_funds(row, row.amount_token, command.at_ms))
            return await _resolve(connection, row, IncomingStatus.CREDITED, Place.FUNDS, "", command)

        return await self._once(
            command,
            "incoming.to_funds",
            f"incoming:{incoming}",
            {},
            work,
            lambda connection: _row(connection, incoming),
        )

    async def to_deal(self, incomings: Sequence[IncomingId], deal: DealId, command: Command) -> PayoutId | Refusal:
        """Fund a deal, open or over, with transfers of its payer, and pay it. The company gets what is too much.

        Refused: transfers that do not wait, of another address or token than the deal's, together less than its
        amount; a deal that has its money.
        """

        async def work(connection: Connection) -> PayoutId | Refusal:
            rows = await _waiting(connection, incomings)
            found = await _deal(connection, deal, rows)
            await _post(connection, _into_deal(rows, found, command.at_ms))
            for row in rows:
                await _resolve(connection, row, IncomingStatus.CREDITED, Place.DEAL, deal, command)
            paid = await _request(connection, await _payout(connection, found, rows[0], command))
            await deals.paying(connection, [deal], command.at_ms)
            return paid

        async def known(connection: Connection) -> PayoutId:
            return await _payout_id(connection, Purpose.PASS_THROUGH, deal)

        target, content = f"deal:{deal}", {"incomings": list(incomings)}
        return await self._once(command, "incoming.to_deal", target, content, work, known)

    async def refund(self, incoming: IncomingId, wallet: WalletId, command: Command) -> PayoutId | Refusal:
        """Pay a transfer back, to an active address of the company that it came for."""

        async def work(connection: Connection) -> PayoutId | Refusal:
            (row,) = await _waiting(connection, [incoming])
            to = await address_book.active_wallet(connection, wallet, command.at_ms)
            if to is None:
                return Refusal("not_allowed", "wallet_id", f"{wallet} is not an active address")
            assert row.token is not None
            paid = await _request(
                connection,
                NewPayout(
                    id=payout_of_refund(row.id),
                    company_id=row.company_id,
                    payee_id=row.company_id,
                    purpose=Purpose.REFUND,
                    purpose_id=row.id,
                    network=row.network,
                    token=row.token,
                    units=row.amount_token,
                    to_address=to.address,
                    wallet_id=wallet,
                    hot_wallet_id=row.hot_wallet_id,
                    initiator=command.actor,
                    at_ms=command.at_ms,
                ),
            )
            await _resolve(connection, row, IncomingStatus.REFUND, Place.SUSPENSE, row.matched_to, command)
            return paid

        async def known(connection: Connection) -> PayoutId:
            return await _payout_id(connection, Purpose.REFUND, incoming)

        return await self._once(
            command, "incoming.refund", f"incoming:{incoming}", {"wallet": wallet}, work, known
        )

    async def _once(
        self,
        command: Command,
        name: str,
        target: str,
        content: object,
        work: Callable[[Connection], Awaitable[T | Refusal]],
        known: Callable[[Connection], Awaitable[T]],
    ) -> T | Refusal:
        async def write(connection: Connection) -> T | Refusal:
            await ledger.take_turn(connection)

            async def decide() -> T | Refusal:
                try:
                    # What was done before somebody said no is undone; the no itself is kept.
                    async with connection.transaction():
                        answer = await work(connection)
                        if isinstance(answer, Refusal):
                            raise _Refused(answer)
                        return answer
                except _Refused as refused:
                    return refused.refusal

            return await club_commands.once(
                connection, command, name, target, content, decide, lambda: known(connection)
            )

        return await self._database.repeat(write)


class _Refused(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


# ---------------------------------------------------------------------- facts


async def _waiting(connection: Connection, ids: Sequence[IncomingId]) -> list[IncomingRow]:
    """Lock transfers that wait in suspense; refuse all others."""
    rows = [await _row(connection, incoming) for incoming in dict.fromkeys(ids)]
    for row in rows:
        if row.status is not IncomingStatus.SUSPENSE or row.place is not Place.SUSPENSE:
            raise _Refused(Refusal("not_in_suspense", "incoming", f"{row.id} is {row.status} ({row.reason})"))
    return rows


async def _row(connection: Connection, incoming: IncomingId) -> IncomingRow:
    record = await connection.fetchrow(f"SELECT {_COLUMNS} FROM incoming_tx WHERE id = $1 FOR UPDATE", incoming)
    if record is None:
        raise _Refused(Refusal("unknown_incoming", "incoming", f"there is no transfer {incoming}"))
    return to_money_row(record, IncomingRow)


async def _deal(connection: Connection, deal: DealId, rows: Sequence[IncomingRow]) -> Expected:
    """Find a deal that these transfers may fund."""
    (hot_wallet, token), *others = {(row.hot_wallet_id, row.token) for row in rows}
    expected = await deals.expected(connection, [hot_wallet], Instant(0))
    found = next((each for each in expected if each.id == deal and each.asset == token), None)
    if found is None or others:
        raise _Refused(
            Refusal("not_awaited", "deal_id", f"{deal} awaits nothing in {token} at {hot_wallet}, or not any more")
        )
    missing = found.units - sum(row.amount_token for row in rows)
    if missing > 0:
        raise _Refused(Refusal("not_enough", "incoming", f"{missing} units are missing for {deal}"))
    return found


async def _payout_id(connection: Connection, purpose: Purpose, purpose_id: str) -> PayoutId:
    found: PayoutId = await connection.fetchval(
        "SELECT id FROM payout WHERE purpose = $1 AND purpose_id = $2 AND withdrawn_at_ms IS NULL",
        purpose,
        purpose_id,
    )
    return found


# ---------------------------------------------------------------------- what follows


def _into_funds(row: IncomingRow, units: int, at_ms: Instant) -> list[Transfer]:
    assert row.token is not None
    return templates.suspense_to_funds(row.hot_wallet_id, row.company_id, row.token, units, row.id, at_ms)


def _into_deal(rows: Sequence[IncomingRow], deal: Expected, at_ms: Instant) -> list[Transfer]:
    """Fill the deal's amount from the transfers in turn; what is over goes to the company."""
    movements, missing = [], deal.units
    for row in rows:
        part = min(missing, row.amount_token)
        missing -= part
        if part:
            movements += templates.suspense_to_deal(row.hot_wallet_id, deal.id, deal.asset, part, row.id, at_ms)
        if row.amount_token > part:
            movements += _into_funds(row, row.amount_token - part, at_ms)
    return movements


async def _payout(connection: Connection, deal: Expected, row: IncomingRow, command: Command) -> NewPayout:
    # Withdrawn because its money vanished, or given up: each has had a name of its own.
    earlier: int = await connection.fetchval(
        "SELECT count(*) FROM payout WHERE purpose = $1 AND purpose_id = $2", Purpose.PASS_THROUGH, deal.id
    )
    held = (await ledger.balances(connection, [clearing(deal.id, deal.asset)])).popitem()[1]
    return NewPayout(
        id=PayoutId(payout_of_deal(deal.id) + again(earlier + 1)),
        company_id=deal.company,
        payee_id=deal.payee,
        purpose=Purpose.PASS_THROUGH,
        purpose_id=deal.id,
        network=row.network,
        token=deal.asset,
        units=held.available,
        to_address=deal.to_address,
        wallet_id=deal.wallet_id,
        hot_wallet_id=deal.hot_wallet,
        initiator=command.actor,
        at_ms=command.at_ms,
    )


async def _request(connection: Connection, new: NewPayout) -> PayoutId:
    (answer,) = await payouts.request(connection, [new])
    if isinstance(answer, Refusal):
        raise _Refused(answer)
    return answer


async def _post(connection: Connection, transfers: Sequence[Transfer]) -> None:
    for answer in await ledger.post(connection, transfers):
        if not answer.ok:
            raise _Refused(Refusal("books_refuse", "incoming", f"{answer.id}: {answer.result}"))


async def _resolve(
    connection: Connection,
    row: IncomingRow,
    status: IncomingStatus,
    place: Place,
    matched_to: str,
    command: Command,
) -> IncomingRow:
    resolved = msgspec.structs.replace(
        row,
        status=status,
        place=place,
        matched_to=matched_to,
        resolved_at_ms=command.at_ms,
        resolved_by=command.actor,
    )
    await connection.execute(
        "UPDATE incoming_tx SET status = $2, place = $3, matched_to = $4, resolved_at_ms = $5, resolved_by = $6 "
        "WHERE id = $1",
        row.id,
        status,
        place,
        matched_to,
        command.at_ms,
        command.actor,
    )
    facts = {"status": status, "place": place, "matched_to": matched_to, "units": str(row.amount_token)}
    await outbox.write(connection, [outbox.NewEvent("incoming.resolved", row.id, facts)])
    before = {"status": row.status, "reason": row.reason}
    await audit.append(
        connection, [audit.NewEntry(command.actor, "incoming.resolve", f"incoming:{row.id}", before, facts)]
    )
    return resolved
