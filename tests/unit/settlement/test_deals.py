"""Deals: how an accepted offer becomes one, who stands in the way of it, who calls it off and when."""

import msgspec
import pytest

from engine.errors import Refusal
from engine.ids import CompanyId, DealId, Instant, MemberId, WalletId
from engine.machine import IllegalMove
from engine.money import UsdMicros
from engine.settlement import deals
from engine.settlement.deals import INCOMING_WITHIN_MS, AcceptFacts, AcceptOffer, Deal, DealStatus, Mode
from engine.settlement.limits import LimitFacts, PairDay
from engine.settlement.offers import Offer, OfferStatus, Side
from engine.settlement.tiers import TIERS, Tier
from tests.unit.settlement.parties import (
    DOLLAR,
    HOUR,
    MAKER,
    MAKERS_HOT,
    MAKERS_WALLET,
    NOW,
    TAKER,
    TAKERS_HOT,
    TAKERS_WALLET,
    TRX,
    USDC,
    USDT,
    company,
    offer,
    pair,
    session,
    suspended,
    wallet,
)

MINUTE = 60_000
ENDED = (DealStatus.SETTLED, DealStatus.CANCELLED, DealStatus.EXPIRED)


def asked(mode: Mode = Mode.PASS_THROUGH, **changes: object) -> AcceptOffer:
    made = AcceptOffer(
        deal_id=DealId("de_1"),
        offer_id=offer().id,
        company_id=TAKER,
        member_id=MemberId("mb_taker"),
        mode=mode,
        wallet_id=TAKERS_WALLET,
    )
    return msgspec.structs.replace(made, **changes)


def facts(of: Offer | None = None, **changes: object) -> AcceptFacts:
    """Give facts under which everything is allowed: the payee's wallet is active, the payer's deposit 1,000."""
    of = of or offer()
    sells = of.side is Side.SELL
    made = AcceptFacts(
        offer=of,
        asset=USDT,
        maker=company(MAKER),
        taker=company(TAKER),
        is_trader=True,
        wallet=wallet(TAKERS_WALLET, TAKER) if sells else wallet(MAKERS_WALLET, MAKER),
        hot_wallet=MAKERS_HOT if sells else TAKERS_HOT,
        pair=None,
        session=None,
        limits=LimitFacts(Tier.S, UsdMicros(1_000 * DOLLAR), UsdMicros(0)),
    )
    return msgspec.structs.replace(made, **changes)


def netting_facts(**changes: object) -> AcceptFacts:
    return msgspec.structs.replace(facts(pair=pair(), session=session(), wallet=None, hot_wallet=None), **changes)


def accepted(known: AcceptFacts, wish: AcceptOffer | None = None, **more: int) -> Deal:
    answer = deals.accept(wish or asked(), known, TIERS, NOW, **more)
    assert isinstance(answer, Deal), answer
    return answer


def refusal(known: AcceptFacts, wish: AcceptOffer | None = None) -> Refusal:
    answer = deals.accept(wish or asked(), known, TIERS, NOW)
    assert isinstance(answer, Refusal), answer
    return answer


def no(answer: object) -> tuple[str, str]:
    assert isinstance(answer, Refusal), answer
    return answer.code, answer.field


# ---------------------------------------------------------------------- what is made


def test_who_sells_pays_in_and_who_accepts_is_paid_at_the_wallet_named_now() -> None:
    deal = accepted(facts())

    assert (deal.payer_company_id, deal.payee_company_id) == (MAKER, TAKER)
    assert (deal.maker_company_id, deal.taker_company_id) == (MAKER, TAKER)
    assert (deal.hot_wallet_id, deal.wallet_id) == (MAKERS_HOT, TAKERS_WALLET)
    assert (deal.network, deal.token, deal.amount_token) == (USDT.network, USDT.id, 1_000 * DOLLAR)


