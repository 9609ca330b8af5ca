"""Finds out what kind of recording a file is by looking into it, and loads it."""

import gzip
from pathlib import Path

from engine.trading.instrument import Instrument

from . import binance_raw, recorder, trade_csv
from .recording import Recording


def load_recording(path: Path, instrument: Instrument) -> Recording:
    """Load any recording we can play, in ticks of `instrument`; raise ValueError if it is none."""
    head = _head(path)
    if head.startswith(recorder.MAGIC):
        return recorder.load(path, instrument)
    first = head.split(b"\n", 1)[0]
    stamp, _, body = first.partition(b" ")
    if stamp.isdigit() and body.startswith(b"{"):
        return binance_raw.load(path, instrument)
    if b"," in first:
        return trade_csv.load(path, instrument)
    raise ValueError(f"{path.name} is no recording that can be played")


def _head(path: Path) -> bytes:
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            return file.read(512)
    with path.open("rb") as file:
        return file.read(512)
