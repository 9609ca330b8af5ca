"""Reads the venue's public trade archive (CSV, plain or gzip): trades only, so the book is made up around them.

The made-up book is one tick wide and one level deep: a buyer took the ask at his price, a seller the bid at his,
and the other side stands one tick away, each with the size of that trade. It says where the market was, and
nothing about its depth. Numbers are read exactly; a float never touches them.
"""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from engine.trading.instrument import Instrument

from ..events import BookChange, MarketTrade
from .recording import Recording
from .rounding import TickGrid, price_units, scaled, size_units

NOTE = "trades only: the book is one tick wide around the last trade"

_LINEAR = {"timestamp", "symbol", "side", "size", "price"}
_SPOT = {"id", "timestamp", "price", "volume", "side"}
_SECOND_DECIMALS = 9


def load(path: Path, instrument: Instrument) -> Recording:
    """Read an archive into ticks of `instrument`; raise ValueError if it is not one."""
    recording = Recording(path.name.removesuffix(".gz").removesuffix(".csv"))
    recording.notes.append(NOTE)
    quoted = (0, 0)
    for trade in _in_order(list(_read(path, instrument))):
        quote = (trade.ticks - 1, trade.ticks) if trade.buyer_is_taker else (trade.ticks, trade.ticks + 1)
        if quote != quoted:
            quoted = quote
            level = trade.size
            recording.append(BookChange(trade.at_ms, True, ((quote[0], level),), ((quote[1], level),)))
        recording.append(trade)
    return recording


def _in_order(trades: list[MarketTrade]) -> list[MarketTrade]:
    # Some archives run from the newest to the oldest; reversing first keeps trades of one millisecond in order.
    if len(trades) > 1 and trades[0].at_ms > trades[-1].at_ms:
        trades.reverse()
    return sorted(trades, key=lambda trade: trade.at_ms)


def _read(path: Path, instrument: Instrument) -> Iterator[MarketTrade]:
    with _open(path) as lines:
        rows = csv.reader(lines)
        header = next(rows, [])
        column = {name: index for index, name in enumerate(header)}
        is_linear = column.keys() >= _LINEAR
        if not is_linear and not column.keys() >= _SPOT:
            raise ValueError(f"{path.name} is not a trade archive: its columns are {', '.join(header)}")
        grid = TickGrid(instrument)
        at, price, side = column["timestamp"], column["price"], column["side"]
        size = column["size" if is_linear else "volume"]
        for row in rows:
            if is_linear and row[column["symbol"]] != instrument.symbol:
                raise ValueError(f"{path.name} holds {row[column['symbol']]}, not {instrument.symbol}")
            stamp = scaled(row[at], _SECOND_DECIMALS) // 1_000_000 if is_linear else int(row[at])
            yield MarketTrade(
                stamp, grid.nearest(price_units(row[price])), size_units(row[size]), row[side].lower() == "buy"
            )


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="ascii", newline="")
    return path.open(encoding="ascii", newline="")
