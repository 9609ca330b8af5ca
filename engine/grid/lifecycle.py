"""From the start command to the last order gone: entry, pause, stop and the closing of the position.

A bot that stops is STOPPED only after the venue itself, asked after the last order was over, lists no order of
ours. Stopping needs no database: every decision here comes from the state and the venue alone.
"""

from engine.errors import RejectReason
from engine.grid import accounting, cells, slots
from engine.grid.messages import GridEffect, Note, NoteKind, Pause, Resync, Start, Stop
from engine.grid.orders import ENTRY, EXIT
from engine.grid.sizing import Sizing, size
from engine.grid.state import MOVES, BotStatus, Cell, GridState, Slot
from engine.ids import Instant
from engine.trading.orders import OrderStatus, Side

MARKET_TRIES_MAX = 8
"""How often a market order that fills nothing is repeated before the bot halts and asks for help."""

QUIET_REPEAT_MS = 5_000
"""How often a stopping bot asks again whether the venue still has an order of it."""

STOPPABLE = frozenset(
    {BotStatus.ENTERING, BotStatus.RUNNING, BotStatus.PAUSING, BotStatus.STOPPING, BotStatus.CLOSING}
)

_ENDING = (BotStatus.STOPPING, BotStatus.PAUSING)


def become(state: GridState, status: BotStatus, reason: str, out: list[GridEffect]) -> None:
    """Change the bot's status; raise IllegalMove for a move that the table does not list."""
    state.status = MOVES.check(state.status, status)
    state.status_reason = reason
    out.append(Note(NoteKind.STATUS, f"{status.value}: {reason}" if reason else status.value))


# ---------------------------------------------------------------------- start


def can_start(state: GridState) -> bool:
    """Tell whether a start command means anything now. Starting a running bot changes nothing."""
    return state.status not in STOPPABLE and state.status is not BotStatus.AWAITING_TRIGGER


def start(state: GridState, command: Start, now: Instant, out: list[GridEffect]) -> None:
    """Begin afresh, or go on with what a paused, halted or kept grid holds."""
    if not can_start(state):
        return
    state.last_ticks = command.price_ticks
    if _is_under_way(state):
        _resume(state, now, out)
        return
    trigger = state.config.trigger_price
    if trigger is not None:
        level = state.instrument.nearest_ticks(trigger)
        if level != command.price_ticks:
            state.trigger_is_above = level > command.price_ticks
            become(state, BotStatus.AWAITING_TRIGGER, f"waits for {trigger}", out)
            return
    begin(state, now, out)


def begin(state: GridState, now: Instant, out: list[GridEffect]) -> None:
    """Size the grid at the last price, build its cells and acquire the starting inventory."""
    sizing = size(state.config, state.instrument, state.fees, state.last_ticks)
    if isinstance(sizing, list):
        refusal = sizing[0]
        become(state, BotStatus.STOPPED, f"{refusal.message}; {refusal.allowed}", out)
        return
    state.sizing = sizing
    if not state.started_ms:
        state.started_ms = now
    _build_cells(state, sizing)
    # What an unfinished closing has left counts towards the new position.
    held_lots = _loose_lots(state, sizing.entry_side)
    if sizing.own_base_units or (sizing.entry_side is Side.SELL and state.is_spot):
        brought = sizing.own_base_units
        if sizing.entry_side is Side.SELL:
            brought += sizing.entry_lots * state.instrument.units_per_lot
        accounting.bring_in_base(state, brought, state.last_ticks)
    state.entry_left = max(0, sizing.entry_lots - held_lots)
    _enter(state, now, out)


def entry_done(state: GridState, now: Instant, out: list[GridEffect]) -> None:
    """Go on after an entry order is over: repeat for what is missing, or place the grid."""
    slot = state.entry
    slots.clear(slot)
    state.entry_left -= slot.filled
    if state.status is not BotStatus.ENTERING:
        check_quiet(state, now, out)
        return
    slot.rejects = 0 if slot.filled else slot.rejects + 1
    if slot.rejects >= MARKET_TRIES_MAX:
        become(state, BotStatus.HALTED, "the starting position could not be bought; stop, or start again", out)
        return
    _enter(state, now, out)


def _enter(state: GridState, now: Instant, out: list[GridEffect]) -> None:
    """Acquire what is missing of the starting inventory, or place the grid if nothing tradable is."""
    sizing, left = state.sizing, state.entry_left
    if sizing is None or sizing.entry_side is None or not state.instrument.is_tradable(state.last_ticks, left):
        _run(state, now, out)
        return
    if state.status is not BotStatus.ENTERING:
        become(state, BotStatus.ENTERING, f"{sizing.entry_side} {left} lots at market first", out)
    if state.entry.is_empty:
        _send_market(state, state.entry, ENTRY, sizing.entry_side, left, now, out)


