"""What an incoming transfer is: each transfer to an address of ours gets exactly one verdict.

Pure: final transfers, what is expected and the policy go in, verdicts come out. What follows from a verdict
(postings, payouts, deals that move on) is decided in `engine.settlement.pass_through`; nothing here books or pays.

The questions, in this order, and the first yes decides:

    1  a token that we do not list?                                  suspense  wrong_token, and no posting
    2  the micro-transfer that proves an address?                    credited  to the company's funds
    3  less than dust?                                               tolerance
    4  the network's own coin?                                       credited  to the operator, who pays the fees
    5  from an address of the operator's treasury?                   credited  to the operator, who covers a loss
    6  an open deal in this asset: the amount, the oldest such deal? credited  to the deal
       … or nearest to the amount, within the tolerance?             tolerance, the deal is paid
    7  an open deal in this asset, but another amount?               suspense  under, over
       … or this amount, but another asset?                          suspense  other_token
    8  the amount of a deal that has expired or was cancelled?       refund    late; suspense without a way back
    9  nothing expected                                              credited  to the company's funds
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from enum import StrEnum
from itertools import chain
from typing import NewType

import msgspec

from engine.ids import CompanyId, DealId, HotWalletId, Instant, TxId, WalletId
from engine.money import Asset, AssetId, Network
from engine.payments.allowlist import AllowedWallet, Standing, proves, standing
from engine.settlement.deals import DealStatus, Expected

IncomingId = NewType("IncomingId", str)
"""One transfer of one transaction, `network:tx:log`; with `~2` when it came a second time, on another fork."""

_BASIS = 10_000
_AWAITED = frozenset({DealStatus.AWAITING_INCOMING, DealStatus.CANCELLED, DealStatus.EXPIRED})


class IncomingStatus(StrEnum):
    """What became of a transfer. Each has exactly one."""

    CREDITED = "credited"
    TOLERANCE = "tolerance"
    """Credited, or kept, although the amount is not quite what was asked."""
    SUSPENSE = "suspense"
    """Waits for an operator's word."""
    REFUND = "refund"
    """Goes back to its sender."""
    REVERSED = "reversed"
    """Its block proved to be no part of the chain. Never a verdict: the watcher says it later."""


class Reason(StrEnum):
    """Why, as a stable code."""

    WRONG_TOKEN = "wrong_token"  # noqa: S105  a word, no password
    CHALLENGE = "challenge"
    DUST = "dust"
    FEE_COIN = "fee_coin"
    TREASURY = "treasury"
    EXACT = "exact"
    TOLERANCE = "tolerance"
    UNDER = "under"
    OVER = "over"
    OTHER_TOKEN = "other_token"  # noqa: S105  a word, no password
    LATE = "late"
    UNASKED = "unasked"


class Place(StrEnum):
    """Whose money it is in the books now."""

    DEAL = "deal"
    FUNDS = "funds"
    SUSPENSE = "suspense"
    TOLERANCE = "tolerance"
    OWNER = "owner"
    NOWHERE = "nowhere"
    """We keep no books of unknown tokens."""


class Arrival(msgspec.Struct, frozen=True):
    """A final transfer at an address of ours. `asset` is None for a token that we do not list."""

    id: IncomingId
    network: Network
    tx_id: TxId
    log_index: int
    contract: str
    sender: str
    units: int
    hot_wallet: HotWalletId
    company: CompanyId
    asset: Asset | None


class Expectations(msgspec.Struct, frozen=True):
    """Everything that arrivals are compared with. `deals` are oldest first."""

    assets: tuple[Asset, ...]
    deals: tuple[Expected, ...] = ()
    wallets: tuple[AllowedWallet, ...] = ()
    """The allow-lists of the companies: addresses to be proved, and addresses that money may go back to."""


class MatchingPolicy(msgspec.Struct, frozen=True):
    """How exact payers must be."""

    tolerance_bps: int = 10
    """The largest difference that is let pass, in hundredths of a percent of the deal's amount …"""
    tolerance_usd_micros_max: int = 1_000_000
    """… and never more than this."""
    dust_usd_micros: int = 10_000
    """Less than this is dust, in a dollar token."""
    dust_coin_units: int = 1_000
    """The same in the network's own coin, in base units: such transfers are advertisements."""
    treasury: frozenset[str] = frozenset()
    """The operator's own addresses. Whatever they send stays the operator's, and no company gains by it."""


class Verdict(msgspec.Struct, frozen=True):
    """What one arrival is. `units` belong to `place` now, `surplus_units` to the tolerance account."""

    arrival: Arrival
    status: IncomingStatus
    reason: Reason
    place: Place
    units: int
    surplus_units: int = 0
    deal: Expected | None = None
    wallet: WalletId | None = None
    """The address that it proves, or that it goes back to."""

    @property
    def matched_to(self) -> str:
        """Name what it was matched with; "" for nothing."""
        if self.deal is not None:
            return self.deal.id
        return self.wallet or ""


