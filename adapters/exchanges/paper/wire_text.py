"""How the venue writes its integers: prices and sizes as decimal text, without a float or a Decimal on the way."""

from engine.trading.instrument import Instrument

from .events import SIZE_DECIMALS, SIZE_SCALE


def size_text(size: int) -> str:
    """Write a size of 10**-8 base coins without trailing zeros."""
    whole, fraction = divmod(size, SIZE_SCALE)
    if not fraction:
        return str(whole)
    return f"{whole}.{fraction:0{SIZE_DECIMALS}d}".rstrip("0")


class WireText:
    """Write the prices and values of one instrument; about four times as fast as going through Decimal."""

    __slots__ = ("_decimals", "_power", "_step", "_value_decimals")

    def __init__(self, instrument: Instrument) -> None:
        self._decimals = instrument.tick_decimals
        self._power = 10**self._decimals
        self._step = int(instrument.tick_size * self._power)
        self._value_decimals = self._decimals + SIZE_DECIMALS

    def price(self, ticks: int) -> str:
        """Write a price with the digits of the tick."""
        units = ticks * self._step
        if not self._decimals:
            return str(units)
        whole, fraction = divmod(units, self._power)
        return f"{whole}.{fraction:0{self._decimals}d}"

    def value(self, tick_sizes: int) -> str:
        """Write a sum of ticks × size (turnover) in the quote coin."""
        units = tick_sizes * self._step
        whole, fraction = divmod(units, 10**self._value_decimals)
        if not fraction:
            return str(whole)
        return f"{whole}.{fraction:0{self._value_decimals}d}".rstrip("0")
