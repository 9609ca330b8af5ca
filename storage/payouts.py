"""Payouts as rows: asked for, split, held in the ledger. What happens on the chain is in `payout_attempts`.

Asking for a payout is one transaction with the ledger's holds: the money for every transfer is set aside, or there
is no payout. A payout's id follows from what it pays for, so asking twice gives the one that exists.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.errors import Refusal
from engine.ids import (
    CompanyId,
    HotWalletId,
    Instant,
    MemberId,
    PayoutId,
    PayoutTaskId,
    WalletId,
)
from engine.ledger import templates
from engine.ledger.postings import Transfer
from engine.money import AssetId, Network
from engine.payments.allowlist import AllowedWallet, Standing, is_payable, standing
from engine.payments.approval import PayoutFields, fields_hash
from engine.payments.batching import split_as_signed
from engine.payments.payout import Purpose, TaskState, WaitsFor, task_of, whole_state
from engine.payments.request import NewPayout
from engine.payments.velocity import PayoutPolicy
from storage import audit, ledger, outbox, payout_memory
from storage.address_book import allowed_wallet
from storage.database import Connection, Database, transpose
from storage.events import wake_signers
from storage.paging import BY_CREATION, Page, read_page
from storage.rows import AlreadyExistsDifferently, columns, to_money_row


class _Planned(msgspec.Struct, frozen=True):
    new: NewPayout
    policy: PayoutPolicy
    parts: tuple[int, ...]

    @property
    def holds(self) -> list[Transfer]:
        new = self.new
        # One group: the money for all parts is set aside, or none.
        return [
            msgspec.structs.replace(hold, group=new.id)
            for part, units in enumerate(self.parts, 1)
            for hold in templates.payout_held(
                new.source, new.hot_wallet_id, task_of(new.id, part), new.token, units, new.at_ms
            )
        ]


class TaskRow(msgspec.Struct, frozen=True):
    """One transfer of a payout, as people see it."""

    id: PayoutTaskId
    payout_id: PayoutId
    part: int
    amount_token: int
    state: TaskState
    waits_for: WaitsFor
    attempts: int
    failures: int
    tx_hash: str | None
    due_at_ms: Instant
    confirmed_at_ms: Instant | None


class PayoutRow(msgspec.Struct, frozen=True):
    """A payout, as people see it. `approved_by` said yes to just what it is now."""

    id: PayoutId
    company_id: CompanyId
    payee_id: CompanyId
    purpose: Purpose
    purpose_id: str
    network: Network
    token: AssetId
    amount_token: int
    to_address: str
    wallet_id: WalletId
    hot_wallet_id: HotWalletId
    initiator: str
    approvals: int
    created_at_ms: Instant
    approved_by: list[MemberId]
    tasks: list[TaskRow] = []

    @property
    def state(self) -> TaskState:
        """Give the state of the whole: what has come least far decides, and one failed part is a failed payout."""
        return whole_state([task.state for task in self.tasks])

    @property
    def fields(self) -> PayoutFields:
        """Give what people approve."""
        return PayoutFields(self.id, self.network, self.token, self.amount_token, self.to_address)


class Payouts:
    """The payouts, for reading."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, payout: PayoutId) -> PayoutRow | None:
        """Find a payout with its transfers."""
        records = await self._database.rows(f"{_SHOWN} WHERE payout.id = $1", payout)
        found = await self._with_tasks([to_money_row(record, PayoutRow) for record in records])
        return found[0] if found else None

    async def page(
        self, *, company: CompanyId | None = None, cursor: str | None = None, limit: int = 50
    ) -> Page[PayoutRow]:
        """List payouts, newest first: of all, or those that a company pays or is paid by."""
        asked = {"{} IN (payout.company_id, payee_id)": company}
        page = await read_page(self._database, _SHOWN, asked, BY_CREATION, PayoutRow, cursor, limit, to_money_row)
        return Page(await self._with_tasks(page.items), page.next_cursor)

    async def counts(self) -> dict[TaskState, int]:
        """Count the transfers in each state."""
        records = await self._database.rows("SELECT state, count(*) AS count FROM payout_task GROUP BY state")
        return {TaskState(record["state"]): record["count"] for record in records}

    async def _with_tasks(self, payouts: Sequence[PayoutRow]) -> list[PayoutRow]:
        found = await self._database.rows(
            f"SELECT {columns(TaskRow)} FROM payout_task WHERE payout_id = ANY ($1) ORDER BY payout_id, part",
            [payout.id for payout in payouts],
        )
        tasks: dict[PayoutId, list[TaskRow]] = {}
        for task in found:
            tasks.setdefault(task["payout_id"], []).append(to_money_row(task, TaskRow))
        return [msgspec.structs.replace(payout, tasks=tasks.get(payout.id, [])) for payout in payouts]


