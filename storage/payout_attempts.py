"""Signed bytes as rows, written under the signer's lease: started, handed over, paid or proved dead.

Starting is the one place where a payout becomes able to pay. It is one transaction in the ledger's turn that reads
every gate again (freezes, allow-list, approvals, cap, velocity, the hold) and writes the bytes only where all are
open. Unique indexes are the last line behind it: one live attempt per task, one transaction per row.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from engine.ids import CompanyId, HotWalletId, Instant, PayoutTaskId, TxId
from engine.ledger import templates
from engine.ledger.postings import Transfer
from engine.money import AssetId, Network
from engine.payments.allowlist import AllowedWallet, is_payable, standing
from engine.payments.approval import Approval, PayoutFields, fields_hash, missing
from engine.payments.chain import Included, PayoutIntent, SignedPayout
from engine.payments.freeze import Freeze, stopping
from engine.payments.payout import (
    ENGINE,
    MOVES,
    Attempt,
    Bury,
    Confirm,
    Gates,
    Task,
    TaskState,
    WaitsFor,
    held_back_by,
)
from engine.payments.velocity import PayoutPolicy, room_units
from storage import alarms, audit, deals, freezes, ledger, outbox
from storage.address_book import allowed_wallet
from storage.database import Connection
from storage.leases import guard
from storage.payout_memory import SignerRights, require_seen
from storage.payouts import policies, source_of


class Candidate(msgspec.Struct, frozen=True):
    """A transfer without live bytes, with all that decides whether it may have some."""

    task: Task
    payout: PayoutFields
    purpose: str
    purpose_id: str
    companies: frozenset[CompanyId]
    payee: CompanyId
    contract: str
    sender: str
    next_attempt: int
    wallet: AllowedWallet
    initiator: str
    approvals: int
    approvers: frozenset[Any]
    """Who said yes to just these fields, and is an APPROVER now."""
    approved_hash: bytes
    is_held: bool
    is_forgotten: bool
    """The journal knows attempts of it that the database has forgotten."""
    waits_for: WaitsFor


class Surroundings(msgspec.Struct, frozen=True):
    """What holds for all transfers of a wallet: freezes, rules, and what has gone within their windows."""

    freezes: Sequence[Freeze]
    policies: Mapping[AssetId, PayoutPolicy]
    gone: Mapping[AssetId, int]


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


class Ending(msgspec.Struct, frozen=True):
    """What is certain about a live attempt."""

    live: Live
    decided: Confirm | Bury


class Started(msgspec.Struct, frozen=True):
    """What became of prepared bytes: written, or held back by a gate that closed meanwhile."""

    written: list[PayoutTaskId]
    held_back: dict[PayoutTaskId, WaitsFor]


# ---------------------------------------------------------------------- reading

_CANDIDATES = """
SELECT task.id, task.state, task.amount_token, task.failures, task.attempts, task.waits_for,
       payout.id AS payout_id, payout.network, payout.token, payout.amount_token AS payout_units,
       payout.to_address, payout.purpose, payout.purpose_id, payout.company_id AS payer_id, payout.payee_id,
       payout.initiator, payout.approvals, payout.fields_hash, asset.contract, hot.address AS sender, wallet.*,
       ARRAY(SELECT approval.member_id FROM payout_approval AS approval
             JOIN company_member AS role ON role.member_id = approval.member_id
                  AND role.company_id = payout.company_id AND role.role = 'APPROVER'
             WHERE approval.payout_id = payout.id AND approval.fields_hash = payout.fields_hash) AS approvers,
       EXISTS (SELECT FROM payout_forgotten AS forgotten
               WHERE forgotten.task_id = task.id AND forgotten.bound_at_ms IS NULL) AS is_forgotten,
       EXISTS (SELECT FROM ledger_hold AS hold WHERE hold.id = 'payout_held:' || task.id) AS is_held
FROM payout_task AS task
JOIN payout ON payout.id = task.payout_id
JOIN assets AS asset ON asset.id = payout.token
JOIN hot_wallet AS hot ON hot.id = task.hot_wallet_id
JOIN (SELECT id AS allowed_id, company_id, network AS allowed_network, token AS allowed_token, address, label,
             challenge_units, challenge_until_ms, verified_at_ms, active_from_ms, revoked_at_ms, created_at_ms
      FROM wallet) AS wallet ON wallet.allowed_id = payout.wallet_id
