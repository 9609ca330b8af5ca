"""What follows from verdicts on incoming transfers: postings, payouts, deals that move on, addresses proved.

Pure. `storage.incoming` carries all of it out in one transaction with the block that it follows from, so a payout
exists only with the credit that pays it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.ids import DealId, Instant, PayoutId, WalletId
from engine.ledger import templates
from engine.ledger.postings import Transfer
from engine.money import Asset, AssetId, Network
from engine.payments.incoming import Arrival, IncomingStatus, Place, Verdict, again
from engine.payments.payout import ENGINE, Purpose, payout_of_deal, payout_of_refund
from engine.payments.request import NewPayout
from engine.payments.sighting import Fee
from engine.settlement.deals import Expected


class Announcement(msgspec.Struct, frozen=True):
    """Something to tell the world, with the change."""

    topic: str
    key: str
    payload: dict[str, Any]


class Consequences(msgspec.Struct, frozen=True):
    """Everything that follows from one block's verdicts."""

    transfers: tuple[Transfer, ...] = ()
    payouts: tuple[NewPayout, ...] = ()
    paying: tuple[DealId, ...] = ()
    """Deals whose money has come."""
    proved: tuple[WalletId, ...] = ()
    """Addresses whose micro-transfer has come."""
    announcements: tuple[Announcement, ...] = ()


def follow(verdicts: Sequence[Verdict], vanished: Mapping[DealId, int], now: Instant) -> Consequences:
    """Say everything that follows from verdicts.

    `vanished` counts how often the money of a deal has come already and was taken back: the payout that is
    requested now is another one, and approved anew.
    """
    return Consequences(
        transfers=tuple(transfer for verdict in verdicts for transfer in booking(verdict, now)),
        payouts=tuple(
            payout for verdict in verdicts if (payout := payout_for(verdict, vanished, now)) is not None
        ),
        paying=tuple(verdict.deal.id for verdict in verdicts if verdict.deal and verdict.place is Place.DEAL),
        proved=tuple(verdict.wallet for verdict in verdicts if verdict.wallet and verdict.place is Place.FUNDS),
        announcements=tuple(map(_announcement, verdicts)),
    )


def booking(verdict: Verdict, now: Instant) -> list[Transfer]:
    """Book what came in where the verdict says. What we keep no books of is not booked."""
    arrival = verdict.arrival
    if arrival.asset is None or verdict.place is Place.NOWHERE:
        return []
    wallet, asset, reference = arrival.hot_wallet, arrival.asset.id, arrival.id
    match verdict.place:
        case Place.DEAL:
            assert verdict.deal is not None
            return templates.incoming_to_deal(
                wallet, verdict.deal.id, asset, verdict.units, verdict.surplus_units, reference, now
            )
        case Place.FUNDS:
            return templates.incoming_to_funds(wallet, arrival.company, asset, verdict.units, reference, now)
        case Place.SUSPENSE:
            return templates.incoming_to_suspense(wallet, asset, verdict.units, reference, now)
        case Place.TOLERANCE:
            return templates.incoming_to_tolerance(wallet, asset, verdict.units, reference, now)
        case Place.OWNER:
            return templates.owner_put_in(wallet, asset, verdict.units, reference, now)


def payout_for(verdict: Verdict, vanished: Mapping[DealId, int], now: Instant) -> NewPayout | None:
    """Say what is paid out because of an arrival: a deal's money to its payee, a late transfer back."""
    if verdict.deal is None or verdict.arrival.asset is None:
        return None
    if verdict.place is Place.DEAL:
        times = vanished.get(verdict.deal.id, 0) + 1
        return payout_of(verdict.deal, verdict.arrival.network, verdict.units, now, times)
    if verdict.status is IncomingStatus.REFUND and verdict.wallet is not None:
        return refund_of(verdict.arrival, verdict.arrival.asset.id, verdict.wallet, now)
    return None


def payout_of(deal: Expected, network: Network, units: int, now: Instant, times: int = 1) -> NewPayout:
    """Pay a deal's payee what came in for the deal, the first time or again."""
    return NewPayout(
        id=PayoutId(payout_of_deal(deal.id) + again(times)),
        company_id=deal.company,
        payee_id=deal.payee,
        purpose=Purpose.PASS_THROUGH,
        purpose_id=deal.id,
        network=network,
        token=deal.asset,
        units=units,
        to_address=deal.to_address,
        wallet_id=deal.wallet_id,
        hot_wallet_id=deal.hot_wallet,
        initiator=ENGINE,
        at_ms=now,
    )


def refund_of(arrival: Arrival, token: AssetId, wallet: WalletId, now: Instant) -> NewPayout:
    """Send back what came, to where it came from."""
    return NewPayout(
        id=payout_of_refund(arrival.id),
        company_id=arrival.company,
        payee_id=arrival.company,
        purpose=Purpose.REFUND,
        purpose_id=arrival.id,
        network=arrival.network,
        token=token,
        units=arrival.units,
        to_address=arrival.sender,
        wallet_id=wallet,
        hot_wallet_id=arrival.hot_wallet,
        initiator=ENGINE,
        at_ms=now,
    )


def fee_booking(fee: Fee, coin: Asset, now: Instant) -> list[Transfer]:
    """Book what one transaction of ours has burned."""
    return templates.network_fee(fee.hot_wallet, coin.id, fee.units, fee.id, now)


def _announcement(verdict: Verdict) -> Announcement:
    arrival = verdict.arrival
    facts = {
        "company": arrival.company,
        "hot_wallet": arrival.hot_wallet,
        "network": arrival.network,
        "tx_id": arrival.tx_id,
        "token": None if arrival.asset is None else arrival.asset.id,
        "contract": arrival.contract,
        "units": str(arrival.units),
        "surplus_units": str(verdict.surplus_units),
        "from_address": arrival.sender,
        "reason": verdict.reason,
        "matched_to": verdict.matched_to,
    }
    return Announcement(f"incoming.{verdict.status}", arrival.id, facts)