def _run(state: GridState, now: Instant, out: list[GridEffect]) -> None:
    state.entry_left = 0
    holders = [cell for cell in state.cells if not cell.is_opening]
    if holders:
        accounting.share_out(state, holders, now)
    become(state, BotStatus.RUNNING, "", out)
    for cell in holders:
        # An entry cut short leaves less than a tradable lot for each cell: those begin by buying.
        cells.turn(state, cell, now, out)
    cells.replan_all(state, now, out)


def _resume(state: GridState, now: Instant, out: list[GridEffect]) -> None:
    for cell in state.cells:
        cell.blocked = False
        cell.requotes = 0
        cell.slot.rejects = 0
        cell.slot.reject_reason = None
        if cell.slot.is_empty:
            cell.slot.wake_ms = Instant(0)
    if state.entry_left > 0:
        state.entry.rejects = 0
        _enter(state, now, out)
        return
    become(state, BotStatus.RUNNING, "goes on with what it holds", out)
    cells.replan_all(state, now, out)
    cells.keep_window(state, now, out, everywhere=True)


def _is_under_way(state: GridState) -> bool:
    """Tell whether there is a grid to go on with: an order, inventory, or a starting position half acquired."""
    if not state.cells:
        return False
    return (
        state.status is BotStatus.PAUSED
        or any(not slot.is_empty for slot in all_slots(state))
        or any(cell.base_units or cell.opened_lots for cell in state.cells)
        or (state.entry_left > 0 and state.loose_base_units != 0)
    )


def _build_cells(state: GridState, sizing: Sizing) -> None:
    # Names must stay unique over a bot's whole life, so a rebuilt grid goes on counting; it skips one, because a
    # new cell does not remember the executions of the last order that its level had.
    generation = state.newest_generation = state.newest_generation + 1 if state.cells else 0
    state.cells = [
        Cell(
            index=index,
            home=cells.home_of(state, selling),
            side=Side.SELL if selling else Side.BUY,
            lots=sizing.lots,
            slot=Slot(generation=generation),
        )
        for index, selling in enumerate(sizing.selling)
    ]


# ---------------------------------------------------------------------- pause and stop


def stop(state: GridState, command: Stop, now: Instant, out: list[GridEffect]) -> None:
    """Cancel everything and end. Saying it again is safe, and the last word on the position counts."""
    if state.status is BotStatus.STOPPED and not (command.sell and _exit_lots(state)):
        return
    state.sell_on_stop = command.sell
    if state.status in (BotStatus.NEW, BotStatus.AWAITING_TRIGGER):
        become(state, BotStatus.STOPPED, command.reason, out)
        return
    if state.status is BotStatus.CLOSING and command.sell:
        return
    become(state, BotStatus.STOPPING, command.reason, out)
    _cancel_all(state, now, out)


def pause(state: GridState, command: Pause, now: Instant, out: list[GridEffect]) -> None:
    """Cancel everything and wait for a start."""
    if state.status is BotStatus.AWAITING_TRIGGER:
        become(state, BotStatus.PAUSED, command.reason, out)
    elif state.status in (BotStatus.ENTERING, BotStatus.RUNNING):
        become(state, BotStatus.PAUSING, command.reason, out)
        _cancel_all(state, now, out)


def halt(state: GridState, reason: str, out: list[GridEffect]) -> None:
    """Give up placing orders until the trader has done something about the reason."""
    if MOVES.allows(state.status, BotStatus.HALTED):
        become(state, BotStatus.HALTED, reason, out)


def check_quiet(state: GridState, now: Instant, out: list[GridEffect]) -> None:
    """When the last order of a stopping bot is over, ask the venue whether it agrees."""
    if state.status not in _ENDING or state.quiet_since_ms:
        return
    if all(slot.is_empty for slot in all_slots(state)):
        state.quiet_since_ms = now
        ask_if_quiet(state, now, out)


def ask_if_quiet(state: GridState, now: Instant, out: list[GridEffect]) -> None:
    """Ask the venue for the proof that a stopping bot has no order, again for as long as none has come."""
    if state.status not in _ENDING:
        return
    if not state.quiet_since_ms:
        check_quiet(state, now, out)
        return
    slots.wake_bot_at(state, Instant(now + QUIET_REPEAT_MS))
    out.append(Resync("no order of ours may be left"))


