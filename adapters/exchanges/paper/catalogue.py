"""The instruments of the PaperVenue with the filters that Bybit publishes for them (read in 2026, by hand).

Pure data and arithmetic on it. Live filters drift; a venue may be given other listings, these are the defaults.
"""

from collections.abc import Iterable
from decimal import Decimal
from functools import cached_property

import msgspec

from engine.trading.instrument import Instrument, Market

from .events import SIZE_SCALE


class Listing(msgspec.Struct, frozen=True, dict=True):
    """An instrument and what only the venue itself needs to know about it."""

    instrument: Instrument
    quote_precision: Decimal
    """Spot: the finest amount of the quote coin that a market order may name."""
    max_amount: Decimal
    """Spot: the largest value of one order, in the quote coin."""
    maintenance_rate: Decimal = Decimal(0)
    """Linear: maintenance margin as a fraction of the position's value at entry."""

    @property
    def key(self) -> tuple[Market, str]:
        """Name the listing: a symbol exists once per market."""
        return self.instrument.market, self.instrument.symbol

    @cached_property
    def size_per_lot(self) -> int:
        """Units of recorded size (10**-8 of the base coin) in one lot."""
        size = self.instrument.lot_size * SIZE_SCALE
        if size != int(size):
            raise ValueError(f"{self.instrument.symbol}: a lot is finer than 10**-8")
        return int(size)


def _spot(symbol: str, tick: str, lot: str, least: str, most: str, amount: str) -> Listing:
    instrument = Instrument(
        symbol=symbol,
        market=Market.SPOT,
        base=symbol.removesuffix("USDT"),
        quote="USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_lots=_count(least, lot),
        max_lots=_count(most, lot),
        max_market_lots=_count(most, lot),
        min_notional=Decimal(5),
    )
    return Listing(
        instrument=instrument,
        quote_precision=Decimal("0.0000001"),
        max_amount=Decimal(amount),
    )


def _linear(
    symbol: str, tick: str, lot: str, most: str, most_market: str, top: str, leverage: int, maintenance: str
) -> Listing:
    instrument = Instrument(
        symbol=symbol,
        market=Market.LINEAR,
        base=symbol.removesuffix("USDT"),
        quote="USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_lots=1,
        max_lots=_count(most, lot),
        max_market_lots=_count(most_market, lot),
        min_notional=Decimal(5),
        max_ticks=_count(top, tick),
        leverage_max=Decimal(leverage),
        funding_interval_min=480,
    )
    return Listing(
        instrument=instrument,
        quote_precision=Decimal("0.0000001"),
        max_amount=Decimal(0),
        maintenance_rate=Decimal(maintenance),
    )


def _count(value: str, step: str) -> int:
    return int(Decimal(value) / Decimal(step))


LISTINGS: tuple[Listing, ...] = (
    _spot("BTCUSDT", "0.01", "0.000001", "0.000011", "71.739562", "8000000"),
    _spot("ETHUSDT", "0.01", "0.00001", "0.00062", "1229.2336343", "4000000"),
    _spot("SOLUSDT", "0.01", "0.001", "0.01", "14000", "2000000"),
    _spot("XRPUSDT", "0.0001", "0.01", "1.5", "1500000", "2000000"),
    _spot("DOGEUSDT", "0.00001", "0.1", "9.5", "9000000", "1000000"),
    _linear("BTCUSDT", "0.10", "0.001", "1190", "500", "1999999.80", 100, "0.005"),
    _linear("ETHUSDT", "0.01", "0.01", "7240", "724", "199999.98", 100, "0.005"),
    _linear("SOLUSDT", "0.010", "0.1", "79770", "7980", "19999.98", 100, "0.01"),
    _linear("XRPUSDT", "0.0001", "0.1", "4000000", "700000", "1999.9998", 75, "0.01"),
    _linear("DOGEUSDT", "0.00001", "1", "23000000", "5000000", "199.99998", 75, "0.01"),
)
"""What the venue lists unless told otherwise."""


def listings(symbols: Iterable[str], market: Market | None = None) -> tuple[Listing, ...]:
    """Pick the default listings of these symbols, in both markets or in one."""
    wanted = set(symbols)
    return tuple(
        listing
        for listing in LISTINGS
        if listing.instrument.symbol in wanted and market in (None, listing.instrument.market)
    )
