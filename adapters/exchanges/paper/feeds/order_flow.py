"""The flow of orders in one market of the model: takers that come in bursts, makers that follow the price.

Every step of `STEP_MS` the price path is read. Takers arrive with a rate that each of them raises for a moment (a
self-exciting stream), on the side that pulls the book toward the path, and take what they find. Makers move their
quotes when the path leaves them by more than a band, and change a few levels in between.
"""

from bisect import bisect_right
from collections.abc import Iterator
from math import exp, log, sqrt
from random import Random

from engine.trading.instrument import Instrument

from ..book import BookSide
from ..events import SIZE_SCALE, BookChange, MarketEvent, MarketTrade
from .calibrate import DEPTH_BPS, QUANTILES, MarketFigures
from .price_path import STEP_MS, PricePath, Regime

_STEP_S = STEP_MS / 1000
_EXCITEMENT_PER_S = 10.0
"""How fast a burst dies away: read from how burstiness grows between 1 s and 10 s."""
_BAND_BPS = 0.5
"""How far the path may leave the quotes before they follow."""
_PULL = 0.85
"""How often a taker comes on the side to which the path has left the quotes."""
_CHURN_LEVELS = 3
_CHURN_DEPTH = 40
_REACH_BPS = 25.0
_WIDE_SPREAD = 0.002
"""Share of moves after which the spread stays open until the next one, as the 99.9 % quantile shows."""


