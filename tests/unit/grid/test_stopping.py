"""A stop ends only when nothing is left at the venue, and the last word on the position counts."""

from engine.grid.messages import (
    Pause,
    Resync,
    Resynced,
    Start,
    Stop,
)
from engine.grid.state import BotStatus
from engine.ids import Instant
from engine.trading.orders import (
    CancelOrder,
    OrderKind,
    OrderStatus,
    PlaceOrder,
    Side,
)
from tests.factories import grid_config
from tests.unit.grid.desk import MIDDLE, Desk, of


def test_a_stop_ends_only_when_the_venue_asked_afterwards_lists_nothing(desk: Desk) -> None:
    early = Resynced((), MIDDLE, Instant(desk.now - 1))
    desk.cancel_all(desk.tell(Stop(False)))
    assert not desk.placed
    desk.tell(early)
    assert desk.state.status is BotStatus.STOPPING
    desk.agree(MIDDLE)
    assert desk.state.status is BotStatus.STOPPED


def test_a_slow_venue_proves_the_quiet_too(desk: Desk) -> None:
    desk.cancel_all(desk.tell(Stop(False)))
    asked = desk.now
    assert of(Resync, desk.wait(5_000))
    assert of(Resync, desk.wait(5_000))
    desk.tell(Resynced((), MIDDLE, asked))
    assert desk.state.status is BotStatus.STOPPED


def test_an_order_found_after_the_last_cancel_is_cancelled_before_the_stop_ends(desk: Desk) -> None:
    buy = desk.at(980)
    desk.cancel_all(desk.tell(Stop(False)))
    orphan = desk.report(buy, OrderStatus.OPEN)
    desk.now = Instant(desk.now + 10)
    assert CancelOrder(buy.link_id) in desk.tell(Resynced((orphan,), MIDDLE, desk.now))
    assert desk.state.status is BotStatus.STOPPING
    assert of(Resync, desk.wait(1_000))
    desk.agree(MIDDLE)
    assert desk.state.status is BotStatus.STOPPED


def test_the_last_word_on_the_position_counts(desk: Desk) -> None:
    effects = desk.tell(Stop(False))
    desk.tell(Stop(True))
    desk.cancel_all(effects)
    desk.agree(MIDDLE)
    assert desk.state.status is BotStatus.CLOSING
    desk.tell(Stop(True))
    desk.fill(desk.only(OrderKind.MARKET), at=MIDDLE)
    assert desk.state.status is BotStatus.STOPPED


def test_a_kept_position_goes_on_after_a_start_and_can_be_sold_after_the_stop(desk: Desk) -> None:
    desk.cancel_all(desk.tell(Stop(False)))
    desk.agree(MIDDLE)
    assert desk.tell(Stop(False)) == []
    desk.tell(Start(MIDDLE))
    assert len(desk.placed) == 10
    desk.cancel_all(desk.tell(Stop(False)))
    desk.agree(MIDDLE)
    desk.tell(Stop(True))
    desk.agree(MIDDLE)
    assert desk.only(OrderKind.MARKET).side is Side.SELL


def test_after_stop_and_sell_a_start_sizes_afresh_and_order_names_go_on(desk: Desk) -> None:
    names = {effect.link_id for effect in of(PlaceOrder, desk.effects)}
    desk.cancel_all(desk.tell(Stop(True)))
    desk.agree(MIDDLE)
    desk.fill(desk.only(OrderKind.MARKET), at=MIDDLE)
    desk.effects.clear()
    desk.run(950)
    fresh = {effect.link_id for effect in of(PlaceOrder, desk.effects)}
    assert not names & fresh
    assert {order.ticks for order in desk.placed.values() if order.side is Side.BUY} == {900, 920}


def test_a_closing_that_cannot_be_done_halts_and_a_second_stop_tries_again(desk: Desk) -> None:
    desk.cancel_all(desk.tell(Stop(True)))
    desk.agree(MIDDLE)
    for _ in range(8):
        desk.end(desk.only(OrderKind.MARKET), OrderStatus.CANCELLED)
    assert desk.state.status is BotStatus.HALTED
    desk.tell(Stop(True))
    desk.agree(MIDDLE)
    desk.fill(desk.only(OrderKind.MARKET), at=MIDDLE)
    assert desk.state.status is BotStatus.STOPPED


def test_a_start_or_stop_that_means_nothing_changes_nothing(desk: Desk) -> None:
    assert desk.tell(Start(MIDDLE)) == []
    fresh = Desk(grid_config())
    fresh.tell(Pause())
    assert fresh.state.status is BotStatus.NEW
    fresh.tell(Stop(True))
    assert fresh.state.status is BotStatus.STOPPED
    fresh.tell(Stop(True))
    assert fresh.state.status is BotStatus.STOPPED
