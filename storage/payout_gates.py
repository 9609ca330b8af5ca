"""What decides whether a transfer may be signed now, read from the database in one go for many.

Read once before anything is signed, so that nothing is signed in vain, and again in the transaction that writes
the bytes, in the ledger's turn. Both readings are the same code.
"""

from collections.abc import Mapping, Sequence

import asyncpg
import msgspec

from engine.ids import CompanyId, HotWalletId, Instant, MemberId, PayoutTaskId
from engine.money import AssetId, Network
from engine.payments.allowlist import AllowedWallet, is_payable, standing
from engine.payments.approval import Approval, PayoutFields, fields_hash, missing
from engine.payments.freeze import Freeze, stopping
from engine.payments.payout import Gates, Task, TaskState
from engine.payments.velocity import PayoutPolicy, room_units
from storage import freezes
from storage.address_book import allowed_wallet
from storage.database import Connection
from storage.payouts import policies


class Candidate(msgspec.Struct, frozen=True):
    """A transfer without live bytes, with all that decides whether it may have some."""

    task: Task
    payout: PayoutFields
    companies: frozenset[CompanyId]
    payee: CompanyId
    contract: str
    sender: str
    next_attempt: int
    wallet: AllowedWallet
    initiator: str
    approvals: int
    approvers: frozenset[MemberId]
    """Who said yes to just these fields, and is an APPROVER now."""
    approved_hash: bytes
    is_held: bool
    is_forgotten: bool
    """The journal knows attempts of it that the database has forgotten."""


class Surroundings(msgspec.Struct, frozen=True):
    """What holds for all transfers of a wallet: freezes, rules, and what has gone within their windows."""

    freezes: Sequence[Freeze]
    policies: Mapping[AssetId, PayoutPolicy]
    gone: Mapping[AssetId, int]


_CANDIDATES = """
SELECT task.id, task.state, task.amount_token, task.failures, task.attempts,
       payout.id AS payout_id, payout.network, payout.token, payout.amount_token AS payout_units,
       payout.to_address, payout.company_id AS payer_id, payout.payee_id,
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
    """List a wallet's transfers that are to be looked at now and have no live bytes, the longest due first."""
    records = await connection.fetch(
        _CANDIDATES + "AND task.hot_wallet_id = $1 AND task.due_at_ms <= $2 "
        "ORDER BY task.due_at_ms, task.created_at_ms, task.id LIMIT $3",
        hot_wallet,
        now,
        limit,
    )
    return [_candidate(record) for record in records]


async def locked(connection: Connection, tasks: Sequence[PayoutTaskId]) -> dict[PayoutTaskId, Candidate]:
    """Read those of these transfers that still have no live bytes, and keep them so until the transaction ends."""
    records = await connection.fetch(
        _CANDIDATES + "AND task.id = ANY ($1) ORDER BY task.id FOR UPDATE OF task", list(tasks)
    )
    return {candidate.task.id: candidate for candidate in map(_candidate, records)}


async def unchanged(connection: Connection, candidates: Sequence[Candidate]) -> set[PayoutTaskId]:
    """Name those of these transfers that are still as they were read, and keep them so for the transaction."""
    tasks = [candidate.task.id for candidate in candidates]
    # A statement of its own: one that waits for a decision's commit does not see what was decided.
    await connection.execute("SELECT FROM payout_task WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE", tasks)
    records = await connection.fetch(_CANDIDATES + "AND task.id = ANY ($1)", tasks)
    now = {candidate.task.id: candidate for candidate in map(_candidate, records)}
    return {each.task.id for each in candidates if now.get(each.task.id) == each}


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


def _candidate(record: asyncpg.Record) -> Candidate:
    facts = dict(record)
    wallet = facts | {
        "id": facts["allowed_id"],
        "network": facts["allowed_network"],
        "token": facts["allowed_token"],
    }
    return Candidate(
        task=task_of_record(record),
        payout=PayoutFields(
            facts["payout_id"],
            Network(facts["network"]),
            facts["token"],
            int(facts["payout_units"]),
            facts["to_address"],
        ),
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
    )


def task_of_record(record: asyncpg.Record) -> Task:
    """Read what the rules need to know of a transfer."""
    return Task(record["id"], TaskState(record["state"]), int(record["amount_token"]), record["failures"])
