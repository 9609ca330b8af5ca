"""Unmodified pybit against the PaperVenue: every private endpoint and topic, and its trade socket."""

import asyncio
import queue
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pybit.exceptions import InvalidRequestError
from pybit.unified_trading import HTTP, WebSocket, WebSocketTrading

from adapters.exchanges.paper.server import PaperVenue

from .market_fixtures import eventually
from .trading_fixtures import LINEAR, RICH, SPOT, running

KEY, SECRET = "pybit", "secret of pybit"
BTC_SPOT = {"category": "spot", "symbol": "BTCUSDT"}
BTC_LINEAR = {"category": "linear", "symbol": "BTCUSDT"}
LIMIT_BUY = {"side": "Buy", "orderType": "Limit", "qty": "0.001", "price": "59000"}


@pytest.fixture(scope="module")
async def venue() -> AsyncIterator[PaperVenue]:
    """Serve a venue that answers as late as pybit needs it, generously: this machine may be busy."""
    async with running(answer_delay_s=0.03) as paper:
        paper.create_account(KEY, SECRET, RICH)
        yield paper


@pytest.fixture(scope="module")
def http(venue: PaperVenue) -> HTTP:
    """Give pybit's HTTP client; its calls block, so tests make them in a thread."""
    client = HTTP(api_key=KEY, api_secret=SECRET)
    client.endpoint = venue.address.http
    return client


async def ask(call: Callable[..., dict], **arguments: Any) -> dict:
    """Make a pybit call in a thread and give its result."""
    answer = await asyncio.to_thread(call, **arguments)
    assert answer["retCode"] == 0
    return answer["result"]


async def refusal(call: Callable[..., dict], **arguments: Any) -> int:
    """Make a call that is refused; give the venue's code."""
    with pytest.raises(InvalidRequestError) as error:
        await asyncio.to_thread(call, **arguments)
    return error.value.status_code


async def test_spot_orders_over_http(http: HTTP) -> None:
    placed = await ask(http.place_order, **BTC_SPOT, **LIMIT_BUY, orderLinkId="pybit-1")
    assert await refusal(http.place_order, **BTC_SPOT, **LIMIT_BUY, orderLinkId="pybit-1") == 170141
    ids = {"orderId": placed["orderId"]}
    (row,) = (await ask(http.get_open_orders, **BTC_SPOT, **ids))["list"]
    assert (row["orderStatus"], row["orderLinkId"], row["leavesQty"]) == ("New", "pybit-1", "0.001000")
    assert await ask(http.amend_order, **BTC_SPOT, **ids, price="58000") == placed
    assert await ask(http.cancel_order, **BTC_SPOT, **ids) == placed
    assert await refusal(http.cancel_order, **BTC_SPOT, **ids) == 170213
    (row,) = (await ask(http.get_order_history, **BTC_SPOT, **ids))["list"]
    assert (row["orderStatus"], row["price"], row["leavesQty"]) == ("Cancelled", "58000.00", "0.000000")
    await ask(http.place_order, **BTC_SPOT, **LIMIT_BUY)
    cancelled = await ask(http.cancel_all_orders, **BTC_SPOT)
    assert (len(cancelled["list"]), cancelled["success"]) == (1, "1")


async def test_batches_over_http(http: HTTP) -> None:
    orders = [{"symbol": "BTCUSDT", **LIMIT_BUY, "orderLinkId": f"batch-{number}"} for number in range(3)]
    placed = (await ask(http.place_batch_order, category="linear", request=orders))["list"]
    assert [row["orderLinkId"] for row in placed] == ["batch-0", "batch-1", "batch-2"]
    changes = [{"symbol": "BTCUSDT", "orderId": row["orderId"], "price": "58000"} for row in placed]
    assert len((await ask(http.amend_batch_order, category="linear", request=changes))["list"]) == 3
    cancels = [{"symbol": "BTCUSDT", "orderId": row["orderId"]} for row in placed]
    assert len((await ask(http.cancel_batch_order, category="linear", request=cancels))["list"]) == 3


async def test_the_other_order_endpoints(http: HTTP) -> None:
    checked = await ask(http.pre_check_order, **BTC_LINEAR, **LIMIT_BUY)
    assert "postImrE4" in checked
    quota = await ask(http.get_borrow_quota, **BTC_SPOT, side="Buy")
    assert quota["borrowCoin"] == "USDT"
    await ask(http.set_dcp, timeWindow=40, product="DERIVATIVES")
    assert (await ask(http.get_open_orders, category="linear", settleCoin="USDT"))["list"] == []


