"""How an execution changes inventory and the profit ledger. Exact in whole units, whatever the order of arrival.

Two identities hold after every execution and are tested as such, with `mark` any price:

    total = grid profit + exit profit + (inventory at mark - its cost) - fees - funding
          = cash + inventory at mark
"""

from engine.grid.messages import TripClosed
from engine.grid.state import LONG, Cell, GridState
from engine.ids import Instant
from engine.trading.orders import BUY, Execution, FundingCharged


def book_in_cell(state: GridState, cell: Cell, execution: Execution) -> None:
    """Book a fill of one of a cell's grid orders."""
    fee_units, base_fee_units = _book_cash(state, execution)
    cell.base_units, cell.cost_units, realised = _move(state, execution, cell.base_units, cell.cost_units)
    _take_base_fee(cell, base_fee_units, fee_units)
    cell.trip_fee_units += fee_units
    state.ledger.grid_profit_units += realised
    cell.trip_gross_units += realised
    if (execution.side is BUY) is (cell.home is LONG):
        cell.opened_ms = cell.opened_ms or execution.at_ms
        cell.opened_lots += execution.lots
    else:
        cell.trip_lots += execution.lots
    _mark_drawdown(state, execution.ticks)


def book_loose(state: GridState, execution: Execution, *, closing: bool) -> None:
    """Book a fill of the entry or the exit order, or one that no cell expects."""
    fee_units, base_fee_units = _book_cash(state, execution)
    base, cost, realised = _move(state, execution, state.loose_base_units, state.loose_cost_units)
    state.loose_base_units = base - base_fee_units
    state.loose_cost_units = cost - (fee_units if base_fee_units else 0)
    if closing:
        state.ledger.exit_profit_units += realised
    else:
        state.ledger.grid_profit_units += realised
    _mark_drawdown(state, execution.ticks)


def book_funding(state: GridState, charge: FundingCharged) -> None:
    """Book a funding payment once."""
    if charge.exec_id in state.funding_seen:
        return
    # A day of hourly payments is far more than any resync overlaps.
    state.funding_seen = [*state.funding_seen[-23:], charge.exec_id]
    state.ledger.funding_units += charge.amount_units
    state.ledger.cash_units -= charge.amount_units


def bring_in_base(state: GridState, base_units: int, ticks: int) -> None:
    """Book the base coin that the trader puts in at the start, at the price of that moment."""
    value = state.instrument.value_of_units(ticks, base_units)
    state.ledger.base_units += base_units
    state.ledger.cash_units -= value
    state.loose_base_units += base_units
    state.loose_cost_units += value


def share_out(state: GridState, cells: list[Cell], now: Instant) -> None:
    """Hand the loose inventory to `cells` in equal shares; the last one takes the remainder."""
    for position, cell in enumerate(cells):
        left = len(cells) - position
        base = state.loose_base_units // left
        cost = state.loose_cost_units // left
        _from_loose(state, cell, base, cost)
        cell.opened_ms = now
        cell.opened_lots = cell.lots


def absorb_loose(state: GridState, cell: Cell) -> None:
    """Let a cell that is about to close take along the loose inventory on its own side."""
    if state.loose_base_units and (state.loose_base_units > 0) == (cell.base_units > 0):
        _from_loose(state, cell, state.loose_base_units, state.loose_cost_units)


def let_go(state: GridState, cell: Cell) -> None:
    """Make what a cell still holds loose."""
    _from_loose(state, cell, -cell.base_units, -cell.cost_units)


def close_trip(state: GridState, cell: Cell, now: Instant) -> TripClosed | None:
    """End a cell's round trip and count it; None if nothing of it was ever closed."""
    trip = None
    if cell.trip_lots:
        trip = TripClosed(
            level=cell.index,
            opened_by=cell.home.opening_side,
            lots=cell.trip_lots,
            gross_units=cell.trip_gross_units,
            fee_units=cell.trip_fee_units,
            opened_ms=cell.opened_ms,
            closed_ms=now,
        )
        net = cell.trip_gross_units - cell.trip_fee_units
        state.ledger.trips += 1
        if net >= 0:
            state.ledger.gain_units += net
        else:
            state.ledger.loss_units -= net
    cell.opened_lots = 0
    cell.trip_gross_units = cell.trip_fee_units = cell.trip_lots = 0
    cell.opened_ms = Instant(0)
    return trip


def total_units(state: GridState, ticks: int) -> int:
    """Give the total result at a price, in quote-coin units."""
    ledger = state.ledger
    return ledger.cash_units + state.instrument.value_of_units(ticks, ledger.base_units)


def _book_cash(state: GridState, execution: Execution) -> tuple[int, int]:
    """Book value and fee; give the fee's worth in quote units, and in base units if it was taken there."""
    ledger, instrument = state.ledger, state.instrument
    value = execution.ticks * execution.lots * instrument.value_per_tick_lot
    units = execution.lots * instrument.units_per_lot
    if execution.side is BUY:
        ledger.cash_units -= value
        ledger.base_units += units
    else:
        ledger.cash_units += value
        ledger.base_units -= units
    ledger.trades += 1
    ledger.volume_units += value
    state.last_execution_ms = max(state.last_execution_ms, execution.at_ms)
    fee = execution.fee_units
    if execution.fee_asset == instrument.quote:
        ledger.cash_units -= fee
        ledger.fee_units += fee
        return fee, 0
    if execution.fee_asset == instrument.base and state.is_spot:
        worth = instrument.value_of_units(execution.ticks, fee)
        ledger.base_units -= fee
        ledger.fee_units += worth
        return worth, fee
    ledger.other_fees[execution.fee_asset] = ledger.other_fees.get(execution.fee_asset, 0) + fee
    return 0, 0


def _move(state: GridState, execution: Execution, base: int, cost: int) -> tuple[int, int, int]:
    """Add a fill to an inventory; give the new inventory, its cost and what was realised.

    Inventory is closed at its average cost. The division is the only rounding; what it rounds stays in the cost
    of the rest, so that realised results and cost always add up to the cash that moved.
    """
    sign = 1 if execution.side is BUY else -1
    units = execution.lots * state.instrument.units_per_lot
    value = execution.ticks * execution.lots * state.instrument.value_per_tick_lot
    if base == 0 or (base > 0) == (sign > 0):
        return base + sign * units, cost + sign * value, 0
    closed = min(units, abs(base))
    cost_out = cost if closed == abs(base) else cost * closed // abs(base)
    closed_value = value if closed == units else value * closed // units
    realised = -sign * closed_value - cost_out
    return base + sign * units, cost - cost_out + sign * (value - closed_value), realised


def _take_base_fee(cell: Cell, base_fee_units: int, worth_units: int) -> None:
    """Move a fee taken in the base coin out of the cell's inventory, and its worth out of the cost."""
    if base_fee_units:
        cell.base_units -= base_fee_units
        cell.cost_units -= worth_units


def _from_loose(state: GridState, cell: Cell, base: int, cost: int) -> None:
    cell.base_units += base
    cell.cost_units += cost
    state.loose_base_units -= base
    state.loose_cost_units -= cost


def _mark_drawdown(state: GridState, ticks: int) -> None:
    total = total_units(state, ticks)
    ledger = state.ledger
    if total > ledger.peak_units:
        ledger.peak_units = total
    elif ledger.peak_units - total > ledger.drawdown_units:
        ledger.drawdown_units = ledger.peak_units - total
