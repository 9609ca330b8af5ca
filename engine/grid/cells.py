"""What one interval of the grid does next: place its order, turn after a fill, answer a refusal.

A cell is either opening (building inventory) or closing (earning on it), and has at most one order at the venue.
`plan` is the only place where a grid order is born.
"""

from engine.errors import RejectReason
from engine.grid import accounting, risk, slots
from engine.grid.messages import GridEffect, Note, NoteKind
from engine.grid.state import LONG, NO_ORDER, RUNNING, SHORT, Cell, GridState, Home
from engine.ids import Instant
from engine.trading.orders import BUY, FILLED, SELL, Side

REQUOTES_MAX = 3
"""How many ticks a post-only order steps back before the level waits for the market to move."""

IDENTICAL_REJECTS_MAX = 3
"""After so many refusals with one reason a level is blocked: asking again changes nothing."""

OFF_MARKET_WAIT_MS = 15_000
"""How often a level that the market has left behind is looked at again."""

_PATIENCE_MS = {
    # (first wait, longest wait). What passes by itself is asked again, later each time; a reason not listed does
    # not pass by itself and is soon not asked again at all.
    RejectReason.INSUFFICIENT_BALANCE: (10_000, 300_000),
    RejectReason.TOO_MANY_ORDERS: (30_000, 300_000),
    RejectReason.PRICE_OUT_OF_RANGE: (30_000, 300_000),
    RejectReason.HALTED: (30_000, 300_000),
    RejectReason.WOULD_TAKE_LIQUIDITY: (2_000, 15_000),
    RejectReason.OTHER: (5_000, 300_000),
}


def order_level(cell: Cell, side: Side) -> int:
    """Give the level index at which a cell's order of this side rests."""
    return cell.index if side is BUY else cell.index + 1


def level_price(state: GridState, cell: Cell, side: Side) -> int:
    """Give the price in ticks of that level."""
    return state.terms.levels[order_level(cell, side)]


def closing_lots(state: GridState, cell: Cell) -> int:
    """Count the whole lots that a cell's inventory makes."""
    return abs(cell.base_units) // state.instrument.units_per_lot


def plan(state: GridState, cell: Cell, now: Instant, out: list[GridEffect]) -> None:
    """Place the order that a cell wants, if it may."""
    if hold_reason(state, cell, now) is not None:
        return
    side = cell.side
    ticks = level_price(state, cell, side)
    if cell.requotes:
        ticks += -cell.requotes if side is BUY else cell.requotes
    lots = cell.lots - cell.opened_lots if cell.is_opening else closing_lots(state, cell)
    level = order_level(cell, side)
    if risk.is_off_market(state, side, ticks):
        # The market has left this level behind, as it can during a pause: it may come back.
        if cell.slot.reject_reason is not RejectReason.PRICE_OUT_OF_RANGE:
            out.append(Note(NoteKind.WAITING, "the market is far on the wrong side of this level", level))
        cell.slot.reject_reason = RejectReason.PRICE_OUT_OF_RANGE
        slots.wake_at(state, cell.slot, Instant(now + OFF_MARKET_WAIT_MS))
        return
    problem = risk.refuse(state, side, ticks, lots, opening=cell.is_opening)
    if problem is not None:
        cell.blocked = True
        cell.slot.reject_reason = RejectReason.OTHER
        out.append(Note(NoteKind.RISK, f"order not placed: {problem}", level))
        return
    out.append(slots.send(state, cell.slot, level, side, ticks, lots, now))


