"""A recording in memory: events in columns, so that an hour of a busy market stays small and plays fast.

Everything that can be replayed is parsed into this once, whatever file it came from. It holds what happened and
when; at what speed and how often is the replay's business.
"""

from array import array
from collections.abc import Iterator

from ..candles import MINUTE_MS, Bar
from ..events import BookChange, Level, MarketEvent, MarketTrade

_SOLD, _BOUGHT, _CHANGED, _SNAPSHOT = range(4)
_SIDE_BITS = 24
_SIDE_MASK = (1 << _SIDE_BITS) - 1


class Recording:
    """Events of one instrument in columns, in ticks of that instrument."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.notes: list[str] = []
        """What a reader should know: gaps, a synthetic book, a truncated tail."""
        self.trade_count = 0
        self.trade_size = 0
        """The sum of all trade sizes, in 10**-8 base coins."""
        self._times = array("q")
        self._kinds = bytearray()
        self._first = array("q")
        """Of a trade: ticks. Of a book event: where its levels begin."""
        self._second = array("q")
        """Of a trade: size. Of a book event: how many bids, and how many asks, packed."""
        self._levels = array("q")

    def __len__(self) -> int:
        return len(self._times)

    @property
    def first_ms(self) -> int:
        """Give the recorded time of the first event."""
        return self._times[0]

    @property
    def period_ms(self) -> int:
        """Give the time from one playing's start to the next one's."""
        return self._times[-1] - self._times[0] + 1

    def append(self, event: MarketEvent) -> None:
        """Add an event; time never goes back, so a late stamp is moved to the one before it."""
        at_ms = event.at_ms
        if self._times and at_ms < self._times[-1]:
            at_ms = self._times[-1]
        self._times.append(at_ms)
        if isinstance(event, MarketTrade):
            self.trade_count += 1
            self.trade_size += event.size
            self._kinds.append(_BOUGHT if event.buyer_is_taker else _SOLD)
            self._first.append(event.ticks)
            self._second.append(event.size)
            return
        self._kinds.append(_SNAPSHOT if event.snapshot else _CHANGED)
        self._first.append(len(self._levels))
        self._second.append(len(event.bids) << _SIDE_BITS | len(event.asks))
        for ticks, size in event.bids:
            self._levels.append(ticks)
            self._levels.append(size)
        for ticks, size in event.asks:
            self._levels.append(ticks)
            self._levels.append(size)

    def events(self, start_ms: int | None = None) -> Iterator[MarketEvent]:
        """Give the events in order, re-based so that the first happens at `start_ms`."""
        shift = 0 if start_ms is None else start_ms - self.first_ms
        kinds, first, second = self._kinds, self._first, self._second
        for index, at_ms in enumerate(self._times):
            kind = kinds[index]
            if kind <= _BOUGHT:
                yield MarketTrade(at_ms + shift, first[index], second[index], kind == _BOUGHT)
            else:
                yield self._book(index, at_ms + shift)

    def opening_book(self, at_ms: int) -> BookChange | None:
        """Give the first snapshot of the book, for the seam of a loop; None if the recording has none."""
        index = self._kinds.find(_SNAPSHOT)
        return None if index < 0 else self._book(index, at_ms)

    def starts_with_book(self) -> bool:
        """Tell whether the very first event is a snapshot."""
        return bool(self._kinds) and self._kinds[0] == _SNAPSHOT

    def past_minutes(self, until_ms: int, minutes: int) -> list[Bar]:
        """Give the bars that would exist had the recording been playing in a loop that ends at `until_ms`.

        Trades are first summed by the second, so a bar's edge is exact to a second.
        """
        seconds = self._by_second()
        if not seconds:
            return []
        count = len(seconds)
        bars = []
        last_minute = until_ms - until_ms % MINUTE_MS
        for start in range(last_minute - minutes * MINUTE_MS, last_minute, MINUTE_MS):
            # The second just before until_ms is the last one of the recording.
            index = (start - until_ms) // 1000 % count
            window = seconds[index : index + 60] if index + 60 <= count else _wrapped(seconds, index)
            bars.append(
                Bar(
                    start,
                    window[0].open,
                    max(second.high for second in window),
                    min(second.low for second in window),
                    window[-1].close,
                    sum(second.volume for second in window),
                    sum(second.turnover for second in window),
                )
            )
        return bars

    def trades(self) -> Iterator[MarketTrade]:
        """Give the trades alone, with their recorded times."""
        return (event for event in self.events() if isinstance(event, MarketTrade))

    def _book(self, index: int, at_ms: int) -> BookChange:
        begin, packed = self._first[index], self._second[index]
        middle = begin + 2 * (packed >> _SIDE_BITS)
        end = middle + 2 * (packed & _SIDE_MASK)
        return BookChange(
            at_ms, self._kinds[index] == _SNAPSHOT, self._pairs(begin, middle), self._pairs(middle, end)
        )

    def _pairs(self, begin: int, end: int) -> tuple[Level, ...]:
        # Most changes touch one side, and one level of it.
        if begin == end:
            return ()
        if end - begin == 2:
            return ((self._levels[begin], self._levels[begin + 1]),)
        flat = self._levels[begin:end]
        return tuple(zip(flat[::2], flat[1::2], strict=True))

    def _by_second(self) -> list[Bar]:
        seconds: list[Bar] = []
        for trade in self.trades():
            start = trade.at_ms - trade.at_ms % 1000
            while seconds and seconds[-1].start_ms + 1000 < start:
                price = seconds[-1].close
                seconds.append(Bar(seconds[-1].start_ms + 1000, price, price, price, price))
            if not seconds or seconds[-1].start_ms != start:
                seconds.append(Bar(start, trade.ticks, trade.ticks, trade.ticks, trade.ticks))
            second = seconds[-1]
            second.high = max(second.high, trade.ticks)
            second.low = min(second.low, trade.ticks)
            second.close = trade.ticks
            second.volume += trade.size
            second.turnover += trade.size * trade.ticks
        return seconds


def _wrapped(seconds: list[Bar], index: int) -> list[Bar]:
    count = len(seconds)
    return [seconds[(index + offset) % count] for offset in range(60)]
