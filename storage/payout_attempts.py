"""Signed bytes as rows, written under the signer's lease: started, and handed over to nodes.

Starting is the one place where a payout becomes able to pay. It is one transaction in the ledger's turn that reads
every gate again (freezes, allow-list, approvals, cap, velocity, the hold) and writes the bytes only where all are
open. Unique indexes are the last line behind it: one live attempt per task, one transaction per row.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from engine.ids import CompanyId, HotWalletId, Instant, PayoutTaskId
from engine.payments.chain import PayoutIntent, SignedPayout
from engine.payments.payout import ENGINE, MOVES, Attempt, Task, TaskState, WaitsFor, held_back_by
from storage import audit, ledger, outbox, payout_gates
from storage.database import Connection
from storage.leases import guard
from storage.payout_gates import Candidate
from storage.payout_memory import SignerRights, require_seen


class Prepared(msgspec.Struct, frozen=True):
    """Signed bytes that are not written yet."""

    intent: PayoutIntent
    signed: SignedPayout


class Live(msgspec.Struct, frozen=True):
    """A live attempt as a row, with what the rules ask about it."""

    task: Task
    companies: frozenset[CompanyId]
    attempt: Attempt
    signed_at_ms: Instant
    waits_for: WaitsFor


class Started(msgspec.Struct, frozen=True):
    """What became of prepared bytes: written, or held back by a gate that closed meanwhile."""

    written: list[PayoutTaskId]
    held_back: dict[PayoutTaskId, WaitsFor]


async def live(connection: Connection, hot_wallet: HotWalletId) -> list[Live]:
    """List a wallet's live attempts, oldest first."""
    records = await connection.fetch(
        """
        SELECT attempt.intent, attempt.signed, attempt.tx_id, attempt.expires_at_ms, attempt.reference_number,
               attempt.handed_over_at_ms, attempt.signed_at_ms, task.waits_for, task.id, task.state,
               task.amount_token, task.failures, payout.company_id, payout.payee_id
        FROM payout_attempt AS attempt
        JOIN payout_task AS task ON task.id = attempt.task_id
        JOIN payout ON payout.id = task.payout_id
        WHERE attempt.hot_wallet_id = $1 AND attempt.status = 'live' ORDER BY attempt.timestamp_ms
        """,
        hot_wallet,
    )
    return [_live(record) for record in records]


async def newest_timestamp(connection: Connection, hot_wallet: HotWalletId) -> Instant:
    """Give the newest timestamp that a wallet's attempts have used; 0 for none."""
    newest: Instant = await connection.fetchval(
        "SELECT coalesce(max(timestamp_ms), 0) FROM payout_attempt WHERE hot_wallet_id = $1", hot_wallet
    )
    return newest


async def start(
    connection: Connection, rights: SignerRights, prepared: Sequence[Prepared], now: Instant
) -> Started:
    """Write signed bytes whose gates are all still open. Only what is written may ever be shown to a node.

    `StaleEpoch`: another signer holds the wallet. `DatabaseRestored`: compare the journal again.
    """
    await guard(connection, rights.lease, rights.epoch)
    await ledger.take_turn(connection)
    await require_seen(connection, rights.hot_wallet)
    candidates = await payout_gates.locked(connection, [one.intent.task for one in prepared])
    around = await payout_gates.surroundings(connection, rights.hot_wallet, now)
    gone = dict(around.gone)
    written, held_back = [], {}
    for one in prepared:
        candidate = candidates.get(one.intent.task)
        if candidate is None or not _is_meant(one.intent, candidate, rights.hot_wallet):
            # Given up or redirected meanwhile, or it has bytes already: the next round looks at it as it is then.
            held_back[one.intent.task] = WaitsFor.NOTHING
            continue
        now_around = msgspec.structs.replace(around, gone=gone)
        code = held_back_by(
            candidate.task.units, payout_gates.gates(candidate, now_around, rights.hot_wallet, now)
        )
        if code is not WaitsFor.NOTHING:
            held_back[one.intent.task] = code
            continue
        gone[one.intent.asset] = gone.get(one.intent.asset, 0) + one.intent.units
        written.append((one, candidate))
    await _insert(connection, rights, written, now)
    return Started([one.intent.task for one, _ in written], held_back)