_SHOWN = """
SELECT payout.*, ARRAY(SELECT approval.member_id FROM payout_approval AS approval
                       WHERE approval.payout_id = payout.id AND approval.fields_hash = payout.fields_hash
                       ORDER BY approval.at_ms) AS approved_by
FROM payout
"""


async def request(connection: Connection, new: Sequence[NewPayout]) -> list[PayoutId | Refusal]:
    """Ask for payouts in the caller's transaction: rows, transfers under the cap, and the ledger's holds for them.

    Answers in the order asked. The same payout again gives its id; with other content `AlreadyExistsDifferently`.
    Refused, with nothing written for that payout: `asset_not_paid`, `not_allowed` (the address is new, revoked or
    not the payee's; one that cools off is accepted and waits), `wrong_hot_wallet`, `insufficient` (the ledger).
    `DatabaseRestored`: the database is older than what was signed; ask again when the signer has begun.
    """
    await ledger.take_turn(connection)
    await payout_memory.refuse_older(connection, [wish.hot_wallet_id for wish in new])
    answers: dict[PayoutId, PayoutId | Refusal] = dict(await _known(connection, new))
    planned = []
    rules = await policies(connection)
    wallets = await _wallets(connection, [wish.wallet_id for wish in new])
    owners = await _owners(connection, [wish.hot_wallet_id for wish in new])
    signed = await payout_memory.signed_parts(connection, [wish.id for wish in new])
    for wish in new:
        if wish.id not in answers:
            plan = _plan(
                wish,
                rules.get(wish.token),
                wallets.get(wish.wallet_id),
                owners.get(wish.hot_wallet_id),
                signed.get(wish.id, {}),
            )
            if isinstance(plan, Refusal):
                answers[wish.id] = plan
            else:
                planned.append(plan)
                answers[wish.id] = wish.id
    short = await _hold(connection, planned)
    await _insert(connection, [plan for plan in planned if plan.new.id not in short])
    answers |= short
    return [answers[wish.id] for wish in new]


async def policies(connection: Connection) -> dict[AssetId, PayoutPolicy]:
    """Give the rules of every asset that is paid."""
    records = await connection.fetch(
        "SELECT token, cap_token, approvals, window_ms, window_token FROM payout_policy"
    )
    return {
        record["token"]: PayoutPolicy(
            record["token"],
            int(record["cap_token"]),
            record["approvals"],
            record["window_ms"],
            int(record["window_token"]),
        )
        for record in records
    }


async def put_policy(connection: Connection, policy: PayoutPolicy, at_ms: Instant) -> None:
    """Write the rules for paying an asset."""
    await connection.execute(
        """
        INSERT INTO payout_policy (token, cap_token, approvals, window_ms, window_token, changed_at_ms)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (token) DO UPDATE SET cap_token = $2, approvals = $3, window_ms = $4, window_token = $5,
                                          changed_at_ms = $6
        """,
        *msgspec.structs.astuple(policy),
        at_ms,
    )


def _plan(
    wish: NewPayout,
    policy: PayoutPolicy | None,
    wallet: AllowedWallet | None,
    owner: tuple[Any, ...] | None,
    signed: Mapping[int, int],
) -> _Planned | Refusal:
    if policy is None:
        return Refusal("asset_not_paid", "token", f"there is no rule for paying {wish.token}")
    if owner != (wish.company_id, wish.network):
        return Refusal("wrong_hot_wallet", "hot_wallet", f"{wish.hot_wallet_id} is not {wish.company_id}'s")
    if wallet is None or not is_payable(wallet, wish.payee_id, wish.network, wish.token, wish.to_address):
        return Refusal("not_allowed", "to_address", f"{wish.to_address} is not in the list of {wish.payee_id}")
    reached = standing(wallet, wish.at_ms)
    # A deal's money has come and nobody can call it back: were there no payout, nobody could send it to another
    # address of the payee either. To an address that was revoked meanwhile it waits, and is not signed.
    if reached not in (Standing.ACTIVE, Standing.COOLING_OFF) and wish.purpose is not Purpose.PASS_THROUGH:
        return Refusal(
            "not_allowed", "to_address", f"{wish.to_address} is {reached}: only a proved address is paid"
        )
    return _Planned(wish, policy, split_as_signed(wish.units, signed, policy.cap_units))


