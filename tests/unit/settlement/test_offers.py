"""Offers: who may make one, what it must say, when it is over and who withdraws it."""

from decimal import Decimal

import msgspec
import pytest

from engine.errors import Refusal
from engine.ids import CompanyId, Instant
from engine.machine import IllegalMove
from engine.money import Asset, Network
from engine.settlement import offers
from engine.settlement.offers import LIFE_MS_MAX, NewOffer, Offer, OfferStatus, Side
from tests.unit.settlement.parties import (
    MAKER,
    MAKERS_WALLET,
    NOW,
    TAKER,
    TRX,
    USDC,
    USDT,
    company,
    new_offer,
    offer,
    suspended,
)


def made(new: NewOffer, asset: Asset | None = USDT) -> Offer | Refusal:
    return offers.make(new, company(MAKER), asset, is_trader=True, now=NOW)


def no(answer: object) -> tuple[str, str]:
    assert isinstance(answer, Refusal), answer
    return answer.code, answer.field


@pytest.mark.parametrize("side", Side)
def test_an_offer_opens_as_it_was_written(side: Side) -> None:
    new = new_offer(side)

    opened = made(new)

    assert isinstance(opened, Offer)
    assert (opened.status, opened.created_at_ms) == (OfferStatus.OPEN, NOW)
    assert {name: getattr(opened, name) for name in NewOffer.__struct_fields__} == msgspec.structs.asdict(new)


@pytest.mark.parametrize(
    ("new", "asset", "refused"),
    [
        pytest.param(new_offer(), None, ("token_not_listed", "token"), id="a token nobody listed"),
        pytest.param(new_offer(), TRX, ("token_not_listed", "token"), id="a coin that is no dollar"),
        pytest.param(new_offer(amount_token=0), USDT, ("not_positive", "amount_token"), id="nothing"),
        pytest.param(new_offer(amount_token=-1), USDT, ("not_positive", "amount_token"), id="less than nothing"),
        pytest.param(new_offer(price=Decimal(0)), USDT, ("not_positive", "price"), id="for nothing"),
        pytest.param(new_offer(price=Decimal(-1)), USDT, ("not_positive", "price"), id="for less than nothing"),
        pytest.param(new_offer(price=Decimal("NaN")), USDT, ("not_positive", "price"), id="no number"),
        pytest.param(new_offer(price=Decimal("Infinity")), USDT, ("not_positive", "price"), id="no end of price"),
        pytest.param(new_offer(expires_at_ms=NOW), USDT, ("bad_expiry", "expires_at_ms"), id="over at once"),
        pytest.param(
            new_offer(expires_at_ms=NOW + LIFE_MS_MAX + 1), USDT, ("bad_expiry", "expires_at_ms"), id="over a week"
        ),
        pytest.param(
            new_offer(Side.BUY, wallet_id=None),
            USDT,
            ("wallet_not_allowed", "wallet_id"),
            id="buyer without wallet",
        ),
        pytest.param(
            new_offer(wallet_id=MAKERS_WALLET), USDT, ("wallet_not_allowed", "wallet_id"), id="seller with wallet"
        ),
    ],
)
def test_an_offer_that_says_nonsense_is_refused_by_the_field(
    new: NewOffer, asset: Asset | None, refused: tuple[str, str]
) -> None:
    assert no(made(new, asset)) == refused


@pytest.mark.parametrize(
    "change",
    [
        {"amount_token": 1},
        {"price": Decimal("0.000001")},
        {"expires_at_ms": NOW + 1},
        {"expires_at_ms": NOW + LIFE_MS_MAX},
    ],
)
def test_the_last_value_before_each_bound_is_taken(change: dict[str, object]) -> None:
    assert isinstance(made(new_offer(**change)), Offer)


def test_a_token_is_traded_on_its_own_network_only() -> None:
    elsewhere = msgspec.structs.replace(USDT, network="ton")
    assert elsewhere.network != Network.TRON
    assert no(made(new_offer(), elsewhere)) == ("token_not_listed", "token")


def test_only_a_trader_of_an_active_company_makes_an_offer() -> None:
    outsider = offers.make(new_offer(), company(MAKER), USDT, is_trader=False, now=NOW)
    barred = offers.make(new_offer(), suspended(MAKER), USDT, is_trader=True, now=NOW)

    assert no(outsider) == ("not_a_trader", "member_id")
    assert no(barred) == ("company_suspended", "company_id")


@pytest.mark.parametrize(
    ("who", "is_trader"), [(TAKER, True), (MAKER, False), (TAKER, False)], ids=["another", "no trader", "neither"]
)
def test_nobody_but_its_makers_traders_withdraws_an_offer(who: CompanyId, is_trader: bool) -> None:
    assert no(offers.cancel(offer(), who, is_trader=is_trader)) == ("not_yours", "offer_id")


def test_an_offer_is_withdrawn_once_and_stays_so() -> None:
    withdrawn = offers.cancel(offer(), MAKER, is_trader=True)

    assert withdrawn == offer(status=OfferStatus.CANCELLED)
    assert offers.cancel(withdrawn, MAKER, is_trader=True) == withdrawn


@pytest.mark.parametrize("status", [OfferStatus.ACCEPTED, OfferStatus.EXPIRED])
def test_what_is_accepted_or_over_is_no_longer_withdrawn(status: OfferStatus) -> None:
    answer = offers.cancel(offer(status=status), MAKER, is_trader=True)

    assert no(answer) == ("offer_ended", "offer_id")
    assert isinstance(answer, Refusal)
    assert answer.message == f"the offer is {status}"


@pytest.mark.parametrize(
    ("status", "after_ms", "over"),
    [
        (OfferStatus.OPEN, -1, False),
        (OfferStatus.OPEN, 0, True),
        (OfferStatus.ACCEPTED, 1, False),
        (OfferStatus.CANCELLED, 1, False),
        (OfferStatus.EXPIRED, 1, False),
    ],
)
def test_an_open_offer_is_over_from_its_last_millisecond_on(
    status: OfferStatus, after_ms: int, over: bool
) -> None:
    standing = offer(status=status)
    assert offers.is_over(standing, Instant(standing.expires_at_ms + after_ms)) is over


def test_an_accepted_offer_is_not_accepted_again() -> None:
    accepted = offers.to(offer(), OfferStatus.ACCEPTED)
    assert accepted.status is OfferStatus.ACCEPTED
    with pytest.raises(IllegalMove):
        offers.to(accepted, OfferStatus.ACCEPTED)


def test_another_dollar_is_traded_as_well() -> None:
    assert isinstance(made(new_offer(token=USDC.id), USDC), Offer)
