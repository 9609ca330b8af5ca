"""What an incoming transfer is: the table of `engine.payments.incoming`, line by line, in its order."""

import msgspec
import pytest

from engine.ids import Instant, WalletId
from engine.money import Asset
from engine.payments.allowlist import AllowedWallet
from engine.payments.incoming import (
    Arrival,
    Expectations,
    IncomingStatus,
    MatchingPolicy,
    Place,
    Reason,
    Verdict,
    match,
)
from engine.settlement.deals import DealStatus
from tests.unit.payments.arrivals import (
    BLOCK_TIME,
    DEADLINE,
    TRX,
    USDC,
    USDT,
    arrival,
    deal,
    expecting,
    proved_wallet,
    unproved_wallet,
)

POLICY = MatchingPolicy(
    tolerance_bps=10, tolerance_usd_micros_max=1_000_000, dust_usd_micros=10_000, dust_coin_units=1_000
)


def judge(
    expected: Expectations, *arrivals: Arrival, at: Instant = BLOCK_TIME, policy: MatchingPolicy = POLICY
) -> list[Verdict]:
    return match(arrivals, expected, policy, at)


def test_a_token_that_is_not_listed_goes_to_suspense_and_into_no_books() -> None:
    (verdict,) = judge(expecting(deal("de_1", 5_000_000)), arrival(5_000_000, asset=None))

    assert (verdict.status, verdict.reason) == (IncomingStatus.SUSPENSE, Reason.WRONG_TOKEN)
    assert (verdict.place, verdict.matched_to) == (Place.NOWHERE, "")


def test_the_micro_transfer_proves_the_wallet_and_belongs_to_the_company() -> None:
    wallet = unproved_wallet("wa_1", "TPayee", units=34_567)
    (verdict,) = judge(expecting(deal("de_1", 34_567), wallets=[wallet]), arrival(34_567, sender="TPayee"))

    assert (verdict.status, verdict.reason) == (IncomingStatus.CREDITED, Reason.CHALLENGE)
    assert (verdict.place, verdict.matched_to) == (Place.FUNDS, "wa_1")


@pytest.mark.parametrize(
    ("units", "sender", "asset", "too_late_by_ms"),
    [
        (34_568, "TPayee", USDT, 0),
        (34_567, "TSomebody", USDT, 0),
        (34_567, "TPayee", USDC, 0),
        (34_567, "TPayee", USDT, 1),
    ],
)
def test_almost_the_micro_transfer_proves_nothing(
    units: int, sender: str, asset: Asset, too_late_by_ms: int
) -> None:
    wallet = unproved_wallet("wa_1", "TPayee", units=34_567, until_ms=Instant(BLOCK_TIME - too_late_by_ms))
    (verdict,) = judge(expecting(wallets=[wallet]), arrival(units, sender=sender, asset=asset))

    assert (verdict.reason, verdict.place, verdict.wallet) == (Reason.UNASKED, Place.FUNDS, None)


def test_a_wallet_is_proved_once() -> None:
    wallet = unproved_wallet("wa_1", "TPayee", units=34_567)
    twice = [arrival(34_567, sender="TPayee", log_index=n) for n in (0, 1)]

    assert [verdict.reason for verdict in judge(expecting(wallets=[wallet]), *twice)] == [
        Reason.CHALLENGE,
        Reason.UNASKED,
    ]


@pytest.mark.parametrize(("asset", "units"), [(USDT, 9_999), (TRX, 999)])
def test_dust_goes_to_the_tolerance_account_even_if_a_deal_is_that_small(asset: Asset, units: int) -> None:
    (verdict,) = judge(expecting(deal("de_1", units)), arrival(units, asset=asset))

    assert (verdict.status, verdict.reason) == (IncomingStatus.TOLERANCE, Reason.DUST)
    assert verdict.place is Place.TOLERANCE


def test_the_networks_own_coin_is_the_operators_for_fees() -> None:
    (verdict,) = judge(expecting(deal("de_1", 100_000_000)), arrival(100_000_000, asset=TRX))

    assert (verdict.status, verdict.reason) == (IncomingStatus.CREDITED, Reason.FEE_COIN)
    assert verdict.place is Place.OWNER


