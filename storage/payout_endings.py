"""The ends of attempts: paid or proved dead, with the proof, the ledger's movements and what follows.

An end is written once and for ever, in the ledger's turn. What is dead puts its transfer back in line; what is
paid ends it, and with the last of its transfers the payout, and with that the deal or settlement that it was for.
"""

from collections.abc import Sequence

import asyncpg
import msgspec

from engine.ids import HotWalletId, Instant, TxId
from engine.ledger import templates
from engine.ledger.postings import Transfer
from engine.money import AssetId
from engine.payments.alarms import AlarmKind, Severity
from engine.payments.chain import Included
from engine.payments.payout import MOVES, Bury, Confirm, Purpose, TaskState
from engine.payments.request import source_of
from storage import alarms, deals, ledger
from storage.database import Connection
from storage.deals import Paid
from storage.leases import guard
from storage.payout_attempts import Live, tell
from storage.payout_memory import SignerRights


class Ending(msgspec.Struct, frozen=True):
    """What is certain about a live attempt."""

    live: Live
    decided: Confirm | Bury


async def end(
    connection: Connection, rights: SignerRights, endings: Sequence[Ending], failures_max: int, now: Instant
) -> None:
    """Write what is certain about attempts: the proof, the ledger's movements, what follows for the deal."""
    if not endings:
        return
    await guard(connection, rights.lease, rights.epoch)
    await ledger.take_turn(connection)
    fresh = await _close(connection, endings, now)
    paid = [one for one in fresh if isinstance(one.decided, Confirm)]
    dead = [one for one in fresh if isinstance(one.decided, Bury)]
    await _settle(connection, rights.hot_wallet, paid, now)
    await _put_back(connection, dead, failures_max, now)
    await _book_fees(connection, rights.hot_wallet, fresh, now)
    tasks = [one.live.task.id for one in fresh]
    await alarms.clear_alarms(connection, AlarmKind.STUCK_PAYOUT, tasks, now)
    facts = {
        one.live.task.id: {
            "state": TaskState.CONFIRMED if isinstance(one.decided, Confirm) else TaskState.SIGNING,
            "tx_id": one.live.attempt.signed.tx_id,
            "because": "" if isinstance(one.decided, Confirm) else one.decided.because,
        }
        for one in fresh
    }
    await tell(connection, "payout.attempt_ended", facts)


async def _close(connection: Connection, endings: Sequence[Ending], now: Instant) -> list[Ending]:
    """End attempts that are still live; give those that this has ended."""
    records = await connection.fetch(
        """
        UPDATE payout_attempt SET status = said.status, ended_because = said.because, evidence = said.proof,
                                  ended_at_ms = $1
        FROM unnest($2::text[], $3::text[], $4::text[], $5::jsonb[]) AS said (tx, status, because, proof)
        WHERE tx_id = tx AND payout_attempt.status = 'live' RETURNING tx_id
        """,
        now,
        [one.live.attempt.signed.tx_id for one in endings],
        ["confirmed" if isinstance(one.decided, Confirm) else "dead" for one in endings],
        ["paid" if isinstance(one.decided, Confirm) else one.decided.because for one in endings],
        [one.decided.proof for one in endings],
    )
    ended = {record["tx_id"] for record in records}
    return [one for one in endings if one.live.attempt.signed.tx_id in ended]


