"""How a grid comes to hold what it sells: the entry order, repeated and refused, and coins brought in."""

from decimal import Decimal

import pytest

from engine.errors import RejectReason
from engine.grid.config import PaidIn
from engine.grid.messages import (
    Pause,
    Start,
    Stop,
)
from engine.grid.state import BotStatus
from engine.trading.orders import (
    OrderKind,
    OrderStatus,
    PlaceOrder,
    Side,
)
from tests.factories import grid_config
from tests.unit.grid.desk import MIDDLE, Desk, of


def test_the_entry_is_repeated_for_what_is_missing() -> None:
    desk = Desk(grid_config(amount=Decimal(3_000)))
    desk.tell(Start(MIDDLE))
    first = desk.only(OrderKind.MARKET)
    assert first.lots == desk.state.instrument.max_market_lots
    desk.fill(first, lots=1_000, at=MIDDLE)
    desk.end(first, OrderStatus.CANCELLED, filled=1_000)
    second = desk.only(OrderKind.MARKET)
    desk.fill(second, at=MIDDLE)
    while desk.state.status is BotStatus.ENTERING:
        desk.fill(desk.only(OrderKind.MARKET), at=MIDDLE)
    bought = desk.state.sizing.entry_lots * desk.state.instrument.units_per_lot
    assert desk.state.ledger.base_units == bought - bought // 1_000


def test_an_entry_that_never_fills_halts_and_a_start_tries_again() -> None:
    desk = Desk(grid_config())
    desk.tell(Start(MIDDLE))
    for _ in range(8):
        desk.end(desk.only(OrderKind.MARKET), OrderStatus.CANCELLED)
    assert desk.state.status is BotStatus.HALTED
    desk.run(MIDDLE)
    assert desk.state.status is BotStatus.RUNNING


def test_a_refused_entry_is_tried_again_later_and_a_lack_of_money_halts() -> None:
    desk = Desk(grid_config())
    desk.tell(Start(MIDDLE))
    desk.reject(desk.only(OrderKind.MARKET), RejectReason.OTHER)
    (again,) = of(PlaceOrder, desk.wait(1_000))
    desk.reject(again, RejectReason.INSUFFICIENT_BALANCE)
    assert desk.state.status is BotStatus.HALTED
    assert "insufficient_balance" in desk.state.status_reason


def test_a_pause_during_the_entry_goes_on_with_the_entry_after_a_start() -> None:
    desk = Desk(grid_config())
    desk.tell(Start(MIDDLE))
    entry = desk.only(OrderKind.MARKET)
    desk.fill(entry, lots=400, at=MIDDLE)
    desk.tell(Pause())
    desk.end(entry, OrderStatus.CANCELLED, filled=400)
    desk.agree(MIDDLE)
    assert desk.state.status is BotStatus.PAUSED
    desk.tell(Start(MIDDLE))
    assert desk.state.status is BotStatus.ENTERING
    assert desk.only(OrderKind.MARKET).lots == entry.lots - 400
    desk.fill(desk.only(OrderKind.MARKET), at=MIDDLE)
    assert len(desk.placed) == 10


def test_a_stop_with_selling_during_the_entry_sells_what_was_bought() -> None:
    desk = Desk(grid_config())
    desk.tell(Start(MIDDLE))
    entry = desk.only(OrderKind.MARKET)
    desk.fill(entry, lots=1_000, at=MIDDLE)
    desk.tell(Stop(True))
    desk.end(entry, OrderStatus.CANCELLED, filled=1_000)
    desk.agree(MIDDLE)
    exit_order = desk.only(OrderKind.MARKET)
    assert (exit_order.side, exit_order.lots) == (Side.SELL, 999)
    desk.fill(exit_order, at=MIDDLE)
    assert desk.state.status is BotStatus.STOPPED


def test_what_an_unfinished_closing_left_counts_towards_the_next_entry(desk: Desk) -> None:
    held = desk.state.ledger.base_units
    desk.cancel_all(desk.tell(Stop(True)))
    desk.agree(MIDDLE)
    desk.reject(desk.only(OrderKind.MARKET), RejectReason.PERMISSION)
    assert desk.state.status is BotStatus.HALTED
    desk.tell(Start(MIDDLE))
    entry = desk.only(OrderKind.MARKET) if desk.state.status is BotStatus.ENTERING else None
    missing = desk.state.sizing.entry_lots - held // desk.state.instrument.units_per_lot
    assert entry is None or entry.lots == missing


def test_a_restart_that_the_price_refuses_says_why_and_stays_stopped() -> None:
    desk = Desk(grid_config(amount=Decimal(51)))
    for _ in range(2):
        desk.tell(Start(1_100))
        assert desk.state.status is BotStatus.STOPPED
        assert "at least" in desk.state.status_reason


@pytest.mark.parametrize("paid_in", [PaidIn.BASE, PaidIn.BOTH])
def test_coins_brought_in_are_part_of_the_books(paid_in: PaidIn) -> None:
    base = Decimal(10)
    amounts = {"amount": base} if paid_in is PaidIn.BASE else {"amount": Decimal(600), "base_amount": Decimal(2)}
    desk = Desk(grid_config(paid_in=paid_in, **amounts))
    desk.run(MIDDLE)
    assert desk.state.status is BotStatus.RUNNING
    assert desk.state.base_total() == desk.state.ledger.base_units
    assert len(desk.placed) == 10