class OrderFlow:
    """One market's events, endlessly, from where the path is when the flow is made."""

    def __init__(
        self, instrument: Instrument, figures: MarketFigures, activity: float, path: PricePath, rng: Random
    ) -> None:
        self._figures = figures
        self._activity = activity
        self._path = path
        self._first = path.next_index
        self._rng = rng
        self._tick = float(instrument.tick_size)
        self._lot = max(1, int(instrument.lot_size * SIZE_SCALE))
        self._bids, self._asks = BookSide(True), BookSide(False)
        self._changed: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._spread = 1
        self._excitement = 0.0
        self._buying = True
        # With a share n of takers drawn by others, counts over long windows vary 1 / (1 - n)**2 times as much
        # as independent ones.
        self._drawn = 1 - 1 / sqrt(figures.burstiness[1])
        self._base_rate = figures.sweeps_per_s * activity * (1 - self._drawn)
        self._decay = exp(-_EXCITEMENT_PER_S * _STEP_S)

    def events(self, start_ms: int) -> Iterator[MarketEvent]:
        """Give the events in order, the first of them a snapshot of the book."""
        price, _ = self._path.at(self._first)
        self._quote_around(price)
        self._changed = ({}, {})
        yield BookChange(start_ms, True, tuple(self._bids.top(9_999)), tuple(self._asks.top(9_999)))
        index = 1
        while True:
            yield from self._step(index, start_ms + index * STEP_MS)
            index += 1

    def _step(self, index: int, at_ms: int) -> Iterator[MarketEvent]:
        price, regime = self._path.at(self._first + index)
        for offset in self._arrivals(regime):
            yield from self._sweep(at_ms + offset, price)
        end_ms = at_ms + STEP_MS - 1
        if abs(self._gap_ticks(price)) > self._band_ticks(price) or self._is_open():
            self._quote_around(price)
        if index % 2:
            self._churn()
        yield from self._take_change(end_ms)

    # ------------------------------------------------------------------ takers

    def _arrivals(self, regime: Regime) -> list[int]:
        """Draw how many takers come in this step, and when."""
        rate = self._base_rate * regime.activity + self._excitement
        count = self._poisson(rate * _STEP_S)
        self._excitement = self._excitement * self._decay + count * self._drawn * (1 - self._decay) / _STEP_S
        if not count:
            return []
        return sorted(self._rng.randrange(STEP_MS - 1) for _ in range(count))

    def _sweep(self, at_ms: int, price: float) -> Iterator[MarketEvent]:
        """Let one taker take: prints against the best levels, until he has what he wants."""
        gap = self._gap_ticks(price)
        if abs(gap) > self._band_ticks(price) / 2 and self._rng.random() < _PULL:
            self._buying = gap > 0
        elif self._rng.random() >= self._figures.side_persistence:
            self._buying = not self._buying
        side, changed = (self._asks, self._changed[1]) if self._buying else (self._bids, self._changed[0])
        touch = side.best() or 1
        wanted = self._size(self._draw(self._figures.sweep_value) * self._activity, touch)
        # One taker meets several makers: the size is split at random, and further where a level runs out.
        prints = 1 + self._geometric(self._figures.trades_per_sweep - 1)
        while wanted > 0 and len(side) > 2:
            best = side.best() or 1
            resting = side.size_at(best)
            share = int(wanted * self._rng.random()) // self._lot * self._lot if prints > 1 else wanted
            size = min(max(share, self._lot), resting)
            prints -= 1
            side.set(best, resting - size)
            changed[best] = resting - size
            wanted -= size
            yield MarketTrade(at_ms, best, size, self._buying)
        yield from self._take_change(at_ms)

    # ------------------------------------------------------------------ makers

    def _quote_around(self, price: float) -> None:
        """Move both sides so that they meet at `price`, keeping the levels that still make sense."""
        bid = max(1, int(price / self._tick))
        self._spread = 1
        if self._rng.random() < _WIDE_SPREAD:
            self._spread += 1 + int(self._rng.expovariate(1 / self._figures.spread_ticks[-1]))
        self._requote(self._bids, self._changed[0], bid, -1)
        self._requote(self._asks, self._changed[1], bid + self._spread, 1)

    def _requote(self, side: BookSide, changed: dict[int, int], best: int, away: int) -> None:
        reach = int(_REACH_BPS * 1e-4 * best) + 2
        touch = side.best()
        for ticks, _ in side.remove_through(best - away):
            changed[ticks] = 0
        if touch is not None and side.size_at(touch):
            # The crowd at the old touch moves on with the price; what stays is an ordinary level.
            self._put(side, changed, touch, self._level_size(touch, abs(touch - best)))
        self._put(side, changed, best, self._size(self._draw(self._figures.touch_value) * self._activity, best))
        known = side.top(2)
        nearest = abs(known[1][0] - best) if len(known) > 1 else reach
        self._fill(side, changed, best, away, 0, nearest)
        farthest = side.worst() or best
        self._fill(side, changed, best, away, abs(farthest - best), reach)
        while (farthest := side.worst() or best) and abs(farthest - best) > reach + reach // 4:
            self._put(side, changed, farthest, 0)

    def _fill(self, side: BookSide, changed: dict[int, int], best: int, away: int, begin: int, end: int) -> None:
        """Put levels between two distances from the best price, as dense and as deep as measured."""
        distance = begin
        while True:
            spacing_bps, _ = self._density(distance / best * 1e4)
            distance += max(1, round(self._rng.expovariate(1 / (spacing_bps * 1e-4 * best))))
            if distance >= end:
                return
            self._put(side, changed, best + away * distance, self._level_size(best, distance))

    def _level_size(self, best: int, distance: int) -> int:
        spacing_bps, value_per_bps = self._density(distance / best * 1e4)
        value = value_per_bps * max(spacing_bps, 1e4 / best) * self._rng.expovariate(1.0)
        return self._size(value * self._activity, best)

    def _density(self, distance_bps: float) -> tuple[float, float]:
        """Give the spacing of levels in bps, and the value resting per bps, at a distance from the touch."""
        figures = self._figures
        index = min(bisect_right(DEPTH_BPS, distance_bps), len(DEPTH_BPS) - 1)
        if index == 0:
            touch = figures.touch_value[2]
            return DEPTH_BPS[0] / figures.levels[0], max(1.0, figures.depth_value[0] - touch) / DEPTH_BPS[0]
        width = DEPTH_BPS[index] - DEPTH_BPS[index - 1]
        levels = figures.levels[index] - figures.levels[index - 1]
        value = figures.depth_value[index] - figures.depth_value[index - 1]
        # Far levels are drawn four times as sparse, and as much deeper: the sum is what matters out there.
        sparse = 4 if DEPTH_BPS[index] > 5 else 1
        return sparse * width / levels, value / width

    def _churn(self) -> None:
        """Change a few levels near the touch: makers come and go."""
        for side, changed in zip((self._bids, self._asks), self._changed, strict=True):
            levels = side.top(_CHURN_DEPTH)
            for _ in range(_CHURN_LEVELS):
                place = int(self._rng.random() ** 2 * len(levels))
                ticks, size = levels[place]
                if place == 0:
                    size = self._size(self._draw(self._figures.touch_value) * self._activity, ticks)
                else:
                    size = max(self._lot, int(size * self._rng.uniform(0.5, 1.5)) // self._lot * self._lot)
                self._put(side, changed, ticks, size)

    @staticmethod
    def _put(side: BookSide, changed: dict[int, int], ticks: int, size: int) -> None:
        if ticks > 0:
            side.set(ticks, size)
            changed[ticks] = size

    def _take_change(self, at_ms: int) -> Iterator[BookChange]:
        bids, asks = self._changed
        if bids or asks:
            self._changed = ({}, {})
            yield BookChange(at_ms, False, tuple(bids.items()), tuple(asks.items()))

    # ------------------------------------------------------------------ drawing

    def _band_ticks(self, price: float) -> float:
        return max(0.5, _BAND_BPS * 1e-4 * price / self._tick)

    def _is_open(self) -> bool:
        """Tell whether takers left the spread wider than makers like it."""
        return (self._asks.best() or 0) - (self._bids.best() or 0) > self._spread

    def _gap_ticks(self, price: float) -> float:
        """Tell how far the path is above (below, if negative) the middle of the quotes, in ticks."""
        bid, ask = self._bids.best(), self._asks.best()
        assert bid is not None, "a sweep never empties a side"
        assert ask is not None, "a sweep never empties a side"
        return price / self._tick - (bid + ask) / 2

    def _size(self, value: float, ticks: int) -> int:
        """Turn a value into whole lots at a price; at least one."""
        return max(self._lot, int(value / (ticks * self._tick) * SIZE_SCALE) // self._lot * self._lot)

    def _draw(self, quantiles: tuple[float, ...]) -> float:
        """Draw from a distribution given by its quantiles, log-linear between them."""
        share = self._rng.random()
        index = bisect_right(QUANTILES, share)
        if index == 0:
            return quantiles[0]
        if index == len(QUANTILES):
            return quantiles[-1]
        low, high = QUANTILES[index - 1], QUANTILES[index]
        weight = (share - low) / (high - low)
        return exp(log(quantiles[index - 1]) * (1 - weight) + log(quantiles[index]) * weight)

    def _geometric(self, mean: float) -> int:
        return int(log(1 - self._rng.random()) / log(mean / (1 + mean)))

    def _poisson(self, mean: float) -> int:
        """Draw a count; by multiplication, which is quick for the small means of a step."""
        limit, product, count = exp(-min(mean, 30.0)), self._rng.random(), 0
        while product > limit:
            product *= self._rng.random()
            count += 1
        return count
