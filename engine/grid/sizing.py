"""How much a grid trades: the lots per interval that an investment carries, and what must be bought first.

Every interval trades the same lots. The largest number is chosen whose cost at the worst corner still fits the
investment: for cash, every buy filled down to the lowest level; for a perpetual, the full position on the side
that needs more. The preview and the bot's start call the same functions, so their numbers are the same.
"""

from decimal import ROUND_CEILING, Decimal
from itertools import pairwise

import msgspec

from engine.errors import Refusal
from engine.grid.config import Direction, GridConfig, PaidIn
from engine.grid.levels import all_levels
from engine.trading.instrument import AMOUNT_SCALE, FeeRates, Instrument, amount_units
from engine.trading.orders import Side

ENTRY_RESERVE = Decimal("0.005")
"""Share of the entry order's value kept for slippage and its fee: a market order fills at worse than the last
price, and half a percent is more than the visible book of a listed pair costs a retail order."""

MARGIN_RESERVE = Decimal("0.02")
"""Share of the buying power of a perpetual kept for fees, funding and the venue's own order margin."""

COMFORT = Decimal("1.2")
"""The recommended investment over the least one: room for the step of one lot and for a few losing days."""


class Sizing(msgspec.Struct, frozen=True):
    """What a grid starts with. `selling[k]` tells whether interval k begins with its sell at level k + 1."""

    price_ticks: int
    lots: int
    selling: tuple[bool, ...]
    entry_side: Side | None
    entry_lots: int
    """The market order at the start; 0 where none is needed."""
    own_base_units: int
    """Base coin brought in by the trader and used by the grid."""
    investment_units: int
    """The worth of the whole investment at the start, in quote-coin units."""


def starting_sides(levels: list[int], price_ticks: int) -> tuple[bool, ...]:
    """Tell per interval whether it starts by selling. The level nearest to the price stays empty."""
    return tuple(2 * price_ticks <= below + above for below, above in pairwise(levels))


def least_lots(config: GridConfig, instrument: Instrument, fees: FeeRates) -> int:
    """Give the fewest lots per interval with which each of its orders reaches the venue's minimum.

    On spot the fee of a buy is taken from the coins bought, so the sell that follows is a little smaller and
    must still reach the minimum.
    """
    lowest = all_levels(config, instrument)[0]
    smallest_order = instrument.least_lots(lowest)
    if config.direction is not Direction.SPOT:
        return smallest_order
    fee = max(fees.maker, fees.taker, Decimal(0))
    return int((Decimal(smallest_order) / (1 - fee)).to_integral_value(ROUND_CEILING))


def size(config: GridConfig, instrument: Instrument, fees: FeeRates, price_ticks: int) -> Sizing | list[Refusal]:
    """Size a grid at the present price, or say why the investment does not carry it."""
    least = least_lots(config, instrument, fees)
    lots = _most_affordable(config, instrument, fees, price_ticks)
    if lots < least:
        return [_too_small(config, instrument, fees, price_ticks, least)]
    if lots > instrument.max_lots:
        most = instrument.quantity(instrument.max_lots)
        return [
            Refusal(
                "order_too_large",
                "amount",
                f"each order would be {instrument.quantity(lots)} {instrument.base}",
                f"at most {most} {instrument.base} per order: use more grids or a smaller investment",
            )
        ]
    return sizing_for(config, instrument, fees, price_ticks, lots)


def sizing_for(config: GridConfig, instrument: Instrument, fees: FeeRates, price_ticks: int, lots: int) -> Sizing:
    """Describe the start of a grid of `lots` per interval."""
    selling = starting_sides(all_levels(config, instrument), price_ticks)
    side, entry_lots, own_units = _entry(config, instrument, fees, price_ticks, lots)
    return Sizing(
        price_ticks=price_ticks,
        lots=lots,
        selling=selling,
        entry_side=side if entry_lots else None,
        entry_lots=entry_lots,
        own_base_units=own_units,
        investment_units=investment_units(config, instrument, price_ticks),
    )


def investment_units(config: GridConfig, instrument: Instrument, price_ticks: int) -> int:
    """Value the investment at a price, in quote-coin units."""
    amount = amount_units(config.amount)
    if config.paid_in is PaidIn.BASE:
        return instrument.value_of_units(price_ticks, amount)
    if config.paid_in is PaidIn.BOTH and config.base_amount is not None:
        return amount + instrument.value_of_units(price_ticks, amount_units(config.base_amount))
    return amount


def least_investment(config: GridConfig, instrument: Instrument, fees: FeeRates, price_ticks: int) -> Decimal:
    """Give the smallest `amount`, in the coin that `paid_in` names, that carries this grid now."""
    return _amount_for(config, instrument, fees, price_ticks, least_lots(config, instrument, fees))


def worst_notional(config: GridConfig, instrument: Instrument, price_ticks: int, lots: int) -> int:
    """Value the position of a perpetual grid at its worst corner at its entry prices, in quote-coin units."""
    levels = all_levels(config, instrument)
    selling = starting_sides(levels, price_ticks)
    below = [levels[k] for k, sells in enumerate(selling) if not sells]
    above = [levels[k + 1] for k, sells in enumerate(selling) if sells]
    value = instrument.value_per_tick_lot * lots
    match config.direction:
        case Direction.LONG:
            return value * (sum(below) + price_ticks * len(above))
        case Direction.SHORT:
            return value * (sum(above) + price_ticks * len(below))
        case _:
            return value * max(sum(below), sum(above))


