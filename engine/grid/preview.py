"""What a trader sees before starting: the numbers that the bot will then produce, and the plain risk of loss.

Levels, lots, orders and profit per grid come from the same functions that the machine itself calls; the expected
round trips come from the machine, run over recent candles.
"""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

import msgspec

from engine.errors import Refusal
from engine.grid import accounting, backtest, cells, sizing
from engine.grid.config import Direction, GridConfig, PaidIn, check
from engine.grid.levels import all_levels, check_levels
from engine.grid.ranges import FieldRange, ranges
from engine.ids import Instant
from engine.trading.instrument import AMOUNT_DECIMALS, FeeRates, Instrument
from engine.trading.market import Candle
from engine.trading.orders import Side

MAINTENANCE_MARGIN = Decimal("0.005")
"""The share of a position's value that the venue keeps as a minimum: Bybit's first risk tier of large pairs. The
liquidation price is an estimate for a position that fits that tier."""

DAY_MS = 86_400_000


class PlannedOrder(msgspec.Struct, frozen=True):
    """One order that the bot will place at the start. `price` is None for the market order."""

    level: int | None
    side: Side
    price: Decimal | None
    quantity: Decimal


class History(msgspec.Struct, frozen=True):
    """What the same bot would have done on recent candles. Not a promise."""

    start_ms: Instant
    end_ms: Instant
    path: str
    trips: int
    trips_per_day: Decimal
    grid_profit: Decimal
    """Before fees."""
    fees: Decimal
    total: Decimal
    """With the inventory at its last price."""
    max_drawdown: Decimal


class RiskWarning(msgspec.Struct, frozen=True):
    """A risk said plainly; `code` is stable, for translation."""

    code: str
    text: str


class Preview(msgspec.Struct, frozen=True):
    """Everything to weigh before the start. Amounts in the quote coin unless said otherwise."""

    symbol: str
    price: Decimal
    levels: list[Decimal]
    quantity: Decimal
    """Base coin per grid order."""
    orders: list[PlannedOrder]
    """In the order of placing: the market order, if any, then nearest the price first."""
    profit_per_grid_min: Decimal
    """Net of both fees, of one round trip in the least profitable interval."""
    profit_per_grid_max: Decimal
    profit_per_grid_min_rate: Decimal
    """As a fraction of the buy's value."""
    profit_per_grid_max_rate: Decimal
    maker_fee: Decimal
    taker_fee: Decimal
    investment: Decimal
    """The worth of what is put in."""
    invested: Decimal
    """What of it the grid can use at its worst corner; the rest is less than one lot per grid, and the reserve."""
    least_investment: Decimal
    """In the coin that pays."""
    recommended_investment: Decimal
    deposit_suffices: bool | None
    """Whether the free balance covers the investment; None if the balance was not given."""
    missing: Decimal
    worst_price: Decimal
    """The corner of the range where the bot stands worst."""
    worst_inventory: Decimal
    """Base coin held there; negative for a short."""
    worst_result: Decimal
    """Total result there if the price goes straight to it, before any round trip."""
    liquidation_price: Decimal | None
    """Where the venue would take the position if the price went straight there; None for spot, or if never."""
    liquidation_in_range: bool
    history: History | None
    warnings: list[RiskWarning]
    ranges: list[FieldRange] = []
    """Between which numbers each field may lie, the others being as they are."""


def preview(
    config: GridConfig,
    instrument: Instrument,
    fees: FeeRates,
    price_ticks: int,
    *,
    free_quote: Decimal | None = None,
    free_base: Decimal | None = None,
    candles: Sequence[Candle] = (),
) -> Preview | list[Refusal]:
    """Work out the preview at a price, or give every refusal."""
    allowed = ranges(config, instrument, fees, price_ticks)
    refusals = check(config, instrument) or check_levels(config, instrument)
    if refusals:
        return _with_ranges(refusals, allowed)
    sized = sizing.size(config, instrument, fees, price_ticks)
    if isinstance(sized, list):
        return _with_ranges(sized, allowed)
    levels = all_levels(config, instrument)
    profits = [trip_profit(config, instrument, fees, below, above, sized.lots) for below, above in _pairs(levels)]
    rates = [
        _rate(profit, instrument.value(below, sized.lots))
        for profit, (below, _) in zip(profits, _pairs(levels), strict=True)
    ]
    least = sizing.least_investment(config, instrument, fees, price_ticks)
    missing = _missing(config, free_quote, free_base)
    worst_ticks, worst_inventory, worst_result = worst_corner(config, instrument, fees, sized, levels)
    liquidation = liquidation_ticks(config, instrument, sized, levels)
    in_range = liquidation is not None and levels[0] <= liquidation <= levels[-1]
    history = _history(config, instrument, fees, candles)
    return Preview(
        symbol=config.symbol,
        price=instrument.price(price_ticks),
        levels=[instrument.price(level) for level in levels],
        quantity=instrument.quantity(sized.lots),
        orders=planned_orders(config, instrument, fees, sized),
        profit_per_grid_min=_amount(min(profits)),
        profit_per_grid_max=_amount(max(profits)),
        profit_per_grid_min_rate=min(rates),
        profit_per_grid_max_rate=max(rates),
        maker_fee=fees.maker,
        taker_fee=fees.taker,
        investment=_amount(sized.investment_units),
        invested=_amount(sizing.used_units(config, instrument, fees, price_ticks, sized.lots)),
        least_investment=least,
        recommended_investment=(least * sizing.COMFORT).normalize() + Decimal(0),
        deposit_suffices=None if free_quote is None else not missing,
        missing=missing,
        worst_price=instrument.price(worst_ticks),
        worst_inventory=_amount(worst_inventory),
        worst_result=_amount(worst_result),
        liquidation_price=None if liquidation is None else instrument.price(liquidation),
        liquidation_in_range=in_range,
        history=history,
        warnings=_warnings(
            config, instrument, levels, price_ticks, profits, in_range, bool(missing), worst_result
        ),
        ranges=allowed,
    )