def test_who_buys_is_paid_at_the_wallet_of_the_offer_and_who_accepts_pays_in() -> None:
    deal = accepted(facts(offer(Side.BUY)))

    assert (deal.payer_company_id, deal.payee_company_id) == (TAKER, MAKER)
    assert (deal.maker_company_id, deal.taker_company_id) == (MAKER, TAKER)
    # The taker named a wallet of its own: it is not the one who is paid.
    assert (deal.hot_wallet_id, deal.wallet_id) == (TAKERS_HOT, MAKERS_WALLET)


def test_a_pass_through_deal_waits_an_hour_for_its_money_unless_it_is_said_otherwise() -> None:
    deal, hurried = accepted(facts()), accepted(facts(), incoming_within_ms=5 * MINUTE)

    assert (deal.mode, deal.status, deal.session_id) == (Mode.PASS_THROUGH, DealStatus.AWAITING_INCOMING, None)
    assert deal.deadline_ms == NOW + INCOMING_WITHIN_MS == NOW + 60 * MINUTE
    assert hurried.deadline_ms == NOW + 5 * MINUTE
    assert (deal.created_at_ms, deal.ended_at_ms, deal.accepted_by) == (NOW, None, "mb_taker")


def test_a_netting_deal_joins_the_pairs_day_and_needs_no_address() -> None:
    deal = accepted(netting_facts(), asked(Mode.NETTING))

    assert (deal.status, deal.session_id) == (DealStatus.IN_SESSION, "tp_1:2025-11-22")
    assert (deal.wallet_id, deal.hot_wallet_id, deal.deadline_ms) == (None, None, None)


def test_a_deal_that_passes_through_stays_out_of_the_pairs_day() -> None:
    assert accepted(facts(pair=pair(), session=session())).session_id is None


def test_a_deal_counts_in_dollars_rounded_up_and_says_what_its_limit_left() -> None:
    finer = msgspec.structs.replace(USDT, decimals=8)
    deal = accepted(facts(offer(amount_token=1_000 * 10**8 + 1), asset=finer))

    assert deal.exposure_usd == 1_000 * DOLLAR + 1
    assert deal.headroom_usd == 2_000 * DOLLAR  # A deposit of 1,000, and tier S gives twice of it.


# ---------------------------------------------------------------------- what stands in the way


@pytest.mark.parametrize("status", sorted(set(OfferStatus) - {OfferStatus.OPEN}))
def test_an_offer_that_has_ended_is_accepted_by_nobody(status: OfferStatus) -> None:
    answer = refusal(facts(offer(status=status)))
    assert no(answer) == ("offer_ended", "offer_id")
    assert answer.message == f"the offer is {status}"


@pytest.mark.parametrize(("left_ms", "open_still"), [(1, True), (0, False), (-1, False)])
def test_an_offer_is_accepted_to_its_last_millisecond(left_ms: int, open_still: bool) -> None:
    known = facts(offer(expires_at_ms=Instant(NOW + left_ms)))
    answer = deals.accept(asked(), known, TIERS, NOW)
    assert isinstance(answer, Deal) is open_still
    assert open_still or no(answer) == ("offer_ended", "offer_id")


@pytest.mark.parametrize(
    ("known", "wish", "refused"),
    [
        pytest.param(facts(), asked(company_id=MAKER), ("own_offer", "offer_id"), id="its own offer"),
        pytest.param(facts(is_trader=False), asked(), ("not_a_trader", "member_id"), id="no trader"),
        pytest.param(
            facts(maker=suspended(MAKER)),
            asked(),
            ("company_suspended", "company_id"),
            id="the maker is suspended",
        ),
        pytest.param(
            facts(taker=suspended(TAKER)),
            asked(),
            ("company_suspended", "company_id"),
            id="the taker is suspended",
        ),
        pytest.param(
            netting_facts(taker=suspended(TAKER)),
            asked(Mode.NETTING),
            ("company_suspended", "company_id"),
            id="nor does a suspended company net",
        ),
        pytest.param(facts(hot_wallet=None), asked(), ("no_hot_wallet", "network"), id="nowhere to pay in"),
        pytest.param(netting_facts(pair=None), asked(Mode.NETTING), ("pair_disabled", "mode"), id="no pair"),
        pytest.param(
            netting_facts(pair=pair(enabled=False)),
            asked(Mode.NETTING),
            ("pair_disabled", "mode"),
            id="a pair at rest",
        ),
    ],
)
def test_a_deal_is_refused_for_the_people_and_the_way_it_is_settled(
    known: AcceptFacts, wish: AcceptOffer, refused: tuple[str, str]
) -> None:
    assert no(refusal(known, wish)) == refused