async def handed_over(connection: Connection, rights: SignerRights, given: Sequence[Live], now: Instant) -> None:
    """Note that bytes were given to nodes, whatever these have answered."""
    if not given:
        return
    await guard(connection, rights.lease, rights.epoch)
    tasks = [one.task.id for one in given]
    await connection.execute(
        # Our clock may have been set back since: no bytes leave before they are signed.
        "UPDATE payout_attempt SET handed_over_at_ms = greatest($2, signed_at_ms) "
        "WHERE tx_id = ANY ($1) AND status = 'live'",
        [one.attempt.signed.tx_id for one in given],
        now,
    )
    first = [one.task for one in given if one.task.state is not TaskState.BROADCAST]
    for task in first:
        MOVES.check(task.state, TaskState.BROADCAST)
    await connection.execute(
        "UPDATE payout_task SET state = 'broadcast', waits_for = $2 WHERE id = ANY ($1) AND state <> 'confirmed'",
        tasks,
        WaitsFor.CHAIN,
    )
    await tell(connection, "payout.broadcast", {task.id: {"state": TaskState.BROADCAST} for task in first})


async def wait(
    connection: Connection, rights: SignerRights, codes: Mapping[PayoutTaskId, tuple[WaitsFor, Instant]]
) -> None:
    """Note why transfers wait, and when to look at them again."""
    if not codes:
        return
    await guard(connection, rights.lease, rights.epoch)
    await connection.execute(
        """
        UPDATE payout_task SET waits_for = code, due_at_ms = greatest(due_at_ms, due)
        FROM unnest($1::text[], $2::text[], $3::bigint[]) AS told (task, code, due)
        WHERE id = task AND state NOT IN ('confirmed', 'failed')
        """,
        list(codes),
        [code for code, _ in codes.values()],
        [due_at for _, due_at in codes.values()],
    )


async def tell(connection: Connection, topic: str, facts: Mapping[PayoutTaskId, Mapping[str, Any]]) -> None:
    """Write what happened to transfers, for whoever listens and for the audit."""
    if not facts:
        return
    await outbox.write(connection, [outbox.NewEvent(topic, task, fact) for task, fact in facts.items()])
    await audit.append(
        connection,
        [audit.NewEntry(ENGINE, topic, f"payout_task:{task}", None, fact) for task, fact in facts.items()],
    )


def _live(record: asyncpg.Record) -> Live:
    intent = msgspec.convert(record["intent"], PayoutIntent)
    signed = SignedPayout(record["tx_id"], record["signed"], record["expires_at_ms"], record["reference_number"])
    return Live(
        payout_gates.task_of_record(record),
        frozenset((record["company_id"], record["payee_id"])),
        Attempt(intent, signed, record["handed_over_at_ms"]),
        record["signed_at_ms"],
        WaitsFor(record["waits_for"]),
    )


def _is_meant(intent: PayoutIntent, candidate: Candidate, hot_wallet: HotWalletId) -> bool:
    fields = candidate.payout
    return (
        intent.attempt == candidate.next_attempt
        and intent.hot_wallet == hot_wallet
        and (intent.network, intent.asset, intent.contract) == (fields.network, fields.asset, candidate.contract)
        and (intent.sender, intent.recipient) == (candidate.sender, fields.destination)
        and intent.units == candidate.task.units
    )


async def _insert(
    connection: Connection, rights: SignerRights, written: Sequence[tuple[Prepared, Candidate]], now: Instant
) -> None:
    if not written:
        return
    ones = [one for one, _ in written]
    for _, candidate in written:
        if candidate.task.state is not TaskState.SIGNING:
            MOVES.check(candidate.task.state, TaskState.SIGNING)
    await connection.execute(
        """
        INSERT INTO payout_attempt (task_id, n, network, hot_wallet_id, epoch, tx_id, intent, signed, timestamp_ms,
                                    expires_at_ms, reference_number, status, signed_at_ms)
        SELECT task, n, network, $1, $2, tx, intent, signed, timestamp_ms, expires_at_ms, reference, 'live', $3
        FROM unnest($4::text[], $5::int[], $6::text[], $7::text[], $8::jsonb[], $9::bytea[], $10::bigint[],
                    $11::bigint[], $12::bigint[])
             AS new (task, n, network, tx, intent, signed, timestamp_ms, expires_at_ms, reference)
        """,
        rights.hot_wallet,
        rights.epoch,
        now,
        [one.intent.task for one in ones],
        [one.intent.attempt for one in ones],
        [one.intent.network for one in ones],
        [one.signed.tx_id for one in ones],
        [one.intent for one in ones],
        [one.signed.content for one in ones],
        [one.intent.timestamp_ms for one in ones],
        [one.signed.expires_at_ms for one in ones],
        [one.signed.reference_number for one in ones],
    )
    await connection.execute(
        "UPDATE payout_task SET state = 'signing', waits_for = '', attempts = attempts + 1, due_at_ms = $2 "
        "WHERE id = ANY ($1)",
        [one.intent.task for one in ones],
        now,
    )
    facts = {
        one.intent.task: {"state": TaskState.SIGNING, "tx_id": one.signed.tx_id, "attempt": one.intent.attempt}
        for one in ones
    }
    await tell(connection, "payout.signing", facts)
