"""Why each level has, or has not, an order: the answer to the traders' oldest question."""

from decimal import Decimal

import msgspec

from engine.grid import cells
from engine.grid.levels import level_ticks
from engine.grid.slots import name_of
from engine.grid.state import Cell, GridState, OrderPhase
from engine.ids import Instant, LinkId
from engine.trading.orders import Side


class LevelView(msgspec.Struct, frozen=True):
    """One level of the grid as it stands. `order` is None where no order of ours can be at the venue."""

    level: int
    price: Decimal
    side: Side | None
    """The order that the level has or waits for; None for the empty level at the price."""
    order: LinkId | None
    phase: OrderPhase
    order_price: Decimal | None
    """Differs from `price` by a few ticks after a post-only refusal."""
    quantity: Decimal
    filled: Decimal
    why: str


def explain(state: GridState, now: Instant) -> list[LevelView]:
    """Describe every level, lowest first."""
    if not state.cells:
        return []
    views = []
    for position in range(len(state.cells) + 1):
        index = state.cells[0].index + position
        wanting = [
            cell
            for cell in state.cells[max(0, position - 1) : position + 1]
            if cells.order_level(cell, cell.slot.side if not cell.slot.is_empty else cell.side) == index
        ]
        price = state.instrument.price(level_ticks(state.config, state.instrument, index))
        if wanting:
            views += [_view(state, cell, index, price, now) for cell in wanting]
        else:
            views.append(_empty(index, price))
    return views


def _view(state: GridState, cell: Cell, index: int, price: Decimal, now: Instant) -> LevelView:
    slot = cell.slot
    live = not slot.is_empty
    side = slot.side if live else cell.side
    lots = slot.lots if live else _wanted_lots(state, cell)
    return LevelView(
        level=index,
        price=price,
        side=side,
        order=name_of(state, slot, index) if live else None,
        phase=slot.phase,
        order_price=state.instrument.price(slot.ticks) if live else None,
        quantity=state.instrument.quantity(lots),
        filled=state.instrument.quantity(slot.filled if live else 0),
        why=_why_live(cell, side) if live else cells.hold_reason(state, cell, now) or "is about to be placed",
    )


def _why_live(cell: Cell, side: Side) -> str:
    purpose = "opens" if side is cell.home.opening_side else "closes"
    match cell.slot.phase:
        case OrderPhase.SENT:
            return f"{purpose} interval {cell.index}; on its way to the venue"
        case OrderPhase.UNKNOWN:
            return f"{purpose} interval {cell.index}; the venue has not said yet whether it exists"
        case OrderPhase.CANCELLING:
            return f"{purpose} interval {cell.index}; being cancelled"
        case _:
            behind = (
                f", {cell.requotes} tick(s) behind its level after a post-only refusal" if cell.requotes else ""
            )
            return f"{purpose} interval {cell.index}{behind}"


def _wanted_lots(state: GridState, cell: Cell) -> int:
    return cell.lots - cell.opened_lots if cell.is_opening else cells.closing_lots(state, cell)


def _empty(index: int, price: Decimal) -> LevelView:
    return LevelView(
        level=index,
        price=price,
        side=None,
        order=None,
        phase=OrderPhase.NONE,
        order_price=None,
        quantity=Decimal(0),
        filled=Decimal(0),
        why="the empty level: its order was the last to fill, or lies nearest the price",
    )
