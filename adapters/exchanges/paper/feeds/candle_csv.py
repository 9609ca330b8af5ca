"""Reads one-minute candles from a CSV file, as the past of a replay. Only the past: nothing is traded on them."""

import csv
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import msgspec

from engine.trading.instrument import Instrument

from ..candles import MINUTE_MS, Bar
from ..events import SIZE_SCALE
from .rounding import TickGrid, price_units

_COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")


def load_candles(path: Path, instrument: Instrument) -> list[Bar]:
    """Read `timestamp,open,high,low,close,volume` (milliseconds or ISO time), oldest first, in whole minutes."""
    grid = TickGrid(instrument)
    bars = []
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines)
        if missing := [name for name in _COLUMNS if name not in (rows.fieldnames or ())]:
            raise ValueError(f"{path.name} has no column {', '.join(missing)}")
        for row in rows:
            opened, high, low, close = (grid.nearest(price_units(row[name])) for name in _COLUMNS[1:5])
            volume = int(Decimal(row["volume"]) * SIZE_SCALE)
            # A candle does not say at what prices its volume traded: its middle stands for all of it.
            turnover = volume * (high + low) // 2
            bars.append(Bar(_start_ms(row["timestamp"]), opened, high, low, close, volume, turnover))
    for before, after in pairwise(bars):
        if after.start_ms <= before.start_ms or (after.start_ms - before.start_ms) % MINUTE_MS:
            raise ValueError(f"{path.name}: candles must be one-minute ones, oldest first")
    if len(bars) > 1 and bars[1].start_ms - bars[0].start_ms != MINUTE_MS:
        raise ValueError(f"{path.name} does not hold one-minute candles")
    return bars


def ending_at(bars: list[Bar], until_ms: int) -> list[Bar]:
    """Move candles in time so that the last one ends with the last whole minute before `until_ms`."""
    if not bars:
        return []
    shift = until_ms - until_ms % MINUTE_MS - MINUTE_MS - bars[-1].start_ms
    return [msgspec.structs.replace(bar, start_ms=bar.start_ms + shift) for bar in bars]


def _start_ms(text: str) -> int:
    if text.isdecimal():
        return int(text)
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * 1000
