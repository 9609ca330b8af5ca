"""How a range follows the market: one interval at a time moves from one end to the other with all it holds.

One level above the top, the lowest buy is cancelled and a buy appears at the old top; one level below the
bottom, the highest sell is cancelled and a sell appears at the old bottom. No market order is needed: inventory
moves with its cell, so a falling range sells what it bought higher at the old bottom, at a loss that the preview
names. A cell that moves up empty buys with the money it was given, so with fewer lots.
"""

from engine.grid import cells, slots
from engine.grid.messages import GridEffect, Note, NoteKind
from engine.grid.state import NEVER_TICKS, RUNNING, Cell, GridState
from engine.ids import Instant
from engine.trading.orders import BUY, SELL


def up_ticks(state: GridState) -> int:
    """Give the price at which the range rises next; NEVER_TICKS if it does not."""
    highest = state.terms.highest_ticks
    if highest is None or not state.cells:
        return NEVER_TICKS
    new_top = state.terms.levels[state.cells[-1].index + 2]
    return new_top if new_top <= highest and _carries_up(state) else NEVER_TICKS


def down_ticks(state: GridState) -> int:
    """Give the price at which the range falls next; 0 if it does not."""
    lowest = state.terms.lowest_ticks
    if lowest is None or not state.cells:
        return 0
    new_bottom = state.terms.levels[state.cells[0].index - 1]
    if new_bottom < max(1, lowest):
        return 0
    lots = min(state.cells[-1].lots, max(1, cells.closing_lots(state, state.cells[-1])))
    return new_bottom if state.instrument.is_tradable(new_bottom, lots) else 0


def consider(state: GridState, now: Instant, out: list[GridEffect]) -> None:
    """Begin a shift if the market has left the range by a level and all orders on its way there have been filled.

    The cell at the other end is the one that moves, and it must want what it will want there: a level that still
    has to sell, although the price is above it, sells first.
    """
    while state.status is RUNNING and not state.shift and not state.syncing:
        lowest, highest = state.cells[0].side, state.cells[-1].side
        if lowest is highest is BUY and state.last_ticks >= up_ticks(state):
            direction = 1
        elif lowest is highest is SELL and 0 < state.last_ticks <= down_ticks(state):
            direction = -1
        else:
            return
        mover = state.cells[0 if direction > 0 else -1]
        state.shift = direction
        if not mover.slot.is_empty:
            slots.cancel(state, mover.slot, cells.order_level(mover, mover.slot.side), now, out)
            return
        finish(state, now, out)


def finish(state: GridState, now: Instant, out: list[GridEffect]) -> None:
    """Complete the shift under way once the moving cell has no order; give it up if that order was filled."""
    direction = state.shift
    if not direction:
        return
    mover = state.cells[0 if direction > 0 else -1]
    if not mover.slot.is_empty:
        return
    state.shift = 0
    if mover.side is (BUY if direction > 0 else SELL):
        move(state, direction)
        text = "up" if direction > 0 else "down"
        out.append(Note(NoteKind.SHIFTED, f"the range moved {text} by one level", mover.index))
    cells.plan(state, mover, now, out)
    cells.keep_window(state, now, out)


def move(state: GridState, direction: int) -> None:
    """Carry the outermost cell to the other end, under order names never used there before."""
    if direction > 0:
        mover = state.cells.pop(0)
        old_ticks = state.terms.levels[mover.index]
        mover.index = state.cells[-1].index + 1
        if mover.is_opening and not mover.opened_lots:
            mover.lots = mover.lots * old_ticks // state.terms.levels[mover.index]
        state.cells.append(mover)
    else:
        mover = state.cells.pop()
        mover.index = state.cells[0].index - 1
        state.cells.insert(0, mover)
    mover.slot.generation = state.newest_generation
    mover.requotes = 0
    mover.blocked = False


def _carries_up(state: GridState) -> bool:
    """Tell whether the lowest cell's money still makes an order that the venue takes at the old top."""
    mover: Cell = state.cells[0]
    if not mover.is_opening or mover.opened_lots:
        return True
    levels = state.terms.levels
    new_ticks = levels[state.cells[-1].index + 1]
    lots = mover.lots * levels[mover.index] // new_ticks
    return state.instrument.is_tradable(new_ticks, state.terms.after_fee(lots))
