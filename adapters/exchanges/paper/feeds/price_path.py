"""The price behind a coin's markets: a seeded walk through regimes, shared by its spot and its perpetual.

Calm ranges pull back to where they began, trends drift, volatile spells swing. Floats live only here and in the
sampling of the flow: what leaves the model is whole ticks and sizes. The same seed always gives the same path.
"""

from collections import deque
from math import exp, log, sqrt
from random import Random

import msgspec

STEP_MS = 50
_KEPT_STEPS = 2_400
"""Two minutes: how far the fastest market of a coin may run ahead of the slowest."""

_BPS = 1e-4


class Regime(msgspec.Struct, frozen=True):
    """A spell of the market."""

    name: str
    weight: float
    """How often it is chosen when a spell ends."""
    mean_s: float
    volatility: float
    """Multiple of the mean volatility; weighted by duration the squares average to about one."""
    activity: float
    """Multiple of the mean rate of arrivals."""
    drift_bps_s: float = 0.0
    """How fast it moves, either way."""
    pull_per_s: float = 0.0
    """How fast it returns to where the spell began."""


REGIMES = (
    Regime("range", weight=0.5, mean_s=1_200, volatility=0.75, activity=0.85, pull_per_s=1 / 600),
    Regime("trend", weight=0.3, mean_s=600, volatility=1.0, activity=1.1, drift_bps_s=0.04),
    Regime("volatile", weight=0.2, mean_s=300, volatility=2.0, activity=1.7),
)
"""Not measured: recordings of six minutes show one spell, not how spells follow each other."""


class PricePath:
    """A walk of the logarithm of the price in steps of `STEP_MS`."""

    def __init__(self, rng: Random, price: float, volatility_bps: float) -> None:
        self._rng = rng
        self._volatility = volatility_bps * _BPS
        self._log_price = log(price)
        self._steps: deque[tuple[float, Regime]] = deque(maxlen=_KEPT_STEPS)
        self._count = 0
        self._begin_spell()

    @property
    def next_index(self) -> int:
        """Give the step that was not asked for yet: where a run that begins now begins."""
        return self._count

    def at(self, index: int) -> tuple[float, Regime]:
        """Give the price and the regime at a step; steps long past are forgotten."""
        while self._count <= index:
            self._walk(STEP_MS / 1000)
            self._steps.append((exp(self._log_price), self._regime))
            self._count += 1
        return self._steps[index - self._count]

    def past(self, minutes: int, parts: int) -> list[list[float]]:
        """Give the prices of past minutes, `parts` a minute, such that the last price is the present one."""
        end = self._log_price
        walk = []
        for _ in range(minutes):
            prices = []
            for _ in range(parts):
                self._walk(60 / parts)
                prices.append(self._log_price)
            walk.append(prices)
        shift = end - self._log_price
        self._log_price = end
        self._begin_spell()
        return [[exp(value + shift) for value in prices] for prices in walk]

    def _begin_spell(self) -> None:
        self._regime = self._rng.choices(REGIMES, [regime.weight for regime in REGIMES])[0]
        self._left_s = self._rng.expovariate(1 / self._regime.mean_s)
        self._drift = self._regime.drift_bps_s * _BPS * self._rng.choice((-1, 1))
        self._anchor = self._log_price

    def _walk(self, step_s: float) -> None:
        self._left_s -= step_s
        if self._left_s <= 0:
            self._begin_spell()
        regime = self._regime
        pull = regime.pull_per_s * (self._anchor - self._log_price)
        noise = self._rng.gauss(0.0, self._volatility * regime.volatility * sqrt(step_s))
        self._log_price += (self._drift + pull) * step_s + noise
