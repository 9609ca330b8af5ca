"""Measures a market: the figures that the model is built from, and by which it is judged.

The same measuring runs over a recording and over the model's own events. Only figures leave this module, never
data. To measure the recordings again (the constants in `figures.py` were made this way):

    python -m adapters.exchanges.paper.feeds.calibrate ../shared/data/ticks/spot_btcusdt_20240808.gz spot
"""

import sys
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import log, sqrt
from pathlib import Path
from statistics import fmean, pvariance

import msgspec

from engine.trading.instrument import Instrument, Market
from engine.trading.orders import Side

from ..catalogue import listings
from ..events import SIZE_SCALE, MarketEvent, MarketTrade
from ..market import MarketState
from .files import load_recording

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
DEPTH_BPS = (0.5, 1.0, 2.0, 5.0, 10.0, 25.0)
HORIZONS_S = (1, 5, 10, 30)
_LOOK_LEVELS = 2_000


class MarketFigures(msgspec.Struct, frozen=True):
    """How a market behaves. A sweep is what one taker took: trades of one side within one millisecond."""

    sweeps_per_s: float
    trades_per_sweep: float
    burstiness: tuple[float, float]
    """Variance over mean of the sweeps counted per 1 s and per 10 s; 1 would be a Poisson stream."""
    side_persistence: float
    """How often a sweep is on the side of the one before."""
    sweep_value: tuple[float, ...]
    """Quantiles of a sweep's value in the quote coin."""
    trade_value: tuple[float, ...]
    """Quantiles of a single trade's value in the quote coin."""
    spread_ticks: tuple[float, ...]
    """Quantiles of the spread, sampled each second."""
    touch_value: tuple[float, ...]
    """Quantiles of what rests at the best price of a side, in the quote coin."""
    depth_value: tuple[float, ...]
    """Mean value resting within `DEPTH_BPS` of the mid, per side."""
    levels: tuple[float, ...]
    """Mean number of levels within `DEPTH_BPS` of the mid, per side."""
    volatility_bps: tuple[float, ...]
    """Standard deviation of the mid's return over `HORIZONS_S`, in basis points."""
    book_changes_per_s: float


class Measurement:
    """Watches a stream of events and sums it up."""

    def __init__(self, instrument: Instrument) -> None:
        self._state = MarketState(instrument)
        self._tick = float(instrument.tick_size)
        self._first_ms = 0
        self._changes = 0
        self._trades: list[tuple[int, bool, float]] = []
        self._mids: list[float] = []
        self._spreads: list[float] = []
        self._touches: list[float] = []
        self._depths: list[list[float]] = [[] for _ in DEPTH_BPS]
        self._levels: list[list[float]] = [[] for _ in DEPTH_BPS]
        self._next_sample_ms = 0

    def take(self, event: MarketEvent) -> None:
        """Take one event in; the book is sampled once a second of market time."""
        if not self._first_ms:
            self._first_ms = self._next_sample_ms = event.at_ms
        while event.at_ms > self._next_sample_ms:
            self._sample()
            self._next_sample_ms += 1000
        self._state.apply(event)
        if isinstance(event, MarketTrade):
            value = event.ticks * self._tick * event.size / SIZE_SCALE
            self._trades.append((event.at_ms, event.buyer_is_taker, value))
        else:
            self._changes += 1

    def figures(self) -> MarketFigures:
        """Sum up what was seen."""
        seconds = (self._state.at_ms - self._first_ms) / 1000
        sweeps = _sweeps(self._trades)
        arrivals = [at_ms - self._first_ms for at_ms, _, _ in sweeps]
        sides = [buy for _, buy, _ in sweeps]
        return MarketFigures(
            sweeps_per_s=len(sweeps) / seconds,
            trades_per_sweep=len(self._trades) / len(sweeps),
            burstiness=(_fano(arrivals, 1_000, seconds), _fano(arrivals, 10_000, seconds)),
            side_persistence=fmean(before == after for before, after in pairwise(sides)),
            sweep_value=quantiles([value for _, _, value in sweeps]),
            trade_value=quantiles([value for _, _, value in self._trades]),
            spread_ticks=quantiles(self._spreads),
            touch_value=quantiles(self._touches),
            depth_value=tuple(fmean(samples) for samples in self._depths),
            levels=tuple(fmean(samples) for samples in self._levels),
            volatility_bps=tuple(_volatility(self._mids, horizon) for horizon in HORIZONS_S),
            book_changes_per_s=self._changes / seconds,
        )

    def _sample(self) -> None:
        state = self._state
        bid, ask = state.best_bid(), state.best_ask()
        if bid is None or ask is None:
            return
        mid = (bid + ask) / 2
        self._mids.append(mid)
        self._spreads.append(ask - bid)
        for side in Side:
            levels = state.depth(side, _LOOK_LEVELS)
            self._touches.append(levels[0][0] * self._tick * levels[0][1] / SIZE_SCALE)
            distances = [abs(ticks - mid) / mid * 10_000 for ticks, _ in levels]
            for index, reach in enumerate(DEPTH_BPS):
                within = levels[: bisect_left(distances, reach)]
                value = sum(ticks * size for ticks, size in within) * self._tick / SIZE_SCALE
                self._depths[index].append(value)
                self._levels[index].append(len(within))


def measure(events: Iterable[MarketEvent], instrument: Instrument) -> MarketFigures:
    """Measure a whole stream of events."""
    measurement = Measurement(instrument)
    for event in events:
        measurement.take(event)
    return measurement.figures()


def quantiles(values: Sequence[float]) -> tuple[float, ...]:
    """Give the `QUANTILES` of some values."""
    ordered = sorted(values)
    return tuple(ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in QUANTILES)


def _sweeps(trades: Sequence[tuple[int, bool, float]]) -> list[tuple[int, bool, float]]:
    sweeps: list[tuple[int, bool, float]] = []
    for at_ms, buy, value in trades:
        if sweeps and sweeps[-1][:2] == (at_ms, buy):
            sweeps[-1] = (at_ms, buy, sweeps[-1][2] + value)
        else:
            sweeps.append((at_ms, buy, value))
    return sweeps


def _fano(arrivals_ms: Sequence[int], window_ms: int, seconds: float) -> float:
    counts = [0] * max(1, int(seconds * 1000 // window_ms))
    for at_ms in arrivals_ms:
        window = at_ms // window_ms
        if window < len(counts):
            counts[window] += 1
    return pvariance(counts) / fmean(counts)


def _volatility(mids: Sequence[float], horizon_s: int) -> float:
    returns = [log(after / before) * 10_000 for before, after in zip(mids, mids[horizon_s:], strict=False)]
    return sqrt(fmean(change * change for change in returns)) if returns else 0.0


def main(arguments: Sequence[str]) -> None:
    """Print the figures of one recording: `calibrate FILE spot|linear [SYMBOL]`."""
    path, market = Path(arguments[0]), Market(arguments[1])
    symbol = arguments[2] if len(arguments) > 2 else "BTCUSDT"
    instrument = listings([symbol], market)[0].instrument
    figures = measure(load_recording(path, instrument).events(), instrument)
    for name, value in msgspec.structs.asdict(figures).items():
        numbers = value if isinstance(value, tuple) else (value,)
        sys.stdout.write(f"    {name}={', '.join(f'{number:.4g}' for number in numbers)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
