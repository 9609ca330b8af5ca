"""What remains of a pair's day: per asset, the difference between both directions, with yesterday's rest.

The rest of an earlier day is netted with the new one, so a pair owes at most one amount per asset at any time.
N1: |net| = |Σ a→b − Σ b→a|, the carried rest among them. N4: what one side is to get, the other is to pay, so the
positions of all companies sum up to nothing in each asset.
"""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from engine.ids import CompanyId, Instant, SettlementId, TrustSessionId
from engine.money import AssetId
from engine.settlement.deals import Deal


class Carried(msgspec.Struct, frozen=True):
    """The unpaid rest of an earlier settlement. `since_ms` is the cut-off at which the debt began."""

    settlement: SettlementId
    payer: CompanyId
    payee: CompanyId
    asset: AssetId
    units: int
    since_ms: Instant


class Net(msgspec.Struct, frozen=True):
    """What one side of a pair owes the other in one asset after a day. `units` 0: they are quits."""

    session: TrustSessionId
    payer: CompanyId
    payee: CompanyId
    asset: AssetId
    units: int
    carried_in: int
    """The rest of earlier days within it, as the payer sees it: negative when the payee owed it."""
    carried_from: SettlementId | None
    since_ms: Instant
    """When the debt began: older debts are paid first."""


def net(
    session: TrustSessionId, cutoff_at_ms: Instant, deals: Iterable[Deal], carried: Iterable[Carried]
) -> list[Net]:
    """Net one session: one row per asset that had a deal or a carried rest, by asset."""
    balances: defaultdict[AssetId, defaultdict[CompanyId, int]] = defaultdict(lambda: defaultdict(int))
    for deal in deals:
        _owe(balances[deal.token], deal.payer_company_id, deal.payee_company_id, deal.amount_token)
    rests = {rest.asset: rest for rest in carried}
    for rest in rests.values():
        _owe(balances[rest.asset], rest.payer, rest.payee, rest.units)
    return [_net(session, cutoff_at_ms, asset, owed, rests.get(asset)) for asset, owed in sorted(balances.items())]


def positions(nets: Iterable[Net]) -> dict[AssetId, dict[CompanyId, int]]:
    """Give what each company gets (or pays, below zero) in each asset, over any number of pairs."""
    total: defaultdict[AssetId, defaultdict[CompanyId, int]] = defaultdict(lambda: defaultdict(int))
    for one in nets:
        total[one.asset][one.payee] += one.units
        total[one.asset][one.payer] -= one.units
    return {asset: dict(by_company) for asset, by_company in total.items()}


def _owe(owed: defaultdict[CompanyId, int], payer: CompanyId, payee: CompanyId, units: int) -> None:
    owed[payer] += units
    owed[payee] -= units


def _net(
    session: TrustSessionId,
    cutoff_at_ms: Instant,
    asset: AssetId,
    owed: defaultdict[CompanyId, int],
    rest: Carried | None,
) -> Net:
    # By name where both are quits, so that the same day always nets to the same row.
    payer, payee = sorted(owed, key=lambda company: (-owed[company], company))
    carried_in = 0 if rest is None else rest.units if rest.payer == payer else -rest.units
    is_old_debt = rest is not None and rest.payer == payer
    return Net(
        session=session,
        payer=payer,
        payee=payee,
        asset=asset,
        units=owed[payer],
        carried_in=carried_in,
        carried_from=None if rest is None else rest.settlement,
        since_ms=rest.since_ms if rest is not None and is_old_debt else cutoff_at_ms,
    )
