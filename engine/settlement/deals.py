"""Deals: how an accepted offer becomes one, what it may turn into, who may call it off.

A pass-through deal waits for the payer's transfer and becomes a payout to the payee. A netting deal joins a trust
pair's day and is settled with the day. Nothing here reads or writes: `storage.deals` brings the facts, in one
transaction with what follows from them.
"""

from enum import StrEnum

import msgspec

from engine.errors import Refusal
from engine.ids import (
    CompanyId,
    DealId,
    HotWalletId,
    Instant,
    MemberId,
    OfferId,
    TrustSessionId,
    WalletId,
)
from engine.machine import Transitions
from engine.money import Asset, AssetId, Network, UsdMicros, usd_micros
from engine.payments.allowlist import AllowedWallet, Standing, is_payable, standing
from engine.settlement import limits, offers
from engine.settlement.companies import Company
from engine.settlement.limits import LimitFacts, duration
from engine.settlement.offers import Offer, OfferStatus, Side
from engine.settlement.tiers import Tiers
from engine.settlement.trust_pairs import Session, TrustPair

INCOMING_WITHIN_MS = 60 * 60_000
"""How long the payer of a pass-through deal has for its transfer, unless the operator sets otherwise."""


class Mode(StrEnum):
    """How a deal is settled."""

    PASS_THROUGH = "pass_through"  # noqa: S105  a word, no password
    """By itself: what the payer transfers goes on to the payee."""
    NETTING = "netting"
    """With the day of the trust pair: only the difference moves."""


class DealStatus(StrEnum):
    """Where a deal stands."""

    AWAITING_INCOMING = "awaiting_incoming"
    PAYING = "paying"
    """The payer's money has come; the payout is on its way."""
    IN_SESSION = "in_session"
    NETTED = "netted"
    """Its session is closed; the settlement is not paid in full yet."""
    SETTLED = "settled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


MOVES = Transitions(
    {
        DealStatus.AWAITING_INCOMING: {DealStatus.PAYING, DealStatus.CANCELLED, DealStatus.EXPIRED},
        # Back when the block of the incoming transfer vanished before anything was paid out.
        # Called off when its payout is given up: the money goes back to the payer.
        DealStatus.PAYING: {DealStatus.SETTLED, DealStatus.AWAITING_INCOMING, DealStatus.CANCELLED},
        DealStatus.IN_SESSION: {DealStatus.NETTED},
        DealStatus.NETTED: {DealStatus.SETTLED},
        # The money came late, and an operator gives it to the deal after all.
        DealStatus.CANCELLED: {DealStatus.PAYING},
        DealStatus.EXPIRED: {DealStatus.PAYING},
    }
)

EXPOSED = frozenset({DealStatus.AWAITING_INCOMING, DealStatus.PAYING, DealStatus.IN_SESSION})
"""In these the deal itself counts as the payer's exposure; after netting, the settlement does."""


class AcceptOffer(msgspec.Struct, frozen=True):
    """A wish to accept an offer. `wallet_id` says where the taker is paid, when it is the one who is."""

    deal_id: DealId
    offer_id: OfferId
    company_id: CompanyId
    member_id: MemberId
    mode: Mode
    wallet_id: WalletId | None = None


class Deal(msgspec.Struct, frozen=True):
    """A deal as it stands."""

    id: DealId
    offer_id: OfferId
    maker_company_id: CompanyId
    taker_company_id: CompanyId
    payer_company_id: CompanyId
    payee_company_id: CompanyId
    mode: Mode
    network: Network
    token: AssetId
    amount_token: int
    exposure_usd: UsdMicros
    headroom_usd: UsdMicros
    """What the payer's tightest limit left when the deal was accepted."""
    wallet_id: WalletId | None
    hot_wallet_id: HotWalletId | None
    session_id: TrustSessionId | None
    status: DealStatus
    deadline_ms: Instant | None
    accepted_by: MemberId
    created_at_ms: Instant
    ended_at_ms: Instant | None = None


class Expected(msgspec.Struct, frozen=True):
    """A pass-through deal as incoming transfers are matched with it."""

    id: DealId
    company: CompanyId
    """The payer, whose transfer it is."""
    hot_wallet: HotWalletId
    asset: AssetId
    units: int
    status: DealStatus
    deadline_ms: Instant
    """A transfer in a block of this time or before is in time."""
    payee: CompanyId
    wallet_id: WalletId
    to_address: str
    created_at_ms: Instant


class AcceptFacts(msgspec.Struct, frozen=True):
    """Everything that an acceptance depends on, read in one transaction."""

    offer: Offer
    asset: Asset
    maker: Company
    taker: Company
    is_trader: bool
    wallet: AllowedWallet | None
    """The row of the allow-list that was named, whoever's it is."""
    hot_wallet: HotWalletId | None
    """Where the payer pays in."""
    pair: TrustPair | None
    session: Session | None
    """The pair's day that a deal made now joins; it may not be written yet."""
    limits: LimitFacts
    """Of the payer."""


def payer_of(offer: Offer, taker: CompanyId) -> CompanyId:
    """Tell who delivers the token."""
    return offer.company_id if offer.side is Side.SELL else taker


