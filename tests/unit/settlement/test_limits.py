"""Deposits and limits: what a company may still owe, and what a "no" says."""

import itertools
from decimal import Decimal

import msgspec
import pytest

from engine.errors import Refusal
from engine.ids import Instant
from engine.money import Asset, AssetId, Network, UsdMicros
from engine.settlement.limits import LimitFacts, PairDay, Promise, check, collateral, company_limit, dollars
from engine.settlement.tiers import TIERS, Tier, TierTerms, VelocityWindow

NOW = Instant(1_763_812_800_000)
MINUTE = 60_000


def usd(amount: str | int) -> UsdMicros:
    return UsdMicros(int(Decimal(amount) * 1_000_000))


def facts(tier: Tier = Tier.S, deposit: int = 1_000_000, exposure: int = 0, **more: object) -> LimitFacts:
    made = LimitFacts(tier, usd(deposit), usd(exposure))
    return msgspec.structs.replace(made, **more)


def refusal(amount: int | str, known: LimitFacts) -> Refusal:
    answer = check(usd(amount), "USDT", known, TIERS, NOW)
    assert isinstance(answer, Refusal), f"{dollars(answer)} USD is left"
    return answer


@pytest.mark.parametrize(
    ("amount", "known", "left"),
    [
        pytest.param(10_000, facts(), 10_000, id="up to the cap of one deal"),
        pytest.param(2_000, facts(deposit=1_000), 2_000, id="up to deposit × k"),
        pytest.param(500, facts(deposit=1_000, exposure=1_500), 500, id="up to what is left of deposit × k"),
        pytest.param(5_000, facts(exposure=20_000), 5_000, id="up to what is left of the open exposure"),
        pytest.param(3_000, facts(pair_day=PairDay(usd(8_000), usd(5_000))), 3_000, id="up to the pair's day"),
        pytest.param(
            10_000, facts(promises=[Promise(NOW, usd(40_000))]), 10_000, id="up to what is left of the hour"
        ),
    ],
)
def test_a_deal_fits_up_to_the_last_dollar_of_its_tightest_limit(
    amount: int, known: LimitFacts, left: int
) -> None:
    assert check(usd(amount), "USDT", known, TIERS, NOW) == usd(left)
    over = check(UsdMicros(usd(amount) + 1), "USDT", known, TIERS, NOW)
    assert isinstance(over, Refusal)
    assert over.most == left


def test_over_the_cap_of_one_deal_a_higher_tier_is_named() -> None:
    no = refusal(12_500, facts())
    assert (no.code, no.most) == ("over_cap_per_deal", Decimal(10_000))
    assert "12,500 USD is too much: tier S makes deals of 10,000 USD at most" in no.message
    assert "10,000 USD or less now" in no.allowed
    assert "ask for tier M (50,000 USD a deal)" in no.allowed


def test_what_is_too_much_for_every_tier_can_only_be_split() -> None:
    no = refusal(1_000_001, facts(Tier.XL))
    assert no.code == "over_cap_per_deal"
    assert "split it" in no.allowed
    assert "tier" not in no.allowed


def test_over_the_company_limit_the_missing_deposit_is_named() -> None:
    # Tier S, k = 2: 1,000 give 2,000; 500 are open and 4,000 are wanted, so 2,250 are needed in all.
    no = refusal(4_000, facts(deposit=1_000, exposure=500))
    assert (no.code, no.most) == ("over_company_limit", Decimal(1_500))
    assert "fund 1,250 USDT more deposit" in no.allowed


def test_what_is_said_to_lift_the_company_limit_lifts_it() -> None:
    known = facts(deposit=1_000, exposure=500)
    missing = int(refusal(4_000, known).allowed.split("fund ")[1].split(" ")[0].replace(",", ""))
    enough = facts(deposit=1_000 + missing, exposure=500)
    assert not isinstance(check(usd(4_000), "USDT", enough, TIERS, NOW), Refusal)
    too_little = msgspec.structs.replace(enough, deposit_available=UsdMicros(enough.deposit_available - 1))
    assert isinstance(check(usd(4_000), "USDT", too_little, TIERS, NOW), Refusal)


def test_over_the_open_exposure_what_to_settle_is_named() -> None:
    no = refusal(6_000, facts(exposure=20_000))
    assert (no.code, no.most) == ("over_open_exposure", Decimal(5_000))
    assert "settle 1,000 USD of open deals" in no.allowed


