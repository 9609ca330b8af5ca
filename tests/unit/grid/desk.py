"""A desk at which a test plays the venue by hand: it tells a bot's machine facts and looks at what comes out."""

from decimal import Decimal
from typing import Any, TypeVar

from engine.errors import RejectReason
from engine.grid.config import Direction, GridConfig
from engine.grid.machine import step
from engine.grid.messages import GridEffect, GridMessage, Note, NoteKind, Resynced, Start, Woke
from engine.grid.state import BotStatus, GridState, new_state
from engine.ids import BotId, ExecutionId, Instant, LinkId, VenueOrderId
from engine.trading.orders import (
    CancelOrder,
    Execution,
    OrderAccepted,
    OrderKind,
    OrderRejected,
    OrderReport,
    OrderStatus,
    PlaceOrder,
    Side,
)
from tests.factories import FEES, grid_config, instrument_for

E = TypeVar("E")

MIDDLE = 1_001
"""Just above the level at 100.0 of the example's grid, which therefore stays empty."""


class Desk:
    """One bot, and the placements of it that have not been answered finally."""

    def __init__(self, config: GridConfig) -> None:
        self.state: GridState = new_state(BotId("abcdefgh"), config, instrument_for(config.direction), FEES)
        self.now = Instant(1_000_000)
        self.placed: dict[LinkId, PlaceOrder] = {}
        self.effects: list[GridEffect] = []
        self._executions = 0

    def tell(self, message: GridMessage) -> list[GridEffect]:
        """Give the machine a message; remember and return what it wants done."""
        effects = step(self.state, message, self.now)
        self.effects += effects
        self.placed |= {effect.link_id: effect for effect in effects if isinstance(effect, PlaceOrder)}
        return effects

    def run(self, price: int) -> None:
        """Start at a price and accept everything, the market order filled."""
        self.tell(Start(price))
        while self.state.status is BotStatus.ENTERING:
            self.fill(self.only(OrderKind.MARKET), at=price)
        self.accept_all()

    def accept_all(self) -> None:
        """Acknowledge every placement."""
        for link in list(self.placed):
            self.tell(OrderAccepted(link, VenueOrderId(link)))

    def only(self, kind: OrderKind) -> PlaceOrder:
        """Give the one open placement of a kind."""
        (order,) = [order for order in self.placed.values() if order.kind is kind]
        return order

    def at(self, ticks: int) -> PlaceOrder:
        """Give the one open placement at a price."""
        (order,) = [order for order in self.placed.values() if order.ticks == ticks]
        return order

    def fill(self, order: PlaceOrder, lots: int | None = None, at: int | None = None) -> list[GridEffect]:
        """Execute an order, whole or in part."""
        lots = order.lots if lots is None else lots
        ticks = order.ticks if at is None else at
        self._executions += 1
        if lots == order.lots:
            self.placed.pop(order.link_id, None)
        return self.tell(self.execution(order, lots, ticks, f"x{self._executions}"))

    def execution(self, order: PlaceOrder, lots: int, ticks: int, exec_id: str) -> Execution:
        """Make an execution as the venue would report it."""
        instrument = self.state.instrument
        in_base = self.state.is_spot and order.side is Side.BUY
        paid_on = lots * instrument.units_per_lot if in_base else instrument.value(ticks, lots)
        return Execution(
            exec_id=ExecutionId(exec_id),
            link_id=order.link_id,
            venue_id=VenueOrderId(order.link_id),
            side=order.side,
            ticks=ticks,
            lots=lots,
            order_lots=order.lots,
            fee_units=int(Decimal(paid_on) * FEES.maker),
            fee_asset=instrument.base if in_base else instrument.quote,
            is_maker=order.kind is not OrderKind.MARKET,
            at_ms=self.now,
        )

    def report(
        self, order: PlaceOrder, status: OrderStatus, filled: int = 0, reason: RejectReason | None = None
    ) -> OrderReport:
        """Make a report as the venue would send it."""
        return OrderReport(
            order.link_id, VenueOrderId("v"), order.side, order.ticks, order.lots, status, filled, reason
        )

    def end(
        self, order: PlaceOrder, status: OrderStatus, filled: int = 0, reason: RejectReason | None = None
    ) -> list[GridEffect]:
        """Report the end of an order."""
        self.placed.pop(order.link_id, None)
        return self.tell(self.report(order, status, filled, reason))

    def reject(self, order: PlaceOrder, reason: RejectReason) -> list[GridEffect]:
        """Refuse an order at the door."""
        self.placed.pop(order.link_id, None)
        return self.tell(OrderRejected(order.link_id, reason, "no"))

    def wait(self, milliseconds: int) -> list[GridEffect]:
        """Let time pass, and wake the machine if it asked for it."""
        self.now = Instant(self.now + milliseconds)
        return self.tell(Woke()) if self.state.wake_ms and self.state.wake_ms <= self.now else []

    def agree(self, price: int) -> list[GridEffect]:
        """Answer a resync: the venue lists exactly what was placed."""
        listed = tuple(self.report(order, OrderStatus.OPEN) for order in self.placed.values())
        return self.tell(Resynced(listed, price, self.now))

    def cancel_all(self, effects: list[GridEffect]) -> list[GridEffect]:
        """Carry out every cancel in `effects`."""
        after: list[GridEffect] = []
        for cancel in of(CancelOrder, effects):
            if cancel.link_id in self.placed:
                after += self.end(self.placed[cancel.link_id], OrderStatus.CANCELLED)
        return after

    def notes(self, kind: NoteKind) -> list[str]:
        """Give the texts of all notes of a kind so far."""
        return [note.text for note in of(Note, self.effects) if note.kind is kind]


def running(**changes: Any) -> Desk:
    """Start the example's grid of ten intervals, changed as asked, in the middle of its range."""
    desk = Desk(grid_config(**changes))
    desk.run(MIDDLE)
    return desk


def neutral(**changes: Any) -> Desk:
    """Start a neutral grid: it begins without inventory."""
    return running(direction=Direction.NEUTRAL, **changes)


def of(kind: type[E], effects: list[GridEffect]) -> list[E]:
    """Pick the effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]
