"""Where the lines of a grid lie: one price in ticks per level index.

Level 0 is the lower bound and level `grids` the upper one. Indices below and above continue the same spacing,
so a trailing range keeps the indices it already gave away.
"""

from decimal import Context, Decimal
from functools import lru_cache
from itertools import pairwise

from engine.errors import Refusal
from engine.grid.config import GridConfig, Spacing
from engine.trading.instrument import Instrument

# Fifty digits: a geometric level never depends on the machine's floating point, and never on the last digit.
_EXACT = Context(prec=50)


def level_ticks(config: GridConfig, instrument: Instrument, index: int) -> int:
    """Give the price of a level, rounded to the nearest tick, halves up."""
    return _level(config.lower, config.upper, config.grids, config.spacing, instrument.tick_size, index)


def all_levels(config: GridConfig, instrument: Instrument) -> list[int]:
    """Give the prices of levels 0 to `grids`."""
    return [level_ticks(config, instrument, index) for index in range(config.grids + 1)]


def check_levels(config: GridConfig, instrument: Instrument) -> list[Refusal]:
    """Refuse a grid whose neighbouring levels fall on the same tick: it would buy and sell at one price."""
    levels = all_levels(config, instrument)
    for index, (below, above) in enumerate(pairwise(levels)):
        if below >= above:
            most = most_grids(config, instrument)
            return [
                Refusal(
                    "levels_collapse",
                    "grids",
                    f"levels {index} and {index + 1} both fall on {instrument.price_text(below)}: the step is "
                    f"smaller than one tick ({instrument.tick_size})",
                    f"at most {most} grids in this range" if most >= 2 else "widen the range",
                )
            ]
    return []


def most_grids(config: GridConfig, instrument: Instrument) -> int:
    """Give the largest number of grids whose smallest step, at the bottom, is still at least one tick."""
    low, high = 0, config.grids
    while low < high:
        grids = (low + high + 1) // 2
        first = _price(config.lower, config.upper, grids, config.spacing, 1)
        if _EXACT.subtract(first, config.lower) >= instrument.tick_size:
            low = grids
        else:
            high = grids - 1
    return low


@lru_cache(maxsize=65_536)
def _level(lower: Decimal, upper: Decimal, grids: int, spacing: Spacing, tick: Decimal, index: int) -> int:
    price = _price(lower, upper, grids, spacing, index)
    doubled = _EXACT.divide(_EXACT.multiply(price, Decimal(2)), tick)
    # Fifty digits may leave 0.999…9 where a whole number belongs: bring it back before rounding.
    return (int(doubled.quantize(Decimal("1e-20"), context=_EXACT)) + 1) // 2


def _price(lower: Decimal, upper: Decimal, grids: int, spacing: Spacing, index: int) -> Decimal:
    part = _EXACT.divide(Decimal(index), Decimal(grids))
    if spacing is Spacing.ARITHMETIC:
        return _EXACT.add(lower, _EXACT.multiply(_EXACT.subtract(upper, lower), part))
    return _EXACT.multiply(lower, _EXACT.power(_EXACT.divide(upper, lower), part))
