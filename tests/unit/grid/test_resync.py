"""After a crash or a gap: what earlier lives placed is adopted or cancelled, and nothing is doubled."""

from engine.grid.messages import (
    NoteKind,
    Resynced,
    ResyncStarted,
    Start,
    Stop,
)
from engine.grid.state import BotStatus
from engine.ids import Instant, LinkId
from engine.trading.orders import (
    CancelOrder,
    LookUpOrder,
    OrderKind,
    OrderStatus,
    PlaceOrder,
    Side,
)
from tests.factories import grid_config
from tests.unit.grid.desk import MIDDLE, Desk, of


def test_nothing_is_placed_before_the_venue_has_been_read(desk: Desk) -> None:
    desk.tell(ResyncStarted())
    buy = desk.at(980)
    assert of(PlaceOrder, desk.fill(buy)) == []
    assert [order.ticks for order in of(PlaceOrder, desk.agree(MIDDLE))] == [1_000]


def test_an_order_that_an_earlier_life_placed_is_adopted(desk: Desk) -> None:
    buy = desk.at(980)
    desk.tell(ResyncStarted())
    desk.fill(buy)
    sell = PlaceOrder(LinkId("tg-abcdefgh_5_2_s"), Side.SELL, OrderKind.POST_ONLY, 1_000, buy.lots - 1)
    desk.placed[sell.link_id] = sell
    assert of(PlaceOrder, desk.agree(MIDDLE)) == []
    assert desk.notes(NoteKind.ADOPTED)
    desk.fill(sell)
    assert desk.state.ledger.trips == 1


def test_fills_of_an_adopted_order_wait_for_the_older_ones(desk: Desk) -> None:
    """The stream may tell of the newest order before the pages have told of its predecessor."""
    buy = desk.at(980)
    desk.tell(ResyncStarted())
    sell = PlaceOrder(LinkId("tg-abcdefgh_5_2_s"), Side.SELL, OrderKind.POST_ONLY, 1_000, buy.lots - 1)
    late = desk.execution(sell, sell.lots, 1_000, "newer")
    assert desk.tell(late) == []
    assert desk.tell(late) == []
    desk.fill(buy)
    desk.agree(MIDDLE)
    assert desk.state.ledger.trips == 1
    assert desk.at(980).side is Side.BUY


def test_a_listed_order_of_no_level_is_cancelled(desk: Desk) -> None:
    orphan = PlaceOrder(LinkId("tg-abcdefgh_40_1_b"), Side.BUY, OrderKind.POST_ONLY, 1_700, 10)
    desk.now = Instant(desk.now + 100)
    desk.placed[orphan.link_id] = orphan
    assert CancelOrder(orphan.link_id) in desk.agree(MIDDLE)
    assert desk.notes(NoteKind.ORPHAN)


def test_a_list_older_than_the_present_order_raises_no_alarm(desk: Desk) -> None:
    buy = desk.at(980)
    listed = (desk.report(buy, OrderStatus.OPEN),)
    asked = desk.now
    desk.now = Instant(desk.now + 50)
    desk.fill(buy)
    effects = desk.tell(Resynced(listed, MIDDLE, asked))
    assert of(CancelOrder, effects) == []


def test_orders_that_are_not_listed_are_looked_up(desk: Desk) -> None:
    order = desk.at(980)
    del desk.placed[order.link_id]
    desk.now = Instant(desk.now + 100)
    assert LookUpOrder(order.link_id) in desk.agree(MIDDLE)


def test_a_cancel_that_died_with_the_process_is_made_again(desk: Desk) -> None:
    desk.tell(Stop(False))
    desk.tell(ResyncStarted())
    desk.now = Instant(desk.now + 100)
    assert len(of(CancelOrder, desk.agree(MIDDLE))) == 10


def test_an_order_on_the_wire_of_a_dead_process_is_taken_over_when_it_arrives(desk: Desk) -> None:
    buy = desk.at(980)
    straggler = PlaceOrder(LinkId("tg-abcdefgh_4_2_b"), Side.BUY, OrderKind.POST_ONLY, 980, buy.lots)
    desk.tell(desk.report(straggler, OrderStatus.OPEN))
    assert desk.state.cells[4].slot.generation == 2
    desk.cancel_all(desk.tell(Stop(False)))
    desk.end(straggler, OrderStatus.CANCELLED)
    desk.agree(MIDDLE)
    later = PlaceOrder(LinkId("tg-abcdefgh_4_3_b"), Side.BUY, OrderKind.POST_ONLY, 980, buy.lots)
    assert desk.tell(desk.report(later, OrderStatus.OPEN)) == [CancelOrder(later.link_id)]


def test_an_entry_known_only_in_part_is_not_bought_twice() -> None:
    desk = Desk(grid_config())
    desk.tell(Start(MIDDLE))
    first = desk.only(OrderKind.MARKET)
    desk.tell(ResyncStarted())
    desk.fill(first, lots=400, at=MIDDLE)
    # The lost life had placed a second order for the rest.
    rest = PlaceOrder(LinkId("tg-abcdefgh_entry_2_b"), Side.BUY, OrderKind.MARKET, 0, first.lots - 400)
    desk.placed.clear()
    desk.fill(rest, at=MIDDLE)
    desk.agree(MIDDLE)
    assert desk.state.status is BotStatus.RUNNING
    assert desk.state.entry_left == 0
    assert len(desk.placed) == 10
