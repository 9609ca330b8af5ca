"""Reads the raw exchange recordings: lines of a local nanosecond stamp and a Binance combined-stream message.

It rebuilds a correct book from the one REST snapshot and the deltas around it. Deltas older than the snapshot are
dropped, gaps in the update ids are counted, the best-bid/ask stream corrects the top between two deltas, and of
two levels that cross the older one goes. Trades are all kept.
"""

import gzip
from pathlib import Path

import msgspec

from engine.trading.instrument import Instrument

from ..events import Level, MarketTrade
from .foreign_book import ForeignBook
from .recording import Recording
from .rounding import TickGrid, price_units, size_units


class _Payload(msgspec.Struct):
    """The messages we read, in one: which fields are there depends on the stream."""

    U: int = 0
    u: int = 0
    pu: int | None = None
    b: str | list[tuple[str, str]] = ""
    a: str | list[tuple[str, str]] = ""
    B: str = ""
    A: str = ""
    p: str = ""
    q: str = ""
    m: bool = False


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


class _Builder:
    """Turns lines into events."""

    def __init__(self, recording: Recording, instrument: Instrument) -> None:
        self.gaps = 0
        self._recording = recording
        self._grid = TickGrid(instrument)
        self._book = ForeignBook(instrument)
        self._started = False
        self._update_id = 0
        self._ticker: _Payload | None = None
        self._early: list[tuple[int, _Line]] = []

    def read(self, at_ms: int, line: _Line) -> None:
        """Take one line in. Until the snapshot arrives everything waits, so that a loop begins with a book."""
        if line.lastUpdateId and not self._started:
            self._start(at_ms, line)
        elif not self._started:
            self._early.append((at_ms, line))
        elif line.data is not None:
            self._read_stream(at_ms, line.stream, line.data)

    def _start(self, at_ms: int, snapshot: _Line) -> None:
        """Put the snapshot at the head of the recording, then what came before it and is not older."""
        self._started = True
        self._update_id = snapshot.lastUpdateId
        self._book.put(_levels(snapshot.bids), _levels(snapshot.asks))
        self._take_change(self._early[0][0] if self._early else at_ms, snapshot=True)
        for early_ms, line in self._early:
            if line.data is not None:
                self._read_stream(early_ms, line.stream, line.data)
        self._early.clear()

    def _read_stream(self, at_ms: int, stream: str, data: _Payload) -> None:
        if stream.endswith("@trade"):
            ticks = self._grid.nearest(price_units(data.p))
            self._recording.append(MarketTrade(at_ms, ticks, size_units(data.q), not data.m))
        elif data.u > self._update_id:
            if stream.endswith("@bookTicker"):
                self._ticker = data
                self._put_top(data)
            else:
                self._put_delta(data)
            self._take_change(at_ms)

    def _put_delta(self, data: _Payload) -> None:
        previous = data.U - 1 if data.pu is None else data.pu
        # The first delta after the snapshot overlaps it: `previous` lies before, which is no gap.
        if previous > self._update_id:
            self.gaps += 1
        self._update_id = data.u
        self._book.put(_levels(data.b), _levels(data.a))
        if self._ticker is not None and self._ticker.u > data.u:
            self._put_top(self._ticker)

    def _put_top(self, data: _Payload) -> None:
        self._book.put_top(
            (price_units(str(data.b)), size_units(data.B)), (price_units(str(data.a)), size_units(data.A))
        )

    def _take_change(self, at_ms: int, *, snapshot: bool = False) -> None:
        change = self._book.take_change(at_ms, snapshot=snapshot)
        if change is not None:
            self._recording.append(change)


def _levels(texts: str | list[tuple[str, str]]) -> list[Level]:
    pairs = [] if isinstance(texts, str) else texts
    return [(price_units(price), size_units(size)) for price, size in pairs]
