"""The named movements: what happens in the club, as transfers between accounts. Business code posts nothing else.

Every movement names its transfers after itself and its `reference` (`fund:<reference>`), so the same movement said
twice exists once. Units are positive unless it says otherwise. Nothing here is decided: whether an amount may move
is the floors' business, and that of the rules that called.
"""

from engine.ids import CompanyId, DealId, HotWalletId, Instant, PayoutTaskId, SettlementId, TransferId
from engine.ledger import accounts
from engine.ledger.accounts import Account
from engine.ledger.postings import Phase, Transfer
from engine.money import AssetId

DEPOSIT_TYPES = ("fund", "hold_open", "hold_release", "penalty", "reserve_trust", "adjustment")
"""What the seeds' `deposit_ledger` tells of; `reserve_release` is there as a negative `reserve_trust`."""

# ---------------------------------------------------------------------- what comes in


def owner_put_in(
    hot_wallet: HotWalletId, asset: AssetId, units: int, reference: str, at: Instant
) -> list[Transfer]:
    """Book what the operator has put on an address, or had there before we began; coin for fees above all."""
    return _moved("owner_put_in", accounts.wallet(hot_wallet, asset), accounts.owner(asset), units, reference, at)


def incoming_to_deal(
    hot_wallet: HotWalletId,
    deal: DealId,
    asset: AssetId,
    units: int,
    surplus_units: int,
    reference: str,
    at: Instant,
) -> list[Transfer]:
    """Credit a deal with an incoming transfer; what it brought beyond the deal goes to the tolerance account."""
    group = f"incoming_to_deal:{reference}"
    wallet, clearing = accounts.wallet(hot_wallet, asset), accounts.clearing(deal, asset)
    movement = _moved("incoming_to_deal", wallet, clearing, units, reference, at, group)
    if surplus_units:
        tolerance = accounts.tolerance(asset)
        movement += _moved("incoming_surplus", wallet, tolerance, surplus_units, reference, at, group)
    return movement


def incoming_to_funds(
    hot_wallet: HotWalletId, company: CompanyId, asset: AssetId, units: int, reference: str, at: Instant
) -> list[Transfer]:
    """Credit a company with an incoming transfer that nothing was waiting for."""
    wallet, funds = accounts.wallet(hot_wallet, asset), accounts.funds(company, asset)
    return _moved("incoming_to_funds", wallet, funds, units, reference, at)


def incoming_to_suspense(
    hot_wallet: HotWalletId, asset: AssetId, units: int, reference: str, at: Instant
) -> list[Transfer]:
    """Book an incoming transfer that somebody must look at."""
    wallet, suspense = accounts.wallet(hot_wallet, asset), accounts.suspense(hot_wallet, asset)
    return _moved("incoming_to_suspense", wallet, suspense, units, reference, at)


def incoming_to_tolerance(
    hot_wallet: HotWalletId, asset: AssetId, units: int, reference: str, at: Instant
) -> list[Transfer]:
    """Book dust."""
    wallet, tolerance = accounts.wallet(hot_wallet, asset), accounts.tolerance(asset)
    return _moved("incoming_to_tolerance", wallet, tolerance, units, reference, at)


def suspense_to_deal(
    hot_wallet: HotWalletId, deal: DealId, asset: AssetId, units: int, reference: str, at: Instant
) -> list[Transfer]:
    """Give a deal what waited in suspense, as an operator decided."""
    suspense, clearing = accounts.suspense(hot_wallet, asset), accounts.clearing(deal, asset)
    return _moved("suspense_to_deal", suspense, clearing, units, reference, at)


def suspense_to_funds(
    hot_wallet: HotWalletId, company: CompanyId, asset: AssetId, units: int, reference: str, at: Instant
) -> list[Transfer]:
    """Give a company what waited in suspense, as an operator decided."""
    suspense, funds = accounts.suspense(hot_wallet, asset), accounts.funds(company, asset)
    return _moved("suspense_to_funds", suspense, funds, units, reference, at)