def test_what_the_operators_treasury_sends_is_the_operators_even_if_a_deal_waits_for_as_much() -> None:
    policy = msgspec.structs.replace(POLICY, treasury=frozenset({"TTreasury"}))
    expected = expecting(deal("de_1", 5_000_000))
    ours, theirs = (arrival(5_000_000, sender=sender, tx=n) for n, sender in enumerate(("TTreasury", "TAnybody")))

    first, second = judge(expected, ours, theirs, policy=policy)

    assert (first.status, first.reason, first.place) == (IncomingStatus.CREDITED, Reason.TREASURY, Place.OWNER)
    assert (second.reason, second.matched_to) == (Reason.EXACT, "de_1")


@pytest.mark.parametrize(
    ("units", "status", "reason", "to_deal", "surplus"),
    [
        (100_000_000, IncomingStatus.CREDITED, Reason.EXACT, 100_000_000, 0),
        (99_900_000, IncomingStatus.TOLERANCE, Reason.TOLERANCE, 99_900_000, 0),
        (100_100_000, IncomingStatus.TOLERANCE, Reason.TOLERANCE, 100_000_000, 100_000),
        (99_899_999, IncomingStatus.SUSPENSE, Reason.UNDER, 99_899_999, 0),
        (100_100_001, IncomingStatus.SUSPENSE, Reason.OVER, 100_100_001, 0),
        (1_000_000, IncomingStatus.SUSPENSE, Reason.UNDER, 1_000_000, 0),
    ],
)
def test_the_amount_of_an_open_deal_is_let_pass_within_the_tolerance(
    units: int, status: IncomingStatus, reason: Reason, to_deal: int, surplus: int
) -> None:
    (verdict,) = judge(expecting(deal("de_1", 100_000_000)), arrival(units))

    assert (verdict.status, verdict.reason) == (status, reason)
    assert (verdict.units, verdict.surplus_units) == (to_deal, surplus)
    assert verdict.matched_to == ("" if status is IncomingStatus.SUSPENSE else "de_1")


def test_of_a_large_deal_no_more_than_the_largest_tolerance_may_be_missing() -> None:
    million = 1_000_000_000_000
    expected = expecting(deal("de_1", million))

    (inside,) = judge(expected, arrival(million - 1_000_000))
    (outside,) = judge(expected, arrival(million - 1_000_001))

    assert (inside.reason, outside.reason) == (Reason.TOLERANCE, Reason.UNDER)


def test_whether_it_is_under_or_over_is_said_of_the_nearest_deal() -> None:
    expected = expecting(deal("de_small", 10_000_000), deal("de_large", 100_000_000))

    assert [verdict.reason for verdict in judge(expected, arrival(12_000_000), arrival(90_000_000))] == [
        Reason.OVER,
        Reason.UNDER,
    ]


def test_the_oldest_deal_of_that_amount_is_paid_and_each_deal_once() -> None:
    expected = expecting(deal("de_old", 5_000_000), deal("de_new", 5_000_000))

    verdicts = judge(expected, *(arrival(5_000_000, log_index=n) for n in range(3)))

    assert [verdict.matched_to for verdict in verdicts] == ["de_old", "de_new", ""]
    assert verdicts[2].place is Place.FUNDS


def test_the_exact_amount_of_a_younger_deal_is_better_than_almost_that_of_an_older_one() -> None:
    expected = expecting(deal("de_old", 1_000_000_000), deal("de_new", 1_000_400_000))

    (verdict,) = judge(expected, arrival(1_000_400_000))

    assert (verdict.matched_to, verdict.reason) == ("de_new", Reason.EXACT)


def test_of_two_amounts_within_the_tolerance_the_nearest_is_meant() -> None:
    """Found by a simulated world, in which the older one of two such deals was paid instead."""
    expected = expecting(deal("de_old", 862_012_012), deal("de_new", 862_096_096))

    (verdict,) = judge(expected, arrival(862_056_096))

    assert (verdict.matched_to, verdict.reason) == ("de_new", Reason.TOLERANCE)


