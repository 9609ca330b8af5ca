"""What people decide about payouts: approve, send elsewhere, try again, give up.

Every decision names its author and its command id, and is written with its audit entry. Nobody decides that a
payout has failed while it could still pay: giving up needs every attempt to be proved dead, in a database that the
signer has compared with its journal.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from engine.errors import Refusal
from engine.ids import CompanyId, DealId, HotWalletId, Instant, MemberId, PayoutId, WalletId
from engine.ledger import templates
from engine.money import Network
from engine.payments.alarms import AlarmKind, Severity
from engine.payments.allowlist import AllowedWallet, Standing, is_payable, standing
from engine.payments.approval import PayoutFields, fields_hash, refuse_approver
from engine.payments.payout import Purpose, TaskState, WaitsFor
from engine.payments.request import source_of
from engine.payments.velocity import PayoutPolicy
from storage import alarms, audit, deals, ledger, outbox, payouts
from storage.address_book import allowed_wallet
from storage.club_commands import Command, once
from storage.database import Connection, Database
from storage.events import wake_signers
from storage.payout_memory import DatabaseRestored, require_seen

APPROVER = "APPROVER"


class Decisions:
    """The decisions of people. A refusal is an answer, kept and given again to the same command."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def approve(self, fields: PayoutFields, company: CompanyId, command: Command) -> Refusal | None:
        """Say yes to a payout with just these fields; `company` is the one whose money it is.

        A payout that does not exist yet may be approved too: it leaves when its money has come, if it is this one.
        Refused: `approver_is_initiator`, `not_an_approver`, `fields_changed`, `not_allowed` and `cooling_off` for
        a destination that is not active in the allow-list.
        """

        async def write(connection: Connection) -> Refusal | None:
            row = await _locked(connection, fields.id)

            async def work() -> Refusal | bool:
                refusal = await _refuse_approval(connection, fields, company, row, command)
                return refusal or await _approve(connection, fields, row, command)

            answer = await once(connection, command, "payout.approve", f"payout:{fields.id}", fields, work, _done)
            return answer if isinstance(answer, Refusal) else None

        return await self._database.repeat(write)

    async def redirect(self, payout: PayoutId, wallet: WalletId, command: Command) -> Refusal | None:
        """Pay to another address of the payee. The approvals are void: they were for another destination.

        Refused: `unknown_payout`, `not_a_member` of the company whose money it is, `already_signed`, `not_allowed`
        for an address that is not in the payee's list, `database_restored`.
        """

        async def work(connection: Connection, row: asyncpg.Record) -> Refusal | bool:
            if not await _has_role(connection, row["company_id"], command.actor, None):
                return Refusal("not_a_member", "member", f"{command.actor} does not act for {row['company_id']}")
            if await _exists(connection, "status IN ('live', 'confirmed')", payout):
                return Refusal("already_signed", "payout", f"{payout} is signed: it may be paid already")
            return await _redirect(connection, row, wallet, command)

        return await self._decide("payout.redirect", payout, {"wallet": wallet}, command, work)

    async def give_up(self, payout: PayoutId, reason: str, command: Command) -> Refusal | None:
        """Decide that what is not paid of a payout will not be; its money is free again where it was held.

        The deal that it was for is called off, and what came in for it and was not paid becomes its payer's funds.
        Refused: `unknown_payout`, `not_an_approver`, `still_alive` while signed bytes may pay, `already_over`,
        `still_owed` for the close of a day, `database_restored`.
        """

        async def work(connection: Connection, row: asyncpg.Record) -> Refusal | bool:
            if not await _has_role(connection, row["company_id"], command.actor, APPROVER):
                return _no_approver(command, row)
            if await _exists(connection, "status = 'live'", payout) or await _is_forgotten(connection, payout):
                return Refusal("still_alive", "payout", f"signed bytes of {payout} may still pay")
            if row["purpose"] == Purpose.EOD:
                return Refusal("still_owed", "payout", "a day that is closed stays owed: redirect it or try again")
            return await _give_up(connection, row, reason, command)

        return await self._decide("payout.give_up", payout, {"reason": reason}, command, work)

    async def try_again(self, payout: PayoutId, command: Command) -> Refusal | None:
        """Allow new attempts after several that the chain has included and refused.

        Refused: `unknown_payout`, `not_an_approver`.
        """

        async def work(connection: Connection, row: asyncpg.Record) -> Refusal | bool:
            if not await _has_role(connection, row["company_id"], command.actor, APPROVER):
                return _no_approver(command, row)
            records = await connection.fetch(
                "UPDATE payout_task SET failures = 0, due_at_ms = $2 "
                "WHERE payout_id = $1 AND state IN ('queued', 'signing') RETURNING id",
                payout,
                command.at_ms,
            )
            for record in records:
                await alarms.clear_alarm(connection, AlarmKind.PAYOUT_FAILED, record["id"], command.at_ms)
            await _tell(connection, command, "payout.try_again", row, None, {"tasks": len(records)})
            return True

        return await self._decide("payout.try_again", payout, {}, command, work)

    async def set_policy(self, policy: PayoutPolicy, command: Command) -> None:
        """Change the rules for paying an asset. They hold at the next signature, also for what is queued."""

        async def write(connection: Connection) -> None:
            async def work() -> bool | Refusal:
                await ledger.take_turn(connection)
                before = (await payouts.policies(connection)).get(policy.token)
                await payouts.put_policy(connection, policy, command.at_ms)
                await wake_signers(connection)
                old = None if before is None else _shown_policy(before)
                entry = audit.NewEntry(
                    command.actor, "payout.set_policy", f"asset:{policy.token}", old, _shown_policy(policy)
                )
                await audit.append(connection, [entry])
                return True

            content = _shown_policy(policy)
            await once(connection, command, "payout.set_policy", f"asset:{policy.token}", content, work, _done)

        await self._database.repeat(write)

    async def _decide(
        self,
        name: str,
        payout: PayoutId,
        content: Any,
        command: Command,
        decide: Callable[[Connection, asyncpg.Record], Awaitable[Refusal | bool]],
    ) -> Refusal | None:
        """Decide about an existing payout in the ledger's turn: no signer can write bytes of it meanwhile."""

        async def write(connection: Connection) -> Refusal | None:
            await ledger.take_turn(connection)
            row = await _locked(connection, payout)

            async def work() -> Refusal | bool:
                if row is None:
                    return Refusal("unknown_payout", "payout", f"there is no payout {payout}")
                try:
                    await require_seen(connection, HotWalletId(row["hot_wallet_id"]))
                except DatabaseRestored as error:
                    return Refusal("database_restored", "payout", str(error), allowed="when its signer has begun")
                return await decide(connection, row)

            answer = await once(connection, command, name, f"payout:{payout}", content, work, _done)
            return answer if isinstance(answer, Refusal) else None

        return await self._database.repeat(write)