def incoming_reversed(
    hot_wallet: HotWalletId, source: Account, asset: AssetId, units: int, reference: str, at: Instant
) -> list[Transfer]:
    """Take back a credit whose transfer has vanished from the chain, from the account where the money is now."""
    kind = "incoming_reversed"
    movement = Transfer(
        id=TransferId(f"{kind}:{reference}:{source.code}"),
        kind=kind,
        debit=source,
        credit=accounts.wallet(hot_wallet, asset),
        units=units,
        reference=reference,
        at_ms=at,
    )
    return [movement]


def claim(
    hot_wallet: HotWalletId, company: CompanyId, asset: AssetId, units: int, reference: str, at: Instant
) -> list[Transfer]:
    """Charge a company with what was paid out for an incoming transfer that has vanished."""
    claims, wallet = accounts.claims(company, asset), accounts.wallet(hot_wallet, asset)
    return _moved("claim", claims, wallet, units, reference, at)


# ---------------------------------------------------------------------- deposits


def fund(company: CompanyId, asset: AssetId, units: int, reference: str, at: Instant) -> list[Transfer]:
    """Turn a company's free money into collateral."""
    return _moved("fund", accounts.funds(company, asset), accounts.deposit(company, asset), units, reference, at)


def hold_open(
    company: CompanyId,
    asset: AssetId,
    units: int,
    reference: str,
    at: Instant,
    expires_at_ms: Instant | None = None,
) -> list[Transfer]:
    """Hold collateral: it gives no limit until `hold_release`, and can become a penalty."""
    hold = _deposit_hold("hold_open", company, asset, units, reference, at, Phase.PENDING, expires_at_ms)
    return [hold]


def hold_release(company: CompanyId, asset: AssetId, reference: str, at: Instant) -> list[Transfer]:
    """End the hold that `hold_open` made under the same reference."""
    return [_deposit_hold("hold_release", company, asset, 0, reference, at, Phase.VOID)]


def penalty(company: CompanyId, asset: AssetId, units: int, reference: str, at: Instant) -> list[Transfer]:
    """Forfeit what `hold_open` holds under the same reference, all (0) or a part; the rest is free again."""
    return [_deposit_hold("penalty", company, asset, units, reference, at, Phase.POST)]


def reserve_trust(company: CompanyId, asset: AssetId, units: int, reference: str, at: Instant) -> list[Transfer]:
    """Set collateral aside for a trust pair."""
    deposit, reserve = accounts.deposit(company, asset), accounts.reserve(company, asset)
    return _moved("reserve_trust", deposit, reserve, units, reference, at)


def reserve_release(company: CompanyId, asset: AssetId, units: int, reference: str, at: Instant) -> list[Transfer]:
    """Give collateral back that was set aside for a trust pair."""
    reserve, deposit = accounts.reserve(company, asset), accounts.deposit(company, asset)
    return _moved("reserve_release", reserve, deposit, units, reference, at)


def adjustment(company: CompanyId, asset: AssetId, units: int, reference: str, at: Instant) -> list[Transfer]:
    """Correct a deposit by hand, up (positive) or down (negative), against what the operator has put in."""
    deposit, owner = accounts.deposit(company, asset), accounts.owner(asset)
    debit, credit = (owner, deposit) if units > 0 else (deposit, owner)
    return _moved("adjustment", debit, credit, abs(units), reference, at)


# ---------------------------------------------------------------------- what goes out


def settlement_funded(
    company: CompanyId, settlement: SettlementId, asset: AssetId, units: int, at: Instant
) -> list[Transfer]:
    """Set a company's money aside for what it owes after a close."""
    funds, clearing = accounts.funds(company, asset), accounts.clearing(settlement, asset)
    return _moved("settlement_funded", funds, clearing, units, settlement, at)


def clearing_returned(
    what: DealId | SettlementId, company: CompanyId, asset: AssetId, units: int, reference: str, at: Instant
) -> list[Transfer]:
    """Give a company back what came in for a deal or settlement that nothing will be paid for."""
    clearing, funds = accounts.clearing(what, asset), accounts.funds(company, asset)
    return _moved("clearing_returned", clearing, funds, units, reference, at)


