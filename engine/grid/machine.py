"""The grid bot as a state machine: one message in, effects out. No clock, no I/O, no randomness.

`step` is the only door. It changes the state that it is given (see `engine.grid.state`) and says what must be
done in the world. The same messages in the same order always lead to the same state and the same effects, so a
journal of messages replays a bot; a duplicate message leads to no effect.
"""

from collections.abc import Callable
from typing import Any

from engine.errors import RejectReason
from engine.grid import accounting, cells, lifecycle, slots, stops, trailing
from engine.grid.messages import (
    GridEffect,
    GridMessage,
    Note,
    NoteKind,
    Pause,
    PriceMoved,
    Resync,
    Resynced,
    ResyncStarted,
    Start,
    Stop,
    Woke,
)
from engine.grid.orders import ENTRY, EXIT, parse_link_id
from engine.grid.resync import GRIDLESS, adopt_later, catch_up, find_slot, is_news, named_slots, resynced
from engine.grid.state import (
    CANCELLING,
    LIVE,
    NO_ORDER,
    RUNNING,
    SENT,
    UNKNOWN,
    BotStatus,
    Cell,
    GridState,
    Slot,
)
from engine.ids import Instant, LinkId
from engine.trading.orders import (
    CancelRefused,
    Execution,
    FundingCharged,
    LookUpOrder,
    OrderAbsent,
    OrderAccepted,
    OrderInDoubt,
    OrderRejected,
    OrderReport,
    OrderStatus,
)


def step(state: GridState, message: GridMessage, now: Instant) -> list[GridEffect]:
    """Take one message; change the state; give the effects in the order in which they must be carried out."""
    out: list[GridEffect] = []
    _HANDLERS[type(message)](state, message, now, out)
    stops.refresh_watch(state)
    return out


# ---------------------------------------------------------------------- executions and reports


def _on_execution(state: GridState, fill: Execution, now: Instant, out: list[GridEffect]) -> None:
    name = parse_link_id(fill.link_id)
    if name is None:
        return
    if state.syncing and is_news(state, name):
        # Older executions may still be on their way, and an order newer than theirs would make them look known.
        if all(fill.exec_id != held.exec_id for held in state.held):
            state.held.append(fill)
        return
    _book_fill(state, fill, now, out)


def _book_fill(state: GridState, fill: Execution, now: Instant, out: list[GridEffect]) -> None:
    name = parse_link_id(fill.link_id)
    assert name is not None
    found = find_slot(state, name)
    if found is None:
        catch_up(state, name, now, out)
        found = find_slot(state, name)
    if found is None:
        state.stray_executions += is_news(state, name)
        return
    slot, cell = found
    if name.generation < slot.generation:
        # An order is only left behind once all its executions are in: this one is known.
        return
    if name.generation > slot.generation:
        adopt_later(state, slot, cell, fill, name.generation, now)
    done = slots.apply_execution(slot, fill)
    if done is None:
        return
    if cell is not None:
        accounting.book_in_cell(state, cell, fill)
    else:
        accounting.book_loose(state, fill, closing=slot is state.exit)
    state.last_ticks = fill.ticks
    if done:
        _done(state, slot, cell, now, out)


def _on_report(state: GridState, report: OrderReport, now: Instant, out: list[GridEffect]) -> None:
    found = _current(state, report.link_id) or _adopt_straggler(state, report, now)
    if found is None or found[0].is_empty:
        return
    slot, cell = found
    if cell is not None and state.status in GRIDLESS:
        slot.cancel_is_ours = True
    if slots.apply_report(state, slot, report, now, out):
        _done(state, slot, cell, now, out)


def _on_accepted(state: GridState, fact: OrderAccepted, now: Instant, out: list[GridEffect]) -> None:
    found = _current(state, fact.link_id)
    if found is None or found[0].phase not in (SENT, UNKNOWN):
        return
    slot, cell = found
    slot.phase = LIVE
    if slot.cancel_is_ours:
        # The cancel was wished for while nobody knew whether there was anything to cancel.
        slots.cancel(state, slot, _level_of(state, slot, cell), now, out)