def used_units(config: GridConfig, instrument: Instrument, fees: FeeRates, price_ticks: int, lots: int) -> int:
    """Value what `lots` per interval take of the investment, reserve included, in quote-coin units."""
    cost = _cost_units(config, instrument, fees, price_ticks, lots)
    return instrument.value_of_units(price_ticks, cost) if config.paid_in is PaidIn.BASE else cost


def _entry(
    config: GridConfig, instrument: Instrument, fees: FeeRates, price_ticks: int, lots: int
) -> tuple[Side, int, int]:
    """Give the entry order's side and lots, and how much of the trader's own base coin the grid uses."""
    selling = starting_sides(all_levels(config, instrument), price_ticks)
    sells = sum(selling)
    match config.direction:
        case Direction.LONG:
            return Side.BUY, sells * lots, 0
        case Direction.SHORT:
            return Side.SELL, (len(selling) - sells) * lots, 0
        case Direction.NEUTRAL:
            return Side.BUY, 0, 0
    needed = sells * lots
    if config.paid_in is PaidIn.QUOTE:
        return Side.BUY, needed, 0
    if config.paid_in is PaidIn.BOTH:
        assert config.base_amount is not None
        own = min(needed, amount_units(config.base_amount) // instrument.units_per_lot)
        return Side.BUY, needed - own, own * instrument.units_per_lot
    to_sell = _lots_sold_for_buys(config, instrument, fees, price_ticks, lots)
    return Side.SELL, to_sell, needed * instrument.units_per_lot


def _lots_sold_for_buys(
    config: GridConfig, instrument: Instrument, fees: FeeRates, price_ticks: int, lots: int
) -> int:
    """Count the base lots that must be sold at the start to pay for every buy of a grid paid in base."""
    levels = all_levels(config, instrument)
    selling = starting_sides(levels, price_ticks)
    buys = instrument.value_per_tick_lot * lots * sum(levels[k] for k, s in enumerate(selling) if not s)
    if not buys:
        return 0
    per_lot = Decimal(instrument.value(price_ticks, 1)) * (1 - ENTRY_RESERVE) * (1 - fees.taker)
    return max(instrument.least_lots(price_ticks), int((buys / per_lot).to_integral_value(ROUND_CEILING)))


def _cost_units(config: GridConfig, instrument: Instrument, fees: FeeRates, price_ticks: int, lots: int) -> int:
    """Give what `lots` per interval cost, in units of the coin that `paid_in` names (margin for a perpetual)."""
    if config.direction is not Direction.SPOT:
        notional = Decimal(worst_notional(config, instrument, price_ticks, lots))
        cost = notional / config.leverage / (1 - MARGIN_RESERVE)
        return int(cost.to_integral_value(ROUND_CEILING))
    levels = all_levels(config, instrument)
    selling = starting_sides(levels, price_ticks)
    if config.paid_in is PaidIn.BASE:
        sold = _lots_sold_for_buys(config, instrument, fees, price_ticks, lots)
        return (sum(selling) * lots + sold) * instrument.units_per_lot
    buys = instrument.value_per_tick_lot * lots * sum(levels[k] for k, s in enumerate(selling) if not s)
    _, entry_lots, _ = _entry(config, instrument, fees, price_ticks, lots)
    entry = instrument.value(price_ticks, entry_lots) * (1 + ENTRY_RESERVE)
    return buys + int(entry.to_integral_value(ROUND_CEILING))


def _most_affordable(config: GridConfig, instrument: Instrument, fees: FeeRates, price_ticks: int) -> int:
    budget = amount_units(config.amount)
    low, high = 0, 1
    while _cost_units(config, instrument, fees, price_ticks, high) <= budget and high <= instrument.max_lots:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if _cost_units(config, instrument, fees, price_ticks, middle) <= budget:
            low = middle
        else:
            high = middle
    return low


def _amount_for(
    config: GridConfig, instrument: Instrument, fees: FeeRates, price_ticks: int, lots: int
) -> Decimal:
    """Give the `amount` for `lots`, rounded up to something a person would type (eight decimals at most)."""
    cost = Decimal(_cost_units(config, instrument, fees, price_ticks, lots)) / AMOUNT_SCALE
    step = Decimal("0.01") if config.paid_in is not PaidIn.BASE else instrument.lot_size
    steps = int((cost / step).to_integral_value(ROUND_CEILING))
    return steps * step


def _too_small(
    config: GridConfig, instrument: Instrument, fees: FeeRates, price_ticks: int, least: int
) -> Refusal:
    needed = _amount_for(config, instrument, fees, price_ticks, least)
    coin = instrument.base if config.paid_in is PaidIn.BASE else instrument.quote
    return Refusal(
        "investment_too_small",
        "amount",
        f"{config.amount} {coin} over {config.grids} grids makes orders below the venue's minimum "
        f"({instrument.quantity(instrument.min_lots)} {instrument.base} and {instrument.min_notional} "
        f"{instrument.quote} each)",
        f"at least {needed} {coin}, or fewer grids",
    )
