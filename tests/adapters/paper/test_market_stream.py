"""The public WebSockets: unmodified pybit and ccxt.pro on every topic, and the wire itself where they hide it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any

import aiohttp
import ccxt.pro
import pytest
import pytest_asyncio

from adapters.exchanges.paper import public_stream, sessions
from adapters.exchanges.paper.events import SIZE_SCALE, BookChange, MarketTrade
from engine.trading.instrument import Instrument
from engine.trading.orders import Side
from tests.adapters.paper.market_fixtures import (
    BTC_LINEAR,
    BTC_SPOT,
    MarketVenue,
    ccxt_config,
    eventually,
    market_venue,
    now_ms,
    pybit_socket,
)

PRICES = {BTC_SPOT: 6_183_763, BTC_LINEAR: 618_002}


@pytest_asyncio.fixture(loop_scope="session")
async def venue() -> AsyncIterator[MarketVenue]:
    """Run a fresh venue."""
    async with market_venue() as running:
        yield running


@asynccontextmanager
async def _stirred(venue: MarketVenue, *instruments: Instrument) -> AsyncIterator[None]:
    """Keep markets moving meanwhile."""
    tasks = [asyncio.create_task(venue.stir(each, PRICES[each], turns=100_000)) for each in instruments]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Line:
    """A plain client that sees every byte."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def ask(self, op: str, args: list[str] | None = None, req_id: str = "r1") -> None:
        """Send a command."""
        await self.socket.send_str(json.dumps({"op": op, "req_id": req_id, "args": args or []}))

    async def next(self, topic: str = "") -> dict[str, Any]:
        """Read the next message, or the next of a topic."""
        async with asyncio.timeout(5):
            while True:
                message = json.loads(await self.socket.receive_str())
                if not topic or message.get("topic") == topic:
                    return message

    async def subscribe(self, *topics: str) -> None:
        """Subscribe and see the answer."""
        await self.ask("subscribe", list(topics))
        answer = await self.next()
        assert answer["success"], answer


@asynccontextmanager
async def _line(venue: MarketVenue, category: str = "spot") -> AsyncIterator[Line]:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{venue.ws}/v5/public/{category}", max_msg_size=0) as socket,
    ):
        yield Line(socket)


@pytest.mark.parametrize("instrument", [BTC_SPOT, BTC_LINEAR], ids=["spot", "linear"])
async def test_pybit_hears_every_topic(venue: MarketVenue, instrument: Instrument) -> None:
    heard: dict[str, list[dict[str, Any]]] = {}

    def hear(message: dict[str, Any]) -> None:
        heard.setdefault(message["topic"], []).append(json.loads(json.dumps(message)))

    def subscribe() -> Any:
        socket = pybit_socket(venue, instrument.market.value)
        for depth in (1, 50, 200, 1000):
            socket.orderbook_stream(depth, "BTCUSDT", hear)
        socket.trade_stream("BTCUSDT", hear)
        socket.ticker_stream("BTCUSDT", hear)
        socket.kline_stream(5, "BTCUSDT", hear)
        socket.price_limit_stream("BTCUSDT", hear)
        socket.all_liquidation_stream("BTCUSDT", hear)
        return socket

    async with _stirred(venue, instrument):
        socket = await asyncio.to_thread(subscribe)
        await venue.subscribed("allLiquidation.BTCUSDT")
        venue.stream.publish_liquidation(instrument, now_ms(), Side.BUY, PRICES[instrument], SIZE_SCALE)
        topics = {f"orderbook.{depth}.BTCUSDT" for depth in (1, 50, 200, 1000)}
        topics |= {
            f"{name}.BTCUSDT" for name in ("publicTrade", "tickers", "kline.5", "priceLimit", "allLiquidation")
        }
        await eventually(lambda: heard.keys() == topics and all(len(heard[t]) > 3 for t in topics if "rder" in t))
    await asyncio.to_thread(socket.exit)
    # pybit merges deltas unsorted: the best bid is the maximum, not the first row.
    book = heard["orderbook.50.BTCUSDT"][-1]["data"]
    assert max(float(price) for price, _ in book["b"]) < min(float(price) for price, _ in book["a"])
    assert heard["allLiquidation.BTCUSDT"][0]["data"][0]["S"] == "Buy"