def test_who_is_refused_is_named() -> None:
    assert refusal(facts(is_trader=False)).message == "only traders of Taker may do this"
    assert refusal(facts(maker=suspended(MAKER))).message.startswith("Maker is suspended")
    assert "Maker and Taker" in refusal(netting_facts(pair=None), asked(Mode.NETTING)).message


@pytest.mark.parametrize(
    "named",
    [
        pytest.param(None, id="no row at all"),
        pytest.param(wallet(TAKERS_WALLET, MAKER), id="the payer's own"),
        pytest.param(wallet(TAKERS_WALLET, CompanyId("co_third")), id="a third company's"),
        pytest.param(wallet(TAKERS_WALLET, TAKER, token=USDC.id), id="for another token"),
        pytest.param(wallet(TAKERS_WALLET, TAKER, network="ton"), id="on another network"),
    ],
)
def test_the_payee_is_paid_at_no_address_but_its_own_for_this_token(named: object) -> None:
    answer = refusal(facts(wallet=named))
    assert no(answer) == ("wallet_not_allowed", "wallet_id")
    assert answer.message == "this is no address of Taker for tron:USDT"


def test_the_buyers_wallet_must_be_the_makers() -> None:
    answer = refusal(facts(offer(Side.BUY), wallet=wallet(TAKERS_WALLET, TAKER)))
    assert no(answer) == ("wallet_not_allowed", "wallet_id")
    assert answer.message == "this is no address of Maker for tron:USDT"


UNPROVED = {"verified_at_ms": None, "active_from_ms": None}


@pytest.mark.parametrize(
    ("changes", "reached", "lifted_by"),
    [
        ({**UNPROVED, "challenge_until_ms": NOW}, "challenged", "send the micro-transfer that proves it"),
        ({**UNPROVED, "challenge_until_ms": NOW - 1}, "lapsed", "add the address anew"),
        ({"active_from_ms": NOW + 90 * MINUTE}, "cooling off", "wait 1 h 30 min until it has cooled off"),
        ({"active_from_ms": NOW + 1}, "cooling off", "wait 0 h 01 min until it has cooled off"),
        ({"revoked_at_ms": NOW}, "revoked", "add the address anew"),
    ],
)
def test_an_address_that_is_not_active_says_how_far_it_is_and_what_lifts_it(
    changes: dict[str, object], reached: str, lifted_by: str
) -> None:
    answer = refusal(facts(wallet=wallet(TAKERS_WALLET, TAKER, **changes)))
    assert no(answer) == ("wallet_not_allowed", "wallet_id")
    assert answer.message == f"the address TThere is {reached}"
    assert answer.allowed.startswith(lifted_by)
    assert answer.allowed.endswith("or name an active address")


def test_an_address_is_paid_from_the_millisecond_that_it_is_active() -> None:
    assert accepted(facts(wallet=wallet(TAKERS_WALLET, TAKER, active_from_ms=NOW))).wallet_id == TAKERS_WALLET


@pytest.mark.parametrize("mode", Mode)
def test_the_payers_limit_refuses_a_deal_of_either_kind(mode: Mode) -> None:
    poor = LimitFacts(Tier.S, UsdMicros(1_000 * DOLLAR), UsdMicros(1_500 * DOLLAR))
    known = facts(limits=poor) if mode is Mode.PASS_THROUGH else netting_facts(limits=poor)

    answer = refusal(known, asked(mode))

    assert no(answer) == ("over_company_limit", "amount_token")
    assert answer.most == 500


