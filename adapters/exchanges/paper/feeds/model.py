"""A market out of nothing but a seed: order flow with a book, bursts and regimes, calibrated on recordings.

It is what the venue runs on when there is no line to the real one. The same seed gives the same events in market
time, and a week of past bars that leads up to the first of them.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from math import sqrt
from random import Random

from engine.trading.instrument import Instrument

from ..candles import MINUTE_MS, Bar
from ..events import SIZE_SCALE
from .base import MarketSink
from .figures import COINS, FIGURES, OTHER_COIN, SPOT, Coin
from .order_flow import OrderFlow
from .pacing import TimedEvent, pace_name, play
from .price_path import PricePath

HISTORY_MINUTES = 7 * 1440
_PARTS_PER_MINUTE = 6
_MEAN_SWEEP_VALUE = 4_000.0
"""Mean value of a spot sweep in the quote coin, from the same recording as the quantiles."""


class ModelFeed:
    """Runs a modelled market for each instrument. Markets of the same coin follow the same price."""

    def __init__(self, instruments: Iterable[Instrument], seed: int, speed: float | None = 1.0) -> None:
        self._instruments = tuple(instruments)
        self._seed = seed
        self._speed = speed
        self._paths: dict[str, PricePath] = {}
        self._pasts: dict[str, list[list[float]]] = {}
        for instrument in self._instruments:
            self._prepare(instrument.base)

    @property
    def name(self) -> str:
        """Name the seed, and the speed if it is not the clock's."""
        return f"model: seed {self._seed}" + ("" if self._speed == 1.0 else f" {pace_name(self._speed)}")

    async def history(self, instrument: Instrument, until_ms: int) -> Sequence[Bar]:
        """Give a week of minutes that ends where the model begins."""
        if instrument.base not in self._pasts:
            return []
        rng = self._rng("volume", instrument.market, instrument.symbol)
        rate = FIGURES[instrument.market].sweeps_per_s * 60 * _coin(instrument).activity ** 2
        scale = FIGURES[instrument.market].sweep_value[2] / SPOT.sweep_value[2]
        tick = float(instrument.tick_size)
        last_minute = until_ms - until_ms % MINUTE_MS
        past = self._pasts[instrument.base]
        bars = []
        before = past[0][0]
        for index, prices in enumerate(past):
            # Volume goes with movement: a minute that swings three times as far trades about twice as much.
            swing = (max(before, *prices) - min(before, *prices)) / before * 1e4 / 10
            value = rate * scale * _MEAN_SWEEP_VALUE * (0.3 + swing**0.7) * rng.uniform(0.7, 1.3)
            ticks = [max(1, round(price / tick)) for price in (before, *prices)]
            # The extremes of six samples fall short of the path's: stretch them by a share of the swing.
            stretch = round((max(ticks) - min(ticks)) * 0.12)
            volume = int(value / prices[-1] * SIZE_SCALE)
            bars.append(
                Bar(
                    last_minute - (len(past) - index) * MINUTE_MS,
                    ticks[0],
                    max(ticks) + stretch,
                    max(1, min(ticks) - stretch),
                    ticks[-1],
                    volume,
                    volume * sum(ticks) // len(ticks),
                )
            )
            before = prices[-1]
        return bars

    async def run(self, sink: MarketSink, start_ms: int) -> None:
        """Run until cancelled."""
        await play(self.events(start_ms), sink, start_ms, self._speed)

    def events(self, start_ms: int) -> Iterator[TimedEvent]:
        """Give the events of every market in order, endlessly. A second run goes on where the path is."""
        # Every flow is made before the first one moves the path that it may share with another.
        flows = [(instrument, self._flow(instrument)) for instrument in self._instruments]
        tapes = [self._tape(order, instrument, flow, start_ms) for order, (instrument, flow) in enumerate(flows)]
        # Orders differ between tapes, so a comparison never gets as far as the instruments.
        return tapes[0] if len(tapes) == 1 else heapq.merge(*tapes)

    def _flow(self, instrument: Instrument) -> OrderFlow:
        return OrderFlow(
            instrument,
            FIGURES[instrument.market],
            _coin(instrument).activity,
            self._paths[instrument.base],
            self._rng("flow", instrument.market, instrument.symbol),
        )

    @staticmethod
    def _tape(order: int, instrument: Instrument, flow: OrderFlow, start_ms: int) -> Iterator[TimedEvent]:
        for event in flow.events(start_ms):
            yield event.at_ms, order, instrument, event

    def _prepare(self, base: str) -> None:
        if base in self._paths:
            return
        coin = COINS.get(base, OTHER_COIN)
        # The longest horizon is the least disturbed by the bounce between bid and ask.
        volatility = SPOT.volatility_bps[-1] / sqrt(30) * coin.volatility
        path = PricePath(self._rng("path", base), float(coin.price), volatility)
        self._pasts[base] = path.past(HISTORY_MINUTES, _PARTS_PER_MINUTE)
        self._paths[base] = path

    def _rng(self, *purpose: str) -> Random:
        # Seeding with text is the same in every process and on every platform.
        return Random(":".join((str(self._seed), *purpose)))  # noqa: S311  for repeating, not for secrets


def _coin(instrument: Instrument) -> Coin:
    return COINS.get(instrument.base, OTHER_COIN)
