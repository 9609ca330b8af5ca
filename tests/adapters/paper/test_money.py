"""Money at the PaperVenue: locks, fees, margins, profit, funding and liquidation, to the last unit."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.exchanges.paper.codes import Refused
from adapters.exchanges.paper.model import Order, Status
from adapters.exchanges.paper.requests import AmendOrder, CancelOrder, CreateOrder
from adapters.exchanges.paper.venue import Venue
from engine.trading.instrument import FeeRates, Instrument, amount_text, amount_units
from engine.trading.instrument import Market as Kind

from .trading_fixtures import COIN, ETH_LINEAR, LINEAR, LISTED, SPOT, Market, Trader, open_markets


@pytest.fixture(autouse=True)
def _open(core: Venue) -> None:
    open_markets(core)


def test_a_spot_buy_locks_quote_at_its_limit_and_pays_the_fee_in_base(core: Venue, spot: Market) -> None:
    trader = Trader(core, {"USDT": "1000"})
    trader.buy(SPOT, "0.01", "59990.01")
    assert _locked(trader, "USDT") == "599.9001"
    assert amount_text(core.clearing.free(trader.account, "USDT")) == "400.0999"
    spot.trade("59990", COIN, buyer_is_taker=False)
    assert _balances(trader) == {"BTC": "0.00999", "USDT": "400.0999"}
    assert _locked(trader, "USDT") == "0"


def test_a_better_fill_price_gives_the_difference_back(core: Venue) -> None:
    trader = Trader(core, {"USDT": "1000"})
    trader.buy(SPOT, "0.01", "60100")
    assert _balances(trader) == {
        "BTC": "0.00999",
        "USDT": amount_text(amount_units("1000") - amount_units("600.001")),
    }
    assert _locked(trader, "USDT") == "0"


def test_a_spot_sell_locks_base_and_pays_the_fee_in_quote(core: Venue, spot: Market) -> None:
    trader = Trader(core, {"BTC": "0.01"})
    order = trader.sell(SPOT, "0.01", "60050.01")
    assert _locked(trader, "BTC") == "0.01"
    spot.trade("60060", COIN, buyer_is_taker=True)
    assert (_balances(trader), order.fee_coin) == ({"BTC": "0", "USDT": "599.8995999"}, "USDT")


def test_a_fee_is_exact_in_its_last_digit(core: Venue, spot: Market) -> None:
    trader = Trader(core, {"USDT": "1000"}, fees={Kind.SPOT: FeeRates(Decimal("0.000675"), Decimal("0.001"))})
    trader.buy(SPOT, "0.000123", "59990")
    spot.trade("59990", COIN, buyer_is_taker=False)
    spot.trade("59989", COIN, buyer_is_taker=False)
    assert _balances(trader)["BTC"] == "0.000122916975"


def test_a_maker_rebate_is_paid_in_the_coin_that_was_given(core: Venue, spot: Market) -> None:
    rebate = {Kind.SPOT: FeeRates(Decimal("-0.0001"), Decimal("0.001"))}
    trader = Trader(core, {"USDT": "1000"}, fees=rebate)
    order = trader.buy(SPOT, "0.01", "59990")
    spot.trade("59980", COIN, buyer_is_taker=False)
    assert (order.fee_coin, amount_text(order.fee_units)) == ("USDT", "-0.05999")
    assert _balances(trader) == {"BTC": "0.01", "USDT": "400.15999"}


def test_a_cancel_releases_exactly_what_is_left(core: Venue, spot: Market) -> None:
    trader = Trader(core, {"USDT": "1000"})
    order = trader.buy(SPOT, "0.01", "59990.01")
    spot.trade("59990", 400_000, buyer_is_taker=False)
    core.desk.cancel(trader.account, CancelOrder("spot", "BTCUSDT", order.order_id))
    assert order.status is Status.PARTIALLY_FILLED_CANCELLED
    assert (_locked(trader, "USDT"), order.locked) == ("0", 0)
    assert _balances(trader) == {"BTC": "0.003996", "USDT": "760.03996"}


def test_money_in_open_orders_cannot_be_spent_again(core: Venue) -> None:
    trader = Trader(core, {"USDT": "1000"})
    trader.buy(SPOT, "0.01", "59990")
    with pytest.raises(Refused) as refused:
        trader.buy(SPOT, "0.007", "59990")
    assert refused.value.code == 170131
    with pytest.raises(Refused):
        core.deposit(trader.account, "USDT", "-400.2")


@pytest.mark.parametrize(
    ("unit", "qty", "spent", "received"),
    [("quoteCoin", "600.001", "600.001", "0.00999"), ("baseCoin", "0.01", "600.001", "0.00999")],
)
def test_a_market_buy_names_what_it_pays_or_what_it_gets(
    core: Venue, unit: str, qty: str, spent: str, received: str
) -> None:
    trader = Trader(core, {"USDT": "1000"})
    order = trader.buy(SPOT, qty, market_unit=unit)
    assert order.status is Status.FILLED
    assert _balances(trader) == {
        "BTC": received,
        "USDT": amount_text(amount_units("1000") - amount_units(spent)),
    }


def test_a_market_buy_never_spends_more_than_its_amount(core: Venue) -> None:
    trader = Trader(core, {"USDT": "1000"})
    order = trader.buy(SPOT, "100")
    assert order.status is Status.FILLED
    assert SPOT.value(1, order.filled_tick_lots) <= amount_units("100")


def test_an_amend_moves_the_lock_and_a_refused_amend_changes_nothing(core: Venue) -> None:
    trader = Trader(core, {"USDT": "1000"})
    order = trader.buy(SPOT, "0.01", "59990")
    core.desk.amend(trader.account, AmendOrder("spot", "BTCUSDT", order.order_id, price="50000"))
    assert _locked(trader, "USDT") == "500"
    with pytest.raises(Refused) as refused:
        core.desk.amend(trader.account, AmendOrder("spot", "BTCUSDT", order.order_id, qty="0.021"))
    assert refused.value.code == 170131
    assert (_locked(trader, "USDT"), order.lots, order.ticks) == ("500", SPOT.lots("0.01"), SPOT.ticks("50000"))
    core.desk.amend(trader.account, AmendOrder("spot", "BTCUSDT", order.order_id, qty="0.02"))
    assert _locked(trader, "USDT") == "1000"


# ---------------------------------------------------------------------- linear


def test_a_long_is_opened_averaged_and_closed_with_exact_profit(core: Venue, linear: Market) -> None:
    free_of_fees = {Kind.LINEAR: FeeRates(Decimal(0), Decimal(0))}
    trader = Trader(core, {"USDT": "10000"}, fees=free_of_fees)
    position = trader.account.position("BTCUSDT")
    for price in ("59990", "59980", "59970"):
        trader.buy(LINEAR, "0.001", price)
        linear.trade("59960", COIN, buyer_is_taker=False)
    assert (position.lots, position.cost) == (3, LINEAR.ticks("179940"))
    for price in ("60040", "60050", "60063"):
        trader.sell(LINEAR, "0.001", price, reduce_only=True)
        linear.trade("60070", COIN, buyer_is_taker=True)
    assert (position.lots, position.cost) == (0, 0)
    assert _balances(trader) == {"USDT": "10000.213"}


def test_a_position_flips_through_zero(core: Venue, linear: Market) -> None:
    trader = Trader(core, {"USDT": "10000"})
    trader.buy(LINEAR, "0.010")
    trader.sell(LINEAR, "0.025")
    position = trader.account.position("BTCUSDT")
    assert (position.lots, position.cost) == (-15, 15 * LINEAR.ticks("59999"))
    closed = trader.account.closed[trader.account.executions[-1].order_id]
    fees = amount_units("600.01") * 55 // 10**5 + amount_units("599.99") * 55 // 10**5
    assert (closed.closed_lots, closed.pnl_units) == (10, -amount_units("0.02") - fees)


def test_margin_is_checked_and_closing_needs_none(core: Venue) -> None:
    trader = Trader(core, {"USDT": "100"})
    with pytest.raises(Refused) as refused:
        trader.buy(LINEAR, "0.017", "60000")
    assert refused.value.code == 110007
    trader.buy(LINEAR, "0.016")
    with pytest.raises(Refused):
        trader.buy(LINEAR, "0.001", "59000")
    assert trader.sell(LINEAR, "0.016", "60100").status is Status.NEW
    assert trader.sell(LINEAR, "0.016", reduce_only=True).status is Status.FILLED


def test_reduce_only_needs_a_position_and_shrinks_with_it(core: Venue, linear: Market) -> None:
    trader = Trader(core)
    with pytest.raises(Refused) as refused:
        trader.sell(LINEAR, "0.01", "60100", reduce_only=True)
    assert refused.value.code == 110017
    trader.buy(LINEAR, "0.010")
    orders = [trader.sell(LINEAR, "0.008", price, reduce_only=True) for price in ("60100", "60200")]
    linear.trade("60150", COIN, buyer_is_taker=True)
    assert (orders[0].status, orders[1].leaves) == (Status.FILLED, 2)
    linear.trade("60250", COIN, buyer_is_taker=True)
    assert (orders[1].status, trader.account.position("BTCUSDT").lots) == (Status.FILLED, 0)


def test_reduce_only_orders_go_when_the_position_is_closed_otherwise(core: Venue) -> None:
    trader = Trader(core)
    trader.buy(LINEAR, "0.010")
    order = trader.sell(LINEAR, "0.008", "60100", reduce_only=True)
    trader.sell(LINEAR, "0.010")
    assert (order.status, order.cancel_type) == (Status.CANCELLED, "CancelByReduceOnly")


@pytest.mark.parametrize(("side", "sign"), [("Buy", 1), ("Sell", -1)])
def test_funding_is_paid_by_longs_and_received_by_shorts(core: Venue, side: str, sign: int) -> None:
    trader = Trader(core, {"USDT": "10000"}, fees={Kind.LINEAR: FeeRates(Decimal(0), Decimal(0))})
    trader.place(LINEAR, side, "0.010")
    core.settle_funding(Kind.LINEAR, "BTCUSDT")
    funding = trader.account.executions[-1]
    assert (funding.exec_type, funding.fee_units) == ("Funding", sign * amount_units("0.06"))
    assert trader.account.coin("USDT") == amount_units("10000") - sign * amount_units("0.06")


def test_funding_is_settled_once_when_an_interval_ends(core: Venue) -> None:
    trader = Trader(core)
    trader.buy(LINEAR, "0.010")
    core.settle_due_funding()
    core.settle_due_funding()
    core.faults.set_clock_offset(8 * 3_600_000)
    core.settle_due_funding()
    core.settle_due_funding()
    assert [each.exec_type for each in trader.account.executions] == ["Trade", "Funding"]


def test_a_position_is_liquidated_when_the_mark_crosses_and_loses_no_more_than_its_margin(
    core: Venue, linear: Market
) -> None:
    trader = Trader(core, {"USDT": "1000"})
    trader.buy(LINEAR, "0.010")
    resting = trader.buy(LINEAR, "0.001", "50000")
    before = trader.account.coin("USDT")
    linear.open("54400")
    assert trader.account.position("BTCUSDT").lots == 10
    linear.open("54200")
    bust = trader.account.executions[-1]
    assert (bust.exec_type, bust.lots, trader.account.position("BTCUSDT").lots) == ("BustTrade", 10, 0)
    assert resting.cancel_type == "CancelAllBeforeLiq"
    margin = amount_units("60.001")
    assert margin - LINEAR.value(10, 1) < before - trader.account.coin("USDT") - bust.fee_units <= margin
    assert not any((trader.account.position("BTCUSDT").bid_lots, trader.account.position("BTCUSDT").bid_cost))


def test_in_cross_mode_the_whole_free_balance_stands_behind_a_position(core: Venue, linear: Market) -> None:
    trader = Trader(core, {"USDT": "1000"})
    trader.account.wallet.isolated = False
    trader.buy(LINEAR, "0.010")
    linear.open("50000")
    assert trader.account.position("BTCUSDT").lots == 10


def test_a_stop_closes_the_position_at_the_market(core: Venue, linear: Market) -> None:
    trader = Trader(core)
    trader.buy(LINEAR, "0.010")
    trader.account.position("BTCUSDT").stop_loss_ticks = LINEAR.ticks("59500")
    linear.open("59400")
    last = trader.account.by_id[trader.account.executions[-1].order_id]
    assert (trader.account.position("BTCUSDT").lots, last.stop_order_type) == (0, "StopLoss")


# ---------------------------------------------------------------------- conservation

_prices = st.integers(-40, 40)
_placing = st.tuples(
    st.just("place"),
    st.integers(0, 1),
    st.sampled_from([SPOT, LINEAR, ETH_LINEAR]),
    st.booleans(),
    _prices,
    st.integers(1, 50),
    st.sampled_from(["GTC", "IOC", "FOK", "PostOnly", "Market"]),
    st.booleans(),
)
_action = st.one_of(
    _placing,
    _placing,
    _placing,
    st.tuples(st.just("cancel"), st.integers(0, 1), st.integers(0, 9)),
    st.tuples(st.just("amend"), st.integers(0, 1), st.integers(0, 9), _prices, st.integers(1, 50)),
    st.tuples(
        st.just("trade"),
        st.sampled_from([SPOT, LINEAR, ETH_LINEAR]),
        _prices,
        st.integers(1, 3 * COIN),
        st.booleans(),
    ),
    st.tuples(st.just("open"), st.sampled_from([SPOT, LINEAR, ETH_LINEAR]), st.integers(-400, 400)),
    st.tuples(st.just("funding")),
    st.tuples(st.just("leverage"), st.integers(0, 1), st.sampled_from([100, 333, 1000, 5000])),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(_action, min_size=15, max_size=60))
def test_money_is_conserved_to_the_last_unit_whatever_happens(actions: list[tuple]) -> None:
    venue = Venue(LISTED)
    open_markets(venue)
    odd = {
        Kind.SPOT: FeeRates(Decimal("-0.00007"), Decimal("0.000913")),
        Kind.LINEAR: FeeRates(Decimal("0.000137"), Decimal("0.00055")),
    }
    traders = [
        Trader(venue, {"USDT": "5000.000000000000000001", "BTC": "0.5"}, fees=odd),
        Trader(venue, {"USDT": "700", "BTC": "2"}),
    ]
    for action in actions:
        _act(venue, traders, action)
        assert_conserved(venue)
    for trader in traders:
        for order in tuple(trader.account.open.values()):
            venue.desk.end(trader.account, order, "CancelByUser")
        assert not any(trader.account.locked.values())
        for position in trader.account.positions.values():
            assert not any((position.bid_lots, position.bid_cost, position.ask_lots, position.ask_cost))


def _act(venue: Venue, traders: list[Trader], action: tuple) -> None:
    try:
        match action:
            case ("place", who, instrument, buy, offset, quantity, kind, reduce_only):
                _place(venue, traders[who], instrument, buy, offset, quantity, kind, reduce_only)
            case ("cancel", who, which):
                order = _chosen(traders[who], which)
                if order is not None:
                    request = CancelOrder(order.market.value, order.symbol, order.order_id)
                    venue.desk.cancel(traders[who].account, request)
            case ("amend", who, which, offset, quantity):
                order = _chosen(traders[who], which)
                if order is not None:
                    instrument = venue.listings[order.market, order.symbol].instrument
                    request = AmendOrder(
                        order.market.value,
                        order.symbol,
                        order.order_id,
                        price=_price(venue, instrument, offset),
                        qty=_quantity(instrument, quantity),
                    )
                    venue.desk.amend(traders[who].account, request)
            case ("trade", instrument, offset, size, buyer):
                Market(venue, instrument).trade(_price(venue, instrument, offset), size, buyer)
            case ("open", instrument, offset):
                Market(venue, instrument).open(_price(venue, instrument, offset), levels=8, size=COIN // 50)
            case ("funding",):
                venue.settle_funding(Kind.LINEAR, "BTCUSDT")
            case ("leverage", who, leverage):
                traders[who].account.position("BTCUSDT").leverage = leverage
    except Refused:
        pass
    venue.records.commit()


def _place(
    venue: Venue,
    trader: Trader,
    instrument: Instrument,
    buy: bool,
    offset: int,
    quantity: int,
    kind: str,
    reduce_only: bool,
) -> None:
    request = CreateOrder(
        category=instrument.market.value,
        symbol=instrument.symbol,
        side="Buy" if buy else "Sell",
        order_type="Market" if kind == "Market" else "Limit",
        qty=_quantity(instrument, quantity),
        price=None if kind == "Market" else _price(venue, instrument, offset),
        time_in_force=None if kind == "Market" else kind,
        market_unit="baseCoin",
        reduce_only=reduce_only,
    )
    venue.desk.place(trader.account, request)


def _chosen(trader: Trader, which: int) -> Order | None:
    orders = list(trader.account.open.values())
    return orders[which % len(orders)] if orders else None


def _price(venue: Venue, instrument: Instrument, offset: int) -> str:
    last = venue.board.of(instrument).last_ticks or 1
    return instrument.price_text(max(1, last + offset * last // 2000))


def _quantity(instrument: Instrument, quantity: int) -> str:
    return instrument.quantity_text(quantity * (997 if instrument.market is Kind.SPOT else 1))


def assert_conserved(venue: Venue) -> None:
    """Check that every unit of every coin is somewhere, and that each position's profit is its cash."""
    till, accounts = venue.records.till, venue.records.accounts.values()
    for coin in ("USDT", "BTC", "ETH"):
        held = sum(account.coin(coin) for account in accounts)
        kept = till.fees.get(coin, 0) + till.outside.get(coin, 0)
        assert held + kept == till.deposits.get(coin, 0), coin
    for account in accounts:
        assert all(units >= 0 for units in account.locked.values())
        for coin in ("BTC", "ETH"):
            assert account.coin(coin) >= account.locked.get(coin, 0) >= 0
        for position in account.positions.values():
            _assert_cash_flow(venue, account.executions, position)


def _assert_cash_flow(venue: Venue, executions, position) -> None:
    """Profit realised so far, less what the open lots cost, is exactly the cash that the fills moved."""
    trades = [
        each
        for each in executions
        if each.symbol == position.symbol and each.market is Kind.LINEAR and each.exec_type != "Funding"
    ]
    value = venue.listings[Kind.LINEAR, position.symbol].instrument.value_per_tick_lot
    cash = sum(each.ticks * each.lots * (-1 if each.buy else 1) for each in trades) * value
    cost = position.cost * value * (1 if position.lots > 0 else -1)
    assert sum(each.realised_units for each in trades) - cost == cash
    assert sum(each.lots * (1 if each.buy else -1) for each in trades) == position.lots


def _balances(trader: Trader) -> dict[str, str]:
    return {coin: amount_text(units) for coin, units in sorted(trader.account.wallet.coins.items())}


def _locked(trader: Trader, coin: str) -> str:
    return amount_text(trader.account.locked.get(coin, 0))