def _no_approver(command: Command, row: asyncpg.Record) -> Refusal:
    return Refusal("not_an_approver", "member", f"{command.actor} is no APPROVER of {row['company_id']}")


async def _done() -> bool:
    return True


async def _refuse_approval(
    connection: Connection, fields: PayoutFields, company: CompanyId, row: asyncpg.Record | None, command: Command
) -> Refusal | None:
    initiator = "" if row is None else row["initiator"]
    owner = company if row is None else row["company_id"]
    records = await connection.fetch(
        "SELECT member_id FROM company_member WHERE company_id = $1 AND role = 'APPROVER'", owner
    )
    approvers = frozenset(record["member_id"] for record in records)
    refusal = refuse_approver(MemberId(command.actor), approvers, initiator)
    if refusal is not None:
        return refusal
    if row is not None and row["fields_hash"] != fields_hash(fields):
        return Refusal("fields_changed", "payout", f"{fields.id} is not what you saw: look at it again")
    wallets = await connection.fetch(
        "SELECT * FROM wallet "
        "WHERE network = $1 AND token = $2 AND address = $3 AND ($4::text IS NULL OR id = $4)",
        fields.network,
        fields.asset,
        fields.destination,
        None if row is None else row["wallet_id"],
    )
    return _refuse_destination([allowed_wallet(wallet) for wallet in wallets], fields.destination, command.at_ms)


def _refuse_destination(wallets: list[AllowedWallet], address: str, at_ms: Instant) -> Refusal | None:
    reached = {standing(wallet, at_ms) for wallet in wallets}
    if Standing.ACTIVE in reached:
        return None
    if Standing.COOLING_OFF in reached:
        return Refusal("cooling_off", "destination", f"{address} is proved, and waits to be sure")
    return Refusal("not_allowed", "destination", f"{address} is not active in an allow-list")


async def _approve(
    connection: Connection, fields: PayoutFields, row: asyncpg.Record | None, command: Command
) -> bool:
    # The signer may be noting just now that it waits for this: one of the two must see what the other has written.
    await connection.execute(
        "SELECT FROM payout_task WHERE payout_id = $1 ORDER BY id FOR NO KEY UPDATE", fields.id
    )
    await connection.execute(
        "INSERT INTO payout_approval (payout_id, member_id, fields_hash, at_ms) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT DO NOTHING",
        fields.id,
        command.actor,
        fields_hash(fields),
        command.at_ms,
    )
    await connection.execute(
        "UPDATE payout_task SET due_at_ms = $2 WHERE payout_id = $1 AND waits_for = $3 AND due_at_ms > $2",
        fields.id,
        command.at_ms,
        WaitsFor.APPROVALS,
    )
    facts = {"units": str(fields.units), "asset": fields.asset, "destination": fields.destination}
    await outbox.write(connection, [outbox.NewEvent("payout.approved", fields.id, facts | {"by": command.actor})])
    await wake_signers(connection, "" if row is None else row["hot_wallet_id"])
    entry = audit.NewEntry(command.actor, "payout.approve", f"payout:{fields.id}", None, facts)
    await audit.append(connection, [entry])
    return True