async def _known(connection: Connection, new: Sequence[NewPayout]) -> dict[PayoutId, PayoutId]:
    records = await connection.fetch(
        "SELECT id, company_id, payee_id, purpose, purpose_id, token, amount_token FROM payout "
        "WHERE id = ANY ($1)",
        [wish.id for wish in new],
    )
    stored = {record["id"]: record for record in records}
    for wish in new:
        record = stored.get(wish.id)
        asked = (wish.id, wish.company_id, wish.payee_id, wish.purpose, wish.purpose_id, wish.token, wish.units)
        if record is not None and tuple(record) != asked:
            raise AlreadyExistsDifferently(f"payout {wish.id} exists with other content")
    return {payout: payout for payout in stored}


async def _wallets(connection: Connection, ids: Sequence[WalletId]) -> Mapping[WalletId, AllowedWallet]:
    # Shared locks: a wallet that is revoked now is revoked before or after, never in between.
    records = await connection.fetch("SELECT * FROM wallet WHERE id = ANY ($1) FOR SHARE", list(ids))
    return {record["id"]: allowed_wallet(record) for record in records}


async def _owners(connection: Connection, ids: Sequence[HotWalletId]) -> dict[HotWalletId, tuple[Any, ...]]:
    records = await connection.fetch(
        "SELECT id, company_id, network FROM hot_wallet WHERE id = ANY ($1)", list(ids)
    )
    return {record["id"]: (record["company_id"], record["network"]) for record in records}


async def _hold(connection: Connection, planned: Sequence[_Planned]) -> dict[PayoutId, Refusal]:
    holds = [(plan.new, hold) for plan in planned for hold in plan.holds]
    posted = await ledger.post(connection, [hold for _, hold in holds])
    return {
        new.id: Refusal(
            "insufficient", "units", f"{new.units} units of {new.token} are not there: {answer.result}"
        )
        for (new, _), answer in zip(holds, posted, strict=True)
        if not answer.ok
    }


async def _insert(connection: Connection, planned: Sequence[_Planned]) -> None:
    if not planned:
        return
    await connection.execute(
        """
        INSERT INTO payout (id, company_id, payee_id, purpose, purpose_id, network, token, amount_token,
                            to_address, wallet_id, hot_wallet_id, initiator, created_at_ms, approvals, fields_hash)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                             $8::numeric[], $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[],
                             $14::int[], $15::bytea[])
        """,
        *transpose(plan.new for plan in planned),
        [plan.policy.approvals for plan in planned],
        [fields_hash(plan.new.fields) for plan in planned],
    )
    tasks = [(plan.new, part, units) for plan in planned for part, units in enumerate(plan.parts, 1)]
    await connection.execute(
        """
        INSERT INTO payout_task (id, payout_id, part, amount_token, hot_wallet_id, state, due_at_ms, created_at_ms)
        SELECT id, payout, part, units, hot_wallet, 'queued', at_ms, at_ms
        FROM unnest($1::text[], $2::text[], $3::int[], $4::numeric[], $5::text[], $6::bigint[])
             AS new (id, payout, part, units, hot_wallet, at_ms)
        """,
        [task_of(new.id, part) for new, part, _ in tasks],
        [new.id for new, _, _ in tasks],
        [part for _, part, _ in tasks],
        [units for _, _, units in tasks],
        [new.hot_wallet_id for new, _, _ in tasks],
        [new.at_ms for new, _, _ in tasks],
    )
    for hot_wallet in sorted({plan.new.hot_wallet_id for plan in planned}):
        await wake_signers(connection, hot_wallet)
    facts = {plan.new.id: _shown(plan) for plan in planned}
    await outbox.write(
        connection, [outbox.NewEvent("payout.queued", payout, fact) for payout, fact in facts.items()]
    )
    await audit.append(
        connection,
        [
            audit.NewEntry(plan.new.initiator, "payout.request", f"payout:{plan.new.id}", None, facts[plan.new.id])
            for plan in planned
        ],
    )


def _shown(plan: _Planned) -> dict[str, Any]:
    new = plan.new
    return {
        "company": new.company_id,
        "payee": new.payee_id,
        "purpose": new.purpose,
        "purpose_id": new.purpose_id,
        "token": new.token,
        "units": str(new.units),
        "to_address": new.to_address,
        "parts": [str(units) for units in plan.parts],
    }
