"""Offers: what a company would deliver or take, until somebody accepts it, it is withdrawn or its time is over."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.errors import Refusal
from engine.ids import CompanyId, Instant, MemberId, OfferId, WalletId
from engine.machine import Transitions
from engine.money import Asset, AssetId, Network
from engine.settlement.companies import Company
from engine.settlement.limits import AMOUNT_FIELD

LIFE_MS_MAX = 7 * 24 * 3_600_000
"""A price that stood for a week is nobody's price any more."""


class Side(StrEnum):
    """What the maker does with the token."""

    SELL = "sell"
    """Deliver it: the maker pays in, the taker is paid out."""
    BUY = "buy"
    """Take it: the taker pays in, the maker is paid out."""


class OfferStatus(StrEnum):
    """Where an offer stands."""

    OPEN = "open"
    ACCEPTED = "accepted"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


MOVES = Transitions({OfferStatus.OPEN: {OfferStatus.ACCEPTED, OfferStatus.CANCELLED, OfferStatus.EXPIRED}})


class NewOffer(msgspec.Struct, frozen=True):
    """An offer to be made. `price` is for one coin, in what both sides agreed on; it moves no money here.

    Who buys says in `wallet_id` where to be paid; who sells lets the taker say it.
    """

    id: OfferId
    company_id: CompanyId
    side: Side
    network: Network
    token: AssetId
    amount_token: int
    price: Decimal
    expires_at_ms: Instant
    created_by: MemberId
    wallet_id: WalletId | None = None


class Offer(NewOffer, frozen=True, kw_only=True):
    """An offer as it stands."""

    status: OfferStatus
    created_at_ms: Instant


def make(new: NewOffer, maker: Company, asset: Asset | None, *, is_trader: bool, now: Instant) -> Offer | Refusal:
    """Check an offer and give it as it opens. Limits are checked when it is accepted, not here."""
    if not is_trader:
        return not_a_trader(maker)
    if not maker.is_active:
        return suspended(maker)
    if asset is None or asset.network is not new.network or not asset.is_dollar:
        return Refusal("token_not_listed", "token", f"{new.token} is not traded in the club")
    if new.amount_token <= 0:
        return Refusal("not_positive", AMOUNT_FIELD, "an offer needs an amount", least=Decimal(1))
    if not new.price.is_finite() or new.price <= 0:
        return Refusal("not_positive", "price", "an offer needs a price above zero")
    if not now < new.expires_at_ms <= now + LIFE_MS_MAX:
        return Refusal("bad_expiry", "expires_at_ms", "an offer stands for at most seven days from now")
    if (new.wallet_id is not None) != (new.side is Side.BUY):
        return Refusal("wallet_not_allowed", "wallet_id", "who takes the token names the wallet: here the buyer")
    return Offer(**msgspec.structs.asdict(new), status=OfferStatus.OPEN, created_at_ms=now)


def cancel(offer: Offer, company: CompanyId, *, is_trader: bool) -> Offer | Refusal:
    """Withdraw an open offer of one's own. One that is withdrawn already stays so."""
    if company != offer.company_id or not is_trader:
        return Refusal("not_yours", "offer_id", "only its maker's traders withdraw an offer")
    if offer.status is OfferStatus.CANCELLED:
        return offer
    if offer.status is not OfferStatus.OPEN:
        return ended(offer)
    return to(offer, OfferStatus.CANCELLED)


def is_over(offer: Offer, now: Instant) -> bool:
    """Tell whether the offer's time has run out."""
    return offer.status is OfferStatus.OPEN and now >= offer.expires_at_ms


def to(offer: Offer, status: OfferStatus) -> Offer:
    """Move an offer; raise IllegalMove where the table has no such move."""
    return msgspec.structs.replace(offer, status=MOVES.check(offer.status, status))


def ended(offer: Offer) -> Refusal:
    """Say that nothing can be done with an offer any more."""
    return Refusal("offer_ended", "offer_id", f"the offer is {offer.status}")


def not_a_trader(company: Company) -> Refusal:
    """Say that the person may not trade for a company."""
    return Refusal("not_a_trader", "member_id", f"only traders of {company.name} may do this")


def suspended(company: Company) -> Refusal:
    """Say that a company may begin nothing new."""
    return Refusal("company_suspended", "company_id", f"{company.name} is suspended: it may begin nothing new")
