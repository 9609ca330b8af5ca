"""Bars of one instrument, built from its trades in market time and aggregated on request.

One-minute bars are the only ones stored; a wider bar is always the sum of its minutes, so no two intervals can
disagree. Minutes without a trade are flat at the last close, as on the venue.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec

MINUTE_MS = 60_000
DAY_MS = 86_400_000
HISTORY_BARS = 14 * 1440
"""How many minutes are kept. Grid previews look back a week; the ticker a day."""

INTERVALS = ("1", "3", "5", "15", "30", "60", "120", "240", "360", "720", "D", "W", "M")
"""The intervals of the V5 API, in its own words."""

_EPOCH_WEEK_MS = 4 * DAY_MS
"""1970-01-05, the first Monday: weeks start on Mondays, UTC."""


class Bar(msgspec.Struct):
    """One bar: prices in ticks, volume in 10**-8 base coins, turnover in ticks × size."""

    start_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    turnover: int = 0


class DayFigures(msgspec.Struct, frozen=True):
    """What the ticker says of the last 24 hours."""

    open: int
    open_1h: int
    high: int
    low: int
    volume: int
    turnover: int


def bar_start(at_ms: int, interval: str) -> int:
    """Give the start of the bar that contains an instant."""
    if interval == "W":
        return at_ms - (at_ms - _EPOCH_WEEK_MS) % (7 * DAY_MS)
    if interval == "M":
        month = _utc(at_ms).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return int(month.timestamp()) * 1000
    return at_ms - at_ms % _fixed_ms(interval)


def next_bar_start(start_ms: int, interval: str) -> int:
    """Give the start of the bar after the one that starts at `start_ms`."""
    if interval == "W":
        return start_ms + 7 * DAY_MS
    if interval == "M":
        return bar_start(int((_utc(start_ms) + timedelta(days=32)).timestamp()) * 1000, "M")
    return start_ms + _fixed_ms(interval)


class CandleSeries:
    """The one-minute bars of one instrument, contiguous, oldest first; the last one is still growing."""

    __slots__ = ("_bars", "_past", "_past_key")

    def __init__(self) -> None:
        self._bars: list[Bar] = []
        # The closed part of the 24 h figures changes once a minute but is asked for ten times a second.
        self._past_key = (-1, -1)
        self._past: DayFigures | None = None

    @property
    def bars(self) -> list[Bar]:
        """Give the stored minutes, to be read only."""
        return self._bars

    @property
    def current(self) -> Bar | None:
        """Give the growing minute."""
        return self._bars[-1] if self._bars else None

    def seed(self, history: Iterable[Bar]) -> None:
        """Put a past, oldest first, before the bars there are; minutes missing in it become flat bars."""
        first_own = self._bars[0].start_ms if self._bars else 2**62
        past: list[Bar] = []
        for bar in history:
            if bar.start_ms >= first_own:
                break
            if past:
                _fill_flat(past, bar.start_ms)
            past.append(msgspec.structs.replace(bar))
        if past and self._bars:
            _fill_flat(past, first_own)
        self._bars = past[-HISTORY_BARS:] + self._bars
        self._past = None

    def add(self, at_ms: int, ticks: int, size: int) -> bool:
        """Count a trade; tell whether it opened a new minute. A late trade counts in the current minute."""
        start = at_ms - at_ms % MINUTE_MS
        bars = self._bars
        bar = bars[-1] if bars else None
        if bar is not None and start <= bar.start_ms:
            if ticks > bar.high:
                bar.high = ticks
            elif ticks < bar.low:
                bar.low = ticks
            bar.close = ticks
            bar.volume += size
            bar.turnover += ticks * size
            return False
        if bar is not None:
            _fill_flat(bars, start)
        bars.append(Bar(start, ticks, ticks, ticks, ticks, size, ticks * size))
        if len(bars) > HISTORY_BARS + 1440:
            del bars[: len(bars) - HISTORY_BARS]
        return True

    def query(self, interval: str, start_ms: int | None, end_ms: int | None, limit: int) -> list[Bar]:
        """Give up to `limit` bars, newest first.

        With `start_ms` alone the oldest bars from the one that contains it; otherwise the newest that start at
        or before `end_ms`, and not before the bar that contains `start_ms`.
        """
        if not self._bars:
            return []
        first = self._bars[0].start_ms if start_ms is None else bar_start(start_ms, interval)
        if start_ms is not None and end_ms is None:
            found: list[Bar] = []
            for bar in self._aggregate(interval, first, 2**62):
                found.append(bar)
                if len(found) == limit:
                    break
            return found[::-1]
        last = self._bars[-1].start_ms if end_ms is None else end_ms
        first = max(first, self._floor_for(interval, last, limit))
        return list(self._aggregate(interval, first, last))[::-1][:limit]

    def bar_at(self, interval: str, start_ms: int) -> Bar | None:
        """Give the bar of `interval` that starts at `start_ms`, so far as it has grown."""
        return next(self._aggregate(interval, start_ms, start_ms), None)

    def day_figures(self, now_ms: int) -> DayFigures | None:
        """Sum up the last 24 hours, to the minute; None before the first trade."""
        current = self.current
        if current is None:
            return None
        past = self._closed_day(now_ms, current)
        if past is None:
            return DayFigures(
                current.open, current.open, current.high, current.low, current.volume, current.turnover
            )
        return DayFigures(
            open=past.open,
            open_1h=past.open_1h,
            high=max(past.high, current.high),
            low=min(past.low, current.low),
            volume=past.volume + current.volume,
            turnover=past.turnover + current.turnover,
        )

    def _closed_day(self, now_ms: int, current: Bar) -> DayFigures | None:
        key = (now_ms // MINUTE_MS, current.start_ms)
        if key == self._past_key and self._past is not None:
            return self._past
        day = self._bars[self._index(now_ms - DAY_MS) : -1]
        if not day:
            return None
        hour = self._bars[min(self._index(now_ms - 60 * MINUTE_MS), len(self._bars) - 1)]
        self._past_key = key
        self._past = DayFigures(
            open=day[0].open,
            open_1h=hour.open,
            high=max(bar.high for bar in day),
            low=min(bar.low for bar in day),
            volume=sum(bar.volume for bar in day),
            turnover=sum(bar.turnover for bar in day),
        )
        return self._past

    def _index(self, at_ms: int) -> int:
        """Give the position of the first minute that starts at or after an instant."""
        return max(0, min(len(self._bars), -(-(at_ms - self._bars[0].start_ms) // MINUTE_MS)))

    def _floor_for(self, interval: str, last_ms: int, limit: int) -> int:
        """Bound how far back `limit` bars can reach, so that a query reads no more minutes than it needs."""
        width = {"W": 7 * DAY_MS, "M": 31 * DAY_MS}.get(interval) or _fixed_ms(interval)
        return bar_start(last_ms, interval) - (limit - 1) * width

    def _aggregate(self, interval: str, first_ms: int, last_ms: int) -> Iterator[Bar]:
        """Give the bars that start in [first_ms, last_ms], oldest first."""
        bars = self._bars
        index = self._index(first_ms) if bars else 0
        while index < len(bars):
            start = bar_start(bars[index].start_ms, interval)
            if start > last_ms:
                return
            end = min(self._index(next_bar_start(start, interval)), len(bars))
            yield _sum(start, bars[index:end])
            index = end


def _sum(start_ms: int, minutes: list[Bar]) -> Bar:
    if len(minutes) == 1:
        return msgspec.structs.replace(minutes[0], start_ms=start_ms)
    return Bar(
        start_ms,
        minutes[0].open,
        max(bar.high for bar in minutes),
        min(bar.low for bar in minutes),
        minutes[-1].close,
        sum(bar.volume for bar in minutes),
        sum(bar.turnover for bar in minutes),
    )


def _fill_flat(bars: list[Bar], until_ms: int) -> None:
    """Append flat minutes up to (not including) `until_ms`; a gap longer than the history is cut to it."""
    last = bars[-1]
    start = last.start_ms + MINUTE_MS
    if until_ms - start > HISTORY_BARS * MINUTE_MS:
        bars.clear()
        start = until_ms - HISTORY_BARS * MINUTE_MS
    price = last.close
    bars.extend(Bar(at, price, price, price, price) for at in range(start, until_ms, MINUTE_MS))


def _fixed_ms(interval: str) -> int:
    return DAY_MS if interval == "D" else int(interval) * MINUTE_MS


def _utc(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC)
