"""Taking back what vanished blocks brought, in one transaction with the cursor that goes back.

Money that is still in our books is posted back from the account where it is now. What has been paid out cannot be:
it becomes a claim against the company whose transfer it was, which is frozen. While bytes that pay it may still be
on their way, nobody knows which of the two it is, and the transfer waits; the company is frozen all the same.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from engine.ids import DealId, Instant, PayoutId
from engine.ledger import templates
from engine.ledger.accounts import Account, Normal
from engine.money import Network
from engine.payments.alarms import AlarmKind, Severity
from engine.payments.chain import BlockRef
from engine.payments.freeze import Scope
from engine.payments.incoming import Place, Reason
from engine.payments.payout import ENGINE
from engine.payments.request import source_of
from storage import alarms, assets, audit, chain_cursor, deals, freezes, ledger, outbox
from storage.chain_cursor import watcher_lease
from storage.database import Connection, Database
from storage.incoming import CrashPoint, IncomingRow, go_on
from storage.leases import guard
from storage.rows import columns, to_money_row

_COLUMNS = columns(IncomingRow)


class RolledBack(msgspec.Struct, frozen=True):
    """What was taken back: the transfers by what became of them."""

    cursor: BlockRef
    reversed: int = 0
    """Posted back."""
    claimed: int = 0
    """Paid out before: the company owes it."""
    waits: int = 0
    """Bytes that pay it are on their way."""


class Reversals:
    """The vanished transfers of all networks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def roll_back_to(
        self, network: Network, epoch: int, block: BlockRef, at_ms: Instant, crash_point: CrashPoint = go_on
    ) -> RolledBack:
        """Go back to a block that was taken before, and take back everything that came after it.

        After `Retryable` or `OutcomeUnknown` call it again. ValueError: the block is not one that was taken.
        """

        async def write(connection: Connection) -> RolledBack:
            await guard(connection, watcher_lease(network), epoch)
            await ledger.take_turn(connection)
            cursor = await chain_cursor.locked(connection, network)
            if (await chain_cursor.known(connection, network, [block.number])).get(block.number) != block.id:
                raise ValueError(f"block {block.number} {block.id} of {network} is not behind the cursor")
            rows = await _vanish(connection, network, block, at_ms)
            await _reverse_fees(connection, network, block, at_ms)
            await connection.execute(
                "DELETE FROM outgoing_tx WHERE network = $1 AND block_number > $2", network, block.number
            )
            undone = [await _undo(connection, row, at_ms) for row in rows]
            await chain_cursor.go_back(connection, network, epoch, block)
            facts = {"from": cursor.number, "to": block.number, "vanished": len(rows)}
            await audit.append(
                connection, [audit.NewEntry(ENGINE, "chain.roll_back", f"network:{network}", None, facts)]
            )
            crash_point("roll_back.before_commit")
            return RolledBack(block, undone.count("reversed"), undone.count("claimed"), undone.count("waits"))

        return await self._database.repeat(write)

    async def settle_waiting(self, network: Network, epoch: int, at_ms: Instant) -> int:
        """Look again at the transfers that wait for their payout's fate; count those that are settled now."""
        waiting = await self._database.value(
            "SELECT count(*) FROM incoming_tx WHERE network = $1 AND undone = 'waits'", network
        )
        if not waiting:
            return 0

        async def write(connection: Connection) -> int:
            await guard(connection, watcher_lease(network), epoch)
            await ledger.take_turn(connection)
            records = await connection.fetch(
                f"SELECT {_COLUMNS} FROM incoming_tx WHERE network = $1 AND undone = 'waits' "
                "ORDER BY id FOR UPDATE",
                network,
            )
            rows = [to_money_row(record, IncomingRow) for record in records]
            return sum([await _undo(connection, row, at_ms) != "waits" for row in rows])

        return await self._database.repeat(write)