def test_the_pairs_day_is_a_limit_too() -> None:
    full = LimitFacts(
        Tier.S,
        UsdMicros(10_000 * DOLLAR),
        UsdMicros(0),
        pair_day=PairDay(UsdMicros(10_000 * DOLLAR), UsdMicros(9_001 * DOLLAR)),
    )
    answer = refusal(netting_facts(limits=full), asked(Mode.NETTING))
    assert no(answer) == ("over_pair_daily_limit", "amount_token")
    assert answer.most == 999


def test_a_coin_that_is_no_dollar_never_becomes_a_deal() -> None:
    with pytest.raises(ValueError, match="tron:TRX is not counted in dollars"):
        deals.accept(asked(), facts(asset=TRX), TIERS, NOW)


# ---------------------------------------------------------------------- what becomes of it


LATER = Instant(NOW + HOUR)


def cancelled(deal: Deal, who: CompanyId = MAKER, *, is_trader: bool = True) -> Deal | Refusal:
    return deals.cancel(deal, who, is_trader=is_trader, now=LATER)


@pytest.mark.parametrize(
    ("who", "is_trader"), [(TAKER, True), (MAKER, False), (CompanyId("co_third"), True)], ids=str
)
def test_nobody_but_the_payers_traders_calls_a_deal_off(who: CompanyId, is_trader: bool) -> None:
    assert no(cancelled(accepted(facts()), who, is_trader=is_trader)) == ("not_yours", "deal_id")


def test_a_buyers_deal_is_called_off_by_who_accepted_it_because_it_pays() -> None:
    deal = accepted(facts(offer(Side.BUY)))
    assert no(cancelled(deal, MAKER)) == ("not_yours", "deal_id")
    assert isinstance(cancelled(deal, TAKER), Deal)


def test_a_deal_is_called_off_once_and_keeps_its_time() -> None:
    deal = accepted(facts())

    called_off = cancelled(deal)

    assert called_off == msgspec.structs.replace(deal, status=DealStatus.CANCELLED, ended_at_ms=LATER)
    assert deals.cancel(called_off, MAKER, is_trader=True, now=Instant(LATER + HOUR)) == called_off


@pytest.mark.parametrize(
    "status",
    [
        # Only who gives its payout up calls such a deal off.
        DealStatus.PAYING,
        DealStatus.IN_SESSION,
        DealStatus.NETTED,
        DealStatus.SETTLED,
        DealStatus.EXPIRED,
    ],
)
def test_a_deal_that_is_under_way_or_over_is_not_called_off(status: DealStatus) -> None:
    answer = cancelled(msgspec.structs.replace(accepted(facts()), status=status))

    assert no(answer) == ("deal_under_way", "deal_id")
    assert isinstance(answer, Refusal)
    assert answer.message == f"the deal is {status} and can no longer be called off"


@pytest.mark.parametrize(("old", "new"), [(old, new) for old in DealStatus for new in DealStatus])
def test_a_deal_moves_by_the_table_and_has_an_end_just_while_it_is_over(old: DealStatus, new: DealStatus) -> None:
    deal = msgspec.structs.replace(accepted(facts()), status=old, ended_at_ms=NOW if old in ENDED else None)
    if not deals.MOVES.allows(old, new):
        with pytest.raises(IllegalMove, match=f"{old} may not become {new}"):
            deals.to(deal, new, LATER)
        return
    moved = deals.to(deal, new, LATER)
    assert (moved.status, moved.ended_at_ms) == (new, LATER if new in ENDED else None)


@pytest.mark.parametrize(
    ("side", "payer", "paid_at"), [(Side.SELL, MAKER, TAKERS_WALLET), (Side.BUY, TAKER, MAKERS_WALLET)]
)
def test_the_side_tells_who_pays_and_where_to(side: Side, payer: CompanyId, paid_at: WalletId) -> None:
    assert deals.payer_of(offer(side), TAKER) == payer
    assert deals.wallet_of(offer(side), asked()) == paid_at
