"""A grid turns: each fill is followed by the order one level away, and every lot and fee is accounted for."""

from decimal import Decimal

from engine.errors import RejectReason
from engine.grid.messages import (
    Resync,
    TripClosed,
)
from engine.grid.state import state_hash
from engine.ids import ExecutionId, LinkId, VenueOrderId
from engine.trading.orders import (
    FundingCharged,
    OrderAccepted,
    OrderStatus,
    PlaceOrder,
    Side,
)
from tests.unit.grid.desk import Desk, neutral, of


def test_ten_grids_rest_at_ten_of_eleven_levels_and_the_nearest_stays_empty(desk: Desk) -> None:
    prices = {(order.side.value, order.ticks) for order in desk.placed.values()}
    assert prices == {("buy", ticks) for ticks in range(900, 1_000, 20)} | {
        ("sell", ticks) for ticks in range(1_020, 1_120, 20)
    }


def test_a_filled_buy_is_followed_by_a_sell_one_level_higher(desk: Desk) -> None:
    (sell,) = of(PlaceOrder, desk.fill(desk.at(980)))
    assert (sell.side, sell.ticks) == (Side.SELL, 1_000)


def test_the_sell_is_smaller_by_the_fee_that_was_taken_in_coins(desk: Desk) -> None:
    buy = desk.at(980)
    (sell,) = of(PlaceOrder, desk.fill(buy))
    assert sell.lots == int(buy.lots * Decimal("0.999"))


def test_a_round_trip_is_told_with_its_profit_and_fees(desk: Desk) -> None:
    desk.fill(desk.at(980))
    (trip,) = of(TripClosed, desk.fill(desk.at(1_000)))
    assert trip.level == 4
    assert trip.gross_units > trip.fee_units > 0
    assert desk.state.ledger.trips == 1


def test_a_partial_fill_waits_for_the_rest(desk: Desk) -> None:
    buy = desk.at(980)
    assert desk.fill(buy, lots=10) == []
    assert len(of(PlaceOrder, desk.fill(buy, lots=buy.lots - 10))) == 1


def test_the_same_execution_twice_changes_nothing(desk: Desk) -> None:
    fill = desk.execution(desk.at(980), 10, 980, "same")
    desk.tell(fill)
    before = state_hash(desk.state)
    assert desk.tell(fill) == []
    assert state_hash(desk.state) == before


def test_a_late_copy_of_an_execution_of_an_earlier_order_changes_nothing(desk: Desk) -> None:
    buy = desk.at(980)
    fill = desk.execution(buy, buy.lots, 980, "same")
    desk.tell(fill)
    before = state_hash(desk.state)
    assert desk.tell(fill) == []
    assert state_hash(desk.state) == before


def test_facts_about_orders_of_others_are_ignored(desk: Desk) -> None:
    before = state_hash(desk.state)
    stranger = desk.at(980)
    fill = desk.execution(stranger, 1, 980, "x")
    for name in ("by-hand", "tg-abcdefgh_77_1_b", "tg-abcdefgh_4_0_q"):
        desk.tell(type(fill)(**{f: getattr(fill, f) for f in fill.__struct_fields__} | {"link_id": LinkId(name)}))
        desk.tell(OrderAccepted(LinkId(name), VenueOrderId("v")))
    desk.state.stray_executions = 0
    assert state_hash(desk.state) == before


def test_the_report_may_come_before_its_executions(desk: Desk) -> None:
    buy = desk.at(980)
    assert desk.tell(desk.report(buy, OrderStatus.FILLED, filled=buy.lots)) == []
    (sell,) = of(PlaceOrder, desk.fill(buy))
    assert sell.ticks == 1_000


def test_executions_that_stay_away_are_fetched(desk: Desk) -> None:
    buy = desk.at(980)
    desk.tell(desk.report(buy, OrderStatus.FILLED, filled=buy.lots))
    assert of(Resync, desk.wait(600))


def test_an_older_view_of_a_finished_order_is_ignored(desk: Desk) -> None:
    buy = desk.at(980)
    desk.tell(desk.report(buy, OrderStatus.FILLED, filled=buy.lots))
    assert desk.tell(desk.report(buy, OrderStatus.OPEN)) == []
    assert of(PlaceOrder, desk.fill(buy))


def test_a_venue_cancel_with_a_partial_fill_places_the_rest_again(desk: Desk) -> None:
    buy = desk.at(980)
    desk.fill(buy, lots=50)
    desk.end(buy, OrderStatus.CANCELLED, filled=50)
    (again,) = of(PlaceOrder, desk.wait(6_000))
    assert (again.ticks, again.lots) == (980, buy.lots - 50)
    assert again.link_id != buy.link_id


def test_a_rejected_order_may_carry_fills(desk: Desk) -> None:
    buy = desk.at(980)
    desk.end(buy, OrderStatus.REJECTED, filled=60, reason=RejectReason.OTHER)
    desk.fill(buy, lots=60)
    (again,) = of(PlaceOrder, desk.wait(6_000))
    assert again.lots == buy.lots - 60


def test_a_remainder_below_the_minimum_is_not_placed_but_the_cell_turns(desk: Desk) -> None:
    buy = desk.at(980)
    desk.fill(buy, lots=buy.lots - 5)
    effects = desk.end(buy, OrderStatus.CANCELLED, filled=buy.lots - 5)
    assert [order.side for order in of(PlaceOrder, effects)] == []
    (sell,) = of(PlaceOrder, desk.wait(6_000))
    assert sell.side is Side.SELL


def test_dust_is_kept_and_sold_with_a_later_sell(desk: Desk) -> None:
    # Each buy leaves 0.1 % of fractions; the sells round down to lots.
    first = desk.at(980)
    for _ in range(40):
        desk.fill(desk.at(980))
        desk.fill(desk.at(1_000))
    assert desk.state.loose_base_units < 2 * desk.state.instrument.units_per_lot
    assert desk.at(980).lots == first.lots


def test_funding_is_booked_once() -> None:
    desk = neutral()
    charge = FundingCharged(ExecutionId("f1"), 10**16, desk.now)
    desk.tell(charge)
    before = state_hash(desk.state)
    desk.tell(charge)
    assert state_hash(desk.state) == before
    assert desk.state.ledger.funding_units == 10**16
    assert desk.state.ledger.cash_units == -(10**16)
