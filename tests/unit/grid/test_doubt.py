"""Doubt never ends an order: it stays unknown until the venue answers, and exists at most once."""

import pytest

from engine.errors import RejectReason
from engine.grid.messages import (
    Pause,
    ResyncStarted,
    Stop,
)
from engine.grid.state import OrderPhase
from engine.ids import Instant, VenueOrderId
from engine.trading.orders import (
    CancelOrder,
    CancelRefused,
    LookUpOrder,
    OrderAbsent,
    OrderAccepted,
    OrderInDoubt,
    OrderRejected,
    OrderStatus,
    PlaceOrder,
)
from tests.unit.grid.desk import Desk, neutral, of


def test_a_duplicate_name_is_looked_up_not_placed_again(desk: Desk) -> None:
    order = desk.at(980)
    effects = desk.reject(order, RejectReason.DUPLICATE_LINK_ID)
    # The order is already known to rest: nothing is in doubt.
    assert effects == []
    (sell,) = of(PlaceOrder, desk.fill(order))
    effects = desk.reject(sell, RejectReason.DUPLICATE_LINK_ID)
    assert effects == [LookUpOrder(sell.link_id)]


def test_a_name_that_the_venue_calls_used_and_then_does_not_know_is_given_up(desk: Desk) -> None:
    (sell,) = of(PlaceOrder, desk.fill(desk.at(980)))
    desk.reject(sell, RejectReason.DUPLICATE_LINK_ID)
    desk.now = Instant(desk.now + 5_000)
    (again,) = of(PlaceOrder, desk.tell(OrderAbsent(sell.link_id)))
    assert again.link_id != sell.link_id
    assert (again.ticks, again.lots) == (sell.ticks, sell.lots)


def test_doubt_keeps_an_order_unknown_until_the_venue_answers(desk: Desk) -> None:
    (sell,) = of(PlaceOrder, desk.fill(desk.at(980)))
    assert desk.tell(OrderInDoubt(sell.link_id)) == [LookUpOrder(sell.link_id)]
    assert desk.state.cells[4].slot.phase is OrderPhase.UNKNOWN
    assert desk.wait(9_000) == []
    assert desk.wait(2_000) == [LookUpOrder(sell.link_id)]
    desk.tell(desk.report(sell, OrderStatus.OPEN))
    assert desk.state.cells[4].slot.phase is OrderPhase.LIVE


def test_a_definite_never_seen_sends_the_same_order_under_the_same_name_after_a_grace(desk: Desk) -> None:
    (sell,) = of(PlaceOrder, desk.fill(desk.at(980)))
    desk.tell(OrderInDoubt(sell.link_id))
    assert desk.tell(OrderAbsent(sell.link_id)) == []
    assert desk.wait(3_000) == [LookUpOrder(sell.link_id)]
    assert desk.tell(OrderAbsent(sell.link_id)) == [sell]


def test_a_late_refusal_of_the_first_request_does_not_end_the_second() -> None:
    """Both bear one name: taking the refusal for the second would place a third order beside it."""
    desk = neutral()
    desk.fill(desk.at(980))
    sell = desk.at(1_000)
    desk.tell(OrderInDoubt(sell.link_id))
    desk.now = Instant(desk.now + 5_000)
    assert desk.tell(OrderAbsent(sell.link_id)) == [sell]
    assert desk.tell(OrderRejected(sell.link_id, RejectReason.INVALID_QUANTITY)) == [LookUpOrder(sell.link_id)]
    desk.tell(desk.report(sell, OrderStatus.OPEN))
    assert desk.tell(OrderRejected(sell.link_id, RejectReason.INVALID_QUANTITY)) == []
    assert desk.state.cells[4].slot.phase is OrderPhase.LIVE


def test_nothing_is_sent_again_while_the_venue_is_being_read(desk: Desk) -> None:
    (sell,) = of(PlaceOrder, desk.fill(desk.at(980)))
    desk.tell(ResyncStarted())
    desk.now = Instant(desk.now + 5_000)
    assert desk.tell(OrderAbsent(sell.link_id)) == []


def test_an_old_absence_does_not_undo_an_order_that_is_known_to_rest(desk: Desk) -> None:
    order = desk.at(980)
    desk.now = Instant(desk.now + 60_000)
    assert desk.tell(OrderAbsent(order.link_id)) == [LookUpOrder(order.link_id)]
    # The venue keeps no history of unfilled orders for ever: asked again, its word counts.
    assert desk.tell(OrderAbsent(order.link_id)) == [order]


def test_an_order_that_is_gone_after_a_partial_fill_counts_what_was_filled(desk: Desk) -> None:
    order = desk.at(980)
    desk.fill(order, lots=50)
    desk.now = Instant(desk.now + 60_000)
    desk.tell(OrderAbsent(order.link_id))
    (rest,) = of(PlaceOrder, desk.tell(OrderAbsent(order.link_id)))
    assert rest.lots == order.lots - 50


def test_a_stop_during_doubt_cancels_as_soon_as_the_order_turns_out_to_exist(desk: Desk) -> None:
    (sell,) = of(PlaceOrder, desk.fill(desk.at(980)))
    desk.tell(OrderInDoubt(sell.link_id))
    effects = desk.tell(Stop(False))
    assert LookUpOrder(sell.link_id) in effects
    assert desk.tell(OrderAccepted(sell.link_id, VenueOrderId("v"))) == [CancelOrder(sell.link_id)]


def test_a_stop_during_doubt_gives_up_an_order_that_does_not_exist(desk: Desk) -> None:
    (sell,) = of(PlaceOrder, desk.fill(desk.at(980)))
    desk.tell(OrderInDoubt(sell.link_id))
    desk.tell(Stop(False))
    desk.now = Instant(desk.now + 5_000)
    assert of(PlaceOrder, desk.tell(OrderAbsent(sell.link_id))) == []
    assert desk.state.cells[4].slot.is_empty


@pytest.mark.parametrize("reason", [RejectReason.NOT_FOUND, RejectReason.ALREADY_CLOSED])
def test_a_cancel_that_meets_nothing_is_looked_up(desk: Desk, reason: RejectReason) -> None:
    order = desk.at(980)
    desk.tell(Pause())
    assert desk.tell(CancelRefused(order.link_id, reason)) == [LookUpOrder(order.link_id)]
    assert desk.tell(desk.report(order, OrderStatus.OPEN)) == [CancelOrder(order.link_id)]


def test_a_venue_that_refuses_to_cancel_is_not_asked_as_fast_as_it_answers(desk: Desk) -> None:
    order = desk.at(980)
    desk.tell(Pause())
    assert desk.tell(CancelRefused(order.link_id, RejectReason.OTHER)) == []
    assert desk.wait(1_000) == [LookUpOrder(order.link_id)]


def test_a_late_fill_beats_the_cancel(desk: Desk) -> None:
    buy = desk.at(980)
    desk.tell(Stop(False))
    desk.fill(buy)
    assert desk.tell(CancelRefused(buy.link_id, RejectReason.ALREADY_CLOSED)) == []
    assert desk.state.cells[4].base_units > 0
    assert buy.link_id not in desk.placed