def trip_profit(
    config: GridConfig, instrument: Instrument, fees: FeeRates, below: int, above: int, lots: int
) -> int:
    """Give the net result of one round trip of an interval, in quote-coin units, as the machine books it.

    On spot the buy's fee is taken from the coins, so a whole lot less may be sold; what is left of it is dust
    that a later sell takes along.
    """
    bought = lots * instrument.units_per_lot
    if config.direction is Direction.SPOT:
        base_fee = int(bought * fees.maker)
        buy_fee = instrument.value_of_units(below, base_fee)
        held, cost = bought - base_fee, instrument.value(below, lots) - buy_fee
        sold = held // instrument.units_per_lot
        gross = instrument.value(above, sold) - cost * (sold * instrument.units_per_lot) // held
        return gross - buy_fee - int(instrument.value(above, sold) * fees.maker)
    gross = instrument.value(above, lots) - instrument.value(below, lots)
    return (
        gross - int(instrument.value(below, lots) * fees.maker) - int(instrument.value(above, lots) * fees.maker)
    )


def planned_orders(
    config: GridConfig, instrument: Instrument, fees: FeeRates, sized: sizing.Sizing
) -> list[PlannedOrder]:
    """List the orders that the bot places at the start, from its start in a market that stands still."""
    # A trigger delays the start; what is shown is what will be placed when it comes.
    config = msgspec.structs.replace(config, trigger_price=None)
    market = backtest.TouchMarket(config, instrument, fees)
    market.start(sized.price_ticks, Instant(1))
    orders = []
    if sized.entry_side is not None:
        orders.append(PlannedOrder(None, sized.entry_side, None, instrument.quantity(sized.entry_lots)))
    resting = [cell for cell in market.state.cells if not cell.slot.is_empty]
    for cell in sorted(resting, key=lambda cell: abs(cell.slot.ticks - sized.price_ticks)):
        slot = cell.slot
        level = cells.order_level(cell, slot.side)
        orders.append(PlannedOrder(level, slot.side, instrument.price(slot.ticks), instrument.quantity(slot.lots)))
    return orders


def worst_corner(
    config: GridConfig, instrument: Instrument, fees: FeeRates, sized: sizing.Sizing, levels: list[int]
) -> tuple[int, int, int]:
    """Run the price straight to each end of the range: (ticks, inventory, total result) at the worse one."""
    corners = []
    for ticks in (levels[0], levels[-1]):
        market = backtest.TouchMarket(_without_stops(config), instrument, fees)
        market.start(sized.price_ticks, Instant(1))
        market.move_to(ticks, Instant(2))
        total = accounting.total_units(market.state, ticks)
        corners.append((ticks, market.state.base_total(), total))
    return min(corners, key=lambda corner: corner[2])


