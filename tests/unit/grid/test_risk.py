"""What no order may do, whatever led to it, and how earned profit enlarges the orders that follow."""

from decimal import Decimal

import pytest

from engine.errors import RejectReason
from engine.grid import cells, risk
from engine.grid.config import Direction
from engine.grid.messages import GridEffect, NoteKind
from engine.trading.orders import Side
from tests.factories import grid_config
from tests.unit.grid.desk import MIDDLE, Desk


def test_an_ordinary_order_may_leave(desk: Desk) -> None:
    assert risk.refuse(desk.state, Side.BUY, 980, 1_000, opening=True) is None


@pytest.mark.parametrize(
    ("ticks", "lots", "words"),
    [
        (980, 0, "lots are outside"),
        (980, 2_000_000, "lots are outside"),
        (0, 1_000, "ticks are outside"),
        (980, 20_000, "worth more than the whole investment"),
    ],
)
def test_an_order_out_of_all_bounds_is_refused(desk: Desk, ticks: int, lots: int, words: str) -> None:
    assert words in (risk.refuse(desk.state, Side.BUY, ticks, lots, opening=True) or "")


def test_a_position_twice_the_investment_buys_no_more(desk: Desk) -> None:
    desk.state.ledger.base_units *= 10
    assert "twice" in (risk.refuse(desk.state, Side.BUY, 980, 1_000, opening=True) or "")


def test_what_closes_inventory_is_not_kept_from_closing(desk: Desk) -> None:
    assert risk.refuse(desk.state, Side.SELL, 1_020, 20_000, opening=False) is None


def test_nothing_leaves_before_the_grid_has_a_size() -> None:
    assert "no size" in (risk.refuse(Desk(grid_config()).state, Side.BUY, 980, 1_000, opening=True) or "")
    assert not risk.is_off_market(Desk(grid_config()).state, Side.BUY, 980)


def test_a_refused_order_blocks_its_level_and_says_why(desk: Desk) -> None:
    cell = desk.state.cells[0]
    cell.lots = 10**7
    cell.slot = type(cell.slot)(generation=cell.slot.generation)
    out: list[GridEffect] = []
    cells.plan(desk.state, cell, desk.now, out)
    assert cell.blocked
    assert out[0].kind is NoteKind.RISK


def test_earned_profit_enlarges_the_next_opening_once_and_never_more_than_was_earned() -> None:
    desk = Desk(grid_config(direction=Direction.NEUTRAL, reinvest=True, grids=2, amount=Decimal(300)))
    desk.run(MIDDLE)
    lots = desk.state.cells[0].lots
    for _ in range(10):
        desk.fill(desk.at(900))
        desk.fill(desk.at(1_000))
    ledger = desk.state.ledger
    assert desk.state.cells[0].lots > lots
    assert 0 < ledger.reinvested_units <= ledger.grid_profit_units - ledger.fee_units
    grown = desk.state.cells[0].lots
    desk.reject(desk.at(900), RejectReason.OTHER)  # the new order, not yet acknowledged
    desk.wait(10_000)
    assert desk.at(900).lots == grown