async def _vanish(connection: Connection, network: Network, block: BlockRef, at_ms: Instant) -> list[IncomingRow]:
    """Mark the transfers of vanished blocks; give them, the newest first, as they were before."""
    records = await connection.fetch(
        f"SELECT {_COLUMNS} FROM incoming_tx WHERE network = $1 AND block_number > $2 AND status <> 'reversed' "
        "ORDER BY block_number DESC, id FOR UPDATE",
        network,
        block.number,
    )
    rows = [to_money_row(record, IncomingRow) for record in records]
    await connection.execute(
        "UPDATE incoming_tx SET status = 'reversed', reversed_at_ms = $2, undone = 'waits' WHERE id = ANY ($1)",
        [row.id for row in rows],
        at_ms,
    )
    await outbox.write(
        connection,
        [
            outbox.NewEvent("incoming.reversed", row.id, {"company": row.company_id, "was": row.status})
            for row in rows
        ],
    )
    return rows


async def _undo(connection: Connection, row: IncomingRow, at_ms: Instant) -> str:
    """Take one transfer back as far as possible now; give and write what became of it."""
    undone = await _outcome(connection, row, at_ms)
    await connection.execute("UPDATE incoming_tx SET undone = $2 WHERE id = $1", row.id, undone)
    if undone != "reversed":
        detail = (
            f"{row.amount_token} units of {row.token} of {row.company_id} vanished with block {row.block_number}"
        )
        after = "paid out before" if undone == "claimed" else "bytes that pay them may be on their way"
        await alarms.raise_alarm(
            connection, AlarmKind.REORG_AFTER_CREDIT, row.id, Severity.SEV1, f"{detail}; {after}", at_ms
        )
        await freezes.enter(connection, Scope.COMPANY, row.company_id, detail, ENGINE, at_ms, is_safe_mode=True)
    return undone


async def _outcome(connection: Connection, row: IncomingRow, at_ms: Instant) -> str:
    if row.reason is Reason.CHALLENGE:
        await _unprove(connection, row.matched_to)
    if row.place is Place.NOWHERE:
        return "reversed"
    payout = await _payout_of(connection, row)
    if payout is None:
        return await _post_back(connection, row, at_ms)
    if payout["paid"] == payout["tasks"]:
        return await _claim(connection, row, row.amount_token, at_ms)
    if payout["signed"] or payout["others"]:
        return "waits"
    await _withdraw(connection, payout["id"], at_ms)
    if row.place is Place.DEAL:
        await deals.awaiting_again(connection, [DealId(row.matched_to)], at_ms)
    return await _post_back(connection, row, at_ms)


async def _payout_of(connection: Connection, row: IncomingRow) -> Any:
    """Give the payout that this transfer pays for, with how far it has come; None where there is none."""
    return await connection.fetchrow(
        """
        SELECT payout.id, count(*) AS tasks, count(*) FILTER (WHERE task.state = 'confirmed') AS paid,
               bool_or(EXISTS (SELECT FROM payout_attempt AS attempt
                               WHERE attempt.task_id = task.id AND attempt.status <> 'dead')
                       OR EXISTS (SELECT FROM payout_forgotten AS forgotten WHERE forgotten.task_id = task.id))
                   AS signed,
               EXISTS (SELECT FROM incoming_tx AS other WHERE other.matched_to = $2 AND other.id <> $1
                       AND other.place = 'deal' AND other.status <> 'reversed') AS others
        FROM payout JOIN payout_task AS task ON task.payout_id = payout.id
        WHERE withdrawn_at_ms IS NULL AND (purpose, purpose_id) IN (('pass_through', $2), ('refund', $1))
        GROUP BY payout.id
        """,
        row.id,
        row.matched_to if row.place is Place.DEAL else "",
    )


async def _withdraw(connection: Connection, payout: PayoutId, at_ms: Instant) -> None:
    """End a payout that no valid bytes exist for, and the ledger's holds for it."""
    records = await connection.fetch(
        """
        SELECT task.id, purpose, purpose_id, company_id, payout.hot_wallet_id, token
        FROM payout_task AS task JOIN payout ON payout.id = task.payout_id
        WHERE payout.id = $1 AND task.state <> 'failed'
        """,
        payout,
    )
    released = [
        transfer
        for task, purpose, purpose_id, company, hot_wallet, token in records
        for transfer in templates.payout_released(
            source_of(purpose, purpose_id, company, hot_wallet, token), hot_wallet, task, token, at_ms
        )
    ]
    for answer in await ledger.post(connection, released):
        if not answer.ok:
            raise RuntimeError(f"{answer.id} of {payout} is not held any more: {answer.result}")
    await connection.execute(
        "UPDATE payout_task SET state = 'failed', waits_for = '' WHERE payout_id = $1 AND state <> 'failed'",
        payout,
    )
    await connection.execute("UPDATE payout SET withdrawn_at_ms = $2 WHERE id = $1", payout, at_ms)
    await outbox.write(connection, [outbox.NewEvent("payout.failed", payout, {"because": "incoming_vanished"})])


