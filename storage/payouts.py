"""Payouts as rows: asked for, split, held in the ledger. What happens on the chain is in `payout_attempts`.

Asking for a payout is one transaction with the ledger's holds: the money for every transfer is set aside, or there
is no payout. A payout's id follows from what it pays for, so asking twice gives the one that exists.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.errors import Refusal
from engine.ids import CompanyId, DealId, HotWalletId, Instant, PayoutId, SettlementId, WalletId
from engine.ledger import templates
from engine.ledger.accounts import Account, clearing, funds, suspense
from engine.ledger.postings import Transfer
from engine.money import AssetId, Network
from engine.payments.allowlist import AllowedWallet, Standing, is_payable, standing
from engine.payments.approval import PayoutFields, fields_hash
from engine.payments.batching import split
from engine.payments.payout import Purpose, task_of
from engine.payments.velocity import PayoutPolicy
from storage import audit, ledger, outbox
from storage.address_book import allowed_wallet
from storage.database import Connection
from storage.events import wake_signers
from storage.rows import AlreadyExistsDifferently


class NewPayout(msgspec.Struct, frozen=True):
    """A wish to pay. `initiator` is the member who asked, or `engine` where nobody did."""

    id: PayoutId
    company_id: CompanyId
    """Whose money it is: its APPROVERs approve."""
    payee_id: CompanyId
    purpose: Purpose
    purpose_id: str
    """The deal, the settlement, the incoming transfer …"""
    network: Network
    token: AssetId
    units: int
    to_address: str
    wallet_id: WalletId
    """The row of the payee's allow-list that the address is in."""
    hot_wallet_id: HotWalletId
    initiator: str
    at_ms: Instant

    @property
    def fields(self) -> PayoutFields:
        """Give what people approve."""
        return PayoutFields(self.id, self.network, self.token, self.units, self.to_address)

    @property
    def source(self) -> Account:
        """Give the account that the money is in until it is paid."""
        return source_of(self.purpose, self.purpose_id, self.company_id, self.hot_wallet_id, self.token)


def source_of(
    purpose: str, purpose_id: str, company: CompanyId, hot_wallet: HotWalletId, token: AssetId
) -> Account:
    """Name the account that a payout's money is in until it is paid."""
    match purpose:
        case Purpose.PASS_THROUGH:
            return clearing(DealId(purpose_id), token)
        case Purpose.EOD:
            return clearing(SettlementId(purpose_id), token)
        case Purpose.REFUND:
            return suspense(hot_wallet, token)
        case _:
            return funds(company, token)


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


async def request(connection: Connection, new: Sequence[NewPayout]) -> list[PayoutId | Refusal]:
    """Ask for payouts in the caller's transaction: rows, transfers under the cap, and the ledger's holds for them.

    Answers in the order asked. The same payout again gives its id; with other content `AlreadyExistsDifferently`.
    Refused, with nothing written for that payout: `asset_not_paid`, `not_allowed` (the address is new, revoked or
    not the payee's; one that cools off is accepted and waits), `wrong_hot_wallet`, `insufficient` (the ledger).
    """
    await ledger.take_turn(connection)
    answers: dict[PayoutId, PayoutId | Refusal] = dict(await _known(connection, new))
    planned = []
    rules = await policies(connection)
    wallets = await _wallets(connection, [wish.wallet_id for wish in new])
    owners = await _owners(connection, [wish.hot_wallet_id for wish in new])
    for wish in new:
        if wish.id not in answers:
            plan = _plan(wish, rules.get(wish.token), wallets.get(wish.wallet_id), owners.get(wish.hot_wallet_id))
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


def _plan(
    wish: NewPayout, policy: PayoutPolicy | None, wallet: AllowedWallet | None, owner: tuple[Any, ...] | None
) -> _Planned | Refusal:
    if policy is None:
        return Refusal("asset_not_paid", "token", f"there is no rule for paying {wish.token}")
    if owner != (wish.company_id, wish.network):
        return Refusal("wrong_hot_wallet", "hot_wallet", f"{wish.hot_wallet_id} is not {wish.company_id}'s")
    if wallet is None or not is_payable(wallet, wish.payee_id, wish.network, wish.token, wish.to_address):
        return Refusal("not_allowed", "to_address", f"{wish.to_address} is not in the list of {wish.payee_id}")
    reached = standing(wallet, wish.at_ms)
    if reached not in (Standing.ACTIVE, Standing.COOLING_OFF):
        return Refusal(
            "not_allowed", "to_address", f"{wish.to_address} is {reached}: only a proved address is paid"
        )
    return _Planned(wish, policy, split(wish.units, policy.cap_units))


async def _known(connection: Connection, new: Sequence[NewPayout]) -> dict[PayoutId, PayoutId]:
    records = await connection.fetch(
        "SELECT id, company_id, payee_id, purpose, purpose_id, token, amount_token FROM payout WHERE id = ANY ($1)",
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
    await connection.executemany(
        """
        INSERT INTO payout (id, company_id, payee_id, purpose, purpose_id, network, token, amount_token, to_address,
                            wallet_id, hot_wallet_id, initiator, created_at_ms, approvals, fields_hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        """,
        [
            (*msgspec.structs.astuple(plan.new), plan.policy.approvals, fields_hash(plan.new.fields))
            for plan in planned
        ],
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