async def test_executions_and_their_pages(http: HTTP) -> None:
    for _ in range(3):
        await ask(http.place_order, **BTC_SPOT, side="Buy", orderType="Market", qty="0.001", marketUnit="baseCoin")
    seen: list[str] = []
    cursor = ""
    while True:
        page = await ask(http.get_executions, **BTC_SPOT, limit=2, cursor=cursor)
        seen += [row["execId"] for row in page["list"]]
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    assert len(seen) == len(set(seen)) == 3
    (row, *_) = (await ask(http.get_executions, **BTC_SPOT))["list"]
    assert (row["execType"], row["feeCurrency"], row["execFee"]) == ("Trade", "BTC", "0.000001")


async def test_positions_over_http(http: HTTP, venue: PaperVenue) -> None:
    await ask(http.set_leverage, **BTC_LINEAR, buyLeverage="7", sellLeverage="7")
    assert await refusal(http.set_leverage, **BTC_LINEAR, buyLeverage="7", sellLeverage="7") == 110043
    assert await refusal(http.switch_position_mode, **BTC_LINEAR, mode=0) == 110025
    assert (
        await refusal(http.switch_margin_mode, **BTC_LINEAR, tradeMode=1, buyLeverage="7", sellLeverage="7")
        == 110026
    )
    await ask(http.place_order, **BTC_LINEAR, side="Buy", orderType="Market", qty="0.010")
    (row,) = (await ask(http.get_positions, **BTC_LINEAR))["list"]
    assert (row["side"], row["size"], row["leverage"], row["avgPrice"]) == ("Buy", "0.010", "7", "60001")
    await ask(
        http.set_trading_stop, **BTC_LINEAR, stopLoss="55000", takeProfit="70000", positionIdx=0, tpslMode="Full"
    )
    await ask(http.add_or_reduce_margin, **BTC_LINEAR, margin="5")
    await ask(http.set_auto_add_margin, **BTC_LINEAR, autoAddMargin=0)
    assert await refusal(http.place_order, **BTC_LINEAR, **LIMIT_BUY, reduceOnly=True) == 110017
    venue.core.settle_funding(LINEAR.market, "BTCUSDT")
    (funding,) = (await ask(http.get_executions, **BTC_LINEAR, execType="Funding"))["list"]
    assert funding["execFee"] == "0.06"
    await ask(http.place_order, **BTC_LINEAR, side="Sell", orderType="Market", qty="0.010", reduceOnly=True)
    (closed,) = (await ask(http.get_closed_pnl, **BTC_LINEAR))["list"]
    assert (closed["closedSize"], closed["closedPnl"]) == ("0.010", "-0.68")
    assert (await ask(http.get_positions, category="linear", settleCoin="USDT"))["list"] == []


async def test_the_account_over_http(http: HTTP) -> None:
    (wallet,) = (await ask(http.get_wallet_balance, accountType="UNIFIED"))["list"]
    assert {row["coin"] for row in wallet["coin"]} == {"BTC", "USDT"}
    (wallet,) = (await ask(http.get_wallet_balance, accountType="UNIFIED", coin="BTC"))["list"]
    assert [row["coin"] for row in wallet["coin"]] == ["BTC"]
    (fees,) = (await ask(http.get_fee_rates, **BTC_LINEAR))["list"]
    assert (fees["makerFeeRate"], fees["takerFeeRate"]) == ("0.0002", "0.00055")
    assert (await ask(http.get_account_info))["marginMode"] == "ISOLATED_MARGIN"
    await ask(http.set_margin_mode, setMarginMode="REGULAR_MARGIN")
    assert (await ask(http.get_account_info))["marginMode"] == "REGULAR_MARGIN"
    await ask(http.set_margin_mode, setMarginMode="ISOLATED_MARGIN")
    await ask(http.place_order, **BTC_SPOT, side="Buy", orderType="Market", qty="100")
    (row, *_) = (await ask(http.get_transaction_log, accountType="UNIFIED", category="spot"))["list"]
    assert (row["type"], row["currency"]) == ("TRADE", "BTC")
    key = await ask(http.get_api_key_information)
    assert (key["apiKey"], key["secret"], key["uta"]) == (KEY, "", 1)
    assert {row["coin"] for row in (await ask(http.get_coin_info))["rows"]} == {"BTC", "ETH", "USDT"}


def _local(kind: type, venue: PaperVenue) -> type:
    class Local(kind):
        def _connect(self, url: str) -> None:
            super()._connect(re.sub(r"^wss?://[^/]+", venue.address.ws, url))

    return Local


@pytest.fixture(scope="module")
async def private(venue: PaperVenue) -> AsyncIterator[WebSocket]:
    """Give pybit's private socket."""
    kind = _local(WebSocket, venue)
    socket = await asyncio.to_thread(
        lambda: kind(testnet=False, channel_type="private", api_key=KEY, api_secret=SECRET)
    )
    yield socket
    await asyncio.to_thread(socket.exit)


