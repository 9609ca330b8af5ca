"""Buckets: never more than the venue allows in any window, and never more than its headers say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.exchanges.rate_limit import ADDRESS_PER_S, WINDOW_S, AccountLimits, Bucket, shared_limits


def test_a_full_bucket_lets_its_limit_pass_and_then_tells_how_long_to_wait() -> None:
    bucket = Bucket(10)
    assert bucket.take(100.0, 10)
    assert not bucket.take(100.0)
    assert bucket.wait_s(100.5) == pytest.approx(WINDOW_S - 0.5)
    assert bucket.take(100.0 + WINDOW_S)


@given(st.lists(st.floats(0, 0.5), max_size=200), st.integers(1, 30))
def test_no_window_of_a_second_ever_holds_more_than_the_limit(gaps: list[float], limit: int) -> None:
    bucket, now, passed = Bucket(limit), 0.0, []
    for gap in gaps:
        now += gap
        if bucket.take(now):
            passed.append(now)
    for start in passed:
        assert sum(start <= at < start + 1.0 for at in passed) <= limit


@given(st.lists(st.tuples(st.floats(0, 0.2), st.integers(1, 5)), max_size=100), st.integers(1, 20))
def test_waiting_as_long_as_it_says_is_enough(requests: list[tuple[float, int]], limit: int) -> None:
    bucket, now = Bucket(limit), 0.0
    for gap, _ in requests:
        now += gap
        if not bucket.take(now):
            now += bucket.wait_s(now) + 1e-9
            assert bucket.take(now)


def test_the_venues_lower_count_is_adopted_and_its_higher_one_is_not() -> None:
    bucket = Bucket(10)
    bucket.take(1.0, 4)
    bucket.observe(10, 9, 1.0)  # The venue has not seen three of them yet.
    assert bucket.available(1.0) == 6
    bucket.observe(10, 2, 1.0)  # Somebody else uses the key.
    assert bucket.available(1.0) == 2


def test_the_venues_limit_replaces_the_documented_one() -> None:
    bucket = Bucket(10)
    bucket.observe(50, 50, 1.0)
    assert bucket.available(1.0) == 50
    bucket.observe(5, 5, 1.0)
    assert bucket.available(1.0) == 5


def test_a_closed_bucket_opens_at_its_time() -> None:
    bucket = Bucket(10)
    bucket.close_until(5.0)
    assert bucket.available(4.9) == 0
    assert bucket.wait_s(4.0) == 1.0
    assert bucket.available(5.0) == 10


def test_a_ban_halts_everything_until_it_ends() -> None:
    limits = AccountLimits()
    limits.halt(600.0)
    assert limits.halted_s(0.0) == 600.0
    assert limits.halted_s(601.0) == 0.0


def test_a_ban_concerns_every_account_at_that_host() -> None:
    a, b, elsewhere = (shared_limits(*name) for name in (("http://v", "a"), ("http://v", "b"), ("http://w", "a")))
    a.halt(10.0)
    assert b.halted_s(0.0) == 10.0
    assert elsewhere.halted_s(0.0) == 0.0


def test_bots_of_one_account_share_their_buckets_and_other_accounts_do_not() -> None:
    mine = shared_limits("http://venue", "a")
    assert shared_limits("http://venue", "a") is mine
    assert shared_limits("http://venue", "b") is not mine
    assert mine.bucket("create", 10) is mine.bucket("create", 20)


def test_all_accounts_of_a_process_share_what_one_address_may_ask() -> None:
    # Found by the soak: twenty bots looked up what a broken line had left in doubt, and their address was banned.
    one, other = shared_limits("http://shared", "a"), shared_limits("http://shared", "b")
    elsewhere = shared_limits("http://elsewhere", "a")
    for number in range(ADDRESS_PER_S):
        assert (one, other)[number % 2].share.take(0.0)
    assert not one.share.take(0.0)
    assert not other.share.take(0.0)
    assert elsewhere.share.take(0.0)
    assert other.share.take(WINDOW_S)