async def test_pybit_loses_no_trade(venue: MarketVenue) -> None:
    heard: list[str] = []
    socket = await asyncio.to_thread(pybit_socket, venue, "spot")
    await asyncio.to_thread(
        socket.trade_stream, "BTCUSDT", lambda message: heard.extend(row["i"] for row in message["data"])
    )
    await venue.subscribed("publicTrade.BTCUSDT")
    for turn in range(2_000):
        venue.trade(BTC_SPOT, 6_183_763 + turn % 7)
        if turn % 100 == 0:
            await asyncio.sleep(0)
    expected = [str(entry.number) for entry in list(venue.board.of(BTC_SPOT).tape)[-1_000:]]
    await eventually(lambda: len(heard) >= 2_000)
    await asyncio.to_thread(socket.exit)
    assert heard[-1_000:] == expected
    assert len(set(heard)) == 2_000


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC/USDT:USDT"])
async def test_ccxt_pro_watches_every_topic(venue: MarketVenue, symbol: str) -> None:
    exchange = ccxt.pro.bybit(ccxt_config(venue))
    try:
        async with _stirred(venue, BTC_SPOT, BTC_LINEAR), asyncio.timeout(20):
            await exchange.load_markets()
            ticker = await exchange.watch_ticker(symbol)
            assert (ticker["symbol"], ticker["last"] > 0) == (symbol, True)
            trades = await exchange.watch_trades(symbol)
            assert {trade["symbol"] for trade in trades} == {symbol}
            for _ in range(5):
                book = await exchange.watch_order_book(symbol, 50)
                assert book["bids"][0][0] < book["asks"][0][0]
            bars = await exchange.watch_ohlcv(symbol, "1m")
            assert bars[-1][0] % 60_000 == 0
            best = (await exchange.watch_bids_asks([symbol]))[symbol]
            assert best["bid"] < best["ask"]
            await exchange.un_watch_trades(symbol)
            await exchange.un_watch_order_book(symbol, {"limit": 50})
    finally:
        await exchange.close()


async def test_ccxt_pro_hears_a_liquidation(venue: MarketVenue) -> None:
    exchange = ccxt.pro.bybit(ccxt_config(venue))
    try:
        await exchange.load_markets()
        watching = asyncio.create_task(exchange.watch_liquidations("BTC/USDT:USDT"))
        async with asyncio.timeout(10):
            while not watching.done():
                venue.stream.publish_liquidation(BTC_LINEAR, now_ms(), Side.SELL, 618_002, SIZE_SCALE)
                await asyncio.sleep(0.02)
        assert watching.result()[0]["symbol"] == "BTC/USDT:USDT"
    finally:
        await exchange.close()


@pytest.mark.parametrize("depth", [1, 50, 200, 1000])
async def test_snapshot_and_deltas_add_up_to_the_venues_own_book(venue: MarketVenue, depth: int) -> None:
    topic = f"orderbook.{depth}.BTCUSDT"
    state = venue.board.of(BTC_SPOT)

    def side(name: Side) -> dict[str, int]:
        return {BTC_SPOT.price_text(ticks): size for ticks, size in state.depth(name, depth)}

    books: dict[str, dict[str, int]] = {"b": {}, "a": {}}
    last_update = 0
    async with _line(venue) as line:
        await line.subscribe(topic)
        await venue.stir(BTC_SPOT, 6_183_763, turns=120, every_s=0.005)
        # A last change at the top, which every depth shows: until it is there, the books differ.
        venue.book(BTC_SPOT, [(6_183_762, 77 * SIZE_SCALE)], [])
        async with asyncio.timeout(20):
            while books != {"b": side(Side.BUY), "a": side(Side.SELL)}:
                message = await line.next(topic)
                data = message["data"]
                if message["type"] == "snapshot":
                    books = {"b": {}, "a": {}}
                else:
                    assert data["u"] == last_update + 1
                last_update = data["u"]
                for name in ("b", "a"):
                    for price, size in data[name]:
                        if size == "0":
                            # A client is told to delete only what it was told of: pybit dies of anything else.
                            del books[name][price]
                        else:
                            books[name][price] = round(float(size) * SIZE_SCALE)
    assert last_update > 1


