"""The life of one order in its slot: sent, live, in doubt, cancelled, done.

Network doubt never ends an order. It stays UNKNOWN until the venue answers, and what is sent again after a
definite "never seen" bears the same name, so that even a late arrival of the first request cannot double it.
An order is done only when every execution that its final report counts has been applied.
"""

from engine.grid.messages import GridEffect
from engine.grid.orders import ENTRY, EXIT, link_id
from engine.grid.state import CANCELLING, LIVE, NO_ORDER, SENT, UNKNOWN, GridState, Slot
from engine.ids import Instant, LinkId
from engine.trading.orders import (
    FILLED,
    LIMIT,
    MARKET,
    POST_ONLY,
    CancelOrder,
    Execution,
    LookUpOrder,
    OrderKind,
    OrderReport,
    OrderStatus,
    PlaceOrder,
    Side,
)

ABSENCE_GRACE_MS = 3_000
"""A venue may not list an order for a moment after taking it: absence counts only this long after sending."""

MISSING_FILLS_GRACE_MS = 500
"""How long executions may lag behind the report that counts them before we fetch them."""


def send(
    state: GridState, slot: Slot, level: int | str, side: Side, ticks: int, lots: int, now: Instant
) -> PlaceOrder:
    """Put a new order into an empty slot under a new name. `ticks` is 0 for a market order."""
    slot.generation += 1
    if level not in (ENTRY, EXIT):
        state.newest_generation = max(state.newest_generation, slot.generation)
    slot.side = side
    slot.ticks = ticks
    slot.lots = lots
    _forget_last(slot)
    return resend(state, slot, level, now)


def resend(state: GridState, slot: Slot, level: int | str, now: Instant) -> PlaceOrder:
    """Send a slot's order to the letter, once more if it was sent before: one name never means two orders."""
    slot.phase = SENT
    slot.sent_ms = now
    return PlaceOrder(
        link_id=name_of(state, slot, level),
        side=slot.side,
        kind=_kind(state, level),
        ticks=slot.ticks,
        lots=slot.lots,
        reduce_only=level == EXIT and not state.is_spot,
    )


def adopt(slot: Slot, generation: int, side: Side, ticks: int, lots: int, now: Instant) -> None:
    """Take over an order that an earlier life of this bot placed and did not live to write down."""
    slot.generation = generation
    slot.phase = LIVE
    slot.side = side
    slot.ticks = ticks
    slot.lots = lots
    slot.sent_ms = now
    _forget_last(slot)


def name_of(state: GridState, slot: Slot, level: int | str) -> LinkId:
    """Give the name of the order in a slot."""
    return link_id(state.bot, level, slot.generation, slot.side)


def cancel(state: GridState, slot: Slot, level: int | str, now: Instant, out: list[GridEffect]) -> None:
    """Ask for the end of a slot's order, whatever we believe about it."""
    if slot.phase in (NO_ORDER, CANCELLING):
        return
    slot.cancel_is_ours = True
    name = name_of(state, slot, level)
    if slot.phase is UNKNOWN:
        out.append(LookUpOrder(name))
        return
    slot.phase = CANCELLING
    wake_at(state, slot, Instant(now + 10_000))
    out.append(CancelOrder(name))


def apply_report(state: GridState, slot: Slot, report: OrderReport, now: Instant, out: list[GridEffect]) -> bool:
    """Take the venue's word on the order of a slot; tell whether the order is now done."""
    if not report.status.is_final:
        if slot.final_status is not None:
            # An older view overtaken by the order's end.
            return False
        slot.ticks = report.ticks
        slot.lots = report.lots
        if slot.cancel_is_ours and slot.phase is not CANCELLING:
            slot.phase = CANCELLING
            out.append(CancelOrder(report.link_id))
        elif slot.phase is not CANCELLING:
            slot.phase = LIVE
        return False
    slot.final_status = report.status
    slot.final_filled = report.filled_lots
    slot.final_reason = report.reason
    if slot.filled >= report.filled_lots:
        return True
    wake_at(state, slot, Instant(now + MISSING_FILLS_GRACE_MS))
    return False


def apply_execution(slot: Slot, execution: Execution) -> bool | None:
    """Count a fill of the order of a slot; tell whether the order is now done, None if the fill is known."""
    if execution.exec_id in slot.seen:
        return None
    slot.seen.append(execution.exec_id)
    slot.filled += execution.lots
    slot.lots = execution.order_lots
    if slot.final_status is not None:
        return slot.filled >= slot.final_filled
    return slot.filled >= slot.lots


def doubt(state: GridState, slot: Slot, name: LinkId, now: Instant, out: list[GridEffect]) -> None:
    """Hold a slot whose request got no answer, and ask the venue; what is known to rest is in no doubt."""
    if slot.phase in (NO_ORDER, LIVE) or slot.final_status is not None:
        return
    recheck(state, slot, name, now, out)


def recheck(state: GridState, slot: Slot, name: LinkId, now: Instant, out: list[GridEffect]) -> None:
    """Ask again about an order that we thought we knew."""
    slot.phase = UNKNOWN
    wake_at(state, slot, Instant(now + 10_000))
    out.append(LookUpOrder(name))


def clear(slot: Slot) -> tuple[OrderStatus, bool]:
    """Empty a slot whose order is done; give its final status and whether the cancel was ours."""
    status = slot.final_status
    if status is None or slot.filled >= slot.lots:
        status = FILLED
    ours = slot.cancel_is_ours
    slot.phase = NO_ORDER
    slot.cancel_is_ours = False
    slot.final_status = None
    slot.wake_ms = Instant(0)
    return status, ours


def wake_at(state: GridState, slot: Slot, at_ms: Instant) -> None:
    """Ask to look at a slot again at a time."""
    slot.wake_ms = at_ms
    wake_bot_at(state, at_ms)


def wake_bot_at(state: GridState, at_ms: Instant) -> None:
    """Ask the shell for a `Woke` no later than this."""
    if not state.wake_ms or at_ms < state.wake_ms:
        state.wake_ms = at_ms


def _forget_last(slot: Slot) -> None:
    slot.filled = 0
    slot.final_status = None
    slot.final_filled = 0
    slot.final_reason = None
    slot.cancel_is_ours = False
    slot.resent = False
    slot.name_is_taken = False
    slot.wake_ms = Instant(0)
    slot.seen = []


def _kind(state: GridState, level: int | str) -> OrderKind:
    if level in (ENTRY, EXIT):
        return MARKET
    return POST_ONLY if state.config.post_only else LIMIT
