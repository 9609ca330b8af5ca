"""Bybit's text and the engine's numbers: exact both ways, and every word of the venue has one meaning."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.exchanges.bybit.codec import InstrumentCodec, Scale, fee_units
from adapters.exchanges.bybit.errors import AMBIGUOUS, command_error, query_error, reject_reason
from adapters.exchanges.bybit.wire import ExecutionRow, OrderRow, decode_private
from engine.errors import OutcomeUnknown, Rejected, RejectReason, Retryable
from engine.ids import LinkId
from engine.trading.instrument import Instrument, Market, amount_units
from engine.trading.orders import (
    CancelOrder,
    Execution,
    FundingCharged,
    OrderKind,
    OrderStatus,
    PlaceOrder,
    Side,
)


def instrument(market: Market = Market.LINEAR, tick: str = "0.10", lot: str = "0.001") -> Instrument:
    return Instrument(
        symbol="BTCUSDT",
        market=market,
        base="BTC",
        quote="USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_lots=1,
        max_lots=1_000_000,
        max_market_lots=1_000,
        min_notional=Decimal(5),
    )


LINEAR, SPOT = InstrumentCodec(instrument()), InstrumentCodec(instrument(Market.SPOT, "0.01", "0.000001"))


@pytest.mark.parametrize(
    ("step", "decimals", "text", "count"),
    [
        ("0.10", 1, "65000.1", 650001),
        ("0.10", 1, "65000.10", 650001),
        ("0.10", 1, "65000", 650000),
        ("0.05", 2, "1.15", 23),
        ("0.000001", 6, "0.000011", 11),
        ("0.000001", 6, "63", 63_000_000),
        ("1", 0, "250", 250),
        ("10", 0, "250", 25),
        ("0.1", 1, "0", 0),
    ],
)
def test_decimal_text_becomes_whole_steps(step: str, decimals: int, text: str, count: int) -> None:
    scale = Scale(Decimal(step), decimals)
    assert scale.count(text) == count
    assert Decimal(scale.text(count)) == Decimal(text)


@pytest.mark.parametrize("text", ["65000.15", "1.00001", "", "abc", "1.1.1"])
def test_text_off_the_grid_is_refused_not_rounded(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        LINEAR.ticks.count(text)


@given(
    count=st.integers(0, 10**12),
    step=st.sampled_from(["0.10", "0.05", "0.01", "0.00001", "0.5", "1", "5", "10", "0.25"]),
)
def test_written_numbers_read_back_as_the_instrument_reads_them(count: int, step: str) -> None:
    listed = instrument(tick=step)
    scale = InstrumentCodec(listed).ticks
    assert scale.text(count) == listed.price_text(count)
    assert scale.count(listed.price_text(count)) == count == listed.ticks(scale.text(count))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**9), max_value=10**9))
def test_fees_are_read_to_the_last_unit(fee: Decimal) -> None:
    assert fee_units(f"{fee:f}") == amount_units(fee)


@pytest.mark.parametrize(("text", "units"), [("", 0), ("1E-8", 10**10), ("-0.5", -5 * 10**17), ("0", 0)])
def test_strange_fee_texts_are_understood(text: str, units: int) -> None:
    assert fee_units(text) == units


def placed(kind: OrderKind, **more: bool) -> PlaceOrder:
    ticks = 0 if kind is OrderKind.MARKET else 650_001
    return PlaceOrder(LinkId("tg-abc_1_0_b"), Side.BUY, kind, ticks, 2, **more)


def test_a_post_only_order_is_written_as_bybit_wants_it() -> None:
    assert json.loads(LINEAR.place(placed(OrderKind.POST_ONLY))) == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "qty": "0.002",
        "price": "65000.1",
        "timeInForce": "PostOnly",
        "orderLinkId": "tg-abc_1_0_b",
        "positionIdx": 0,
    }


def test_a_spot_market_buy_counts_in_the_base_coin() -> None:
    # Without marketUnit Bybit would take the quantity for an amount of USDT.
    order = json.loads(SPOT.place(placed(OrderKind.MARKET)))
    assert order["marketUnit"] == "baseCoin"
    assert order["qty"] == "0.000002"
    assert "price" not in order
    assert "positionIdx" not in order


def test_reduce_only_is_for_linear_only() -> None:
    assert json.loads(LINEAR.place(placed(OrderKind.LIMIT, reduce_only=True)))["reduceOnly"] is True
    assert "reduceOnly" not in json.loads(SPOT.place(placed(OrderKind.LIMIT, reduce_only=True)))


def test_a_cancel_names_the_order_by_our_id() -> None:
    assert json.loads(SPOT.cancel(CancelOrder(LinkId("tg-abc_1_0_b")))) == {
        "category": "spot",
        "symbol": "BTCUSDT",
        "orderLinkId": "tg-abc_1_0_b",
    }


@pytest.mark.parametrize("link_id", ['a","side":"Sell', "", "x" * 37, "käse", "a b", "a\n"])
def test_a_link_id_that_would_need_escaping_is_refused(link_id: str) -> None:
    with pytest.raises(ValueError, match="cannot name an order"):
        LINEAR.cancel(CancelOrder(LinkId(link_id)))


def order_row(**changes: str) -> OrderRow:
    row = {
        "symbol": "BTCUSDT",
        "order_id": "v1",
        "order_link_id": "tg-abc_1_0_b",
        "side": "Sell",
        "order_type": "Limit",
        "price": "65000.10",
        "qty": "0.010",
        "cum_exec_qty": "0",
        "order_status": "New",
        "reject_reason": "EC_NoError",
        "cancel_type": "UNKNOWN",
    }
    return OrderRow(**(row | changes))


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Created", OrderStatus.OPEN),
        ("New", OrderStatus.OPEN),
        ("PartiallyFilled", OrderStatus.OPEN),
        ("Untriggered", OrderStatus.OPEN),
        ("Triggered", OrderStatus.OPEN),
        ("Filled", OrderStatus.FILLED),
        ("Cancelled", OrderStatus.CANCELLED),
        ("PartiallyFilledCanceled", OrderStatus.CANCELLED),
        ("Deactivated", OrderStatus.CANCELLED),
        ("Rejected", OrderStatus.REJECTED),
    ],
)
def test_each_status_of_the_venue_has_one_meaning(word: str, status: OrderStatus) -> None:
    assert LINEAR.report(order_row(order_status=word)).status is status


def test_an_unknown_status_is_not_guessed() -> None:
    with pytest.raises(KeyError):
        LINEAR.report(order_row(order_status="Suspended"))


@pytest.mark.parametrize("word", ["Rejected", "Cancelled"])
def test_a_post_only_order_that_would_cross_is_rejected_whatever_its_status_says(word: str) -> None:
    report = LINEAR.report(order_row(order_status=word, reject_reason="EC_PostOnlyWillTakeLiquidity"))
    assert report.status is OrderStatus.REJECTED
    assert report.reason is RejectReason.WOULD_TAKE_LIQUIDITY


def test_a_rejected_order_may_have_been_filled_in_part() -> None:
    report = LINEAR.report(order_row(order_status="Rejected", cum_exec_qty="0.004", reject_reason="EC_Others"))
    assert (report.filled_lots, report.reason) == (4, RejectReason.OTHER)


def test_our_own_cancel_has_no_reason_and_the_venues_has_one() -> None:
    assert LINEAR.report(order_row(order_status="Cancelled", cancel_type="CancelByUser")).reason is None
    ended = LINEAR.report(order_row(order_status="Cancelled", cancel_type="CancelByReduceOnly"))
    assert ended.reason is RejectReason.REDUCE_ONLY


def test_a_market_order_has_no_ticks_whatever_price_the_venue_shows() -> None:
    # Linear market orders come back with the venue's own slippage bound as their price.
    assert LINEAR.report(order_row(order_type="Market", price="61234.567")).ticks == 0


def execution_row(**changes: object) -> ExecutionRow:
    row: dict[str, object] = {
        "symbol": "BTCUSDT",
        "exec_id": "e1",
        "exec_type": "Trade",
        "exec_price": "65000.10",
        "exec_qty": "0.001",
        "exec_fee": "0.0130000",
        "exec_time": 1672364174443,
        "side": "Buy",
        "order_id": "v1",
        "order_link_id": "tg-abc_1_0_b",
        "order_qty": "0.010",
        "is_maker": True,
    }
    return ExecutionRow(**(row | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("codec", "changes", "asset"),
    [
        (SPOT, {"side": "Buy", "fee_currency": ""}, "BTC"),
        (SPOT, {"side": "Sell", "fee_currency": ""}, "USDT"),
        (SPOT, {"side": "Sell", "fee_currency": "BTC", "exec_fee": "-0.1"}, "BTC"),
        (LINEAR, {"side": "Buy", "fee_currency": ""}, "USDT"),
        (LINEAR, {"side": "Sell"}, "USDT"),
    ],
)
def test_the_fee_is_in_the_coin_that_the_venue_took(
    codec: InstrumentCodec, changes: dict[str, object], asset: str
) -> None:
    fact = codec.execution(execution_row(**changes))
    assert isinstance(fact, Execution)
    assert fact.fee_asset == asset


def test_funding_is_a_payment_not_a_fill() -> None:
    row = execution_row(exec_type="Funding", exec_fee="-0.25", exec_price="65000.123", order_link_id="")
    fact = LINEAR.execution(row)
    assert isinstance(fact, FundingCharged)
    assert fact.amount_units == -25 * 10**16


def test_an_unknown_kind_of_execution_is_not_taken_for_a_fill() -> None:
    assert LINEAR.execution(execution_row(exec_type="SessionSettlePnL")) is None


def test_a_documented_push_is_read() -> None:
    push = decode_private(
        b'{"id":"592324803b2785","topic":"execution","creationTime":1672364174455,"data":[{"category":"linear",'
        b'"symbol":"BTCUSDT","execFee":"0.005061","execId":"7e2ae69c","execPrice":"0.3","execQty":"25",'
        b'"execType":"Trade","execValue":"8.435","isMaker":false,"feeRate":"0.0006","tradeIv":"","orderId":"f6e3",'
        b'"orderLinkId":"","orderQty":"25","orderType":"Market","side":"Sell","execTime":"1672364174443"}]}'
    )
    assert push.data[0].exec_time == 1672364174443  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (110007, RejectReason.INSUFFICIENT_BALANCE),
        (170131, RejectReason.INSUFFICIENT_BALANCE),
        (110072, RejectReason.DUPLICATE_LINK_ID),
        (170141, RejectReason.DUPLICATE_LINK_ID),
        (110001, RejectReason.NOT_FOUND),
        (170213, RejectReason.NOT_FOUND),
        (110094, RejectReason.BELOW_MINIMUM),
        (170140, RejectReason.BELOW_MINIMUM),
        (110020, RejectReason.TOO_MANY_ORDERS),
        (170810, RejectReason.TOO_MANY_ORDERS),
        (110003, RejectReason.PRICE_OUT_OF_RANGE),
        (10005, RejectReason.PERMISSION),
        (123456, RejectReason.OTHER),
    ],
)
def test_codes_become_reasons(code: int, reason: RejectReason) -> None:
    assert reject_reason(code, "") is reason


def test_a_wrong_parameter_is_told_by_its_text() -> None:
    assert reject_reason(10001, "Qty invalid") is RejectReason.INVALID_QUANTITY
    assert reject_reason(10001, "Order price is wrong") is RejectReason.INVALID_PRICE


def test_the_same_code_is_a_doubt_for_a_command_and_a_retry_for_a_query() -> None:
    for code in AMBIGUOUS:
        assert isinstance(command_error(code, ""), OutcomeUnknown)
        assert isinstance(query_error(code, ""), Retryable)
    assert isinstance(command_error(10001, ""), Rejected)
    assert isinstance(query_error(10002, ""), Retryable)