def match(
    arrivals: Sequence[Arrival], expected: Expectations, policy: MatchingPolicy, block_time_ms: Instant
) -> list[Verdict]:
    """Give each arrival of one block its verdict, in the block's own order.

    A deal and a challenge are matched once, within the block too. Deadlines count by the block's time, so that
    the verdict does not depend on when we look.
    """
    matching = _Matching(expected, policy, block_time_ms)
    return [matching.verdict(arrival) for arrival in arrivals]


class _Matching:
    """The state of one block's matching: what is still expected."""

    def __init__(self, expected: Expectations, policy: MatchingPolicy, block_time_ms: Instant) -> None:
        self._policy = policy
        self._time_ms = block_time_ms
        self._assets = {asset.id: asset for asset in expected.assets}
        self._wallets: dict[tuple[CompanyId, AssetId, str], AllowedWallet] = {
            (wallet.company_id, wallet.token, wallet.address): wallet for wallet in expected.wallets
        }
        self._proved: set[WalletId] = set()
        self._open: dict[HotWalletId, _Deals] = {}
        self._ended: dict[HotWalletId, _Deals] = {}
        for deal in expected.deals:
            if deal.status in _AWAITED:
                in_time = deal.status is DealStatus.AWAITING_INCOMING and block_time_ms <= deal.deadline_ms
                (self._open if in_time else self._ended).setdefault(deal.hot_wallet, _Deals()).add(deal)

    def verdict(self, arrival: Arrival) -> Verdict:
        asset = arrival.asset
        if asset is None:
            return _simply(arrival, IncomingStatus.SUSPENSE, Reason.WRONG_TOKEN, Place.NOWHERE)
        for decide in _QUESTIONS:
            verdict = decide(self, arrival, asset)
            if verdict is not None:
                return verdict
        return _simply(arrival, IncomingStatus.CREDITED, Reason.UNASKED, Place.FUNDS)

    # ------------------------------------------------------------------ the questions, in their order

    def challenge(self, arrival: Arrival, asset: Asset) -> Verdict | None:
        wallet = self._sender(arrival, asset)
        if wallet is None or wallet.id in self._proved:
            return None
        if not proves(wallet, arrival.sender, asset.id, arrival.units, self._time_ms):
            return None
        self._proved.add(wallet.id)
        verdict = _simply(arrival, IncomingStatus.CREDITED, Reason.CHALLENGE, Place.FUNDS)
        return msgspec.structs.replace(verdict, wallet=wallet.id)

    def dust(self, arrival: Arrival, asset: Asset) -> Verdict | None:
        least = self._policy.dust_coin_units if not asset.contract else dust_units(self._policy, asset)
        if arrival.units >= least:
            return None
        return _simply(arrival, IncomingStatus.TOLERANCE, Reason.DUST, Place.TOLERANCE)

    def fee_coin(self, arrival: Arrival, asset: Asset) -> Verdict | None:
        # Deals are in tokens. What comes in the network's own coin is the operator's: fees are paid from it.
        if asset.contract:
            return None
        return _simply(arrival, IncomingStatus.CREDITED, Reason.FEE_COIN, Place.OWNER)

    def treasury(self, arrival: Arrival, asset: Asset) -> Verdict | None:
        if arrival.sender not in self._policy.treasury:
            return None
        return _simply(arrival, IncomingStatus.CREDITED, Reason.TREASURY, Place.OWNER)

    def open_deal(self, arrival: Arrival, asset: Asset) -> Verdict | None:
        deal = self._take(self._open, arrival, asset)
        if deal is None:
            return None
        surplus = max(arrival.units - deal.units, 0)
        exact = arrival.units == deal.units
        return Verdict(
            arrival,
            IncomingStatus.CREDITED if exact else IncomingStatus.TOLERANCE,
            Reason.EXACT if exact else Reason.TOLERANCE,
            Place.DEAL,
            arrival.units - surplus,
            surplus,
            deal,
        )

    def other_amount_or_token(self, arrival: Arrival, asset: Asset) -> Verdict | None:
        deals = self._open.get(arrival.hot_wallet, _NO_DEALS)
        same = deals.of(asset.id)
        if same:
            nearest = min(same, key=lambda deal: abs(deal.units - arrival.units))
            reason = Reason.UNDER if arrival.units < nearest.units else Reason.OVER
            return _simply(arrival, IncomingStatus.SUSPENSE, reason, Place.SUSPENSE)
        if any(self._is_amount_of_other(deal, asset, arrival.units) for deal in deals.all()):
            return _simply(arrival, IncomingStatus.SUSPENSE, Reason.OTHER_TOKEN, Place.SUSPENSE)
        return None

    def late(self, arrival: Arrival, asset: Asset) -> Verdict | None:
        deal = self._take(self._ended, arrival, asset)
        if deal is None:
            return None
        verdict = _simply(arrival, IncomingStatus.SUSPENSE, Reason.LATE, Place.SUSPENSE)
        verdict = msgspec.structs.replace(verdict, deal=deal)
        sender = self._sender(arrival, asset)
        if sender is None or standing(sender, self._time_ms) is not Standing.ACTIVE:
            return verdict
        return msgspec.structs.replace(verdict, status=IncomingStatus.REFUND, wallet=sender.id)

    def _sender(self, arrival: Arrival, asset: Asset) -> AllowedWallet | None:
        return self._wallets.get((arrival.company, asset.id, arrival.sender))

    # ------------------------------------------------------------------ amounts

    def _take(self, of: dict[HotWalletId, "_Deals"], arrival: Arrival, asset: Asset) -> Expected | None:
        """Take the oldest deal of exactly this amount, else the nearest one within the tolerance."""
        deals = of.get(arrival.hot_wallet, _NO_DEALS)
        deal = deals.exactly(asset.id, arrival.units) or min(
            (deal for deal in deals.of(asset.id) if self._is_near(deal, asset, arrival.units)),
            key=lambda deal: abs(deal.units - arrival.units),  # of two as near the older one: it comes first
            default=None,
        )
        if deal is not None:
            deals.remove(deal)
        return deal

    def _is_near(self, deal: Expected, asset: Asset, units: int) -> bool:
        return abs(deal.units - units) <= tolerance_units(self._policy, asset, deal.units)

    def _is_amount_of_other(self, deal: Expected, asset: Asset, units: int) -> bool:
        other = self._assets.get(deal.asset)
        if other is None or other.id == asset.id:
            return False
        # Compared in coins: two tokens may differ in decimals.
        scale: int = 10**asset.decimals
        difference: int = units * 10**other.decimals - deal.units * scale
        return abs(difference) <= tolerance_units(self._policy, other, deal.units) * scale