def test_of_two_amounts_as_near_the_older_is_meant() -> None:
    expected = expecting(deal("de_old", 1_000_000_000), deal("de_new", 1_000_000_400))

    (verdict,) = judge(expected, arrival(1_000_000_200))

    assert verdict.matched_to == "de_old"


def test_deals_of_other_addresses_are_nobodys_business_here() -> None:
    (verdict,) = judge(expecting(deal("de_1", 5_000_000, hot_wallet="hw_other")), arrival(5_000_000))

    assert (verdict.reason, verdict.place) == (Reason.UNASKED, Place.FUNDS)


def test_the_right_amount_of_another_listed_token_is_told_apart() -> None:
    eighteen = msgspec.structs.replace(USDC, decimals=18)
    expected = expecting(deal("de_1", 5_000_000), assets=(USDT, eighteen, TRX))

    right, wrong = judge(expected, arrival(5 * 10**18, asset=eighteen), arrival(4 * 10**18, asset=eighteen))

    assert (right.status, right.reason) == (IncomingStatus.SUSPENSE, Reason.OTHER_TOKEN)
    assert (wrong.reason, wrong.place) == (Reason.UNASKED, Place.FUNDS)


@pytest.mark.parametrize("status", [DealStatus.CANCELLED, DealStatus.EXPIRED])
def test_what_comes_for_a_deal_that_is_over_goes_back_to_a_known_sender(status: DealStatus) -> None:
    expected = expecting(deal("de_1", 5_000_000, status=status), wallets=[proved_wallet("wa_own", "TPayer")])

    (verdict,) = judge(expected, arrival(5_000_000, sender="TPayer"))

    assert (verdict.status, verdict.reason) == (IncomingStatus.REFUND, Reason.LATE)
    assert (verdict.place, verdict.matched_to) == (Place.SUSPENSE, "de_1")
    assert verdict.wallet == WalletId("wa_own")


@pytest.mark.parametrize(
    "wallets",
    [
        [],
        [proved_wallet("wa_own", "TElsewhere")],
        [proved_wallet("wa_own", "TPayer", active_from_ms=Instant(BLOCK_TIME + 1))],
        [msgspec.structs.replace(proved_wallet("wa_own", "TPayer"), token=USDC.id)],
    ],
    ids=["nobody", "another address", "cools off", "another token"],
)
def test_what_comes_late_from_a_sender_we_cannot_pay_waits_for_a_person(wallets: list[AllowedWallet]) -> None:
    expected = expecting(deal("de_1", 5_000_000, status=DealStatus.EXPIRED), wallets=wallets)

    (verdict,) = judge(expected, arrival(5_000_000, sender="TPayer"))

    assert (verdict.status, verdict.reason) == (IncomingStatus.SUSPENSE, Reason.LATE)
    assert (verdict.matched_to, verdict.wallet) == ("de_1", None)


def test_the_deadline_counts_by_the_blocks_time_and_not_by_when_we_look() -> None:
    expected = expecting(deal("de_1", 5_000_000))

    (in_time,) = judge(expected, arrival(5_000_000), at=DEADLINE)
    (late,) = judge(expected, arrival(5_000_000), at=Instant(DEADLINE + 1))

    assert (in_time.reason, late.reason) == (Reason.EXACT, Reason.LATE)


def test_an_open_deal_is_asked_before_one_that_is_over() -> None:
    expected = expecting(deal("de_over", 5_000_000, status=DealStatus.EXPIRED), deal("de_open", 5_000_000))

    verdicts = judge(expected, *(arrival(5_000_000, log_index=n) for n in (0, 1)))

    assert [verdict.matched_to for verdict in verdicts] == ["de_open", "de_over"]


@pytest.mark.parametrize("status", [DealStatus.PAYING, DealStatus.SETTLED])
def test_a_deal_that_has_its_money_is_not_paid_a_second_time(status: DealStatus) -> None:
    (verdict,) = judge(expecting(deal("de_1", 5_000_000, status=status)), arrival(5_000_000))

    assert (verdict.reason, verdict.place) == (Reason.UNASKED, Place.FUNDS)
