"""What the tables say of a bot's orders, also after a life whose last pages were lost."""

from decimal import Decimal

from actors.projection import Projection, Rows
from engine.grid.machine import step
from engine.grid.messages import GridMessage, Resynced, Start
from engine.grid.state import GridState, new_state
from engine.ids import BotId, Instant, LinkId, VenueOrderId
from engine.trading.orders import OrderReport, OrderStatus, Side
from tests.factories import FEES, SPOT, grid_config

NOW = Instant(1_000_000)


def told(state: GridState, projection: Projection, rows: Rows, message: GridMessage) -> None:
    projection.add(rows, 1, NOW, message, step(state, message, NOW))


def test_an_order_whose_end_nobody_wrote_down_is_over_once_a_later_one_is_met_in_its_place() -> None:
    # Found by the soak: the table called such an order live for ever.
    state = new_state(BotId("abcdefgh"), grid_config(lower=Decimal(80), upper=Decimal(100)), SPOT, FEES)
    rows = Rows()
    told(state, Projection(state), rows, Start(1_005))
    forgotten = LinkId("tg-abcdefgh_9_1_b")
    assert rows.orders[forgotten].is_live
    later = OrderReport(
        LinkId("tg-abcdefgh_9_4_b"), VenueOrderId("v"), Side.BUY, 980, 1_000, OrderStatus.OPEN, filled_lots=0
    )
    next_life = Rows()
    told(state, Projection(state), next_life, Resynced((later,), 1_005, NOW))
    assert next_life.orders[later.link_id].is_live
    assert not next_life.orders[forgotten].is_live
    assert next_life.orders[forgotten].status == "superseded"


def test_an_older_order_that_is_met_late_does_not_end_the_newer_one_in_its_place() -> None:
    state = new_state(BotId("abcdefgh"), grid_config(lower=Decimal(80), upper=Decimal(100)), SPOT, FEES)
    projection, rows = Projection(state), Rows()
    told(state, projection, rows, Start(1_005))
    older = OrderReport(
        LinkId("tg-abcdefgh_9_0_b"), VenueOrderId("v"), Side.BUY, 980, 1_000, OrderStatus.OPEN, filled_lots=0
    )
    told(state, projection, rows, Resynced((older,), 1_005, NOW))
    assert rows.orders[LinkId("tg-abcdefgh_9_1_b")].is_live