def _on_rejected(state: GridState, fact: OrderRejected, now: Instant, out: list[GridEffect]) -> None:
    found = _current(state, fact.link_id)
    if found is None:
        return
    slot, cell = found
    if slot.phase is NO_ORDER:
        return
    if fact.reason is RejectReason.DUPLICATE_LINK_ID or slot.resent:
        # "Already placed", or one of two requests under this name was refused: ask what became of the order.
        slot.name_is_taken = True
        slots.doubt(state, slot, fact.link_id, now, out)
        return
    if cell is None:
        lifecycle.market_refused(state, slot, fact.reason, fact.text, now, out)
        return
    slots.clear(slot)
    if fact.reason is RejectReason.PERMISSION:
        lifecycle.halt(state, f"the venue refuses the key: {fact.text}", out)
    cells.refused(state, cell, fact.reason, fact.text, now, out)
    cells.plan_neighbours(state, cell, now, out)
    lifecycle.check_quiet(state, now, out)
    trailing.finish(state, now, out)


def _on_in_doubt(state: GridState, fact: OrderInDoubt, now: Instant, out: list[GridEffect]) -> None:
    found = _current(state, fact.link_id)
    if found is not None:
        slots.doubt(state, found[0], fact.link_id, now, out)


def _on_cancel_refused(state: GridState, fact: CancelRefused, now: Instant, out: list[GridEffect]) -> None:
    found = _current(state, fact.link_id)
    if found is None or found[0].is_empty or found[0].final_status is not None:
        return
    slot, _ = found
    # "No such order" right after a create, or no answer at all: only a look-up tells.
    slot.phase = UNKNOWN
    if fact.reason in (RejectReason.NOT_FOUND, RejectReason.ALREADY_CLOSED):
        slots.wake_at(state, slot, Instant(now + 10_000))
        out.append(LookUpOrder(fact.link_id))
    else:
        # A venue that refuses to cancel is not asked as fast as it answers.
        slots.wake_at(state, slot, Instant(now + 1_000))


def _on_absent(state: GridState, fact: OrderAbsent, now: Instant, out: list[GridEffect]) -> None:
    """The venue has never seen the order: send it again to the letter, or give it up with its name."""
    found = _current(state, fact.link_id)
    if found is None or found[0].is_empty or found[0].final_status is not None:
        return
    slot, cell = found
    if slot.phase in (LIVE, CANCELLING):
        # The venue told us of it before, or was not asked: one old answer does not undo that.
        slots.recheck(state, slot, fact.link_id, now, out)
        return
    grace_over_ms = slot.sent_ms + slots.ABSENCE_GRACE_MS
    if now < grace_over_ms or state.syncing:
        slots.wake_at(state, slot, Instant(max(grace_over_ms, now + 1_000)))
        return
    wanted = RUNNING if cell else BotStatus.ENTERING if slot is state.entry else BotStatus.CLOSING
    if state.status is wanted and not (slot.cancel_is_ours or slot.name_is_taken or slot.filled):
        out.append(slots.resend(state, slot, _level_of(state, slot, cell), now))
        slot.resent = True
        return
    slot.final_status = OrderStatus.CANCELLED
    slot.cancel_is_ours = True
    _done(state, slot, cell, now, out)


def _on_funding(state: GridState, charge: FundingCharged, now: Instant, out: list[GridEffect]) -> None:
    accounting.book_funding(state, charge)
    state.last_execution_ms = max(state.last_execution_ms, charge.at_ms)


def _done(state: GridState, slot: Slot, cell: Cell | None, now: Instant, out: list[GridEffect]) -> None:
    """An order is over and fully accounted for: go on from there."""
    if slot is state.entry:
        lifecycle.entry_done(state, now, out)
    elif cell is None:
        lifecycle.exit_done(state, now, out)
    else:
        cells.after_done(state, cell, now, out)
        cells.keep_window(state, now, out)
        trailing.finish(state, now, out)
        lifecycle.check_quiet(state, now, out)
        if state.terms.follows_results:
            stops.on_price(state, now, out)


# ---------------------------------------------------------------------- commands, prices and time


def _on_price(state: GridState, fact: PriceMoved, now: Instant, out: list[GridEffect]) -> None:
    state.last_ticks = fact.ticks
    stops.on_price(state, now, out)


