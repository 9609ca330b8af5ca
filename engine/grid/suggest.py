"""A grid that fits the market now: what the form is filled with before the trader changes anything.

It decides a range from where the price has lately been, steps well above the fees, and an investment that is a
small share of what is free. It promises nothing; the preview says what the numbers lead to.
"""

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal

import msgspec

from engine.grid import sizing
from engine.grid.config import GRIDS_MIN, Direction, GridConfig
from engine.grid.levels import most_grids
from engine.trading.instrument import FeeRates, Instrument

SIDE_MIN = Decimal("0.02")
"""The range reaches at least this far to each side of the price: a calm week says little about the next one."""

STEP_OVER_FEES = 3
"""A round trip's step is this many times its two fees: so most of it is kept."""

STEP_MIN = Decimal("0.002")
GRIDS_SUGGESTED_MAX = 60
"""More lines than a person can follow help nobody who takes a suggestion."""

SHARE_OF_FREE = Decimal("0.1")


def suggest(
    symbol: str,
    direction: Direction,
    instrument: Instrument,
    fees: FeeRates,
    price_ticks: int,
    low_ticks: int,
    high_ticks: int,
    *,
    amount: Decimal | None = None,
    free_quote: Decimal = Decimal(0),
) -> GridConfig:
    """Lay a grid over the prices between which the market has lately moved."""
    price = instrument.price(price_ticks)
    lower = _round(instrument, min(instrument.price(low_ticks), price * (1 - SIDE_MIN)), ROUND_FLOOR)
    upper = _round(instrument, max(instrument.price(high_ticks), price * (1 + SIDE_MIN)), ROUND_CEILING)
    step = max(STEP_MIN, STEP_OVER_FEES * 2 * max(fees.maker, Decimal(0)))
    config = GridConfig(
        symbol=symbol,
        direction=direction,
        lower=lower,
        upper=upper,
        grids=max(GRIDS_MIN, min(GRIDS_SUGGESTED_MAX, int((upper - lower) / (price * step)))),
        amount=amount or Decimal(1),
    )
    config = msgspec.structs.replace(config, grids=max(GRIDS_MIN, most_grids(config, instrument)))
    least = sizing.least_investment(config, instrument, fees, price_ticks)
    if amount is None:
        wanted = max(free_quote * SHARE_OF_FREE, least * sizing.COMFORT)
        return msgspec.structs.replace(config, amount=_two_digits(wanted))
    # Fewer intervals until each carries an order that the venue takes.
    while least > amount and config.grids > GRIDS_MIN:
        config = msgspec.structs.replace(config, grids=max(GRIDS_MIN, config.grids * 9 // 10))
        least = sizing.least_investment(config, instrument, fees, price_ticks)
    return config


def _round(instrument: Instrument, price: Decimal, direction: str) -> Decimal:
    """Bring a price to three digits, as a person would choose it, away from the market, on the tick grid."""
    step = Decimal(10) ** (price.adjusted() - 2)
    rounded = (price / step).to_integral_value(direction) * step
    ticks = int((rounded / instrument.tick_size).to_integral_value(direction))
    return instrument.price(max(instrument.min_ticks, min(ticks, instrument.max_ticks)))


def _two_digits(amount: Decimal) -> Decimal:
    """Round an amount down to two digits; the comfort in it is more than the rounding takes."""
    step = Decimal(10) ** (amount.adjusted() - 1)
    return (amount / step).to_integral_value(ROUND_DOWN) * step + Decimal(0)