def hold_reason(state: GridState, cell: Cell, now: Instant) -> str | None:
    """Say why a cell has no order to place now; None if it may place one."""
    if state.status is not RUNNING:
        return f"the bot is {state.status.value.replace('_', ' ')}"
    if state.syncing:
        return "the venue's own view is being read first"
    if cell.slot.phase is not NO_ORDER:
        return f"its order is {cell.slot.phase.value}"
    if cell.blocked:
        return f"blocked after repeated refusals ({cell.slot.reject_reason})"
    if cell.slot.wake_ms > now:
        return f"waiting before it is tried again ({cell.slot.reject_reason})"
    if state.shift and cell is state.cells[0 if state.shift > 0 else -1]:
        return "the range is moving away from this level"
    if state.config.live_orders is not None and not in_window(state, cell):
        return f"outside the window of {state.config.live_orders} live orders nearest the price"
    if _meets_own_order(state, cell):
        return "our own opposite order still rests at this price"
    return None


def in_window(state: GridState, cell: Cell) -> bool:
    """Tell whether a cell is among those nearest the price that may have a live order."""
    return cell.index - state.cells[0].index in window(state)


def window(state: GridState) -> range:
    """Give the positions of the cells that may have a live order."""
    width = state.config.live_orders
    if width is None or width >= len(state.cells):
        return range(len(state.cells))
    first = min(max(0, boundary(state) - width // 2), len(state.cells) - width)
    return range(first, first + width)


def boundary(state: GridState) -> int:
    """Give the position of the lowest cell that wants to sell: the price is just below its upper level."""
    low, high = 0, len(state.cells)
    # Cells that buy lie below those that sell, but for fills that overtake each other for a moment.
    while low < high:
        middle = (low + high) // 2
        if state.cells[middle].side is SELL:
            high = middle
        else:
            low = middle + 1
    return low


def after_done(state: GridState, cell: Cell, now: Instant, out: list[GridEffect]) -> None:
    """Go on after the order of a cell is over: turn if its leg is complete, then plan it and its neighbours."""
    reason = cell.slot.final_reason
    status, ours = slots.clear(cell.slot)
    filled_any = cell.slot.filled > 0
    if filled_any or ours:
        cell.slot.rejects = 0
        cell.slot.reject_reason = None
        cell.requotes = 0
    turn(state, cell, now, out)
    if status is not FILLED and not ours:
        refused(state, cell, reason or RejectReason.OTHER, "cancelled by the venue", now, out)
    else:
        plan(state, cell, now, out)
    plan_neighbours(state, cell, now, out)


def refused(
    state: GridState, cell: Cell, reason: RejectReason, text: str, now: Instant, out: list[GridEffect]
) -> None:
    """Answer a definite refusal: step back, wait, or stop asking."""
    slot = cell.slot
    slot.rejects = slot.rejects + 1 if reason is slot.reject_reason else 1
    slot.reject_reason = reason
    level = order_level(cell, cell.side)
    if reason is RejectReason.WOULD_TAKE_LIQUIDITY and cell.requotes < REQUOTES_MAX:
        cell.requotes += 1
        out.append(Note(NoteKind.REQUOTED, f"would have taken liquidity: {cell.requotes} tick(s) behind", level))
        plan(state, cell, now, out)
        return
    cell.requotes = 0
    if reason not in _PATIENCE_MS and slot.rejects >= IDENTICAL_REJECTS_MAX:
        cell.blocked = True
        out.append(Note(NoteKind.BLOCKED, f"refused {slot.rejects} times: {reason} {text}".strip(), level))
        return
    first_ms, longest_ms = _PATIENCE_MS.get(reason, (1_000, 4_000))
    delay_ms = min(first_ms << min(slot.rejects - 1, 16), longest_ms)
    slots.wake_at(state, slot, Instant(now + delay_ms))
    out.append(Note(NoteKind.WAITING, f"{reason} {text}: again in {delay_ms // 1000} s".strip(), level))


def turn(state: GridState, cell: Cell, now: Instant, out: list[GridEffect]) -> None:
    """Change a cell's side when its leg is complete, and move what cannot be traded out of its way."""
    if cell.is_opening:
        if not cell.opened_lots:
            return
        left = cell.lots - cell.opened_lots
        if left > 0 and state.instrument.is_tradable(level_price(state, cell, cell.side), left):
            return
        cell.side = cell.side.opposite
        accounting.absorb_loose(state, cell)
        if state.instrument.is_tradable(level_price(state, cell, cell.side), closing_lots(state, cell)):
            return
        out.append(Note(NoteKind.DUST, "bought too little to sell again: kept as dust", cell.index))
    else:
        left = closing_lots(state, cell)
        if left and state.instrument.is_tradable(level_price(state, cell, cell.side), left):
            return
    accounting.let_go(state, cell)
    trip = accounting.close_trip(state, cell, now)
    if trip is not None:
        out.append(trip)
    cell.side = cell.home.opening_side
    _reinvest(state, cell)


def replan_all(state: GridState, now: Instant, out: list[GridEffect]) -> None:
    """Plan every cell, nearest the price first, so that a rate limit delays the least likely orders."""
    centre = boundary(state)
    by_distance = sorted(range(len(state.cells)), key=lambda position: abs(2 * position + 1 - 2 * centre))
    for position in by_distance:
        plan(state, state.cells[position], now, out)


def keep_window(state: GridState, now: Instant, out: list[GridEffect], *, everywhere: bool = False) -> None:
    """Bring the live orders back into the window after the price has moved.

    Only what has a live order is filled, so one fill moves the window by its own width at most, and what it leaves
    behind lies that near. `everywhere` also looks at the rest, where a resync may have found anything.
    """
    if state.config.live_orders is None or state.status is not RUNNING:
        return
    inside = window(state)
    reach = len(state.cells) if everywhere else len(inside) + 1
    behind = state.cells[max(0, inside.start - reach) : inside.start]
    for cell in behind + state.cells[inside.stop : inside.stop + reach]:
        if cell.slot.phase is not NO_ORDER:
            slots.cancel(state, cell.slot, order_level(cell, cell.slot.side), now, out)
    for cell in state.cells[inside.start : inside.stop]:
        if cell.slot.phase is NO_ORDER:
            plan(state, cell, now, out)


def plan_neighbours(state: GridState, cell: Cell, now: Instant, out: list[GridEffect]) -> None:
    """Plan the cells beside one whose order is over: they may have waited for its price to become free."""
    position = cell.index - state.cells[0].index
    for neighbour in (position - 1, position + 1):
        if 0 <= neighbour < len(state.cells) and state.cells[neighbour].slot.is_empty:
            plan(state, state.cells[neighbour], now, out)


def _meets_own_order(state: GridState, cell: Cell) -> bool:
    """Tell whether the neighbour's opposite order rests at the level where this cell wants to place its own."""
    position = cell.index - state.cells[0].index + (-1 if cell.side is BUY else 1)
    if not 0 <= position < len(state.cells):
        return False
    slot = state.cells[position].slot
    return slot.phase is not NO_ORDER and slot.side is not cell.side


def _reinvest(state: GridState, cell: Cell) -> None:
    """Enlarge the leg that a cell begins by profit earned and not yet used, where the trader wants that."""
    if not state.config.reinvest:
        return
    ledger = state.ledger
    earned = ledger.grid_profit_units - ledger.fee_units - ledger.funding_units
    spare = (earned - ledger.reinvested_units) * state.config.leverage
    per_lot = state.instrument.value(level_price(state, cell, cell.side), 1)
    # One interval at most doubles, or the first to open would take everything.
    more = min(spare // per_lot, cell.lots, state.instrument.max_lots - cell.lots)
    if more > 0:
        cell.lots += more
        ledger.reinvested_units += more * per_lot // state.config.leverage


def home_of(state: GridState, selling: bool) -> Home:
    """Tell which way a cell's inventory points in this bot, given whether it starts by selling."""
    match state.config.direction:
        case "short":
            return SHORT
        case "neutral":
            return SHORT if selling else LONG
        case _:
            return LONG
