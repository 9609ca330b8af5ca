"""The matching rules of `matching.py`, one by one: queue, trades, crossing quotes, orders that take."""

import pytest

from adapters.exchanges.paper.matching import UNKNOWN
from adapters.exchanges.paper.model import Status
from adapters.exchanges.paper.venue import Venue

from .trading_fixtures import COIN, ETH_SPOT, SPOT, Market, Trader


@pytest.fixture(autouse=True)
def _quiet_book(spot: Market) -> None:
    spot.book(
        [(spot.ticks("59000"), COIN), (spot.ticks("59990"), 2 * COIN)], [(spot.ticks("60010"), 2 * COIN)], True
    )
    spot.trade("60000", COIN, buyer_is_taker=True)


@pytest.mark.parametrize(
    ("displayed", "events", "ahead", "filled"),
    [
        # (size displayed when the order joins, what happens at its price, queue left, quantity filled)
        ("0", [("trade", "0.3")], "0", "0.3"),
        ("2", [("trade", "0.5")], "1.5", "0"),
        ("2", [("trade", "2")], "0", "0"),
        ("2", [("trade", "2.4")], "0", "0.4"),
        ("2", [("trade", "1.5"), ("trade", "1.5")], "0", "1"),
        ("2", [("book", "3")], "2", "0"),
        ("2", [("book", "0.5")], "0.5", "0"),
        ("2", [("book", "0.5"), ("trade", "0.6")], "0", "0.1"),
        ("2", [("book", "0")], "0", "0"),
        ("2", [("trade", "0.5"), ("book", "1.5")], "1.5", "0"),
        ("2", [("trade", "0.5"), ("book", "1.2"), ("trade", "1.25")], "0", "0.05"),
        ("2", [("through", "0.25")], "0", "0.25"),
        ("2", [("through", "5")], "0", "1"),
        ("2", [("other side", "5")], "2", "0"),
    ],
)
def test_a_resting_order_waits_for_the_queue_it_joined(
    core: Venue, spot: Market, displayed: str, events: list[tuple[str, str]], ahead: str, filled: str
) -> None:
    spot.bid("59980", size(displayed))
    order = Trader(core).buy(SPOT, "1", "59980")
    for kind, amount in events:
        match kind:
            case "trade":
                spot.trade("59980", size(amount), buyer_is_taker=False)
            case "through":
                spot.trade("59970", size(amount), buyer_is_taker=False)
            case "other side":
                spot.trade("59980", size(amount), buyer_is_taker=True)
            case "book":
                spot.bid("59980", size(amount))
    assert SPOT.quantity(order.filled_lots) == SPOT.quantity(SPOT.lots(filled))
    if order.is_open:
        assert order.ahead == size(ahead)


def test_orders_at_one_price_fill_in_the_order_of_their_arrival(core: Venue, spot: Market) -> None:
    first, second = Trader(core).sell(SPOT, "1", "60020"), Trader(core).sell(SPOT, "1", "60020")
    spot.trade("60020", int(1.5 * COIN), buyer_is_taker=True)
    assert (first.status, second.status) == (Status.FILLED, Status.PARTIALLY_FILLED)
    assert SPOT.quantity_text(second.filled_lots) == "0.500000"


def test_a_later_order_also_waits_for_what_was_displayed_since(core: Venue, spot: Market) -> None:
    spot.ask("60020", COIN)
    first = Trader(core).sell(SPOT, "1", "60020")
    spot.ask("60020", 3 * COIN)
    second = Trader(core).sell(SPOT, "1", "60020")
    spot.trade("60020", int(2.5 * COIN), buyer_is_taker=True)
    # One coin of the trade is the queue before both, one fills the first, half a coin shortens the second's queue.
    assert (first.status, second.filled_lots) == (Status.FILLED, 0)
    assert second.ahead == int(1.5 * COIN)


def test_a_better_price_is_filled_first_and_one_trade_is_handed_out_once(core: Venue, spot: Market) -> None:
    orders = [Trader(core).sell(SPOT, "1", price) for price in ("60040", "60020", "60030")]
    spot.trade("60040", int(1.5 * COIN), buyer_is_taker=True)
    assert [order.filled_lots for order in orders] == [0, SPOT.lots("1"), SPOT.lots("0.5")]


def test_a_remainder_finer_than_a_lot_is_not_filled(core: Venue, spot: Market) -> None:
    order = Trader(core).sell(SPOT, "1", "60020")
    spot.trade("60020", 250, buyer_is_taker=True)
    assert order.filled_lots == 2


def test_the_opposite_quote_reaching_a_price_fills_up_to_its_displayed_size(core: Venue, spot: Market) -> None:
    order = Trader(core).buy(SPOT, "1", "59980")
    spot.book([(spot.ticks("59990"), 0)], [(spot.ticks("59975"), int(0.3 * COIN))])
    assert SPOT.quantity_text(order.filled_lots) == "0.300000"
    spot.book(asks=[(spot.ticks("60500"), COIN)])
    assert SPOT.quantity_text(order.filled_lots) == "0.300000", "the same quote does not trade twice"
    spot.ask("59975", int(0.2 * COIN))
    assert SPOT.quantity_text(order.filled_lots) == "0.500000"
    assert order.filled_tick_lots == order.filled_lots * spot.ticks("59980"), "a maker fills at its own price"


def test_an_order_outside_the_visible_book_learns_its_queue_when_the_price_comes_into_sight(
    core: Venue, spot: Market
) -> None:
    order = Trader(core).buy(SPOT, "0.01", "58000")
    assert order.ahead == UNKNOWN
    spot.book([(spot.ticks("57990"), COIN), (spot.ticks("58000"), 3 * COIN)])
    assert order.ahead == 3 * COIN