def test_over_the_velocity_the_waiting_time_is_named() -> None:
    promises = [Promise(Instant(NOW - 50 * MINUTE), usd(3_000)), Promise(Instant(NOW - 10 * MINUTE), usd(44_000))]
    no = refusal(5_000, facts(promises=promises))
    assert (no.code, no.most) == ("over_velocity", Decimal(3_000))
    assert "wait 0 h 10 min" in no.allowed


def test_a_promise_leaves_the_window_to_the_millisecond() -> None:
    promises = [Promise(Instant(NOW - 60 * MINUTE), usd(50_000))]
    assert check(usd(1), "USDT", facts(promises=promises), TIERS, NOW) == usd(10_000)
    promises = [Promise(Instant(NOW - 60 * MINUTE + 1), usd(50_000))]
    assert refusal(1, facts(promises=promises)).code == "over_velocity"


def test_the_windows_count_apart() -> None:
    hours_ago = [Promise(Instant(NOW - hours * 60 * MINUTE), usd(40_000)) for hours in (12, 8, 4)]
    no = refusal(6_000, facts(promises=hours_ago))
    assert (no.code, no.most) == ("over_velocity", Decimal(5_000))
    assert "within 24 h" in no.message
    assert "wait 12 h 00 min" in no.allowed


def test_over_the_pairs_day_the_next_session_is_named() -> None:
    no = refusal(4_000, facts(pair_day=PairDay(usd(8_000), usd(5_000))))
    assert (no.code, no.most) == ("over_pair_daily_limit", Decimal(3_000))
    assert "next session" in no.allowed


def test_the_tightest_limit_answers() -> None:
    everything_is_tight = facts(deposit=100, exposure=150, pair_day=PairDay(usd(10), usd(5)))
    assert refusal(9_000, everything_is_tight).code == "over_pair_daily_limit"
    assert refusal(9_000, facts(deposit=100, exposure=199)).code == "over_company_limit"


def test_a_lowered_limit_blocks_new_deals_and_nothing_is_left() -> None:
    no = refusal("0.000001", facts(deposit=1_000, exposure=5_000))
    assert (no.code, no.most) == ("over_company_limit", Decimal(0))
    assert "0 USD or less now" in no.allowed


def test_no_deposit_no_deal() -> None:
    assert refusal(1, facts(deposit=0)).code == "over_company_limit"


def test_the_company_limit_is_rounded_down() -> None:
    terms = TierTerms(Decimal("1.5"), usd(1), usd(1), ())
    assert company_limit(UsdMicros(3), terms) == 4


@pytest.mark.parametrize(
    ("decimals", "units", "micros"), [(6, 1_999_999, 1_999_999), (18, 1_999_999_999_999, 1), (2, 5, 50_000)]
)
def test_a_deposit_counts_whole_millionths_and_rounds_down(decimals: int, units: int, micros: int) -> None:
    asset = Asset(AssetId("x:USDX"), Network.TRON, "USDX", "T", decimals, is_dollar=True)
    assert collateral(asset, units) == micros


def test_only_dollars_are_collateral() -> None:
    with pytest.raises(ValueError, match="not counted in dollars"):
        collateral(Asset(AssetId("tron:TRX"), Network.TRON, "TRX", "", 6), 1)


@pytest.mark.parametrize(
    ("micros", "text"), [(1_250_000_000, "1,250"), (500_000, "0.5"), (-1, "-0.000001"), (0, "0")]
)
def test_dollars_read_like_dollars(micros: int, text: str) -> None:
    assert dollars(micros) == text


def test_tiers_grow_in_every_limit() -> None:
    terms = [TIERS[tier] for tier in Tier]
    for smaller, larger in itertools.pairwise(terms):
        assert smaller.k < larger.k
        assert smaller.cap_per_deal < larger.cap_per_deal
        assert smaller.cap_open_exposure < larger.cap_open_exposure
        assert [window.usd for window in smaller.velocity] < [window.usd for window in larger.velocity]


def test_an_operator_may_have_no_velocity_windows() -> None:
    tiers = {Tier.S: TierTerms(Decimal(2), usd(10), usd(20), ())}
    assert check(usd(10), "USDT", facts(), tiers, NOW) == usd(10)


def test_a_window_has_a_length() -> None:
    assert VelocityWindow(24, usd(1)).length_ms == 24 * 60 * MINUTE