def liquidation_ticks(
    config: GridConfig, instrument: Instrument, sized: sizing.Sizing, levels: list[int]
) -> int | None:
    """Estimate where margin and loss meet when the price runs through the whole grid one way.

    With the position's quantity Q, its cost C and the margin M, a long is taken at (C - M) / (Q × (1 - m)) and a
    short at (C + M) / (Q × (1 + m)), m being the maintenance margin. A neutral grid gives its nearer side.
    """
    if config.direction is Direction.SPOT:
        return None
    selling = sized.selling
    below = [levels[k] for k, sells in enumerate(selling) if not sells]
    above = [levels[k + 1] for k, sells in enumerate(selling) if sells]
    long_cost = sum(below) + (sized.price_ticks * len(above) if config.direction is Direction.LONG else 0)
    short_cost = sum(above) + (sized.price_ticks * len(below) if config.direction is Direction.SHORT else 0)
    long_count = len(below) + (len(above) if config.direction is Direction.LONG else 0)
    short_count = len(above) + (len(below) if config.direction is Direction.SHORT else 0)
    margin = Decimal(sized.investment_units) / instrument.value(1, sized.lots)
    candidates = []
    if config.direction is not Direction.SHORT and long_count:
        ticks = int((long_cost - margin) / (long_count * (1 - MAINTENANCE_MARGIN)))
        candidates += [ticks] if ticks > 0 else []
    if config.direction is not Direction.LONG and short_count:
        candidates.append(int((short_cost + margin) / (short_count * (1 + MAINTENANCE_MARGIN))))
    return min(candidates, key=lambda ticks: abs(ticks - sized.price_ticks), default=None)


def _without_stops(config: GridConfig) -> GridConfig:
    return msgspec.structs.replace(
        config,
        stop_loss=None,
        take_profit=None,
        target_profit=None,
        trigger_price=None,
        trailing_up_limit=None,
        trailing_down_limit=None,
        live_orders=None,
    )


def _missing(config: GridConfig, free_quote: Decimal | None, free_base: Decimal | None) -> Decimal:
    """Give what the deposit lacks, in the coin that lacks more (the paying coin first)."""
    if free_quote is None:
        return Decimal(0)
    have_base = free_base or Decimal(0)
    if config.paid_in is PaidIn.BASE:
        return max(Decimal(0), config.amount - have_base)
    if config.paid_in is PaidIn.BOTH and config.base_amount is not None and config.amount <= free_quote:
        return max(Decimal(0), config.base_amount - have_base)
    return max(Decimal(0), config.amount - free_quote)


def _history(
    config: GridConfig, instrument: Instrument, fees: FeeRates, candles: Sequence[Candle]
) -> History | None:
    if len(candles) < 2:
        return None
    result = backtest.run(msgspec.structs.replace(config, trigger_price=None), instrument, fees, candles)
    days = Decimal(max(1, result.end_ms - result.start_ms)) / DAY_MS
    return History(
        start_ms=result.start_ms,
        end_ms=result.end_ms,
        path=result.path,
        trips=result.trips,
        trips_per_day=(result.trips / days).quantize(Decimal("0.1")),
        grid_profit=_amount(result.grid_profit_units),
        fees=_amount(result.fee_units),
        total=_amount(result.total_units),
        max_drawdown=_amount(result.drawdown_units),
    )


def _warnings(
    config: GridConfig,
    instrument: Instrument,
    levels: list[int],
    price_ticks: int,
    profits: list[int],
    liquidation_in_range: bool,
    deposit_short: bool,
    worst_result: int,
) -> list[RiskWarning]:
    loss = f"{-_amount(worst_result):.2f} {instrument.quote}"
    warnings = [
        RiskWarning(
            "risk_of_loss",
            f"You can lose money. If the price goes straight to the worse end of the range, the bot stands about "
            f"{loss} lower than it began; beyond it the loss grows.",
        )
    ]
    if min(profits) <= 0:
        warnings.append(
            RiskWarning(
                "fees_eat_profit", "In at least one interval the fees are larger than the step: use fewer grids."
            )
        )
    if liquidation_in_range:
        warnings.append(
            RiskWarning(
                "liquidation_in_range",
                "The estimated liquidation price lies inside the range: lower the leverage.",
            )
        )
    if not levels[0] <= price_ticks <= levels[-1]:
        warnings.append(
            RiskWarning(
                "price_outside_range", "The price is outside the range now: the bot earns only after it returns."
            )
        )
    if deposit_short:
        warnings.append(RiskWarning("deposit_short", "The free balance does not cover the investment."))
    if config.trailing_down_limit is not None:
        warnings.append(
            RiskWarning(
                "trailing_down_sells_lower", "When the range falls, coins bought higher are sold lower: a loss."
            )
        )
    return warnings


def _with_ranges(refusals: list[Refusal], allowed: list[FieldRange]) -> list[Refusal]:
    """Tell beside each refused number between which numbers it may lie."""
    by_field = {each.field: each for each in allowed}
    return [
        refusal
        if (found := by_field.get(refusal.field)) is None
        else msgspec.structs.replace(refusal, least=found.least, most=found.most)
        for refusal in refusals
    ]


def _pairs(levels: list[int]) -> list[tuple[int, int]]:
    return list(pairwise(levels))


def _rate(profit: int, value: int) -> Decimal:
    return (Decimal(profit) / value).quantize(Decimal("1e-8")) if value else Decimal(0)


def _amount(units: int) -> Decimal:
    return Decimal(units).scaleb(-AMOUNT_DECIMALS)