async def _settle(connection: Connection, hot_wallet: HotWalletId, paid: Sequence[Ending], now: Instant) -> None:
    if not paid:
        return
    for one in paid:
        MOVES.check(one.live.task.state, TaskState.CONFIRMED)
    records = await connection.fetch(
        """
        UPDATE payout_task SET state = 'confirmed', waits_for = '', tx_hash = tx, confirmed_at_ms = $1
        FROM unnest($2::text[], $3::text[]) AS said (task, tx), payout
        WHERE payout_task.id = task AND payout.id = payout_id AND state <> 'confirmed'
        RETURNING payout_task.id, tx_hash, payout_id, token, purpose, purpose_id, company_id
        """,
        now,
        [one.live.task.id for one in paid],
        [one.live.attempt.signed.tx_id for one in paid],
    )
    await _book_paid(connection, hot_wallet, records, now)
    whole = await connection.fetch(
        "SELECT payout_id FROM payout_task WHERE payout_id = ANY ($1) GROUP BY payout_id "
        "HAVING bool_and(state = 'confirmed')",
        list({record["payout_id"] for record in records}),
    )
    done = {record["payout_id"] for record in whole}
    newest = {record["payout_id"]: record for record in records if record["payout_id"] in done}
    confirmed = [
        Paid(Purpose(each["purpose"]), each["purpose_id"], TxId(each["tx_hash"])) for each in newest.values()
    ]
    await deals.on_paid(connection, confirmed, now)


async def _book_paid(
    connection: Connection, hot_wallet: HotWalletId, records: Sequence[asyncpg.Record], now: Instant
) -> None:
    transfers = [transfer for record in records for transfer in _paid(hot_wallet, record, now)]
    for transfer, answer in zip(transfers, await ledger.post(connection, transfers), strict=True):
        if not answer.ok:
            # The chain has paid; the books must follow, and a person must see why they cannot.
            detail = f"{transfer.reference} was paid, but the ledger says {answer.result}"
            await alarms.raise_alarm(
                connection, AlarmKind.RECONCILIATION_BREAK, transfer.reference, Severity.SEV1, detail, now
            )


def _paid(hot_wallet: HotWalletId, record: asyncpg.Record, now: Instant) -> list[Transfer]:
    token = record["token"]
    source = source_of(record["purpose"], record["purpose_id"], record["company_id"], hot_wallet, token)
    return templates.payout_paid(source, hot_wallet, record["id"], token, now)


async def _put_back(connection: Connection, dead: Sequence[Ending], failures_max: int, now: Instant) -> None:
    if not dead:
        return
    records = await connection.fetch(
        """
        UPDATE payout_task SET state = 'signing', waits_for = '', due_at_ms = $1, failures = failures + failed::int
        FROM unnest($2::text[], $3::bool[]) AS said (task, failed)
        WHERE id = task AND state IN ('signing', 'broadcast') RETURNING id, failures
        """,
        now,
        [one.live.task.id for one in dead],
        [isinstance(one.decided, Bury) and one.decided.failed for one in dead],
    )
    for record in records:
        if record["failures"] >= failures_max:
            detail = f"{record['failures']} attempts were included and moved nothing: decide whether to try again"
            await alarms.raise_alarm(connection, AlarmKind.PAYOUT_FAILED, record["id"], Severity.SEV1, detail, now)


async def _book_fees(
    connection: Connection, hot_wallet: HotWalletId, ended: Sequence[Ending], now: Instant
) -> None:
    included = [
        (one.live.attempt.intent, one.decided.proof.receipt)
        for one in ended
        if isinstance(one.decided.proof, Included)
    ]
    burned = [(intent, receipt) for intent, receipt in included if receipt.fee_units > 0]
    if not burned:
        return
    coin: AssetId = await connection.fetchval(
        "SELECT id FROM assets WHERE network = $1 AND contract = ''", burned[0][0].network
    )
    transfers = [
        transfer
        for intent, receipt in burned
        if receipt.payer in ("", intent.sender)
        for transfer in templates.network_fee(hot_wallet, coin, receipt.fee_units, receipt.tx_id, now)
    ]
    for transfer, answer in zip(transfers, await ledger.post(connection, transfers), strict=True):
        if not answer.ok:
            detail = f"the fee of {transfer.reference} is burned, but the ledger says {answer.result}"
            await alarms.raise_alarm(
                connection, AlarmKind.RECONCILIATION_BREAK, hot_wallet, Severity.SEV2, detail, now
            )
