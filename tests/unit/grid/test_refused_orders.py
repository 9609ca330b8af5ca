"""What follows a venue's refusal: step back, wait, ask again ever later, block a level, or halt."""

import pytest

from engine.errors import RejectReason
from engine.grid.messages import (
    NoteKind,
    Pause,
    Resynced,
    ResyncStarted,
    Start,
)
from engine.grid.state import BotStatus
from engine.ids import Instant
from engine.trading.orders import (
    PlaceOrder,
    Side,
)
from tests.unit.grid.desk import MIDDLE, Desk, neutral, of


def test_a_post_only_order_steps_back_three_ticks_and_then_waits(desk: Desk) -> None:
    order = desk.at(980)
    seen = []
    for _ in range(3):
        (order,) = of(PlaceOrder, desk.reject(order, RejectReason.WOULD_TAKE_LIQUIDITY))
        seen.append(order.ticks)
    assert seen == [979, 978, 977]
    assert of(PlaceOrder, desk.reject(order, RejectReason.WOULD_TAKE_LIQUIDITY)) == []
    assert any("again in" in text for text in desk.notes(NoteKind.WAITING))
    (back,) = of(PlaceOrder, desk.wait(20_000))
    assert back.ticks == 980


def test_after_a_requote_has_filled_the_level_is_at_its_price_again(desk: Desk) -> None:
    (lower,) = of(PlaceOrder, desk.reject(desk.at(980), RejectReason.WOULD_TAKE_LIQUIDITY))
    desk.fill(lower)
    desk.fill(desk.at(1_000))
    assert desk.at(980).side is Side.BUY


def test_a_requote_is_forgotten_when_we_cancel_the_order_ourselves(desk: Desk) -> None:
    desk.reject(desk.at(980), RejectReason.WOULD_TAKE_LIQUIDITY)
    desk.cancel_all(desk.tell(Pause()))
    desk.agree(MIDDLE)
    desk.tell(Start(MIDDLE))
    assert desk.at(980).side is Side.BUY


@pytest.mark.parametrize("reason", [RejectReason.INVALID_PRICE, RejectReason.BELOW_MINIMUM])
def test_three_identical_refusals_block_the_level_until_a_start_or_a_new_process(
    desk: Desk, reason: RejectReason
) -> None:
    order = desk.at(980)
    desk.reject(order, reason)
    for _ in range(2):
        (order,) = of(PlaceOrder, desk.wait(5_000))
        desk.reject(order, reason)
    assert desk.notes(NoteKind.BLOCKED)
    assert of(PlaceOrder, desk.wait(600_000)) == []
    assert of(PlaceOrder, desk.agree(MIDDLE)) == []
    desk.tell(ResyncStarted())
    assert [order.ticks for order in of(PlaceOrder, desk.agree(MIDDLE))] == [980]


def test_a_lack_of_balance_is_asked_again_ever_later_but_never_given_up(desk: Desk) -> None:
    order, waits = desk.at(980), []
    for _ in range(8):
        desk.reject(order, RejectReason.INSUFFICIENT_BALANCE)
        waits.append(desk.state.wake_ms - desk.now)
        (order,) = of(PlaceOrder, desk.wait(waits[-1]))
    assert waits[0] == 10_000
    assert waits[-1] == 300_000


def test_a_refused_key_halts_the_bot_and_a_start_goes_on_with_its_orders(desk: Desk) -> None:
    desk.reject(desk.at(980), RejectReason.PERMISSION)
    assert desk.state.status is BotStatus.HALTED
    resting = len(desk.placed)
    desk.tell(Start(MIDDLE))
    assert desk.state.status is BotStatus.RUNNING
    assert len(desk.placed) == resting + 1


def test_a_halted_grid_without_inventory_is_not_built_a_second_time_over_its_orders() -> None:
    desk = neutral()
    desk.reject(desk.at(980), RejectReason.PERMISSION)
    desk.tell(Start(MIDDLE))
    assert sorted(order.ticks for order in desk.placed.values()) == sorted(
        [*range(900, 1_000, 20), *range(1_020, 1_120, 20)]
    )


def test_a_neighbour_that_waited_for_our_own_order_is_placed_when_that_is_refused(desk: Desk) -> None:
    (buy,) = of(PlaceOrder, desk.fill(desk.at(1_020)))
    assert of(PlaceOrder, desk.fill(desk.at(980))) == []
    (sell,) = of(PlaceOrder, desk.reject(buy, RejectReason.INSUFFICIENT_BALANCE))
    assert (sell.side, sell.ticks) == (Side.SELL, buy.ticks)


def test_a_level_that_the_market_has_left_behind_waits_and_comes_back() -> None:
    desk = neutral()
    desk.cancel_all(desk.tell(Pause()))
    desk.agree(MIDDLE)
    desk.tell(Start(850))
    buys = sorted(order.ticks for order in desk.placed.values() if order.side is Side.BUY)
    assert buys == []
    desk.tell(Resynced((), MIDDLE, Instant(0)))
    desk.wait(15_000)
    buys = sorted(order.ticks for order in desk.placed.values() if order.side is Side.BUY)
    assert buys == list(range(900, 1_000, 20))
