"""After a crash or a gap the venue is the truth: adopt what is ours, ask about what is missing, end the orphans.

Executions have been applied before `Resynced` arrives, so the state knows every fill; what remains is to match
the list of open orders with the slots. Orders of other programs never reach this page.
"""

from engine.grid import cells, lifecycle, slots, stops, trailing
from engine.grid.messages import GridEffect, Note, NoteKind, Resynced
from engine.grid.orders import ENTRY, EXIT, OrderName, parse_link_id
from engine.grid.state import NO_ORDER, RUNNING, BotStatus, Cell, GridState, Slot
from engine.ids import Instant
from engine.trading.orders import BUY, CancelOrder, Execution, LookUpOrder, OrderReport

GRIDLESS = frozenset(
    {BotStatus.STOPPING, BotStatus.PAUSING, BotStatus.CLOSING, BotStatus.STOPPED, BotStatus.PAUSED}
)
"""A grid order met in one of these was still on the wire when an earlier life of this process ended."""

ORPHAN_WAIT_MS = 1_000
"""How long the cancel of an order without a slot may take before the venue is asked again."""


def find_slot(state: GridState, name: OrderName) -> tuple[Slot, Cell | None] | None:
    """Find the slot that an order's name belongs to; None if the grid has no such level now."""
    level, _, side = name
    if level == ENTRY:
        return state.entry, None
    if level == EXIT:
        return state.exit, None
    assert isinstance(level, int)
    if not state.cells:
        return None
    position = (level if side is BUY else level - 1) - state.cells[0].index
    if not 0 <= position < len(state.cells):
        return None
    cell = state.cells[position]
    return cell.slot, cell


def catch_up(state: GridState, name: OrderName, now: Instant, out: list[GridEffect]) -> None:
    """Follow a range that an earlier life of this bot moved and did not live to write down.

    A name outside the range with a number above all that we remember was given after such a move. A lower number
    is a late word about an order of a level that the range has left.
    """
    if not isinstance(name.level, int) or name.generation <= state.newest_generation:
        return
    index = name.level if name.side is BUY else name.level - 1
    for _ in range(len(state.cells)):
        if index > state.cells[-1].index and state.config.trailing_up_limit is not None:
            direction, mover = 1, state.cells[0]
        elif index < state.cells[0].index and state.config.trailing_down_limit is not None:
            direction, mover = -1, state.cells[-1]
        else:
            return
        slots.clear(mover.slot)
        trailing.move(state, direction)
        out.append(Note(NoteKind.SHIFTED, "the range had moved before the restart", mover.index))


def is_news(state: GridState, name: OrderName) -> bool:
    """Tell whether an order is newer than all that we remember of its place."""
    found = find_slot(state, name)
    return name.generation > (found[0].generation if found else state.newest_generation)


def adopt_later(
    state: GridState, slot: Slot, cell: Cell | None, fact: Execution | OrderReport, generation: int, now: Instant
) -> None:
    """Take over an order that is newer than our memory: its existence proves that the older one is over."""
    lots = fact.order_lots if isinstance(fact, Execution) else fact.lots
    if slot is state.entry and not slot.is_empty:
        state.entry_left -= slot.filled
    slots.clear(slot)
    state.quiet_since_ms = Instant(0)
    if cell is not None and cell.side is not fact.side:
        # The lost pages of our journal turned this cell; nothing else makes it place its other order.
        cell.side = fact.side
        if cell.is_opening:
            cell.opened_lots = 0
    slots.adopt(slot, generation, fact.side, fact.ticks, lots, now)
    if cell is not None:
        state.newest_generation = max(state.newest_generation, generation)


def resynced(state: GridState, view: Resynced, now: Instant, out: list[GridEffect]) -> None:
    """Bring the slots in line with the venue's list of open orders, then go on."""
    state.last_ticks = view.price_ticks or state.last_ticks
    listed = _match(state, view, now, out)
    for slot, level in named_slots(state):
        known = slot.is_empty or slot.final_status is not None or slot.sent_ms >= view.asked_ms
        if not known and slot.generation not in listed.get(id(slot), ()):
            out.append(LookUpOrder(slots.name_of(state, slot, level)))
    if state.syncing:
        # A new life may try what the last one was refused; a regular look at the venue is no reason to.
        for cell in state.cells:
            cell.blocked = False
    state.syncing = False
    if state.status in (BotStatus.STOPPING, BotStatus.PAUSING):
        _prove_quiet(state, view, now, out)
        return
    if state.status in GRIDLESS:
        for cell in state.cells:
            slots.cancel(state, cell.slot, cells.order_level(cell, cell.slot.side), now, out)
    for slot in (state.entry, state.exit):
        if slot.is_empty:
            lifecycle.retry_market(state, slot, now, out)
    # Stops first: a bot that must end now places nothing before.
    stops.on_price(state, now, out)
    if state.status is RUNNING:
        cells.replan_all(state, now, out)
        cells.keep_window(state, now, out, everywhere=True)


def named_slots(state: GridState) -> list[tuple[Slot, int | str]]:
    """List every slot with the level that names its order."""
    return [
        (state.entry, ENTRY),
        (state.exit, EXIT),
        *((cell.slot, cells.order_level(cell, cell.slot.side)) for cell in state.cells),
    ]


def _match(state: GridState, view: Resynced, now: Instant, out: list[GridEffect]) -> dict[int, set[int]]:
    """Match listed orders with slots; give the generations seen per slot."""
    listed: dict[int, set[int]] = {}
    # Newest names first: with two orders for one place the older one is the orphan.
    named = [(name, report) for report in view.open_orders if (name := parse_link_id(report.link_id))]
    for name, report in sorted(named, key=lambda pair: -pair[0].generation):
        catch_up(state, name, now, out)
        found = find_slot(state, name)
        if found is None:
            _end_orphan(report, out)
            continue
        slot, cell = found
        if name.generation > slot.generation:
            adopt_later(state, slot, cell, report, name.generation, now)
            out.append(Note(NoteKind.ADOPTED, f"took over {report.link_id}", _level_of(name)))
        elif name.generation < slot.generation or slot.phase is NO_ORDER or slot.side is not name.side:
            # A list older than the slot's present order shows its predecessor, which is over by now.
            if slot.sent_ms < view.asked_ms:
                _end_orphan(report, out)
            continue
        else:
            slots.apply_report(state, slot, report, now, out)
        listed.setdefault(id(slot), set()).add(name.generation)
    return listed


def _end_orphan(report: OrderReport, out: list[GridEffect]) -> None:
    out.append(Note(NoteKind.ORPHAN, f"cancels {report.link_id}, which belongs to no level now"))
    out.append(CancelOrder(report.link_id))


def _prove_quiet(state: GridState, view: Resynced, now: Instant, out: list[GridEffect]) -> None:
    """Finish a stop or a pause if the venue, asked after our last order was over, lists no order of ours."""
    if view.open_orders:
        state.quiet_since_ms = Instant(0)
        for slot, level in named_slots(state):
            slots.cancel(state, slot, level, now, out)
        # What was cancelled as an orphan reports to no slot, so only asking again shows that it is gone.
        slots.wake_bot_at(state, Instant(now + ORPHAN_WAIT_MS))
    elif state.quiet_since_ms and view.asked_ms >= state.quiet_since_ms:
        lifecycle.confirmed_quiet(state, now, out)
    # An answer to an older question proves nothing; the one to the present question is on its way.


def _level_of(name: OrderName) -> int | None:
    return name.level if isinstance(name.level, int) else None