def confirmed_quiet(state: GridState, now: Instant, out: list[GridEffect]) -> None:
    """The venue agrees that no order is left: finish the stop or the pause."""
    state.quiet_since_ms = Instant(0)
    if state.status is BotStatus.PAUSING:
        become(state, BotStatus.PAUSED, state.status_reason, out)
    elif not state.sell_on_stop:
        become(state, BotStatus.STOPPED, state.status_reason, out)
    else:
        state.entry_left = 0
        for cell in state.cells:
            accounting.let_go(state, cell)
            trip = accounting.close_trip(state, cell, now)
            if trip is not None:
                out.append(trip)
            cell.side = cell.home.opening_side
        become(state, BotStatus.CLOSING, state.status_reason, out)
        state.exit.rejects = 0
        _continue_exit(state, now, out)


def exit_done(state: GridState, now: Instant, out: list[GridEffect]) -> None:
    """Go on after a closing order is over: repeat for what is left, or end."""
    slots.clear(state.exit)
    state.exit.rejects = 0 if state.exit.filled else state.exit.rejects + 1
    if state.status is BotStatus.CLOSING:
        _continue_exit(state, now, out)
    else:
        check_quiet(state, now, out)


def market_refused(
    state: GridState, slot: Slot, reason: RejectReason, text: str, now: Instant, out: list[GridEffect]
) -> None:
    """Answer the refusal of an entry or exit order: try again a few times, then halt and say why."""
    slot.final_status = OrderStatus.REJECTED
    slots.clear(slot)
    slot.rejects += 1
    slot.reject_reason = reason
    fatal = reason in (RejectReason.PERMISSION, RejectReason.INSUFFICIENT_BALANCE)
    if state.status not in (BotStatus.ENTERING, BotStatus.CLOSING):
        check_quiet(state, now, out)
    elif fatal or slot.rejects >= MARKET_TRIES_MAX:
        halt(state, f"the venue refused the market order: {reason} {text}".strip(), out)
    else:
        slots.wake_at(state, slot, Instant(now + 1_000 * slot.rejects))


def retry_market(state: GridState, slot: Slot, now: Instant, out: list[GridEffect]) -> None:
    """Try a refused entry or exit order again, after its wait."""
    if slot is state.entry and state.status is BotStatus.ENTERING:
        _enter(state, now, out)
    elif slot is state.exit and state.status is BotStatus.CLOSING:
        _continue_exit(state, now, out)


def all_slots(state: GridState) -> list[Slot]:
    """List every slot of a bot."""
    return [state.entry, state.exit, *(cell.slot for cell in state.cells)]


def _cancel_all(state: GridState, now: Instant, out: list[GridEffect]) -> None:
    state.quiet_since_ms = Instant(0)
    state.shift = 0
    slots.cancel(state, state.entry, ENTRY, now, out)
    slots.cancel(state, state.exit, EXIT, now, out)
    for cell in state.cells:
        slots.cancel(state, cell.slot, cells.order_level(cell, cell.slot.side), now, out)
    check_quiet(state, now, out)


def _continue_exit(state: GridState, now: Instant, out: list[GridEffect]) -> None:
    lots = _exit_lots(state)
    if not lots or not state.instrument.is_tradable(state.last_ticks, lots):
        become(state, BotStatus.STOPPED, state.status_reason, out)
        return
    if state.exit.rejects >= MARKET_TRIES_MAX:
        halt(state, "the position could not be closed at market; stop again, or close it at the venue", out)
        return
    side = Side.SELL if state.base_total() > 0 else Side.BUY
    _send_market(state, state.exit, EXIT, side, lots, now, out)


def _exit_lots(state: GridState) -> int:
    return abs(state.base_total()) // state.instrument.units_per_lot


def _loose_lots(state: GridState, side: Side | None) -> int:
    """Count the whole lots of loose inventory that an entry on this side need not acquire again."""
    if side is None or (side is Side.SELL and state.is_spot):
        return 0
    units = state.loose_base_units if side is Side.BUY else -state.loose_base_units
    return max(0, units) // state.instrument.units_per_lot


def _send_market(
    state: GridState, slot: Slot, level: str, side: Side, lots: int, now: Instant, out: list[GridEffect]
) -> None:
    if state.syncing:
        # The end of the resync asks for it again.
        return
    out.append(slots.send(state, slot, level, side, 0, min(lots, state.instrument.max_market_lots), now))
