"""The close of one or several sessions: what is paid today, what is carried to the next day, and why.

Payers pay from their free funds. Where several debts compete for one company's money, the oldest comes first,
then the larger. A debt is paid in full, or as far as the money goes (partial), or not at all; the rest is carried
to the next session (T+1). One payout settles all deals of a session in one asset. N2: paid + carried = net.

A dry run is this same plan; only its effects are rolled back.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from enum import StrEnum

import msgspec

from engine.ids import CompanyId, SettlementId, TrustSessionId
from engine.money import AssetId
from engine.settlement.netting import Net


class CarriedBecause(StrEnum):
    """Why a debt is not paid in full today."""

    NOTHING = ""
    SHORT = "short_of_funds"
    NO_WALLET = "no_active_wallet"
    """The payee has no active address in its allow-list."""
    REFUSED = "payout_refused"


class SettlementStatus(StrEnum):
    """How the part that is paid stands. What is carried lives on in the next session's settlement."""

    CARRIED = "carried"
    """Nothing of it is paid."""
    QUEUED = "queued"
    """Its payout is on its way."""
    SETTLED = "settled"


class Settlement(msgspec.Struct, frozen=True):
    """What becomes of one net: `paid` goes out now, `carried` to the next session."""

    id: SettlementId
    net: Net
    paid: int
    carried: int
    because: CarriedBecause


class Link(msgspec.Struct, frozen=True):
    """One settlement of a chain of carried rests."""

    id: SettlementId
    status: SettlementStatus
    carried_token: int


class ClosePlan(msgspec.Struct, frozen=True):
    """The close of sessions, in the order in which debts are paid."""

    settlements: tuple[Settlement, ...]

    def of(self, session: TrustSessionId) -> list[Settlement]:
        """Give the settlements of one session."""
        return [one for one in self.settlements if one.net.session == session]


def plan(
    nets: Iterable[Net],
    funds: Mapping[tuple[CompanyId, AssetId], int],
    unpayable: Mapping[SettlementId, CarriedBecause],
) -> ClosePlan:
    """Decide what each net pays out of its payer's funds. `unpayable` debts are carried whole, with the reason."""
    left, settlements = dict(funds), []
    for one in sorted(nets, key=lambda net: (net.since_ms, -net.units, net.session, net.asset)):
        name, purse = settlement_id(one.session, one.asset), (one.payer, one.asset)
        barred = unpayable.get(name) if one.units else None
        paid = 0 if barred is not None else min(one.units, left.get(purse, 0))
        left[purse] = left.get(purse, 0) - paid
        short = CarriedBecause.SHORT if paid < one.units else CarriedBecause.NOTHING
        settlements.append(Settlement(name, one, paid, one.units - paid, barred or short))
    return ClosePlan(tuple(settlements))


def first_status(one: Settlement) -> SettlementStatus:
    """Say how a settlement stands when it is made."""
    if one.paid:
        return SettlementStatus.QUEUED
    return SettlementStatus.CARRIED if one.carried else SettlementStatus.SETTLED


def discharged(chain: Sequence[Link]) -> list[SettlementId]:
    """Tell which days of a chain, oldest first, have nothing left to pay: not themselves, not in a later day."""
    done: list[SettlementId] = []
    for place, link in enumerate(reversed(chain)):
        if link.status is SettlementStatus.QUEUED or (place == 0 and link.carried_token > 0):
            break
        done.append(link.id)
    return done


def settlement_id(session: TrustSessionId, asset: AssetId) -> SettlementId:
    """Name what a session settles in one asset. There is one, so the name says it all."""
    return SettlementId(f"se_{session.removeprefix('tp_')}:{asset.replace(':', '-')}")


def purses(nets: Iterable[Net]) -> Set[tuple[CompanyId, AssetId]]:
    """Tell whose funds, in which asset, a plan must know."""
    return {(one.payer, one.asset) for one in nets if one.units}
