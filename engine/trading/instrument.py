"""What can be traded, and the grid of numbers on which its prices and quantities live.

Inside the engine a price is a whole number of ticks and a quantity a whole number of lots; an `Instrument`
converts at the edge. Amounts of an asset are whole base units of 10**-18 (`AMOUNT_DECIMALS`), fine enough that
price × quantity × fee rate of a listed instrument is exact.
"""

from decimal import Decimal
from enum import StrEnum
from functools import cached_property

import msgspec

AMOUNT_DECIMALS = 18
AMOUNT_SCALE: int = 10**AMOUNT_DECIMALS


class Market(StrEnum):
    """The kind of market: cash, or a perpetual settled in its quote coin."""

    SPOT = "spot"
    LINEAR = "linear"


def amount_units(text: str | Decimal) -> int:
    """Turn a decimal amount into base units; raise ValueError if it is finer than a unit."""
    scaled = Decimal(text).scaleb(AMOUNT_DECIMALS)
    units = int(scaled)
    if units != scaled:
        raise ValueError(f"{text} is finer than 10**-{AMOUNT_DECIMALS}")
    return units


def amount_text(units: int) -> str:
    """Write base units as a plain decimal string without trailing zeros."""
    sign, whole = ("-", -units) if units < 0 else ("", units)
    integer, fraction = divmod(whole, AMOUNT_SCALE)
    if not fraction:
        return f"{sign}{integer}"
    return f"{sign}{integer}.{fraction:0{AMOUNT_DECIMALS}d}".rstrip("0")


class Instrument(msgspec.Struct, frozen=True, dict=True):
    """One tradable pair with the venue's filters. Prices count ticks, quantities count lots."""

    symbol: str
    market: Market
    base: str
    quote: str
    """For a linear perpetual also the coin in which margin, profit, fees and funding are paid."""
    tick_size: Decimal
    lot_size: Decimal
    min_lots: int
    max_lots: int
    max_market_lots: int
    min_notional: Decimal
    """The least value of an order in the quote coin."""
    min_ticks: int = 1
    max_ticks: int = 2**62
    leverage_max: Decimal = Decimal(1)
    max_open_orders: int = 500
    funding_interval_min: int = 0
    """Minutes between funding payments; 0 where there are none."""

    @cached_property
    def units_per_lot(self) -> int:
        """Base-coin units in one lot."""
        return amount_units(self.lot_size)

    @cached_property
    def value_per_tick_lot(self) -> int:
        """Quote-coin units that one lot is worth per tick of price."""
        return amount_units(self.tick_size * self.lot_size)

    @cached_property
    def tick_units(self) -> int:
        """One tick as quote-coin units per whole base coin."""
        return amount_units(self.tick_size)

    @cached_property
    def min_notional_units(self) -> int:
        """The least value of an order, in quote-coin units."""
        return amount_units(self.min_notional)

    @cached_property
    def tick_decimals(self) -> int:
        """Digits after the point in a price."""
        return max(0, -int(self.tick_size.normalize().as_tuple().exponent))

    @cached_property
    def lot_decimals(self) -> int:
        """Digits after the point in a quantity."""
        return max(0, -int(self.lot_size.normalize().as_tuple().exponent))

    def ticks(self, price: str | Decimal) -> int:
        """Count the ticks of a price; raise ValueError if it is not on the tick grid."""
        return _whole(Decimal(price) / self.tick_size, f"price {price} is not a multiple of {self.tick_size}")

    def nearest_ticks(self, price: Decimal) -> int:
        """Count the ticks of a price that a person chose, rounded to the nearest."""
        return int((price / self.tick_size).to_integral_value())

    def lots(self, quantity: str | Decimal) -> int:
        """Count the lots of a quantity; raise ValueError if it is not on the lot grid."""
        return _whole(
            Decimal(quantity) / self.lot_size, f"quantity {quantity} is not a multiple of {self.lot_size}"
        )

    def price(self, ticks: int) -> Decimal:
        """Give the price of a number of ticks."""
        return self.tick_size * ticks

    def quantity(self, lots: int) -> Decimal:
        """Give the quantity of a number of lots."""
        return self.lot_size * lots

    def price_text(self, ticks: int) -> str:
        """Write a price as the venue wants it on the wire."""
        return f"{self.tick_size * ticks:.{self.tick_decimals}f}"

    def quantity_text(self, lots: int) -> str:
        """Write a quantity as the venue wants it on the wire."""
        return f"{self.lot_size * lots:.{self.lot_decimals}f}"

    def value(self, ticks: int, lots: int) -> int:
        """Value `lots` at `ticks`, in quote-coin units. Exact."""
        return ticks * lots * self.value_per_tick_lot

    def value_of_units(self, ticks: int, base_units: int) -> int:
        """Value an amount of the base coin at `ticks`, in quote-coin units, rounded toward minus infinity."""
        return ticks * base_units * self.tick_units // AMOUNT_SCALE

    def is_tradable(self, ticks: int, lots: int) -> bool:
        """Tell whether an order of `lots` at `ticks` reaches the venue's minimum quantity and value."""
        return lots >= self.min_lots and self.value(ticks, lots) >= self.min_notional_units

    def least_lots(self, ticks: int) -> int:
        """Give the fewest lots that the venue takes at `ticks`."""
        by_value: int = -(-self.min_notional_units // self.value(ticks, 1))
        return max(self.min_lots, by_value)


class FeeRates(msgspec.Struct, frozen=True):
    """An account's fee rates on one instrument, as fractions (`Decimal("0.001")` is ten basis points)."""

    maker: Decimal
    taker: Decimal


def _whole(value: Decimal, complaint: str) -> int:
    count = int(value)
    if count != value:
        raise ValueError(complaint)
    return count
