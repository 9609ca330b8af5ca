"""The pair's cut-off in the pair's own zone, on ordinary days and on the odd ones."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.ids import Instant
from engine.settlement.calendar import cutoff_of, refuse_cutoff, refuse_zone, session_after, session_at

HOUR = 3_600_000
DAY = 24 * HOUR


def at(text: str) -> Instant:
    """Read a UTC time."""
    return Instant(int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000))


@pytest.mark.parametrize(
    ("zone", "cutoff", "day", "utc"),
    [
        pytest.param("Europe/Warsaw", "17:00", "2026-01-15", "2026-01-15 16:00", id="Warsaw in winter"),
        pytest.param("Europe/Warsaw", "17:00", "2026-07-15", "2026-07-15 15:00", id="Warsaw in summer"),
        # 2026-03-29: 02:00 becomes 03:00. 02:30 is skipped: reached at the jump.
        pytest.param("Europe/Warsaw", "02:30", "2026-03-29", "2026-03-29 01:00", id="Warsaw, skipped"),
        pytest.param("Europe/Warsaw", "02:00", "2026-03-29", "2026-03-29 01:00", id="Warsaw, start of the skip"),
        pytest.param("Europe/Warsaw", "03:00", "2026-03-29", "2026-03-29 01:00", id="Warsaw, end of the skip"),
        pytest.param("Europe/Warsaw", "01:59", "2026-03-29", "2026-03-29 00:59", id="Warsaw, before the skip"),
        # 2026-10-25: 03:00 becomes 02:00. 02:30 comes twice: the first counts.
        pytest.param("Europe/Warsaw", "02:30", "2026-10-25", "2026-10-25 00:30", id="Warsaw, doubled"),
        pytest.param("Europe/Warsaw", "03:00", "2026-10-25", "2026-10-25 02:00", id="Warsaw, after the double"),
        pytest.param("America/New_York", "17:00", "2026-03-08", "2026-03-08 21:00", id="New York, odd day"),
        pytest.param("America/New_York", "02:30", "2026-03-08", "2026-03-08 07:00", id="New York, skipped"),
        pytest.param("America/New_York", "01:30", "2026-11-01", "2026-11-01 05:30", id="New York, doubled"),
        pytest.param("Asia/Dubai", "17:00", "2026-03-29", "2026-03-29 13:00", id="no daylight saving"),
        pytest.param("Asia/Kolkata", "17:00", "2026-03-29", "2026-03-29 11:30", id="half an hour"),
        # Lord Howe moves by half an hour: 02:00 becomes 02:30 on 2026-10-04, 02:00 becomes 01:30 on 2026-04-05.
        pytest.param("Australia/Lord_Howe", "02:15", "2026-10-04", "2026-10-03 15:30", id="Lord Howe, skipped"),
        pytest.param("Australia/Lord_Howe", "01:45", "2026-04-05", "2026-04-04 14:45", id="Lord Howe, doubled"),
        # Samoa had no 2011-12-30 at all: its cut-off is the jump from the 29th to the 31st.
        pytest.param("Pacific/Apia", "17:00", "2011-12-30", "2011-12-30 10:00", id="Samoa, no such day"),
    ],
)
def test_the_cutoff_is_the_first_instant_at_which_the_clock_shows_it(
    zone: str, cutoff: str, day: str, utc: str
) -> None:
    assert cutoff_of(zone, cutoff, day) == at(utc)


def test_a_session_contains_its_opening_and_not_its_cutoff() -> None:
    opens, cutoff = at("2026-01-14 16:00"), at("2026-01-15 16:00")
    for now in (opens, cutoff - 1):
        session = session_at("Europe/Warsaw", "17:00", Instant(now))
        assert (session.date, session.opens_at_ms, session.cutoff_at_ms) == ("2026-01-15", opens, cutoff)
    assert session_at("Europe/Warsaw", "17:00", cutoff).date == "2026-01-16"


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Warsaw", "2026-03-29 12:00", 23),
        ("Europe/Warsaw", "2026-10-25 12:00", 25),
        ("America/New_York", "2026-03-08 15:00", 23),
        ("America/New_York", "2026-11-01 15:00", 25),
        ("Asia/Dubai", "2026-03-29 12:00", 24),
        ("Australia/Lord_Howe", "2026-10-04 01:00", 23.5),
        ("Australia/Lord_Howe", "2026-04-05 01:00", 24.5),
    ],
)
def test_the_odd_days_are_shorter_or_longer(zone: str, day: str, hours: float) -> None:
    session = session_at(zone, "17:00", at(day))
    assert session.cutoff_at_ms - session.opens_at_ms == hours * HOUR


def test_a_date_that_the_zone_skips_leaves_no_empty_session() -> None:
    before = session_at("Pacific/Apia", "00:00", at("2011-12-29 12:00"))
    after = session_after("Pacific/Apia", "00:00", before)
    assert after.opens_at_ms == before.cutoff_at_ms
    assert after.cutoff_at_ms > after.opens_at_ms


ZONES = ("Europe/Warsaw", "America/New_York", "Asia/Kolkata", "Asia/Dubai", "Australia/Lord_Howe", "Pacific/Apia")


@given(
    st.sampled_from(ZONES),
    st.times(),
    st.datetimes(datetime(2011, 12, 1), datetime(2037, 12, 1)),  # noqa: DTZ001  Hypothesis wants them naive
)
def test_sessions_are_a_row_without_gaps_and_every_instant_is_in_one(
    zone: str, cutoff: object, moment: datetime
) -> None:
    text = f"{cutoff:%H:%M}"
    now = Instant(int(moment.replace(tzinfo=UTC).timestamp() * 1000))
    session = session_at(zone, text, now)
    following = session_after(zone, text, session)
    assert session.opens_at_ms <= now < session.cutoff_at_ms
    assert following.opens_at_ms == session.cutoff_at_ms < following.cutoff_at_ms
    assert following.date > session.date


@given(
    st.sampled_from(ZONES),
    st.integers(0, 23),
    st.integers(0, 59),
    st.dates(datetime(2012, 1, 2).date(), datetime(2037, 12, 1).date()),  # noqa: DTZ001
)
def test_at_the_cutoff_the_clock_shows_it_or_more_and_before_it_never_did(
    zone: str, hour: int, minute: int, day: object
) -> None:
    cutoff = cutoff_of(zone, f"{hour:02d}:{minute:02d}", str(day))
    wall = datetime.fromisoformat(f"{day} {hour:02d}:{minute:02d}")
    there = datetime.fromtimestamp(cutoff / 1000, UTC).astimezone(ZoneInfo(zone))
    before = there.astimezone(UTC) - timedelta(seconds=1)
    assert there.replace(tzinfo=None) >= wall
    assert before.astimezone(ZoneInfo(zone)).replace(tzinfo=None) < wall


@pytest.mark.parametrize("name", ["Europe/Warszawa", "", "../etc/passwd", "+02:00", "/etc/localtime"])
def test_a_zone_that_does_not_exist_is_refused(name: str) -> None:
    no = refuse_zone(name)
    assert no is not None
    assert no.code == "unknown_zone"


@pytest.mark.parametrize("text", ["25:00", "17", "17:00:00", "", "5pm"])
def test_a_cutoff_that_is_no_time_of_day_is_refused(text: str) -> None:
    no = refuse_cutoff(text)
    assert no is not None
    assert no.code == "bad_cutoff"