def payout_held(
    source: Account, hot_wallet: HotWalletId, task: PayoutTaskId, asset: AssetId, units: int, at: Instant
) -> list[Transfer]:
    """Hold what a payout's transfer is to pay: at its source (clearing, funds, suspense) and in the wallet."""
    return [_payout("payout_held", source, hot_wallet, task, asset, units, at, Phase.PENDING)]


def payout_paid(
    source: Account, hot_wallet: HotWalletId, task: PayoutTaskId, asset: AssetId, at: Instant
) -> list[Transfer]:
    """Book a payout's transfer as paid: all that `payout_held` holds for it."""
    return [_payout("payout_paid", source, hot_wallet, task, asset, 0, at, Phase.POST)]


def payout_released(
    source: Account, hot_wallet: HotWalletId, task: PayoutTaskId, asset: AssetId, at: Instant
) -> list[Transfer]:
    """End the hold of a payout's transfer that will never be paid."""
    return [_payout("payout_released", source, hot_wallet, task, asset, 0, at, Phase.VOID)]


def network_fee(hot_wallet: HotWalletId, coin: AssetId, units: int, reference: str, at: Instant) -> list[Transfer]:
    """Book what a transaction has burned; `reference` is the transaction's id."""
    return _moved(
        "network_fee", accounts.network_fees(coin), accounts.wallet(hot_wallet, coin), units, reference, at
    )


# ---------------------------------------------------------------------- corrections


def proved_loss(
    hot_wallet: HotWalletId, asset: AssetId, units: int, reference: str, at: Instant
) -> list[Transfer]:
    """Book as the operator's loss what has left an address by no payout. What companies own stays as it is."""
    return _moved("proved_loss", accounts.losses(asset), accounts.wallet(hot_wallet, asset), units, reference, at)


def reversal(of: Transfer, at: Instant) -> list[Transfer]:
    """Undo a movement that was a mistake: the same units the other way. A hold is resolved, not reversed."""
    if of.phase is not Phase.POSTED:
        raise ValueError(f"{of.id} is {of.phase}: only what is posted at once can be reversed")
    mirrored = Transfer(
        id=TransferId(f"reversal:{of.id}"),
        kind="reversal",
        debit=of.credit,
        credit=of.debit,
        units=of.units,
        reference=of.reference,
        at_ms=at,
    )
    return [mirrored]


# ---------------------------------------------------------------------- shapes


def _moved(
    kind: str, debit: Account, credit: Account, units: int, reference: str, at: Instant, group: str = ""
) -> list[Transfer]:
    transfer = Transfer(_id(kind, reference), kind, debit, credit, units, reference, at, group=group)
    return [transfer]


def _deposit_hold(
    kind: str,
    company: CompanyId,
    asset: AssetId,
    units: int,
    reference: str,
    at: Instant,
    phase: Phase,
    expires_at_ms: Instant | None = None,
) -> Transfer:
    return Transfer(
        id=_id(kind, reference),
        kind=kind,
        debit=accounts.deposit(company, asset),
        credit=accounts.penalties(asset),
        units=units,
        reference=reference,
        at_ms=at,
        phase=phase,
        resolves=None if phase is Phase.PENDING else _id("hold_open", reference),
        expires_at_ms=expires_at_ms,
    )


def _payout(
    kind: str,
    source: Account,
    hot_wallet: HotWalletId,
    task: PayoutTaskId,
    asset: AssetId,
    units: int,
    at: Instant,
    phase: Phase,
) -> Transfer:
    return Transfer(
        id=_id(kind, task),
        kind=kind,
        debit=source,
        credit=accounts.wallet(hot_wallet, asset),
        units=units,
        reference=task,
        at_ms=at,
        phase=phase,
        resolves=None if phase is Phase.PENDING else _id("payout_held", task),
    )


def _id(kind: str, reference: str) -> TransferId:
    return TransferId(f"{kind}:{reference}")