class _Deals:
    """Deals of one address that nothing was matched with yet, oldest first. Finds an amount without searching."""

    def __init__(self) -> None:
        self._by_asset: dict[AssetId, dict[DealId, Expected]] = {}
        self._by_amount: dict[tuple[AssetId, int], dict[DealId, Expected]] = {}

    def add(self, deal: Expected) -> None:
        self._by_asset.setdefault(deal.asset, {})[deal.id] = deal
        self._by_amount.setdefault((deal.asset, deal.units), {})[deal.id] = deal

    def remove(self, deal: Expected) -> None:
        del self._by_asset[deal.asset][deal.id]
        del self._by_amount[deal.asset, deal.units][deal.id]

    def of(self, asset: AssetId) -> Collection[Expected]:
        return self._by_asset.get(asset, {}).values()

    def exactly(self, asset: AssetId, units: int) -> Expected | None:
        return next(iter(self._by_amount.get((asset, units), {}).values()), None)

    def all(self) -> Iterator[Expected]:
        return chain.from_iterable(deals.values() for deals in self._by_asset.values())


_NO_DEALS = _Deals()

_QUESTIONS: tuple[Callable[[_Matching, Arrival, Asset], Verdict | None], ...] = (
    _Matching.challenge,
    _Matching.dust,
    _Matching.fee_coin,
    _Matching.treasury,
    _Matching.open_deal,
    _Matching.other_amount_or_token,
    _Matching.late,
)


def tolerance_units(policy: MatchingPolicy, asset: Asset, units: int) -> int:
    """Give how far from `units` an amount may be, rounded down."""
    most = _dollars_to_units(policy.tolerance_usd_micros_max, asset)
    return min(units * policy.tolerance_bps // _BASIS, most)


def dust_units(policy: MatchingPolicy, asset: Asset) -> int:
    """Give the smallest amount of a dollar token that is not dust; 0 for a token without a price."""
    return _dollars_to_units(policy.dust_usd_micros, asset)


def incoming_id(network: Network, tx_id: TxId, log_index: int, appearance: int = 1) -> IncomingId:
    """Name a transfer. A transfer of a vanished block that comes again is another appearance of it."""
    return IncomingId(f"{network}:{tx_id}:{log_index}{again(appearance)}")


def again(appearance: int) -> str:
    """Give the end of a name that tells a second appearance from the first."""
    return f"~{appearance}" if appearance > 1 else ""


def _dollars_to_units(usd_micros: int, asset: Asset) -> int:
    return usd_micros * 10**asset.decimals // 10**6 if asset.is_dollar else 0


def _simply(arrival: Arrival, status: IncomingStatus, reason: Reason, place: Place) -> Verdict:
    return Verdict(arrival, status, reason, place, arrival.units)
