"""What the venue knows of each market: book, last and mark price, tape, bars, and the figures of the ticker.

A feed's events are applied here first; orders are matched and streams are pushed afterwards, by others. Nothing
here reads a clock: market time is the time of the latest event.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from math import ceil

import msgspec

from engine.trading.instrument import Instrument, Market
from engine.trading.orders import Side

from .book import BookSide
from .candles import Bar, CandleSeries, DayFigures
from .catalogue import Listing
from .events import BookChange, Level, MarketEvent, MarketTrade

TAPE_LENGTH = 1000
"""How many trades `recent-trade` can look back on; the venue's own limit."""

PRICE_LIMIT_RATIO = Decimal("0.05")
"""How far beyond the last (linear: mark) price an order may be priced on its aggressive side."""

FUNDING_RATE = Decimal("0.0001")
"""The rate of a quiet market (0.01 % per interval): the venue's own base rate, used until a feed knows better."""


class TapeEntry(msgspec.Struct, frozen=True):
    """A public trade with the number that the venue gave it."""

    number: int
    sequence: int
    trade: MarketTrade


class FundingRecord(msgspec.Struct, frozen=True):
    """A funding rate that was charged."""

    at_ms: int
    rate: Decimal


class MarketState:
    """One instrument's market, as of its latest event."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.bids = BookSide(is_bid=True)
        self.asks = BookSide(is_bid=False)
        self.candles = CandleSeries()
        self.tape: deque[TapeEntry] = deque(maxlen=TAPE_LENGTH)
        self.at_ms = 0
        """Market time: the latest event's."""
        self.last_ticks: int | None = None
        self.rising = True
        """Whether the last change of the last price was upward (`tickDirection`)."""
        self.sequence = 0
        """Counts every event: the cross sequence of the streams."""
        self.update_id = 0
        """Counts the changes of the book."""
        self.funding_rate = FUNDING_RATE
        self.funding_history: deque[FundingRecord] = deque(maxlen=1000)
        self._next_trade_number = 0

    def seed(self, bars: Sequence[Bar]) -> None:
        """Take a past in, oldest bar first: a market that has one has a price before its first trade."""
        self.candles.seed(bars)
        if bars and self.last_ticks is None:
            self.last_ticks = bars[-1].close

    def apply(self, event: MarketEvent) -> None:
        """Take one event in."""
        self.sequence += 1
        if event.at_ms > self.at_ms:
            self.at_ms = event.at_ms
        if isinstance(event, MarketTrade):
            self._apply_trade(event)
        else:
            self._apply_book(event)

    def best_bid(self) -> int | None:
        """Give the best bid in ticks."""
        return self.bids.best()

    def best_ask(self) -> int | None:
        """Give the best ask in ticks."""
        return self.asks.best()

    def depth(self, side: Side, count: int) -> list[Level]:
        """Give up to `count` levels of a side of the book, best first."""
        return self._side(side).top(count)

    def size_at(self, side: Side, ticks: int) -> int:
        """Give the visible size at a price, 0 if none."""
        return self._side(side).size_at(ticks)

    @property
    def mark_ticks(self) -> int | None:
        """Give the mark price: the middle one of best bid, best ask and last price.

        A single print far from the book does not move it, which is what a mark price is for. On spot it serves
        as the index.
        """
        prices = [ticks for ticks in (self.best_bid(), self.best_ask(), self.last_ticks) if ticks is not None]
        if not prices:
            return None
        prices.sort()
        return prices[len(prices) // 2] if len(prices) != 2 else prices[0]

    def price_limits(self) -> tuple[int, int] | None:
        """Give (the highest tick a buy may be priced at, the lowest for a sell); None before the first price."""
        instrument = self.instrument
        around = self.last_ticks if instrument.market is Market.SPOT else self.mark_ticks
        if around is None:
            return None
        high = min(instrument.max_ticks, int(around * (1 + PRICE_LIMIT_RATIO)))
        low = max(instrument.min_ticks, ceil(around * (1 - PRICE_LIMIT_RATIO)))
        return high, low

    def day_figures(self) -> DayFigures | None:
        """Give the figures of the last 24 hours of market time."""
        return self.candles.day_figures(self.at_ms)

    def next_funding_ms(self, now_ms: int) -> int:
        """Give the next funding time after an instant; 0 where there is no funding."""
        interval_ms = self.instrument.funding_interval_min * 60_000
        return now_ms - now_ms % interval_ms + interval_ms if interval_ms else 0

    def record_funding(self, at_ms: int) -> FundingRecord:
        """Write down that the current rate was charged at an instant, for `funding/history`."""
        record = FundingRecord(at_ms, self.funding_rate)
        self.funding_history.append(record)
        return record

    def _side(self, side: Side) -> BookSide:
        return self.bids if side is Side.BUY else self.asks

    def _apply_trade(self, trade: MarketTrade) -> None:
        ticks = trade.ticks
        if self.last_ticks is not None and ticks != self.last_ticks:
            self.rising = ticks > self.last_ticks
        self.last_ticks = ticks
        if not self._next_trade_number:
            # Numbers go on rising over a restart, because market time does.
            self._next_trade_number = trade.at_ms * 1000
        self.tape.append(TapeEntry(self._next_trade_number, self.sequence, trade))
        self._next_trade_number += 1
        self.candles.add(trade.at_ms, ticks, trade.size)

    def _apply_book(self, change: BookChange) -> None:
        self.update_id += 1
        if change.snapshot:
            self.bids.replace(change.bids)
            self.asks.replace(change.asks)
            return
        put = self.bids.set
        for ticks, size in change.bids:
            put(ticks, size)
        put = self.asks.set
        for ticks, size in change.asks:
            put(ticks, size)


class MarketBoard:
    """Every market of the venue, by kind and symbol, and the name of the feed that moves them."""

    def __init__(self, listings: Iterable[Listing], feed_name: str = "") -> None:
        self.feed_name = feed_name
        """What every screen says the prices come from, such as `model: seed 7`."""
        self._listings = {listing.key: listing for listing in listings}
        self._states = {key: MarketState(listing.instrument) for key, listing in self._listings.items()}

    def __iter__(self) -> Iterator[MarketState]:
        return iter(self._states.values())

    def of(self, instrument: Instrument) -> MarketState:
        """Give the state of a listed instrument."""
        return self._states[instrument.market, instrument.symbol]

    def listing(self, instrument: Instrument) -> Listing:
        """Give what the catalogue says of a listed instrument."""
        return self._listings[instrument.market, instrument.symbol]

    def find(self, market: Market, symbol: str) -> MarketState | None:
        """Give the state of a symbol, or None if it is not listed."""
        return self._states.get((market, symbol))

    def listed(self, market: Market) -> list[MarketState]:
        """Give the markets of one kind, in the order of the catalogue."""
        return [state for state in self._states.values() if state.instrument.market is market]
