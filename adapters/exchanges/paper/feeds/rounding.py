"""How prices of elsewhere come onto an instrument's tick grid. Sizes are never rounded.

A trade goes to the nearest tick (half goes up). A bid goes down and an ask goes up, so that a book which was not
crossed stays so; levels that meet on one tick are summed by the caller.
"""

from decimal import Decimal
from functools import lru_cache

from engine.trading.instrument import Instrument

from ..events import SIZE_DECIMALS

PRICE_DECIMALS = 12
"""Foreign prices are read as whole units of 10**-12, finer than any listed tick."""


def scaled(text: str, decimals: int) -> int:
    """Read a decimal number as whole units of 10**-decimals, exactly; raise ValueError if it is finer."""
    whole, _, fraction = text.partition(".")
    if len(fraction) <= decimals and "e" not in text and "E" not in text:
        return int(whole + fraction) * int(10 ** (decimals - len(fraction)))
    value = Decimal(text).scaleb(decimals)
    units = int(value)
    if units != value:
        raise ValueError(f"{text} is finer than 10**-{decimals}")
    return units


# A book says the same few thousand prices and sizes over and over: hence the caches.
@lru_cache(maxsize=1 << 16)
def size_units(text: str) -> int:
    """Read a size as whole units of 10**-8 base coins."""
    return scaled(text, SIZE_DECIMALS)


@lru_cache(maxsize=1 << 16)
def price_units(text: str) -> int:
    """Read a price as whole units of 10**-12."""
    return scaled(text, PRICE_DECIMALS)


class TickGrid:
    """Map prices in 10**-12 units onto one instrument's ticks."""

    __slots__ = ("_half", "_tick")

    def __init__(self, instrument: Instrument) -> None:
        self._tick = scaled(str(instrument.tick_size), PRICE_DECIMALS)
        self._half = self._tick // 2

    def nearest(self, units: int) -> int:
        """Give the nearest tick of a trade's price."""
        return (units + self._half) // self._tick

    def bid(self, units: int) -> int:
        """Give the tick at or below a bid."""
        return units // self._tick

    def ask(self, units: int) -> int:
        """Give the tick at or above an ask."""
        return -(-units // self._tick)