def _on_woke(state: GridState, fact: Woke, now: Instant, out: list[GridEffect]) -> None:
    """Look at everything whose time has come, and work out the next time."""
    state.wake_ms = Instant(0)
    missing = False
    for slot, level in named_slots(state):
        if not slot.wake_ms:
            continue
        if slot.wake_ms > now:
            slots.wake_bot_at(state, slot.wake_ms)
            continue
        slot.wake_ms = Instant(0)
        if slot.phase is NO_ORDER:
            _retry(state, slot, now, out)
        elif slot.final_status is not None:
            missing = True
            slots.wake_at(state, slot, Instant(now + 2_000))
        else:
            slots.recheck(state, slot, slots.name_of(state, slot, level), now, out)
    if missing:
        out.append(Resync("an order's executions are missing"))
    lifecycle.ask_if_quiet(state, now, out)


def _retry(state: GridState, slot: Slot, now: Instant, out: list[GridEffect]) -> None:
    if slot is state.entry or slot is state.exit:
        lifecycle.retry_market(state, slot, now, out)
        return
    for cell in state.cells:
        if cell.slot is slot:
            cells.plan(state, cell, now, out)


def _on_resync_started(state: GridState, fact: ResyncStarted, now: Instant, out: list[GridEffect]) -> None:
    state.syncing = True
    for slot in lifecycle.all_slots(state):
        if slot.phase in (SENT, CANCELLING):
            # The request may have ended with the process that made it.
            slot.phase = UNKNOWN


def _on_resynced(state: GridState, view: Resynced, now: Instant, out: list[GridEffect]) -> None:
    held, state.held = state.held, []
    for fill in sorted(held, key=_age):
        _book_fill(state, fill, now, out)
    resynced(state, view, now, out)


def _on_start(state: GridState, command: Start, now: Instant, out: list[GridEffect]) -> None:
    state.command_version = max(state.command_version, command.version)
    if not lifecycle.can_start(state):
        return
    reached = stops.reached(state, command.price_ticks)
    if reached is not None and state.config.trigger_price is None:
        # Starting would buy at market only to sell again at once.
        state.status_reason = f"not started: {reached}"
        out.append(Note(NoteKind.STATUS, state.status_reason))
        return
    lifecycle.start(state, command, now, out)


def _on_stop(state: GridState, command: Stop, now: Instant, out: list[GridEffect]) -> None:
    state.command_version = max(state.command_version, command.version)
    lifecycle.stop(state, command, now, out)


def _on_pause(state: GridState, command: Pause, now: Instant, out: list[GridEffect]) -> None:
    state.command_version = max(state.command_version, command.version)
    lifecycle.pause(state, command, now, out)


def _age(fill: Execution) -> tuple[int, int]:
    name = parse_link_id(fill.link_id)
    assert name is not None
    return fill.at_ms, name.generation


def _adopt_straggler(state: GridState, report: OrderReport, now: Instant) -> tuple[Slot, Cell | None] | None:
    """Take over a resting order that was still on the wire when the process that sent it ended."""
    name = parse_link_id(report.link_id)
    found = find_slot(state, name) if name is not None else None
    if name is None or found is None or found[1] is None or state.syncing or report.status.is_final:
        return None
    if name.generation <= found[0].generation:
        return None
    adopt_later(state, *found, report, name.generation, now)
    return found


def _level_of(state: GridState, slot: Slot, cell: Cell | None) -> int | str:
    if cell is not None:
        return cells.order_level(cell, slot.side)
    return ENTRY if slot is state.entry else EXIT


def _current(state: GridState, link: LinkId) -> tuple[Slot, Cell | None] | None:
    """Find the slot whose present order bears this name; None for an older order, or one not of this grid."""
    name = parse_link_id(link)
    if name is None:
        return None
    found = find_slot(state, name)
    if found is None or found[0].generation != name.generation or found[0].side is not name.side:
        return None
    return found


_HANDLERS: dict[type, Callable[[GridState, Any, Instant, list[GridEffect]], None]] = {
    Execution: _on_execution,
    OrderReport: _on_report,
    OrderAccepted: _on_accepted,
    OrderRejected: _on_rejected,
    OrderInDoubt: _on_in_doubt,
    CancelRefused: _on_cancel_refused,
    OrderAbsent: _on_absent,
    FundingCharged: _on_funding,
    PriceMoved: _on_price,
    Woke: _on_woke,
    ResyncStarted: _on_resync_started,
    Resynced: _on_resynced,
    Start: _on_start,
    Stop: _on_stop,
    Pause: _on_pause,
}