@pytest.fixture(scope="module")
async def trading(venue: PaperVenue) -> AsyncIterator[WebSocketTrading]:
    """Give pybit's trade socket."""
    kind = _local(WebSocketTrading, venue)
    socket = await asyncio.to_thread(
        lambda: kind(testnet=False, recv_window=5000, referral_id="", api_key=KEY, api_secret=SECRET)
    )
    yield socket
    await asyncio.to_thread(socket.exit)


@pytest.fixture
def heard() -> queue.Queue:
    """Collect what callbacks are told."""
    return queue.Queue()


async def test_every_private_topic_reaches_its_callback(http: HTTP, private: WebSocket, venue: PaperVenue) -> None:
    topics: dict[str, queue.Queue] = {name: queue.Queue() for name in ("order", "execution", "position", "wallet")}
    fast: queue.Queue = queue.Queue()
    await asyncio.to_thread(private.order_stream, topics["order"].put)
    await asyncio.to_thread(private.execution_stream, topics["execution"].put)
    await asyncio.to_thread(private.position_stream, topics["position"].put)
    await asyncio.to_thread(private.wallet_stream, topics["wallet"].put)
    await asyncio.to_thread(private.fast_execution_stream, fast.put)
    await asyncio.to_thread(private.greek_stream, lambda message: None)
    # Subscribed one after the other: when the last is there, all are.
    await eventually(lambda: any("greeks" in each.topics for each in venue.private_stream.door.sessions))
    placed = await ask(http.place_order, **BTC_LINEAR, side="Buy", orderType="Market", qty="0.001")
    rows = {}
    for name, messages in topics.items():
        message = await asyncio.to_thread(messages.get, timeout=5)
        assert message["topic"] == name
        (rows[name],) = message["data"]
    assert rows["order"]["orderStatus"] == "Filled"
    assert rows["execution"]["orderId"] == rows["order"]["orderId"] == placed["orderId"]
    assert (rows["position"]["side"], rows["wallet"]["accountType"]) == ("Buy", "UNIFIED")
    assert (await asyncio.to_thread(fast.get, timeout=5))["data"][0]["execId"] == rows["execution"]["execId"]
    await asyncio.sleep(0.1)
    assert topics["execution"].empty(), "an execution is pushed once"


async def test_the_trade_socket_carries_every_operation(trading: WebSocketTrading, heard: queue.Queue) -> None:
    async def say(call: Callable, **request: Any) -> dict:
        await asyncio.to_thread(call, heard.put, heard.put, **request)
        return await asyncio.to_thread(heard.get, timeout=5)

    answer = await say(trading.place_order, **BTC_SPOT, **LIMIT_BUY)
    assert (answer["retCode"], answer["op"]) == (0, "order.create")
    ids = {"orderId": answer["data"]["orderId"]}
    assert (await say(trading.amend_order, **BTC_SPOT, **ids, price="58000"))["retCode"] == 0
    assert (await say(trading.cancel_order, **BTC_SPOT, **ids))["retCode"] == 0
    assert (await say(trading.cancel_order, **BTC_SPOT, **ids))["retCode"] == 170213
    orders = [{"symbol": "BTCUSDT", **LIMIT_BUY} for _ in range(2)]
    batch = await say(trading.place_batch_order, category="spot", request=orders)
    rows = [{"symbol": "BTCUSDT", "orderId": row["orderId"]} for row in batch["data"]["list"]]
    changed = await say(
        trading.amend_batch_order, category="spot", request=[{**row, "qty": "0.002"} for row in rows]
    )
    assert [each["code"] for each in changed["retExtInfo"]["list"]] == [0, 0]
    gone = await say(trading.cancel_batch_order, category="spot", request=rows)
    assert [each["code"] for each in gone["retExtInfo"]["list"]] == [0, 0]


async def test_a_dropped_private_socket_reconnects_and_hears_again(
    http: HTTP, private: WebSocket, venue: PaperVenue, heard: queue.Queue
) -> None:
    sessions = venue.private_stream.door.sessions
    dropped = set(sessions)
    assert venue.drop_sockets("private") == 1
    # pybit looks for its new line in a loop without a pause, in our own process: patience.
    await eventually(lambda: any("order" in session.topics for session in sessions - dropped), 60.0)
    private.callback_directory["order"] = heard.put
    await ask(http.place_order, **BTC_SPOT, **LIMIT_BUY)
    message = await asyncio.to_thread(heard.get, timeout=5)
    assert message["data"][0]["symbol"] == SPOT.symbol
