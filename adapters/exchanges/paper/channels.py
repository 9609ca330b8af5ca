"""The topics of the public stream: what each one says on subscription, and what it says when the market moves.

A channel exists while it has subscribers and pushes one message to all of them. Trades go out in the same turn of
the event loop; everything else is conflated to about the venue's own push intervals, so a fast market costs the
same as a slow one.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from engine.trading.instrument import Market
from engine.trading.orders import Side

from .candles import INTERVALS, Bar, bar_start, next_bar_start
from .events import BookChange, Level, MarketEvent, MarketTrade
from .market import MarketState, TapeEntry
from .tickers import stream_fields
from .wire_text import WireText, size_text

BOOK_PUSH_S = {1: 0.01, 50: 0.02, 200: 0.1, 1000: 0.2}
"""Depths on offer, and how long changes of each are gathered."""

TICKER_PUSH_S = 0.1
KLINE_PUSH_S = 0.5
PRICE_LIMIT_PUSH_S = 0.3
TRADES_PER_MESSAGE = 1024
CONFIRMED_AT_ONCE = 100
"""Bars without trades are confirmed too, but a market that slept for days does not flood its readers."""

_encode = msgspec.json.Encoder().encode
_Clock = Callable[[], int]


class Subscriber(Protocol):
    """Whoever gets a channel's messages."""

    def send(self, message: bytes) -> None:
        """Take a message, without waiting."""
        ...