async def _redirect(
    connection: Connection, row: asyncpg.Record, wallet: WalletId, command: Command
) -> Refusal | bool:
    record = await connection.fetchrow("SELECT * FROM wallet WHERE id = $1 FOR SHARE", wallet)
    found = None if record is None else allowed_wallet(record)
    if found is None or not is_payable(found, row["payee_id"], row["network"], row["token"], found.address):
        return Refusal("not_allowed", "wallet", f"{wallet} is not in the list of {row['payee_id']}")
    if standing(found, command.at_ms) not in (Standing.ACTIVE, Standing.COOLING_OFF):
        return Refusal("not_allowed", "wallet", f"{found.address} is {standing(found, command.at_ms)}")
    fields = PayoutFields(
        row["id"], Network(row["network"]), row["token"], int(row["amount_token"]), found.address
    )
    # Who changes what is approved has asked for it, and approves it no more.
    await connection.execute(
        "UPDATE payout SET to_address = $2, wallet_id = $3, initiator = $4, fields_hash = $5 WHERE id = $1",
        row["id"],
        found.address,
        wallet,
        command.actor,
        fields_hash(fields),
    )
    await connection.execute(
        "UPDATE payout_task SET due_at_ms = $2 WHERE payout_id = $1 AND state IN ('queued', 'signing')",
        row["id"],
        command.at_ms,
    )
    before = {"to_address": row["to_address"], "wallet": row["wallet_id"]}
    after = {"to_address": found.address, "wallet": wallet}
    await _tell(connection, command, "payout.redirect", row, before, after)
    return True


async def _give_up(connection: Connection, row: asyncpg.Record, reason: str, command: Command) -> Refusal | bool:
    records = await connection.fetch(
        "UPDATE payout_task SET state = 'failed', waits_for = '' "
        "WHERE payout_id = $1 AND state IN ('queued', 'signing') RETURNING id",
        row["id"],
    )
    if not records:
        return Refusal("already_over", "payout", f"nothing of {row['id']} is open any more")
    source = source_of(row["purpose"], row["purpose_id"], row["company_id"], row["hot_wallet_id"], row["token"])
    released = [
        transfer
        for record in records
        for transfer in templates.payout_released(
            source, row["hot_wallet_id"], record["id"], row["token"], command.at_ms
        )
    ]
    for transfer, answer in zip(released, await ledger.post(connection, released), strict=True):
        if not answer.ok:
            detail = f"{transfer.reference} was given up, but the ledger says {answer.result}"
            await alarms.raise_alarm(
                connection,
                AlarmKind.RECONCILIATION_BREAK,
                transfer.reference,
                Severity.SEV1,
                detail,
                command.at_ms,
            )
    if row["purpose"] == Purpose.PASS_THROUGH:
        # It stands in nobody's way any more: money that comes for the deal again is another payout's.
        await connection.execute("UPDATE payout SET withdrawn_at_ms = $2 WHERE id = $1", row["id"], command.at_ms)
        await deals.given_up(connection, DealId(row["purpose_id"]), command.at_ms)
    for record in records:
        await alarms.clear_alarm(connection, AlarmKind.PAYOUT_FAILED, record["id"], command.at_ms)
    after = {"state": TaskState.FAILED, "tasks": [record["id"] for record in records], "reason": reason}
    await _tell(connection, command, "payout.give_up", row, None, after)
    return True


async def _tell(
    connection: Connection, command: Command, name: str, row: asyncpg.Record, before: Any, after: dict[str, Any]
) -> None:
    await outbox.write(connection, [outbox.NewEvent(name, row["id"], after | {"by": command.actor})])
    await wake_signers(connection, row["hot_wallet_id"])
    await audit.append(connection, [audit.NewEntry(command.actor, name, f"payout:{row['id']}", before, after)])


async def _locked(connection: Connection, payout: PayoutId) -> asyncpg.Record | None:
    return await connection.fetchrow("SELECT * FROM payout WHERE id = $1 FOR UPDATE", payout)


async def _exists(connection: Connection, condition: str, payout: PayoutId) -> bool:
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM payout_attempt JOIN payout_task ON payout_task.id = task_id "
        f"WHERE payout_id = $1 AND {condition})",
        payout,
    )
    return found


async def _is_forgotten(connection: Connection, payout: PayoutId) -> bool:
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM payout_forgotten JOIN payout_task ON payout_task.id = task_id "
        "WHERE payout_id = $1 AND bound_at_ms IS NULL)",
        payout,
    )
    return found


async def _has_role(connection: Connection, company: CompanyId, member: str, role: str | None) -> bool:
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM company_member "
        "WHERE company_id = $1 AND member_id = $2 AND ($3::text IS NULL OR role = $3))",
        company,
        member,
        role,
    )
    return found


def _shown_policy(policy: PayoutPolicy) -> dict[str, Any]:
    return {
        "cap_units": str(policy.cap_units),
        "approvals": policy.approvals,
        "window_ms": policy.window_ms,
        "window_units": str(policy.window_units),
    }
