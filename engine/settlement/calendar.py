"""When a trust pair's day ends: the pair's own cut-off, in the pair's own time zone.

The cut-off of a date is the first instant at which the local clock shows that date and time, or more. That one
sentence also decides the two odd days of a year: a time that the clock skips is reached when the clock jumps over
it, a time that it shows twice is reached the first time.

A session belongs to the date on which it is cut off: it opens at the cut-off of the day before and contains
every instant up to its own, which already belongs to the next. `datetime` serves here as a calendar; there is no
clock in this file.
"""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from engine.errors import Refusal
from engine.ids import Instant

_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_SECOND = timedelta(seconds=1)


class SessionTimes(msgspec.Struct, frozen=True):
    """One day of a pair: from `opens_at_ms`, inclusive, to `cutoff_at_ms`, exclusive. `date` as 2026-11-22."""

    date: str
    opens_at_ms: Instant
    cutoff_at_ms: Instant


def refuse_zone(name: str) -> Refusal | None:
    """Say what is wrong with a time zone's name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return Refusal("unknown_zone", "tz", f"{name!r} is no time zone", allowed="an IANA name as Europe/Warsaw")
    return None


def refuse_cutoff(text: str) -> Refusal | None:
    """Say what is wrong with a cut-off."""
    try:
        _time(text)
    except ValueError:
        return Refusal("bad_cutoff", "cutoff_local", f"{text!r} is no time of day", allowed="HH:MM as 17:00")
    return None


def session_at(zone: str, cutoff_local: str, now: Instant) -> SessionTimes:
    """Give the session that an instant belongs to."""
    tz, cutoff = ZoneInfo(zone), _time(cutoff_local)
    # The local date is at most a day off: west of a zone that has skipped a date, or after the cut-off.
    day = _moment(now).astimezone(tz).date() - _DAY
    while _cutoff(day, cutoff, tz) <= now:
        day += _DAY
    return _session(day, cutoff, tz)


def session_after(zone: str, cutoff_local: str, session: SessionTimes) -> SessionTimes:
    """Give the next session. A date that the zone skips altogether has none."""
    return session_at(zone, cutoff_local, session.cutoff_at_ms)


def session_on(zone: str, cutoff_local: str, day: str) -> SessionTimes:
    """Give the session of a date."""
    return _session(date.fromisoformat(day), _time(cutoff_local), ZoneInfo(zone))


def cutoff_of(zone: str, cutoff_local: str, day: str) -> Instant:
    """Give the instant at which a date is cut off."""
    return _cutoff(date.fromisoformat(day), _time(cutoff_local), ZoneInfo(zone))


def _session(day: date, cutoff: time, tz: tzinfo) -> SessionTimes:
    return SessionTimes(day.isoformat(), _cutoff(day - _DAY, cutoff, tz), _cutoff(day, cutoff, tz))


def _cutoff(day: date, cutoff: time, tz: tzinfo) -> Instant:
    wall = datetime.combine(day, cutoff)
    first, second = (wall.replace(tzinfo=tz, fold=fold).astimezone(UTC) for fold in (0, 1))
    # Python reads a skipped time with the offset before the jump (fold 0) or after it (fold 1), and then the
    # first is later than the second: the jump lies between.
    return _instant(first if first <= second else _jump(second, first, wall, tz))


def _jump(before: datetime, after: datetime, wall: datetime, tz: tzinfo) -> datetime:
    """Find the second at which the local clock jumps over `wall`."""
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(tz).replace(tzinfo=None) < wall:
            before = middle
        else:
            after = middle
    return after


def _time(text: str) -> time:
    parsed = datetime.strptime(text, "%H:%M")  # noqa: DTZ007  a time of day has no zone
    return parsed.time()


def _moment(at: Instant) -> datetime:
    return _EPOCH + at * _MS


def _instant(moment: datetime) -> Instant:
    return Instant((moment - _EPOCH) // _MS)