WHERE task.state IN ('queued', 'signing')
  AND NOT EXISTS (SELECT FROM payout_attempt AS attempt
                  WHERE attempt.task_id = task.id AND attempt.status IN ('live', 'confirmed'))
"""


async def due(connection: Connection, hot_wallet: HotWalletId, now: Instant, limit: int) -> list[Candidate]:
    """List the transfers of a wallet that are to be looked at now and have no live bytes, the longest due first."""
    records = await connection.fetch(
        _CANDIDATES + "AND task.hot_wallet_id = $1 AND task.due_at_ms <= $2 "
        "ORDER BY task.due_at_ms, task.created_at_ms, task.id LIMIT $3",
        hot_wallet,
        now,
        limit,
    )
    return [_candidate(record) for record in records]


async def surroundings(connection: Connection, hot_wallet: HotWalletId, now: Instant) -> Surroundings:
    """Read what holds for all transfers of a wallet."""
    records = await connection.fetch(
        """
        SELECT payout.token, sum(task.amount_token) AS gone
        FROM payout_attempt AS attempt
        JOIN payout_task AS task ON task.id = attempt.task_id
        JOIN payout ON payout.id = task.payout_id
        JOIN payout_policy AS policy ON policy.token = payout.token
        WHERE attempt.hot_wallet_id = $1 AND attempt.status <> 'dead'
          AND attempt.signed_at_ms > $2 - policy.window_ms
        GROUP BY payout.token
        """,
        hot_wallet,
        now,
    )
    gone = {record["token"]: int(record["gone"]) for record in records}
    return Surroundings(await freezes.in_force(connection), await policies(connection), gone)


def gates(candidate: Candidate, around: Surroundings, hot_wallet: HotWalletId, now: Instant) -> Gates:
    """Bring a candidate's facts into the form that the rules decide on. What the wallet can afford comes apart."""
    fields = candidate.payout
    policy = around.policies.get(fields.asset)
    frozen_by = stopping(around.freezes, fields.network, hot_wallet, candidate.companies)
    # The hash is computed from the row again: who changes a field behind our back voids the approvals as well.
    is_as_approved = fields_hash(fields) == candidate.approved_hash
    is_listed = is_payable(candidate.wallet, candidate.payee, fields.network, fields.asset, fields.destination)
    given = [Approval(member, candidate.approved_hash) for member in candidate.approvers]
    return Gates(
        is_frozen=frozen_by is not None or candidate.is_forgotten,
        standing=standing(candidate.wallet, now) if is_listed and is_as_approved else None,
        approvals_missing=missing(
            candidate.approvals, given, candidate.approved_hash, candidate.approvers, candidate.initiator
        ),
        cap_units=0 if policy is None else policy.cap_units,
        room_units=0 if policy is None else room_units(policy, around.gone.get(fields.asset, 0)),
        is_held=candidate.is_held,
    )