async def _post_back(connection: Connection, row: IncomingRow, at_ms: Instant) -> str:
    """Take the money from where it is now; what is there no more becomes a claim. All of it, or it waits."""
    undo = connection.transaction()
    await undo.start()
    missing = await _reverse(connection, row, at_ms)
    undone = "reversed" if not missing else await _claim(connection, row, missing, at_ms)
    await (undo.rollback() if undone == "waits" else undo.commit())
    return undone


async def _reverse(connection: Connection, row: IncomingRow, at_ms: Instant) -> int:
    """Post back what is still where it was put; give how much is not."""
    assert row.token is not None
    back = [
        transfer
        for account, units in await _whereabouts(connection, row)
        for transfer in templates.incoming_reversed(row.hot_wallet_id, account, row.token, units, row.id, at_ms)
    ]
    posted = await ledger.post(connection, back)
    return sum(transfer.units for transfer, answer in zip(back, posted, strict=True) if not answer.ok)


async def _whereabouts(connection: Connection, row: IncomingRow) -> list[tuple[Account, int]]:
    """Give where the books have the money of a transfer: the operator may have given it elsewhere since."""
    records = await connection.fetch(
        """
        SELECT account.code, account.normal, account.floor,
               sum(CASE WHEN moved.credit = account.code THEN moved.units ELSE -moved.units END) AS units
        FROM ledger_transfer AS moved
        JOIN ledger_account AS account ON account.code IN (moved.debit, moved.credit)
        WHERE moved.reference = $1 AND moved.phase = 'posted' AND account.normal = 'credit'
        GROUP BY account.code ORDER BY account.code
        """,
        row.id,
    )
    assert row.token is not None
    return [
        (
            Account(record["code"], row.token, Normal(record["normal"]), None if record["floor"] is None else 0),
            int(record["units"]),
        )
        for record in records
        if record["units"] > 0
    ]


async def _claim(connection: Connection, row: IncomingRow, units: int, at_ms: Instant) -> str:
    """Charge the company. While holds keep the address from bearing it, the transfer waits."""
    assert row.token is not None
    posted = await ledger.post(
        connection, templates.claim(row.hot_wallet_id, row.company_id, row.token, units, row.id, at_ms)
    )
    return "claimed" if all(answer.ok for answer in posted) else "waits"


async def _unprove(connection: Connection, wallet: str) -> None:
    # It may be proved again: by the same transfer in another block, or by a new one.
    await connection.execute(
        "UPDATE wallet SET verified = false, verified_at_ms = NULL, active_from_ms = NULL WHERE id = $1", wallet
    )


async def _reverse_fees(connection: Connection, network: Network, block: BlockRef, at_ms: Instant) -> None:
    records = await connection.fetch(
        "UPDATE chain_fee SET reversed_at_ms = $3 WHERE network = $1 AND block_number > $2 "
        "AND reversed_at_ms IS NULL RETURNING id, hot_wallet_id, fee_token, booked",
        network,
        block.number,
        at_ms,
    )
    listed = await assets.listed(connection)
    coin = next((asset for asset in listed.values() if asset.network is network and not asset.contract), None)
    if coin is None:
        return
    back: Sequence[Any] = [
        transfer
        for record in records
        if record["booked"]
        for booked in templates.network_fee(
            record["hot_wallet_id"], coin.id, int(record["fee_token"]), record["id"], at_ms
        )
        for transfer in templates.reversal(booked, at_ms)
    ]
    await ledger.post(connection, back)
