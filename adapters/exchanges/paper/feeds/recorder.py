"""Our own recordings: an append-only file of frames that says itself what it holds, and outlives a crash.

First a line of magic, then a line of JSON (symbol, market, tick, source, start), then frames: length, CRC-32, and
a deflated msgpack list of events. A frame that is cut short or damaged ends the file; everything before it counts.
"""

import struct
import zlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from engine.trading.instrument import Instrument, Market

from ..events import SIZE_DECIMALS, BookChange, Level, MarketEvent, MarketTrade
from .foreign_book import ForeignBook
from .recording import Recording
from .rounding import PRICE_DECIMALS, TickGrid, scaled

MAGIC = b"TRELLIS RECORDING 1\n"
SUFFIX = ".trellis"
FRAME_EVENTS = 1_000
FRAME_MS = 1_000
"""A frame is written after so many events or so much market time: what a crash can cost."""

_FRAME = struct.Struct(">II")
_FRAME_BYTES_MAX = 64 * 1024 * 1024
_BOOK, _SNAPSHOT, _SOLD, _BOUGHT = range(4)

_Row = tuple[int, int, int | tuple[Level, ...], int | tuple[Level, ...]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Row]).decode


class Header(msgspec.Struct, frozen=True):
    """What a recording says of itself."""

    symbol: str
    market: Market
    tick_size: Decimal
    source: str
    """Where the events came from, such as `live: Bybit mainnet`."""
    started_ms: int
    size_decimals: int = SIZE_DECIMALS


class Recorder:
    """Writes one instrument's events to a file; an existing file of the same instrument is continued."""

    def __init__(self, path: Path, instrument: Instrument, source: str, started_ms: int) -> None:
        self.path = path
        self.events = 0
        """How many were taken since this recorder was opened."""
        self._rows: list[_Row] = []
        header = Header(instrument.symbol, instrument.market, instrument.tick_size, source, started_ms)
        self._file = _continue(path, header) if path.exists() else _create(path, header)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, event: MarketEvent) -> None:
        """Take one event; it is on file after the frame it belongs to."""
        self._rows.append(_row(event))
        self.events += 1
        if len(self._rows) >= FRAME_EVENTS or event.at_ms - self._rows[0][1] >= FRAME_MS:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered as one frame."""
        if not self._rows:
            return
        payload = zlib.compress(_encode(self._rows))
        self._file.write(_FRAME.pack(len(payload), zlib.crc32(payload)) + payload)
        self._file.flush()
        self._rows = []

    def close(self) -> None:
        """Write the last frame and close the file."""
        self.flush()
        self._file.close()


def read_header(path: Path) -> Header:
    """Read what a recording says of itself; raise ValueError if it is none."""
    with path.open("rb") as file:
        return _read_header(file, path)


def read_events(path: Path) -> Iterator[MarketEvent]:
    """Give the recorded events exactly as they were, in their own ticks; stop quietly at a broken tail."""
    with path.open("rb") as file:
        _read_header(file, path)
        for rows in _frames(file):
            yield from map(_event, rows)


def load(path: Path, instrument: Instrument) -> Recording:
    """Read a recording into ticks of `instrument`: exactly as recorded where the tick is the same.

    Only a stamp that lies before the one it follows is moved up to it: replayed time does not go back.
    """
    header = read_header(path)
    if header.symbol != instrument.symbol:
        raise ValueError(f"{path.name} holds {header.symbol}, not {instrument.symbol}")
    recording = Recording(path.name.removesuffix(SUFFIX))
    if is_cut_short(path):
        recording.notes.append("the end of the file is cut short")
    events = read_events(path)
    if header.tick_size != instrument.tick_size:
        events = _on_other_ticks(events, header, instrument)
        recording.notes.append(f"recorded with a tick of {header.tick_size}, played with {instrument.tick_size}")
    for event in events:
        recording.append(event)
    return recording


def is_cut_short(path: Path) -> bool:
    """Tell whether bytes follow the last whole frame."""
    with path.open("rb") as file:
        _read_header(file, path)
        for _ in _frames(file):
            pass
        return file.tell() != path.stat().st_size


def _create(path: Path, header: Header) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("xb")
    file.write(MAGIC + msgspec.json.encode(header) + b"\n")
    file.flush()
    return file


def _continue(path: Path, header: Header) -> BinaryIO:
    """Open a file for more of the same, after cutting off what a crash left half written."""
    file = path.open("r+b")
    found = _read_header(file, path)
    same = (header.symbol, header.market, header.tick_size)
    if (found.symbol, found.market, found.tick_size) != same:
        file.close()
        raise ValueError(f"{path.name} holds {found.market} {found.symbol} in ticks of {found.tick_size}")
    for _ in _frames(file):
        pass
    file.truncate(file.tell())
    return file


def _read_header(file: BinaryIO, path: Path) -> Header:
    if file.readline(len(MAGIC)) != MAGIC:
        raise ValueError(f"{path.name} is not a Trellis recording")
    try:
        return msgspec.json.decode(file.readline(), type=Header)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path.name} has a damaged header") from error


def _frames(file: BinaryIO) -> Iterator[list[_Row]]:
    """Give whole frames; leave the file behind the last one."""
    while True:
        begin = file.tell()
        head = file.read(_FRAME.size)
        if len(head) == _FRAME.size:
            length, checksum = _FRAME.unpack(head)
            payload = file.read(min(length, _FRAME_BYTES_MAX))
            if len(payload) == length and zlib.crc32(payload) == checksum:
                yield _decode(zlib.decompress(payload))
                continue
        file.seek(begin)
        return


def _row(event: MarketEvent) -> _Row:
    if isinstance(event, MarketTrade):
        return (_BOUGHT if event.buyer_is_taker else _SOLD, event.at_ms, event.ticks, event.size)
    return (_SNAPSHOT if event.snapshot else _BOOK, event.at_ms, event.bids, event.asks)


def _event(row: _Row) -> MarketEvent:
    kind, at_ms, first, second = row
    if isinstance(first, int) and isinstance(second, int):
        return MarketTrade(at_ms, first, second, kind == _BOUGHT)
    if isinstance(first, tuple) and isinstance(second, tuple):
        return BookChange(at_ms, kind == _SNAPSHOT, first, second)
    raise ValueError("a recorded event is half a trade and half a book")


def _on_other_ticks(
    events: Iterator[MarketEvent], header: Header, instrument: Instrument
) -> Iterator[MarketEvent]:
    tick = scaled(f"{header.tick_size:f}", PRICE_DECIMALS)
    grid, book = TickGrid(instrument), ForeignBook(instrument)
    for event in events:
        if isinstance(event, MarketTrade):
            yield msgspec.structs.replace(event, ticks=grid.nearest(event.ticks * tick))
            continue
        if event.snapshot:
            book.clear()
        book.put(
            [(ticks * tick, size) for ticks, size in event.bids],
            [(ticks * tick, size) for ticks, size in event.asks],
        )
        change = book.take_change(event.at_ms, snapshot=event.snapshot)
        if change is not None:
            yield change
