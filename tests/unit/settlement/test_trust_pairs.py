"""Trust pairs: their terms, their days, and the reserve that both sides set aside."""

import pytest

from engine.errors import Refusal
from engine.ids import CompanyId, Instant, MemberId, PairId, TrustSessionId
from engine.money import Asset, AssetId, Network, UsdMicros
from engine.settlement import trust_pairs
from engine.settlement.calendar import SessionTimes
from engine.settlement.trust_pairs import Consent, PairTerms, ReservePart, SessionStatus, TrustPair
from tests.unit.settlement.parties import DOLLAR, HOUR, MAKER, NOW, TAKER, USDC, USDT, pair

CENTS = Asset(AssetId("tron:CENT"), Network.TRON, "CENT", "TCent", 2, True)
FINE = Asset(AssetId("tron:FINE"), Network.TRON, "FINE", "TFine", 18, True)
ASSETS = {asset.id: asset for asset in (USDT, USDC, CENTS, FINE)}
THIRD = CompanyId("co_third")


def reserved(wanted: int, **available: int) -> list[tuple[str, int]]:
    """Give what is taken of each stablecoin; deposits are named by symbol."""
    parts = taken(wanted, available)
    assert isinstance(parts, list), parts
    assert {part.company_id for part in parts} <= {THIRD}
    return [(ASSETS[part.asset].symbol, part.units) for part in parts]


def taken(wanted: int, available: dict[str, int]) -> list[ReservePart] | Refusal:
    deposits = {AssetId(f"tron:{symbol}"): units for symbol, units in available.items()}
    return trust_pairs.reserve(UsdMicros(wanted), THIRD, deposits, ASSETS)


# ---------------------------------------------------------------------- terms


@pytest.mark.parametrize(
    ("terms", "code", "field"),
    [
        (pair(a_company_id=TAKER, b_company_id=MAKER), "bad_pair", "b_company_id"),
        (pair(b_company_id=MAKER), "bad_pair", "b_company_id"),
        (pair(daily_limit_usd=0), "not_positive", "daily_limit_usd"),
        (pair(daily_limit_usd=-1), "not_positive", "daily_limit_usd"),
        (pair(reserve_pct=-1), "bad_reserve", "reserve_pct"),
        (pair(reserve_pct=101), "bad_reserve", "reserve_pct"),
        (pair(tz="Europe/Nowhere"), "unknown_zone", "tz"),
        (pair(cutoff_local="25:00"), "bad_cutoff", "cutoff_local"),
    ],
)
def test_terms_that_cannot_be_kept_are_refused_by_the_field(terms: TrustPair, code: str, field: str) -> None:
    answer = trust_pairs.agree(terms)
    assert isinstance(answer, Refusal)
    assert (answer.code, answer.field) == (code, field)


@pytest.mark.parametrize("change", [{}, {"daily_limit_usd": 1}, {"reserve_pct": 0}, {"reserve_pct": 100}])
def test_terms_at_their_bounds_are_agreed_as_they_are(change: dict[str, object]) -> None:
    terms = pair(**change)
    assert trust_pairs.agree(terms) == terms


def test_both_sides_of_a_pair_are_told_the_smaller_first() -> None:
    assert pair().companies == (MAKER, TAKER)


# ---------------------------------------------------------------------- consent

ADMINS = {MAKER: {MemberId("mb_maker")}, TAKER: {MemberId("mb_taker"), MemberId("mb_both")}}


def yes(company: CompanyId, member: str, terms: PairTerms | None = None) -> Consent:
    said = trust_pairs.terms_hash(terms or pair().terms)
    return Consent(pair().id, company, MemberId(member), said, NOW)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ([], "co_maker and co_taker"),
        ([yes(MAKER, "mb_maker")], "co_taker"),
        ([yes(TAKER, "mb_taker"), yes(TAKER, "mb_both")], "co_maker"),
        ([yes(MAKER, "mb_maker"), yes(TAKER, "mb_trader")], "co_taker"),
        ([yes(MAKER, "mb_maker"), yes(TAKER, "mb_maker")], "co_taker"),
        ([yes(MAKER, "mb_maker"), yes(TAKER, "mb_taker", pair(reserve_pct=99).terms)], "co_taker"),
    ],
)
def test_a_pair_without_a_yes_of_both_sides_is_refused_with_whose_is_missing(
    given: list[Consent], missing: str
) -> None:
    refused = trust_pairs.refuse_without_consent(pair(), given, ADMINS)
    assert refused is not None
    assert refused.code == "consent_missing"
    assert f"no ADMIN of {missing} has" in refused.message
    assert f"an ADMIN of {missing} consent" in refused.allowed


def test_a_yes_of_an_admin_of_each_side_is_enough() -> None:
    given = [yes(MAKER, "mb_maker"), yes(TAKER, "mb_both")]
    assert trust_pairs.refuse_without_consent(pair(), given, ADMINS) is None


@pytest.mark.parametrize(
    "change",
    [
        {"daily_limit_usd": 1},
        {"cutoff_local": "23:59"},
        {"tz": "Asia/Dubai"},
        {"reserve_pct": 99},
        {"automatic_eod": not pair().automatic_eod},
        {"id": "tp_2"},
        {"b_company_id": THIRD},
    ],
)
def test_every_term_is_part_of_what_is_agreed_to(change: dict[str, object]) -> None:
    assert trust_pairs.terms_hash(pair(**change).terms) != trust_pairs.terms_hash(pair().terms)