async def test_a_second_subscriber_starts_from_a_snapshot_that_the_next_delta_fits(venue: MarketVenue) -> None:
    async with _stirred(venue, BTC_SPOT), _line(venue) as first, _line(venue) as second:
        await first.subscribe("orderbook.50.BTCUSDT")
        await asyncio.sleep(0.2)
        await second.subscribe("orderbook.50.BTCUSDT")
        opening, delta = await second.next(), await second.next()
        assert (opening["type"], delta["type"]) == ("snapshot", "delta")
        assert delta["data"]["u"] == opening["data"]["u"] + 1


async def test_a_new_picture_of_the_feed_goes_out_as_a_snapshot(venue: MarketVenue) -> None:
    async with _line(venue) as line:
        await line.subscribe("orderbook.50.BTCUSDT")
        await line.next()
        venue.book(BTC_SPOT, [(100, SIZE_SCALE)], [(101, SIZE_SCALE)], snapshot=True)
        message = await line.next()
        assert (message["type"], message["data"]["b"], message["data"]["a"]) == (
            "snapshot",
            [["1.00", "1"]],
            [["1.01", "1"]],
        )


async def test_a_finished_bar_is_confirmed_once_before_the_next_one_grows(venue: MarketVenue) -> None:
    minute = now_ms() // 60_000 * 60_000
    async with _line(venue) as line:
        await line.subscribe("kline.1.BTCUSDT")
        await line.next()
        # Two minutes pass without a trade in between: their bars are flat, and confirmed like any other.
        for ahead in (1, 4):
            venue.on_market(BTC_SPOT, MarketTrade(minute + ahead * 60_000, 6_183_700 + ahead, SIZE_SCALE, True))
        seen = [(await line.next())["data"][0] for _ in range(5)]
        assert [row["confirm"] for row in seen] == [True, True, True, True, False]
        assert [later["start"] - sooner["start"] for sooner, later in pairwise(seen)] == [60_000] * 4
        assert [row["volume"] for row in seen[2:4]] == ["0", "0"]
        assert all(row["end"] == row["start"] + 59_999 for row in seen)


async def test_a_linear_ticker_sends_only_what_changed_after_its_snapshot(venue: MarketVenue) -> None:
    async with _line(venue, "linear") as line:
        await line.subscribe("tickers.BTCUSDT")
        opening = await line.next()
        assert {"fundingRate", "openInterestValue", "bid1Price"} <= opening["data"].keys()
        venue.trade(BTC_LINEAR, 618_002 + 5, buy=True)
        delta = await line.next()
        assert delta["type"] == "delta"
        assert delta["data"]["lastPrice"] == "61800.7"
        assert "fundingRate" not in delta["data"]


async def test_a_spot_ticker_is_always_whole_and_carries_no_quotes(venue: MarketVenue) -> None:
    async with _line(venue) as line:
        await line.subscribe("tickers.BTCUSDT")
        await line.next()
        venue.trade(BTC_SPOT, 6_183_770)
        message = await line.next()
        assert message["type"] == "snapshot"
        assert "usdIndexPrice" in message["data"]
        assert "bid1Price" not in message["data"]


@pytest.mark.parametrize(
    ("category", "op", "args", "complaint"),
    [
        ("spot", "subscribe", ["orderbook.33.BTCUSDT"], "error:handler not found,topic:orderbook.33.BTCUSDT"),
        ("spot", "subscribe", ["publicTrade.NOPEUSDT"], "error:handler not found,topic:publicTrade.NOPEUSDT"),
        ("spot", "subscribe", ["kline.7.BTCUSDT"], "error:handler not found,topic:kline.7.BTCUSDT"),
        ("spot", "subscribe", ["nonsense"], "error:handler not found,topic:nonsense"),
        ("inverse", "subscribe", ["publicTrade.BTCUSDT"], "error:handler not found,topic:publicTrade.BTCUSDT"),
        ("spot", "subscribe", [f"kline.{n}.BTCUSDT" for n in range(11)], "args size >10"),
        ("linear", "subscribe", ["x" * 21_001], "error:args is too long"),
        ("spot", "subscribe", [], "error:args is empty"),
        ("option", "order.create", [], "error:invalid op"),
    ],
)
async def test_a_bad_request_is_refused_in_the_public_envelope(
    venue: MarketVenue, category: str, op: str, args: list[str], complaint: str
) -> None:
    async with _line(venue, category) as line:
        await line.ask(op, args, req_id="mine")
        answer = await line.next()
        assert (answer["success"], answer["ret_msg"], answer["req_id"], answer["op"]) == (
            False,
            complaint,
            "mine",
            op,
        )
        assert answer["conn_id"]


