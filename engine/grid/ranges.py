"""Between which numbers each field of a grid may lie, the others being as they are: what a form shows beside it.

The rules themselves are in `config`, `levels` and `sizing`; here they are only turned round.
"""

from decimal import Decimal

import msgspec

from engine.grid import sizing
from engine.grid.config import GRIDS_MAX, GRIDS_MIN, Direction, GridConfig, check
from engine.grid.levels import check_levels, most_grids
from engine.trading.instrument import FeeRates, Instrument

NO_HIGHEST_TICKS = 2**62
"""What an instrument without a highest price says."""

_WHAT_AMOUNT_NEEDS = frozenset({"lower", "upper", "grids", "leverage", "paid_in", "base_amount"})


class FieldRange(msgspec.Struct, frozen=True):
    """What one field may be. None: no bound on that side."""

    field: str
    least: Decimal | None = None
    most: Decimal | None = None


def ranges(config: GridConfig, instrument: Instrument, fees: FeeRates, price_ticks: int) -> list[FieldRange]:
    """Give the range of every field that has one; the investment's only where the other numbers hold."""
    found = [*_of_prices(config, instrument), *_of_counts(config, instrument), *_of_stops(config, instrument)]
    refused = {refusal.field for refusal in check(config, instrument)}
    if not refused & _WHAT_AMOUNT_NEEDS and not check_levels(config, instrument):
        found.append(FieldRange("amount", sizing.least_investment(config, instrument, fees, price_ticks)))
    return found


def _of_prices(config: GridConfig, instrument: Instrument) -> list[FieldRange]:
    tick = instrument.tick_size
    has_highest = instrument.max_ticks < NO_HIGHEST_TICKS
    highest = instrument.price(instrument.max_ticks) if has_highest else None
    # Each interval is one tick at least.
    span = tick * max(GRIDS_MIN, min(config.grids, GRIDS_MAX))
    return [
        FieldRange("lower", instrument.price(instrument.min_ticks), max(tick, config.upper - span)),
        FieldRange("upper", config.lower + span, highest),
        FieldRange("trigger_price", tick, highest),
    ]


def _of_counts(config: GridConfig, instrument: Instrument) -> list[FieldRange]:
    leverage = 1 if config.direction is Direction.SPOT else int(instrument.leverage_max)
    grids = GRIDS_MAX
    if 0 < config.lower < config.upper:
        grids = most_grids(msgspec.structs.replace(config, grids=GRIDS_MAX), instrument)
    if config.live_orders is None:
        grids = min(grids, instrument.max_open_orders)
    return [
        FieldRange("grids", Decimal(GRIDS_MIN), Decimal(max(GRIDS_MIN, grids))),
        FieldRange("leverage", Decimal(1), Decimal(leverage)),
        FieldRange("live_orders", Decimal(2), Decimal(instrument.max_open_orders)),
    ]


def _of_stops(config: GridConfig, instrument: Instrument) -> list[FieldRange]:
    tick = instrument.tick_size
    below = (tick, max(tick, config.lower - tick))
    above = (config.upper + tick, None)
    loses_below = config.direction is not Direction.SHORT
    return [
        FieldRange("stop_loss", *(below if loses_below else above)),
        FieldRange("take_profit", *(above if loses_below else below)),
        FieldRange("trailing_up_limit", *above),
        FieldRange("trailing_down_limit", *below),
    ]
