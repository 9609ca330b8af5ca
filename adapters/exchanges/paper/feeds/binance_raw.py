"""Reads the raw exchange recordings: lines of a local nanosecond stamp and a Binance combined-stream message.

It rebuilds a correct book from the one REST snapshot and the deltas around it. Deltas older than the snapshot are
dropped, gaps in the update ids are counted, the best-bid/ask stream corrects the top between two deltas, and of
two levels that cross the older one goes. Trades are all kept.
"""

import gzip
from pathlib import Path
from typing import Any

import msgspec

from engine.trading.instrument import Instrument

from ..book import BookSide
from ..events import BookChange, MarketTrade
from .recording import Recording
from .rounding import TickGrid, price_units, size_units


class _Payload(msgspec.Struct):
    """The messages we read, in one: which fields are there depends on the stream."""

    U: int = 0
    u: int = 0
    pu: int | None = None
    b: Any = None
    a: Any = None
    B: str = ""
    A: str = ""
    p: str = ""
    q: str = ""
    m: bool = False
    X: str = "MARKET"


class _Line(msgspec.Struct):
    stream: str = ""
    data: _Payload | None = None
    lastUpdateId: int = 0
    bids: list[tuple[str, str]] = []
    asks: list[tuple[str, str]] = []


_decode = msgspec.json.Decoder(_Line).decode


def load(path: Path, instrument: Instrument) -> Recording:
    """Read a recording (gzip) into ticks of `instrument`."""
    recording = Recording(path.name.removesuffix(".gz"))
    builder = _Builder(recording, instrument)
    with gzip.open(path) as lines:
        for line in lines:
            stamp, _, body = line.partition(b" ")
            builder.read(int(stamp) // 1_000_000, _decode(body))
    if builder.gaps:
        recording.notes.append(f"{builder.gaps} gaps in the depth stream")
    return recording


class _Side:
    """One side of the book twice: as recorded, and on the instrument's ticks with what changed since."""

    def __init__(self, is_bid: bool, grid: TickGrid) -> None:
        self.recorded = BookSide(is_bid)
        self.mapped = BookSide(is_bid)
        self.changed: dict[int, int] = {}
        self._tick_of = grid.bid if is_bid else grid.ask

    def set(self, price: int, size: int) -> None:
        """Put a recorded level; several recorded levels may share a tick, so the tick moves by the difference."""
        difference = size - self.recorded.size_at(price)
        if difference:
            self.recorded.set(price, size)
            self._shift(price, difference)

    def remove_through(self, price: int) -> None:
        """Remove the levels that an order of the other side at `price` would meet."""
        for removed, size in self.recorded.remove_through(price):
            self._shift(removed, -size)

    def take_changes(self) -> tuple[tuple[int, int], ...]:
        """Give the ticks whose size changed since the last call, and forget them."""
        changes = tuple(self.changed.items())
        self.changed = {}
        return changes

    def _shift(self, price: int, difference: int) -> None:
        ticks = self._tick_of(price)
        size = self.mapped.size_at(ticks) + difference
        self.mapped.set(ticks, size)
        self.changed[ticks] = size


class _Builder:
    """Turns lines into events."""

    def __init__(self, recording: Recording, instrument: Instrument) -> None:
        self.gaps = 0
        self._recording = recording
        self._grid = TickGrid(instrument)
        self._bids = _Side(True, self._grid)
        self._asks = _Side(False, self._grid)
        self._started = False
        self._update_id = 0
        self._ticker: _Payload | None = None
        self._early: list[tuple[int, _Line]] = []

    def read(self, at_ms: int, line: _Line) -> None:
        """Take one line in. Until the snapshot arrives everything waits, so that a loop begins with a book."""
        if line.lastUpdateId and not self._started:
            self._start(line)
        elif not self._started:
            self._early.append((at_ms, line))
        elif line.data is not None:
            self._read_stream(at_ms, line.stream, line.data)

    def _start(self, snapshot: _Line) -> None:
        """Put the snapshot at the head of the recording, then what came before it and is not older."""
        self._started = True
        self._update_id = snapshot.lastUpdateId
        for price, size in snapshot.bids:
            self._bids.set(price_units(price), size_units(size))
        for price, size in snapshot.asks:
            self._asks.set(price_units(price), size_units(size))
        if self._early:
            self._recording.append(
                BookChange(self._early[0][0], True, self._bids.take_changes(), self._asks.take_changes())
            )
        for at_ms, line in self._early:
            if line.data is not None:
                self._read_stream(at_ms, line.stream, line.data)
        self._early.clear()

    def _read_stream(self, at_ms: int, stream: str, data: _Payload) -> None:
        if stream.endswith("@trade"):
            # The futures stream also prints insurance-fund and liquidation matches (X) that met no book.
            ticks = self._grid.nearest(price_units(data.p))
            self._recording.append(MarketTrade(at_ms, ticks, size_units(data.q), not data.m))
            return
        if stream.endswith("@bookTicker"):
            if data.u > self._update_id:
                self._ticker = data
                self._put_top(data)
        elif data.u > self._update_id:
            self._put_delta(data)
        bids, asks = self._bids.take_changes(), self._asks.take_changes()
        if bids or asks:
            self._recording.append(BookChange(at_ms, False, bids, asks))

    def _put_delta(self, data: _Payload) -> None:
        previous = data.U - 1 if data.pu is None else data.pu
        # The first delta after the snapshot overlaps it: `previous` lies before, which is no gap.
        if previous > self._update_id:
            self.gaps += 1
        self._update_id = data.u
        bids = [(price_units(price), size_units(size)) for price, size in data.b]
        asks = [(price_units(price), size_units(size)) for price, size in data.a]
        for price, size in bids:
            self._bids.set(price, size)
        for price, size in asks:
            self._asks.set(price, size)
        self._uncross(bids, asks)
        if self._ticker is not None and self._ticker.u > data.u:
            self._put_top(self._ticker)

    def _uncross(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
        """Drop the levels that the newest ones of the other side cross."""
        best_bid, best_ask = self._bids.recorded.best(), self._asks.recorded.best()
        if best_bid is None or best_ask is None or best_bid < best_ask:
            return
        newest_bid = max((price for price, size in bids if size), default=0)
        if newest_bid >= best_ask:
            self._asks.remove_through(newest_bid)
        else:
            self._bids.remove_through(min((price for price, size in asks if size), default=best_ask))

    def _put_top(self, data: _Payload) -> None:
        bid, ask = price_units(data.b), price_units(data.a)
        self._bids.remove_through(bid + 1)
        self._asks.remove_through(ask - 1)
        self._bids.set(bid, size_units(data.B))
        self._asks.set(ask, size_units(data.A))