def wallet_of(offer: Offer, asked: AcceptOffer) -> WalletId | None:
    """Tell which wallet is paid: the buyer named it in the offer or names it now."""
    return offer.wallet_id if offer.side is Side.BUY else asked.wallet_id


def accept(
    asked: AcceptOffer,
    facts: AcceptFacts,
    tiers: Tiers,
    now: Instant,
    incoming_within_ms: int = INCOMING_WITHIN_MS,
) -> Deal | Refusal:
    """Make a deal of an offer, or say what stands in the way: the offer, the people, the wallet, the limits."""
    refused = _who(asked, facts, now) or _how(asked, facts, now)
    if refused is not None:
        return refused
    offer, passes_through = facts.offer, asked.mode is Mode.PASS_THROUGH
    exposure = usd_micros(facts.asset, offer.amount_token)
    headroom = limits.check(exposure, facts.asset.symbol, facts.limits, tiers, now)
    if isinstance(headroom, Refusal):
        return headroom
    payer = payer_of(offer, asked.company_id)
    return Deal(
        id=asked.deal_id,
        offer_id=offer.id,
        maker_company_id=offer.company_id,
        taker_company_id=asked.company_id,
        payer_company_id=payer,
        payee_company_id=asked.company_id if payer == offer.company_id else offer.company_id,
        mode=asked.mode,
        network=offer.network,
        token=offer.token,
        amount_token=offer.amount_token,
        exposure_usd=exposure,
        headroom_usd=headroom,
        wallet_id=wallet_of(offer, asked) if passes_through else None,
        hot_wallet_id=facts.hot_wallet if passes_through else None,
        session_id=None if passes_through or facts.session is None else facts.session.id,
        status=DealStatus.AWAITING_INCOMING if passes_through else DealStatus.IN_SESSION,
        deadline_ms=Instant(now + incoming_within_ms) if passes_through else None,
        accepted_by=asked.member_id,
        created_at_ms=now,
    )


def cancel(deal: Deal, company: CompanyId, *, is_trader: bool, now: Instant) -> Deal | Refusal:
    """Call a deal off while nothing has come: its payer may. The payee waits for the deadline.

    A payer that has transferred already and cancels gets its money back as a late transfer.
    """
    if company != deal.payer_company_id or not is_trader:
        return Refusal("not_yours", "deal_id", "only the traders of who pays call a deal off")
    if deal.status is DealStatus.CANCELLED:
        return deal
    if deal.status is not DealStatus.AWAITING_INCOMING:
        return Refusal("deal_under_way", "deal_id", f"the deal is {deal.status} and can no longer be called off")
    return to(deal, DealStatus.CANCELLED, now)


def to(deal: Deal, status: DealStatus, now: Instant) -> Deal:
    """Move a deal; raise IllegalMove where the table has no such move."""
    over = status in (DealStatus.SETTLED, DealStatus.CANCELLED, DealStatus.EXPIRED)
    moved = MOVES.check(deal.status, status)
    return msgspec.structs.replace(deal, status=moved, ended_at_ms=now if over else None)


def _who(asked: AcceptOffer, facts: AcceptFacts, now: Instant) -> Refusal | None:
    offer = facts.offer
    if offer.status is not OfferStatus.OPEN:
        return offers.ended(offer)
    if offers.is_over(offer, now):
        return Refusal("offer_ended", "offer_id", "the offer's time is over")
    if asked.company_id == offer.company_id:
        return Refusal("own_offer", "offer_id", "a company does not accept its own offer")
    if not facts.is_trader:
        return offers.not_a_trader(facts.taker)
    for company in (facts.maker, facts.taker):
        if not company.is_active:
            return offers.suspended(company)
    return None


def _how(asked: AcceptOffer, facts: AcceptFacts, now: Instant) -> Refusal | None:
    if asked.mode is Mode.NETTING:
        if facts.pair is None or not facts.pair.enabled:
            return Refusal(
                "pair_disabled",
                "mode",
                f"{facts.maker.name} and {facts.taker.name} have no enabled trust pair",
                allowed="settle the deal by itself (pass_through), or enable the pair",
            )
        return None
    if facts.hot_wallet is None:
        return Refusal("no_hot_wallet", "network", f"the payer has no address to pay in on {facts.offer.network}")
    payee = facts.taker if facts.offer.side is Side.SELL else facts.maker
    return _refuse_wallet(facts.wallet, payee, facts.offer, now)


def _refuse_wallet(wallet: AllowedWallet | None, payee: Company, offer: Offer, now: Instant) -> Refusal | None:
    if wallet is None or not is_payable(wallet, payee.id, offer.network, offer.token, wallet.address):
        return Refusal(
            "wallet_not_allowed",
            "wallet_id",
            f"this is no address of {payee.name} for {offer.token}",
            allowed=f"an active address in the allow-list of {payee.name}",
        )
    reached = standing(wallet, now)
    if reached is Standing.ACTIVE:
        return None
    lifts = {
        Standing.CHALLENGED: "send the micro-transfer that proves it, then let it cool off",
        Standing.COOLING_OFF: f"wait {duration((wallet.active_from_ms or now) - now)} until it has cooled off",
    }
    return Refusal(
        "wallet_not_allowed",
        "wallet_id",
        f"the address {wallet.address} is {reached.replace('_', ' ')}",
        allowed=lifts.get(reached, "add the address anew") + ", or name an active address",
    )