def test_enabling_changes_nothing_of_what_was_agreed_to() -> None:
    enabled = pair(enabled=True, reserve_round=7)
    assert trust_pairs.terms_hash(enabled.terms) == trust_pairs.terms_hash(pair().terms)


@pytest.mark.parametrize(
    ("member", "terms", "code"),
    [
        ("mb_stranger", pair().terms, "not_an_admin"),
        ("mb_maker", pair(daily_limit_usd=1).terms, "terms_changed"),
        ("mb_maker", pair().terms, None),
        ("mb_both", pair().terms, None),
    ],
)
def test_only_an_admin_says_yes_and_only_to_the_terms_as_they_are(
    member: str, terms: PairTerms, code: str | None
) -> None:
    refused = trust_pairs.refuse_consent(pair(), terms, MemberId(member), ADMINS)
    assert (None if refused is None else refused.code) == code


# ---------------------------------------------------------------------- days


def test_a_day_opens_with_the_pairs_name_and_date_and_nobody_has_closed_it() -> None:
    times = SessionTimes("2025-11-22", Instant(NOW - HOUR), Instant(NOW + HOUR))

    day = trust_pairs.new_session(pair(), times, NOW)

    assert (day.id, day.pair_id, day.session_date) == ("tp_1:2025-11-22", "tp_1", "2025-11-22")
    assert (day.opens_at_ms, day.cutoff_at_ms, day.created_at_ms) == (NOW - HOUR, NOW + HOUR, NOW)
    assert (day.status, day.closed_at_ms, day.closed_by) == (SessionStatus.OPEN, None, None)


@pytest.mark.parametrize("name", ["tp_1", "tp_of:two"])
def test_a_days_name_is_read_back(name: str) -> None:
    day = trust_pairs.session_id(PairId(name), "2025-11-22")
    assert trust_pairs.day_of(TrustSessionId(day)) == (name, "2025-11-22")


# ---------------------------------------------------------------------- the reserve


@pytest.mark.parametrize(
    ("daily_limit", "percent", "each"),
    [
        (10_000 * DOLLAR, 20, 2_000 * DOLLAR),
        (10_000 * DOLLAR, 0, 0),
        (10_000 * DOLLAR, 100, 10_000 * DOLLAR),
        (1, 1, 1),
        (100, 1, 1),
        (101, 1, 2),
        (10**30 + 1, 50, 5 * 10**29 + 1),
    ],
)
def test_each_side_reserves_its_part_of_the_daily_limit_rounded_up(
    daily_limit: int, percent: int, each: int
) -> None:
    assert trust_pairs.reserve_usd(pair(daily_limit_usd=daily_limit, reserve_pct=percent)) == each


@pytest.mark.parametrize(
    ("wanted", "available", "parts"),
    [
        pytest.param(0, {"USDT": 5}, [], id="nothing wanted"),
        pytest.param(0, {}, [], id="nothing wanted and nothing there"),
        pytest.param(700, {"USDT": 1_000}, [("USDT", 700)], id="a part of one"),
        pytest.param(1_000, {"USDT": 1_000}, [("USDT", 1_000)], id="all of one"),
        pytest.param(700, {"USDC": 900, "USDT": 1_000}, [("USDT", 700)], id="the fullest alone"),
        pytest.param(
            1_200, {"USDC": 900, "USDT": 1_000}, [("USDT", 1_000), ("USDC", 200)], id="the fullest first"
        ),
        pytest.param(10, {"USDT": 50, "USDC": 50}, [("USDC", 10)], id="equals by their names"),
        pytest.param(5, {"USDT": 5, "USDC": 0}, [("USDT", 5)], id="no part of an empty one"),
        # 15,000 millionths are 1.5 cents; the reserve is never less than what was agreed.
        pytest.param(15_000, {"CENT": 10}, [("CENT", 2)], id="rounded up to a whole cent"),
        pytest.param(3, {"FINE": 10**18}, [("FINE", 3 * 10**12)], id="to the unit of a fine one"),
    ],
)
def test_a_reserve_is_taken_of_the_fullest_deposit_first(
    wanted: int, available: dict[str, int], parts: list[tuple[str, int]]
) -> None:
    assert reserved(wanted, **available) == parts


@pytest.mark.parametrize(
    ("available", "there", "missing"),
    [
        ({}, "0", "2,000"),
        ({"USDT": 1_999_999_999}, "1,999.999999", "0.000001"),
        ({"USDT": 1_000 * DOLLAR, "USDC": 250 * DOLLAR}, "1,250", "750"),
        # Half a millionth of a dollar backs nothing.
        ({"FINE": 1_999 * 10**18 + 10**12 - 1}, "1,999", "1"),
    ],
)
def test_a_deposit_that_does_not_suffice_is_refused_with_what_is_missing(
    available: dict[str, int], there: str, missing: str
) -> None:
    answer = taken(2_000 * DOLLAR, available)

    assert isinstance(answer, Refusal)
    assert (answer.code, answer.field) == ("deposit_too_small", "reserve_pct")
    assert f"reserves 2,000 USD of the deposit of {THIRD}, of which {there} USD is available" in answer.message
    assert answer.allowed.startswith(f"fund {missing} USD more deposit")