class Channel:
    """One topic of one market. `interval_s` is how long changes are gathered before they are pushed."""

    interval_s = 0.0

    def __init__(self, topic: str, state: MarketState, now_ms: _Clock) -> None:
        self.topic = topic
        self.subscribers: set[Subscriber] = set()
        self._state = state
        self._wire = WireText(state.instrument)
        self._now_ms = now_ms
        self._timer: asyncio.Handle | None = None
        self._next_push = 0.0

    def note(self, event: MarketEvent) -> None:
        """Hear of an event that has just been applied to the market."""
        self._schedule()

    def opening(self) -> bytes | None:
        """Give what a new subscriber hears first, if anything."""
        return None

    def close(self) -> None:
        """Push no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _changes(self) -> bytes | None:
        """Give the message that says what changed since the last one."""
        return None

    def _schedule(self) -> None:
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        wait = self._next_push - loop.time()
        self._timer = loop.call_later(wait, self._push) if wait > 0 else loop.call_soon(self._push)

    def _push(self) -> None:
        self._timer = None
        self._next_push = asyncio.get_running_loop().time() + self.interval_s
        message = self._changes()
        if message is not None:
            self._send(message)

    def _send(self, message: bytes) -> None:
        for subscriber in tuple(self.subscribers):
            subscriber.send(message)

    def _message(self, data: Any, kind: str = "snapshot", **more: int) -> bytes:
        return _encode({"topic": self.topic, "type": kind, "ts": self._now_ms(), "data": data, **more})


class TradeChannel(Channel):
    """`publicTrade`: every trade, those of one turn of the event loop together."""

    def __init__(self, topic: str, state: MarketState, now_ms: _Clock) -> None:
        super().__init__(topic, state, now_ms)
        self._pending: list[TapeEntry] = []

    def note(self, event: MarketEvent) -> None:
        """Hear of an event; only trades count here."""
        if isinstance(event, MarketTrade):
            self._pending.append(self._state.tape[-1])
            if len(self._pending) == TRADES_PER_MESSAGE:
                self._send(self._take())
            else:
                self._schedule()

    def _changes(self) -> bytes | None:
        return self._take() if self._pending else None

    def _take(self) -> bytes:
        entries, self._pending = self._pending, []
        symbol, price = self._state.instrument.symbol, self._wire.price
        rising = "PlusTick" if self._state.rising else "MinusTick"
        return self._message(
            [
                {
                    "T": entry.trade.at_ms,
                    "s": symbol,
                    "S": "Buy" if entry.trade.buyer_is_taker else "Sell",
                    "v": size_text(entry.trade.size),
                    "p": price(entry.trade.ticks),
                    "L": rising,
                    "i": str(entry.number),
                    "BT": False,
                    "RPI": False,
                    "seq": entry.sequence,
                }
                for entry in entries
            ]
        )


class BookChannel(Channel):
    """`orderbook.{depth}`: a snapshot, then what differs between one push and the next.

    Deltas are computed between two published views, never forwarded: a client is told to delete only a level that
    it was told of, and levels that enter the depth from below are sent.
    """

    def __init__(self, topic: str, state: MarketState, now_ms: _Clock, depth: int) -> None:
        super().__init__(topic, state, now_ms)
        self.interval_s = BOOK_PUSH_S[depth]
        self._depth = depth
        self._update_id = 1
        self._renewed = False
        self._bids = dict(state.depth(Side.BUY, depth))
        self._asks = dict(state.depth(Side.SELL, depth))

    def note(self, event: MarketEvent) -> None:
        """Hear of an event; only changes of the book count here."""
        if isinstance(event, BookChange):
            self._renewed = self._renewed or event.snapshot
            self._schedule()

    def opening(self) -> bytes | None:
        """Give the view that the other subscribers have, so that the next delta fits it."""
        bids = sorted(self._bids.items(), reverse=True)
        return self._book("snapshot", bids, sorted(self._asks.items()))

    def _changes(self) -> bytes | None:
        bids = dict(self._state.depth(Side.BUY, self._depth))
        asks = dict(self._state.depth(Side.SELL, self._depth))
        bid_changes, ask_changes = _difference(self._bids, bids), _difference(self._asks, asks)
        if not (bid_changes or ask_changes or self._renewed):
            return None
        self._bids, self._asks = bids, asks
        self._update_id += 1
        if self._renewed:
            self._renewed = False
            return self.opening()
        return self._book("delta", bid_changes, ask_changes)

    def _book(self, kind: str, bids: list[Level], asks: list[Level]) -> bytes:
        price = self._wire.price
        data = {
            "s": self._state.instrument.symbol,
            "b": [(price(ticks), size_text(size)) for ticks, size in bids],
            "a": [(price(ticks), size_text(size)) for ticks, size in asks],
            "u": self._update_id,
            "seq": self._state.sequence,
        }
        return self._message(data, kind, cts=self._state.at_ms)


class TickerChannel(Channel):
    """`tickers`: on spot always whole, on linear the changed fields after a first snapshot."""

    interval_s = TICKER_PUSH_S

    def __init__(self, topic: str, state: MarketState, now_ms: _Clock) -> None:
        super().__init__(topic, state, now_ms)
        self._fields = stream_fields(state)

    def opening(self) -> bytes | None:
        """Give every field as last published; nothing before the first trade."""
        return self._ticker("snapshot", self._fields) if "lastPrice" in self._fields else None

    def _changes(self) -> bytes | None:
        before, now = self._fields, stream_fields(self._state)
        self._fields = now
        changed = {name: text for name, text in now.items() if before.get(name) != text}
        if not changed:
            return None
        if self._state.instrument.market is Market.SPOT or "lastPrice" not in before:
            return self._ticker("snapshot", now)
        return self._ticker("delta", {"symbol": self._state.instrument.symbol, **changed})

    def _ticker(self, kind: str, fields: dict[str, str]) -> bytes:
        return self._message(fields, kind, cs=self._state.sequence)


class KlineChannel(Channel):
    """`kline`: the growing bar now and then, and each finished bar once, confirmed, as soon as the next opens."""

    interval_s = KLINE_PUSH_S

    def __init__(self, topic: str, state: MarketState, now_ms: _Clock, interval: str) -> None:
        super().__init__(topic, state, now_ms)
        self._interval = interval
        self._start_ms = self._current_start()

    def note(self, event: MarketEvent) -> None:
        """Hear of an event; only trades count here."""
        if not isinstance(event, MarketTrade):
            return
        start = self._current_start()
        for _ in range(CONFIRMED_AT_ONCE):
            if self._start_ms >= start:
                break
            finished = self._state.candles.bar_at(self._interval, self._start_ms)
            if finished is not None:
                self._send(self._bar(finished, confirmed=True))
            self._start_ms = next_bar_start(self._start_ms, self._interval)
        self._start_ms = start
        self._schedule()

    def opening(self) -> bytes | None:
        """Give the growing bar."""
        return self._changes()

    def _changes(self) -> bytes | None:
        bar = self._state.candles.bar_at(self._interval, self._start_ms)
        return None if bar is None else self._bar(bar, confirmed=False)

    def _current_start(self) -> int:
        minute = self._state.candles.current
        return bar_start(minute.start_ms, self._interval) if minute else 0

    def _bar(self, bar: Bar, *, confirmed: bool) -> bytes:
        price = self._wire.price
        return self._message(
            [
                {
                    "start": bar.start_ms,
                    "end": next_bar_start(bar.start_ms, self._interval) - 1,
                    "interval": self._interval,
                    "open": price(bar.open),
                    "close": price(bar.close),
                    "high": price(bar.high),
                    "low": price(bar.low),
                    "volume": size_text(bar.volume),
                    "turnover": self._wire.value(bar.turnover),
                    "confirm": confirmed,
                    "timestamp": self._state.at_ms,
                }
            ]
        )


class PriceLimitChannel(Channel):
    """`priceLimit`: the band within which orders may be priced."""

    interval_s = PRICE_LIMIT_PUSH_S

    def __init__(self, topic: str, state: MarketState, now_ms: _Clock) -> None:
        super().__init__(topic, state, now_ms)
        self._limits = state.price_limits()

    def opening(self) -> bytes | None:
        """Give the band, if there is a price yet."""
        if self._limits is None:
            return None
        high, low = (self._wire.price(ticks) for ticks in self._limits)
        data = {"symbol": self._state.instrument.symbol, "buyLmt": high, "sellLmt": low}
        return _encode({"topic": self.topic, "ts": self._now_ms(), "data": data})

    def _changes(self) -> bytes | None:
        limits = self._state.price_limits()
        if limits == self._limits:
            return None
        self._limits = limits
        return self.opening()


class LiquidationChannel(Channel):
    """`allLiquidation`: forced closings of this venue's own accounts; the recorded market brings none."""

    def note(self, event: MarketEvent) -> None:
        """Hear of an event; none of the market's is a liquidation."""

    def liquidated(self, at_ms: int, side: Side, ticks: int, size: int) -> None:
        """Push a forced closing of a position that was on `side`."""
        row = {
            "T": at_ms,
            "s": self._state.instrument.symbol,
            "S": "Buy" if side is Side.BUY else "Sell",
            "v": size_text(size),
            "p": self._wire.price(ticks),
        }
        self._send(self._message([row]))


def open_channel(topic: str, state: MarketState, now_ms: _Clock) -> Channel | None:
    """Make the channel of a topic such as `orderbook.50.BTCUSDT`; None if the venue has no such topic."""
    match topic.split("."):
        case ["publicTrade", _]:
            return TradeChannel(topic, state, now_ms)
        case ["orderbook", depth, _] if depth.isdecimal() and int(depth) in BOOK_PUSH_S:
            return BookChannel(topic, state, now_ms, int(depth))
        case ["tickers", _]:
            return TickerChannel(topic, state, now_ms)
        case ["kline", interval, _] if interval in INTERVALS:
            return KlineChannel(topic, state, now_ms, interval)
        case ["allLiquidation", _]:
            return LiquidationChannel(topic, state, now_ms)
        case ["priceLimit", _]:
            return PriceLimitChannel(topic, state, now_ms)
    return None


def _difference(before: dict[int, int], now: dict[int, int]) -> list[Level]:
    changed = [(ticks, size) for ticks, size in now.items() if before.get(ticks) != size]
    changed.extend((ticks, 0) for ticks in before if ticks not in now)
    return changed
