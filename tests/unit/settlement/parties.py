"""Two companies, their offer, their wallets and their trust pair, for the tests of offers and deals."""

from decimal import Decimal

import msgspec

from engine.ids import CompanyId, HotWalletId, Instant, MemberId, OfferId, PairId, TrustSessionId, WalletId
from engine.money import Asset, AssetId, Network, UsdMicros
from engine.payments.allowlist import AllowedWallet
from engine.settlement.companies import Company, CompanyStatus
from engine.settlement.offers import NewOffer, Offer, OfferStatus, Side
from engine.settlement.tiers import Tier
from engine.settlement.trust_pairs import Session, SessionStatus, TrustPair

NOW = Instant(1_763_812_800_000)
HOUR = 3_600_000
DOLLAR = 1_000_000

USDT = Asset(AssetId("tron:USDT"), Network.TRON, "USDT", "TUsdt", 6, True)
USDC = Asset(AssetId("tron:USDC"), Network.TRON, "USDC", "TUsdc", 6, True)
TRX = Asset(AssetId("tron:TRX"), Network.TRON, "TRX", "", 6)

MAKER, TAKER = CompanyId("co_maker"), CompanyId("co_taker")
MAKERS_HOT, TAKERS_HOT = HotWalletId("hw_maker"), HotWalletId("hw_taker")
MAKERS_WALLET, TAKERS_WALLET = WalletId("wa_maker"), WalletId("wa_taker")


def company(name: CompanyId, **changes: object) -> Company:
    """Give an active company of tier S, called as its id without `co_`."""
    made = Company(
        id=name,
        name=name.removeprefix("co_").capitalize(),
        tz="Europe/Warsaw",
        tier=Tier.S,
        status=CompanyStatus.ACTIVE,
        created_at_ms=Instant(0),
    )
    return msgspec.structs.replace(made, **changes)


def suspended(name: CompanyId) -> Company:
    return company(name, status=CompanyStatus.SUSPENDED)


def new_offer(side: Side = Side.SELL, **changes: object) -> NewOffer:
    """Give an offer of 1,000 USDT for an hour; who buys names where to be paid."""
    made = NewOffer(
        id=OfferId("of_1"),
        company_id=MAKER,
        side=side,
        network=Network.TRON,
        token=USDT.id,
        amount_token=1_000 * DOLLAR,
        price=Decimal("3.95"),
        expires_at_ms=Instant(NOW + HOUR),
        created_by=MemberId("mb_maker"),
        wallet_id=MAKERS_WALLET if side is Side.BUY else None,
    )
    return msgspec.structs.replace(made, **changes)


def offer(side: Side = Side.SELL, **changes: object) -> Offer:
    made = Offer(**msgspec.structs.asdict(new_offer(side)), status=OfferStatus.OPEN, created_at_ms=NOW)
    return msgspec.structs.replace(made, **changes)


def wallet(name: WalletId, owner: CompanyId, **changes: object) -> AllowedWallet:
    """Give an address that has been active for an hour."""
    made = AllowedWallet(
        id=name,
        company_id=owner,
        network=Network.TRON,
        token=USDT.id,
        address="TThere",
        label="treasury",
        challenge_units=12_345,
        challenge_until_ms=Instant(NOW - 26 * HOUR),
        verified_at_ms=Instant(NOW - 25 * HOUR),
        active_from_ms=Instant(NOW - HOUR),
        revoked_at_ms=None,
        created_at_ms=Instant(0),
    )
    return msgspec.structs.replace(made, **changes)


def pair(**changes: object) -> TrustPair:
    """Give an enabled pair of 10,000 USD a day, of which 20 % are reserved."""
    made = TrustPair(
        id=PairId("tp_1"),
        a_company_id=MAKER,
        b_company_id=TAKER,
        daily_limit_usd=UsdMicros(10_000 * DOLLAR),
        cutoff_local="17:00",
        tz="Europe/Warsaw",
        reserve_pct=20,
        automatic_eod=True,
        created_at_ms=Instant(0),
        enabled=True,
    )
    return msgspec.structs.replace(made, **changes)


def session() -> Session:
    return Session(
        id=TrustSessionId("tp_1:2025-11-22"),
        pair_id=PairId("tp_1"),
        session_date="2025-11-22",
        opens_at_ms=Instant(NOW - HOUR),
        cutoff_at_ms=Instant(NOW + HOUR),
        status=SessionStatus.OPEN,
        closed_at_ms=None,
        closed_by=None,
        created_at_ms=NOW,
    )