def test_a_level_that_leaves_the_visible_window_keeps_its_queue(core: Venue, spot: Market) -> None:
    order = Trader(core).buy(SPOT, "0.01", "59000")
    assert order.ahead == COIN
    spot.bid("59000", 0)
    assert order.ahead == COIN
    spot.bid("58000", COIN)
    spot.bid("59000", COIN // 2)
    assert order.ahead == COIN // 2


def test_a_market_order_walks_the_book_level_by_level(core: Venue, spot: Market) -> None:
    spot.book(asks=[(spot.ticks("60020"), COIN), (spot.ticks("60030"), COIN)])
    trader = Trader(core)
    order = trader.buy(SPOT, "3.5", market_unit="baseCoin")
    prices = [(SPOT.price_text(each.ticks), SPOT.quantity_text(each.lots)) for each in trader.account.executions]
    assert order.status is Status.FILLED
    assert prices == [("60010.00", "2.000000"), ("60020.00", "1.000000"), ("60030.00", "0.500000")]


def test_liquidity_once_taken_is_not_handed_out_again_until_its_level_changes(core: Venue, spot: Market) -> None:
    trader = Trader(core)
    assert trader.buy(SPOT, "2", market_unit="baseCoin").status is Status.FILLED
    assert trader.buy(SPOT, "0.5", market_unit="baseCoin").status is Status.CANCELLED
    spot.book(asks=[(spot.ticks("60010"), 2 * COIN)])
    assert trader.buy(SPOT, "0.5", market_unit="baseCoin").status is Status.CANCELLED, "the size did not change"
    spot.ask("60010", COIN)
    assert trader.buy(SPOT, "0.5", market_unit="baseCoin").status is Status.FILLED


def test_a_crossing_limit_order_takes_what_it_meets_and_rests_with_the_remainder(
    core: Venue, spot: Market
) -> None:
    order = Trader(core).buy(SPOT, "3", "60010")
    assert (order.status, SPOT.quantity_text(order.leaves)) == (Status.PARTIALLY_FILLED, "1.000000")
    spot.trade("60005", COIN, buyer_is_taker=False)
    assert order.status is Status.FILLED


def test_orders_of_two_accounts_trade_with_each_other(core: Venue, spot: Market) -> None:
    maker, taker = Trader(core), Trader(core)
    resting = maker.sell(SPOT, "0.4", "60005")
    taken = taker.buy(SPOT, "1", "60010")
    assert (resting.status, taken.status) == (Status.FILLED, Status.FILLED)
    assert [each.is_maker for each in maker.account.executions] == [True]
    assert [SPOT.price_text(each.ticks) for each in taker.account.executions] == ["60005.00", "60010.00"]


def test_the_recorded_queue_before_a_resting_order_is_taken_first(core: Venue, spot: Market) -> None:
    maker = Trader(core)
    resting = maker.sell(SPOT, "1", "60010")
    Trader(core).buy(SPOT, "1.5", market_unit="baseCoin")
    assert (resting.filled_lots, resting.ahead) == (0, COIN // 2)
    Trader(core).buy(SPOT, "1", market_unit="baseCoin")
    assert SPOT.quantity_text(resting.filled_lots) == "0.500000"


@pytest.mark.parametrize(
    ("time_in_force", "qty", "status", "filled"),
    [
        ("IOC", "3", Status.PARTIALLY_FILLED_CANCELLED, "2.000000"),
        ("IOC", "1", Status.FILLED, "1.000000"),
        ("FOK", "3", Status.CANCELLED, "0.000000"),
        ("FOK", "2", Status.FILLED, "2.000000"),
    ],
)
def test_immediate_orders_never_rest(
    core: Venue, spot: Market, time_in_force: str, qty: str, status: Status, filled: str
) -> None:
    trader = Trader(core)
    order = trader.buy(SPOT, qty, "60010", time_in_force=time_in_force)
    assert (order.status, SPOT.quantity_text(order.filled_lots)) == (status, filled)
    assert not trader.account.open
    assert not any(trader.account.locked.values())


def test_a_post_only_order_that_would_cross_is_rejected_after_its_acknowledgement(
    core: Venue, spot: Market
) -> None:
    trader = Trader(core)
    order = trader.buy(SPOT, "1", "60010", time_in_force="PostOnly")
    assert (order.status, order.reject_reason) == (Status.REJECTED, "EC_PostOnlyWillTakeLiquidity")
    assert (order.filled_lots, trader.account.locked, list(trader.account.executions)) == (0, {}, [])
    assert trader.buy(SPOT, "1", "60009.99", time_in_force="PostOnly").status is Status.NEW


def test_a_post_only_order_does_not_take_another_accounts_order_either(core: Venue, spot: Market) -> None:
    Trader(core).sell(SPOT, "1", "60005")
    assert Trader(core).buy(SPOT, "1", "60005", time_in_force="PostOnly").status is Status.REJECTED


def test_a_cancelled_order_gives_way_to_the_next_in_the_queue(core: Venue, spot: Market) -> None:
    trader = Trader(core)
    first, second = trader.sell(SPOT, "1", "60020"), trader.sell(SPOT, "1", "60020")
    core.desk.end(trader.account, first, "CancelByUser")
    spot.trade("60020", COIN, buyer_is_taker=True)
    assert (first.status, second.status) == (Status.CANCELLED, Status.FILLED)


def test_markets_do_not_touch_each_other(core: Venue, spot: Market) -> None:
    ether = Market(core, ETH_SPOT)
    ether.open("3000")
    order = Trader(core).buy(ETH_SPOT, "1", "2990")
    spot.trade("59000", 50 * COIN, buyer_is_taker=False)
    assert order.filled_lots == 0


def size(text: str) -> int:
    """Count 10**-8 coins."""
    return SPOT.lots(text) * 100