async def test_subscribing_twice_is_refused_and_the_first_goes_on(venue: MarketVenue) -> None:
    async with _line(venue) as line:
        await line.subscribe("publicTrade.BTCUSDT")
        await line.ask("subscribe", ["publicTrade.BTCUSDT"])
        assert (await line.next())["ret_msg"] == "error:already subscribed,topic:publicTrade.BTCUSDT"
        venue.trade(BTC_SPOT, 6_183_763)
        assert (await line.next())["topic"] == "publicTrade.BTCUSDT"


async def test_after_unsubscribing_nothing_more_comes(venue: MarketVenue) -> None:
    async with _line(venue) as line:
        await line.subscribe("publicTrade.BTCUSDT")
        await line.ask("unsubscribe", ["publicTrade.BTCUSDT"], req_id="u")
        answer = await line.next()
        assert (answer["success"], answer["op"], answer["req_id"]) == (True, "unsubscribe", "u")
        venue.trade(BTC_SPOT, 6_183_763)
        await line.ask("ping")
        assert (await line.next())["ret_msg"] == "pong"


async def test_garbage_is_answered_and_does_not_end_the_line(venue: MarketVenue) -> None:
    async with _line(venue) as line:
        await line.socket.send_str("not json")
        assert (await line.next())["success"] is False
        await line.ask("ping", req_id="7")
        pong = await line.next()
        assert (pong["success"], pong["ret_msg"], pong["op"], pong["req_id"]) == (True, "pong", "ping", "7")


async def test_the_answer_comes_before_the_snapshot_and_not_at_once(venue: MarketVenue) -> None:
    async with _line(venue) as line:
        began = asyncio.get_running_loop().time()
        await line.ask("subscribe", ["orderbook.1.BTCUSDT", "publicTrade.BTCUSDT"])
        answer = await line.next()
        # pybit registers its callbacks after it has sent; an instant answer would find none.
        assert asyncio.get_running_loop().time() - began >= public_stream.ANSWER_DELAY_S
        assert answer["op"] == "subscribe"
        assert (await line.next())["topic"] == "orderbook.1.BTCUSDT"


async def test_a_client_that_does_not_read_is_cut_off_and_the_others_are_served(
    venue: MarketVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "QUEUE_MESSAGES", 50)
    async with _line(venue) as reader, _line(venue) as sleeper:
        for line in (reader, sleeper):
            await line.subscribe("publicTrade.BTCUSDT")
        transport = sleeper.socket._response.connection.transport  # type: ignore[union-attr]
        transport.pause_reading()
        heard = 0
        async with asyncio.timeout(30):
            while venue.listeners == 2:
                for step in range(1_000):
                    venue.trade(BTC_SPOT, 6_183_763 + step)
                heard += len((await reader.next())["data"])
        venue.trade(BTC_SPOT, 1)
        while (await reader.next())["data"][-1]["p"] != "0.01":
            heard += 1
        assert heard
        transport.resume_reading()


async def test_cut_clients_leave_no_channel_behind(venue: MarketVenue) -> None:
    async with _line(venue) as line:
        await line.subscribe("publicTrade.BTCUSDT", "orderbook.50.BTCUSDT")
        assert venue.paper.drop_sockets("public") == 1
        with suppress(TypeError, aiohttp.ClientError):
            while True:
                await line.next()
        await eventually(lambda: not any(venue.stream._channels.values()) and not venue.listeners)
    venue.on_market(BTC_SPOT, BookChange(now_ms(), False, ((6_183_000, 1),), ()))
