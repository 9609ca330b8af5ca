"""The last look at an order before it leaves: what no grid may ever do, whatever led to it.

These limits never bind in a healthy bot; a refusal here means that something upstream is wrong, so the order is
not placed and the level says why.
"""

from engine.grid.config import Direction
from engine.grid.state import GridState
from engine.trading.instrument import AMOUNT_SCALE
from engine.trading.orders import BUY, Side

_BUYERS = (Direction.SPOT, Direction.LONG)
PRICE_BAND_PERCENT = 5
"""A limit order this far on the wrong side of the market is a typing error, not a trade."""


def is_off_market(state: GridState, side: Side, ticks: int) -> bool:
    """Tell whether a limit order would lie so far on the wrong side of the market that it must not leave now."""
    last = state.last_ticks
    if not last:
        return False
    if side is BUY:
        return ticks * 100 > last * (100 + PRICE_BAND_PERCENT)
    return ticks * 100 < last * (100 - PRICE_BAND_PERCENT)


def refuse(state: GridState, side: Side, ticks: int, lots: int, *, opening: bool) -> str | None:
    """Say why an order must not leave, or None if it may. What closes inventory is not limited in value: keeping
    it from closing would be the greater risk."""
    instrument = state.instrument
    if not instrument.min_lots <= lots <= instrument.max_lots:
        return f"{lots} lots are outside {instrument.min_lots} to {instrument.max_lots}"
    if not instrument.min_ticks <= ticks <= instrument.max_ticks:
        return f"{ticks} ticks are outside {instrument.min_ticks} to {instrument.max_ticks}"
    sizing = state.sizing
    if sizing is None:
        return "the grid has no size yet"
    if not opening:
        return None
    budget = (sizing.investment_units + max(0, state.ledger.grid_profit_units)) * state.config.leverage
    if ticks * lots * instrument.value_per_tick_lot > budget:
        return "one order is worth more than the whole investment"
    last = state.last_ticks
    if side is BUY and state.config.direction in _BUYERS:
        held = state.ledger.base_units * last * instrument.tick_units // AMOUNT_SCALE
        if last and held > 2 * budget:
            return "the position is already worth twice what the investment carries"
    return None