async def live(connection: Connection, hot_wallet: HotWalletId) -> list[Live]:
    """List a wallet's live attempts, oldest first."""
    records = await connection.fetch(
        """
        SELECT attempt.intent, attempt.signed, attempt.tx_id, attempt.expires_at_ms, attempt.reference_number,
               attempt.handed_over_at_ms, attempt.signed_at_ms, task.waits_for, task.id, task.state, task.amount_token, task.failures,
               payout.company_id, payout.payee_id
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


# ---------------------------------------------------------------------- writing


async def start(
    connection: Connection, rights: SignerRights, prepared: Sequence[Prepared], now: Instant
) -> Started:
    """Write signed bytes whose gates are all still open. Only what is written may ever be shown to a node.

    `StaleEpoch`: another signer holds the wallet. `DatabaseRestored`: compare the journal again.
    """
    await guard(connection, rights.lease, rights.epoch)
    await ledger.take_turn(connection)
    await require_seen(connection, rights.hot_wallet)
    records = await connection.fetch(
        _CANDIDATES + "AND task.id = ANY ($1) ORDER BY task.id FOR UPDATE OF task",
        [one.intent.task for one in prepared],
    )
    candidates = {candidate.task.id: candidate for candidate in map(_candidate, records)}
    around = await surroundings(connection, rights.hot_wallet, now)
    gone = dict(around.gone)
    written, held_back = [], {}
    for one in prepared:
        candidate = candidates.get(one.intent.task)
        if candidate is None or not _is_meant(one.intent, candidate, rights.hot_wallet):
            # Given up or redirected meanwhile, or it has bytes already: the next round looks at it as it is then.
            held_back[one.intent.task] = WaitsFor.NOTHING
            continue
        now_around = msgspec.structs.replace(around, gone=gone)
        code = held_back_by(candidate.task.units, gates(candidate, now_around, rights.hot_wallet, now))
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
        "UPDATE payout_attempt SET handed_over_at_ms = $2 WHERE tx_id = ANY ($1) AND status = 'live'",
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
    await _tell(connection, "payout.broadcast", {task.id: {"state": TaskState.BROADCAST} for task in first})


async def end(
    connection: Connection, rights: SignerRights, endings: Sequence[Ending], failures_max: int, now: Instant
) -> None:
    """Write what is certain about attempts, with its proof, the ledger's movements and what follows for the deal."""
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
    await alarms.clear_alarms(connection, "stuck_payout", tasks, now)
    facts = {
        one.live.task.id: {
            "state": TaskState.CONFIRMED if isinstance(one.decided, Confirm) else TaskState.SIGNING,
            "tx_id": one.live.attempt.signed.tx_id,
            "because": "" if isinstance(one.decided, Confirm) else one.decided.because,
        }
        for one in fresh
    }
    await _tell(connection, "payout.attempt_ended", facts)


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


# ---------------------------------------------------------------------- how


def _candidate(record: asyncpg.Record) -> Candidate:
    facts = dict(record)
    wallet = facts | {
        "id": facts["allowed_id"],
        "network": facts["allowed_network"],
        "token": facts["allowed_token"],
    }
    return Candidate(
        task=_task(record),
        payout=PayoutFields(
            facts["payout_id"],
            Network(facts["network"]),
            facts["token"],
            int(facts["payout_units"]),
            facts["to_address"],
        ),
        purpose=facts["purpose"],
        purpose_id=facts["purpose_id"],
        companies=frozenset((facts["payer_id"], facts["payee_id"])),
        payee=facts["payee_id"],
        contract=facts["contract"],
        sender=facts["sender"],
        next_attempt=facts["attempts"] + 1,
        wallet=allowed_wallet(wallet),
        initiator=facts["initiator"],
        approvals=facts["approvals"],
        approvers=frozenset(facts["approvers"]),
        approved_hash=facts["fields_hash"],
        is_held=facts["is_held"],
        is_forgotten=facts["is_forgotten"],
        waits_for=WaitsFor(facts["waits_for"]),
    )


def _live(record: asyncpg.Record) -> Live:
    intent = msgspec.convert(record["intent"], PayoutIntent)
    signed = SignedPayout(record["tx_id"], record["signed"], record["expires_at_ms"], record["reference_number"])
    return Live(
        _task(record),
        frozenset((record["company_id"], record["payee_id"])),
        Attempt(intent, signed, record["handed_over_at_ms"]),
        record["signed_at_ms"],
        WaitsFor(record["waits_for"]),
    )


def _task(record: asyncpg.Record) -> Task:
    return Task(record["id"], TaskState(record["state"]), int(record["amount_token"]), record["failures"])


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
    await _tell(connection, "payout.signing", facts)


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
    for record in {record["payout_id"]: record for record in records if record["payout_id"] in done}.values():
        await deals.on_paid(connection, record["purpose"], record["purpose_id"], TxId(record["tx_hash"]), now)


async def _book_paid(
    connection: Connection, hot_wallet: HotWalletId, records: Sequence[asyncpg.Record], now: Instant
) -> None:
    transfers = [transfer for record in records for transfer in _paid(hot_wallet, record, now)]
    for transfer, answer in zip(transfers, await ledger.post(connection, transfers), strict=True):
        if not answer.ok:
            # The chain has paid; the books must follow, and a person must see why they cannot.
            detail = f"{transfer.reference} was paid, but the ledger says {answer.result}"
            await alarms.raise_alarm(connection, "reconciliation_break", transfer.reference, 1, detail, now)


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
            await alarms.raise_alarm(connection, "payout_failed", record["id"], 1, detail, now)


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
            await alarms.raise_alarm(connection, "reconciliation_break", hot_wallet, 2, detail, now)


async def _tell(connection: Connection, topic: str, facts: Mapping[PayoutTaskId, Mapping[str, Any]]) -> None:
    if not facts:
        return
    await outbox.write(connection, [outbox.NewEvent(topic, task, fact) for task, fact in facts.items()])
    await audit.append(
        connection,
        [audit.NewEntry(ENGINE, topic, f"payout_task:{task}", None, fact) for task, fact in facts.items()],
    )
