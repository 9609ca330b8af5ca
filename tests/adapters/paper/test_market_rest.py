"""`/v5/market/*` through the unmodified clients: pybit over HTTP and ccxt's async REST."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

import aiohttp
import ccxt.async_support as ccxt
import pytest
import pytest_asyncio
from pybit.exceptions import InvalidRequestError

from engine.trading.orders import Side
from tests.adapters.paper.market_fixtures import (
    BTC_LINEAR,
    BTC_SPOT,
    MarketVenue,
    ccxt_config,
    market_venue,
    now_ms,
    pybit_http,
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def venue() -> AsyncIterator[MarketVenue]:
    """One venue for the file: nothing here changes it."""
    async with market_venue() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def exchange(venue: MarketVenue) -> AsyncIterator[ccxt.bybit]:
    """The unmodified ccxt with its markets loaded from the venue."""
    client = ccxt.bybit(ccxt_config(venue))
    await client.load_markets()
    yield client
    await client.close()


async def _pybit(venue: MarketVenue, method: str, **query: Any) -> dict[str, Any]:
    answer = await asyncio.to_thread(lambda: getattr(pybit_http(venue), method)(**query))
    assert answer["retCode"] == 0
    assert answer["retMsg"] == "OK"
    assert answer["retExtInfo"] == {}
    assert abs(answer["time"] - now_ms()) < 60_000
    return answer["result"]


async def test_pybit_reads_the_time(venue: MarketVenue) -> None:
    result = await _pybit(venue, "get_server_time")
    assert abs(int(result["timeSecond"]) - now_ms() // 1000) <= 5
    assert result["timeNano"].startswith(result["timeSecond"])


@pytest.mark.parametrize("category", ["spot", "linear"])
async def test_pybit_reads_bars_newest_first_as_text(venue: MarketVenue, category: str) -> None:
    result = await _pybit(venue, "get_kline", category=category, symbol="BTCUSDT", interval=5, limit=3)
    assert (result["category"], result["symbol"], len(result["list"])) == (category, "BTCUSDT", 3)
    starts = [int(row[0]) for row in result["list"]]
    assert starts == sorted(starts, reverse=True)
    assert all(start % 300_000 == 0 for start in starts)
    assert all(len(row) == 7 and all(isinstance(cell, str) for cell in row) for row in result["list"])


async def test_pybit_pages_bars_backward_without_overlap_or_hole(venue: MarketVenue) -> None:
    seen: list[int] = []
    end = now_ms()
    while page := (
        await _pybit(venue, "get_kline", category="spot", symbol="BTCUSDT", interval=1, limit=500, end=end)
    )["list"]:
        seen.extend(int(row[0]) for row in page)
        end = seen[-1] - 1
    assert seen == list(range(seen[0], seen[-1] - 1, -60_000))
    assert len(seen) == len(venue.board.of(BTC_SPOT).candles.bars)


@pytest.mark.parametrize("method", ["get_mark_price_kline", "get_index_price_kline"])
async def test_pybit_reads_mark_and_index_bars(venue: MarketVenue, method: str) -> None:
    result = await _pybit(venue, method, category="linear", symbol="BTCUSDT", interval="60", limit=2)
    assert [len(row) for row in result["list"]] == [5, 5]


async def test_pybit_reads_the_filters_of_a_spot_instrument(venue: MarketVenue) -> None:
    (info,) = (await _pybit(venue, "get_instruments_info", category="spot", symbol="BTCUSDT"))["list"]
    assert info["status"] == "Trading"
    assert Decimal(info["priceFilter"]["tickSize"]) == BTC_SPOT.tick_size
    lot = info["lotSizeFilter"]
    assert Decimal(lot["basePrecision"]) == BTC_SPOT.lot_size
    assert Decimal(lot["minOrderQty"]) == BTC_SPOT.quantity(BTC_SPOT.min_lots)
    assert Decimal(lot["minOrderAmt"]) == BTC_SPOT.min_notional
    assert {"quotePrecision", "maxOrderQty", "maxOrderAmt"} <= lot.keys()


async def test_pybit_reads_the_filters_of_a_linear_instrument(venue: MarketVenue) -> None:
    (info,) = (await _pybit(venue, "get_instruments_info", category="linear", symbol="BTCUSDT"))["list"]
    assert info["fundingInterval"] == 480
    assert info["contractType"] == "LinearPerpetual"
    assert Decimal(info["leverageFilter"]["maxLeverage"]) == BTC_LINEAR.leverage_max
    assert Decimal(info["lotSizeFilter"]["qtyStep"]) == BTC_LINEAR.lot_size
    assert Decimal(info["lotSizeFilter"]["minNotionalValue"]) == BTC_LINEAR.min_notional
    assert Decimal(info["priceFilter"]["maxPrice"]) == BTC_LINEAR.price(BTC_LINEAR.max_ticks)
    assert {"maxMktOrderQty", "postOnlyMaxOrderQty", "maxOrderQty", "minOrderQty"} <= info["lotSizeFilter"].keys()
    assert "priceLimitRatioX" in info["riskParameters"]


async def test_instruments_are_paged_by_a_cursor_that_ends(venue: MarketVenue) -> None:
    symbols, cursor = [], ""
    for _ in range(10):
        page = await _pybit(venue, "get_instruments_info", category="linear", limit=1, cursor=cursor)
        symbols += [info["symbol"] for info in page["list"]]
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    assert symbols == ["BTCUSDT", "ETHUSDT"]


async def test_nothing_is_about_to_be_listed(venue: MarketVenue) -> None:
    result = await _pybit(venue, "get_instruments_info", category="linear", status="PreLaunch")
    assert result["list"] == []


async def test_pybit_reads_the_book_best_first(venue: MarketVenue) -> None:
    for instrument in (BTC_SPOT, BTC_LINEAR):
        book = await _pybit(venue, "get_orderbook", category=instrument.market.value, symbol="BTCUSDT", limit=5)
        state = venue.board.of(instrument)
        for side, name in ((Side.BUY, "b"), (Side.SELL, "a")):
            expected = state.depth(side, 5)
            assert [instrument.ticks(price) for price, _ in book[name]] == [ticks for ticks, _ in expected]
            assert [Decimal(size) * 10**8 for _, size in book[name]] == [size for _, size in expected]
        assert {"ts", "u", "seq", "cts"} <= book.keys()


async def test_a_ticker_says_by_its_fields_whether_it_is_spot(venue: MarketVenue) -> None:
    (spot,) = (await _pybit(venue, "get_tickers", category="spot", symbol="BTCUSDT"))["list"]
    (linear,) = (await _pybit(venue, "get_tickers", category="linear", symbol="BTCUSDT"))["list"]
    assert "usdIndexPrice" in spot
    assert "openInterestValue" not in spot
    assert {"openInterestValue", "markPrice", "fundingRate", "nextFundingTime"} <= linear.keys()
    assert Decimal(linear["lastPrice"]) == BTC_LINEAR.price(venue.board.of(BTC_LINEAR).last_ticks or 0)


async def test_pybit_reads_recent_trades_newest_first(venue: MarketVenue) -> None:
    rows = (await _pybit(venue, "get_public_trade_history", category="spot", symbol="BTCUSDT", limit=3))["list"]
    tape = [entry.trade for entry in venue.board.of(BTC_SPOT).tape]
    assert [BTC_SPOT.ticks(row["price"]) for row in rows] == [trade.ticks for trade in tape[:-4:-1]]
    assert [row["side"] == "Buy" for row in rows] == [trade.buyer_is_taker for trade in tape[:-4:-1]]
    assert len({row["execId"] for row in rows}) == 3


async def test_pybit_reads_charged_funding_rates(venue: MarketVenue) -> None:
    state = venue.board.of(BTC_LINEAR)
    charged_at = [now_ms() // 1000 * 1000 - back for back in (2_000, 1_000)]
    for at_ms in charged_at:
        state.record_funding(at_ms)
    rows = (await _pybit(venue, "get_funding_rate_history", category="linear", symbol="BTCUSDT"))["list"]
    assert [int(row["fundingRateTimestamp"]) for row in rows] == charged_at[::-1]
    assert {row["fundingRate"] for row in rows} == {"0.0001"}


async def test_pybit_reads_margin_tiers_and_price_limits(venue: MarketVenue) -> None:
    (tier,) = (await _pybit(venue, "get_risk_limit", category="linear", symbol="BTCUSDT"))["list"]
    assert tier["maintenanceMargin"] == "0.005"
    limits = await _pybit(venue, "get_price_limit", category="linear", symbol="BTCUSDT")
    last = BTC_LINEAR.price(venue.board.of(BTC_LINEAR).mark_ticks or 0)
    assert Decimal(limits["sellLmt"]) < last < Decimal(limits["buyLmt"])


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("kline?category=spot&symbol=NOPEUSDT&interval=1", "Not supported symbols"),
        ("kline?category=spot&symbol=BTCUSDT&interval=7", "Invalid period!"),
        ("kline?category=spot&symbol=BTCUSDT&interval=1&limit=0", "params error: limit is invalid"),
        ("orderbook?category=moon&symbol=BTCUSDT", "params error: Category is invalid"),
        ("orderbook?symbol=BTCUSDT", "params error: Category is invalid"),
        ("orderbook?category=spot", "params error: symbol is required"),
        ("recent-trade?category=inverse&symbol=BTCUSD", "Not supported symbols"),
        ("funding/history?category=spot&symbol=BTCUSDT", "Invalid category"),
        (
            "funding/history?category=linear&symbol=BTCUSDT&startTime=1",
            "params error: endTime is required with startTime",
        ),
        ("risk-limit?category=spot", "Invalid category"),
    ],
)
async def test_a_bad_request_is_refused_with_10001_and_status_200(
    venue: MarketVenue, path: str, complaint: str
) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{venue.http}/v5/market/{path}") as response:
        body = await response.json()
        assert (response.status, body["retCode"], body["retMsg"]) == (200, 10001, complaint)
        assert body["result"] == {}


async def test_pybit_raises_the_refusal(venue: MarketVenue) -> None:
    with pytest.raises(InvalidRequestError, match="Not supported symbols"):
        await _pybit(venue, "get_orderbook", category="spot", symbol="NOPEUSDT")


async def test_ccxt_loads_the_markets_with_their_limits(exchange: ccxt.bybit) -> None:
    assert set(exchange.symbols) == {"BTC/USDT", "ETH/USDT", "BTC/USDT:USDT", "ETH/USDT:USDT"}
    spot, swap = exchange.market("BTC/USDT"), exchange.market("BTC/USDT:USDT")
    assert (spot["precision"]["price"], swap["precision"]["amount"]) == (0.01, 0.001)
    assert (spot["limits"]["cost"]["min"], swap["limits"]["leverage"]["max"]) == (5, 100)


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC/USDT:USDT"])
async def test_ccxt_reads_each_public_endpoint(exchange: ccxt.bybit, symbol: str) -> None:
    book = await exchange.fetch_order_book(symbol, 10)
    assert len(book["bids"]) == len(book["asks"]) == 10
    assert book["bids"][0][0] < book["asks"][0][0]
    ticker = await exchange.fetch_ticker(symbol)
    assert ticker["symbol"] == symbol
    assert ticker["bid"] < ticker["ask"]
    assert ticker["last"] > 0
    trades = await exchange.fetch_trades(symbol, limit=5)
    assert [trade["symbol"] for trade in trades] == [symbol] * 5
    assert (await exchange.fetch_tickers([symbol]))[symbol]["high"] >= ticker["low"]
    assert abs(await exchange.fetch_time() - now_ms()) < 60_000


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC/USDT:USDT"])
async def test_ccxt_pages_bars_forward_from_a_start(exchange: ccxt.bybit, symbol: str) -> None:
    since = now_ms() - 3 * 3_600_000
    bars = await exchange.fetch_ohlcv(symbol, "15m", since=since, limit=5)
    assert len(bars) == 5
    assert 0 <= bars[0][0] - since < 900_000
    assert [later[0] - sooner[0] for sooner, later in pairwise(bars)] == [900_000] * 4


async def test_ccxt_reads_what_only_perpetuals_have(exchange: ccxt.bybit) -> None:
    rate = await exchange.fetch_funding_rate("BTC/USDT:USDT")
    assert rate["fundingRate"] == 0.0001
    assert rate["nextFundingTimestamp"] or rate["fundingTimestamp"]
    assert isinstance(await exchange.fetch_funding_rate_history("BTC/USDT:USDT"), list)
    tiers = await exchange.fetch_market_leverage_tiers("BTC/USDT:USDT")
    assert tiers[0]["maxLeverage"] == 100
    assert len(await exchange.fetch_mark_ohlcv("BTC/USDT:USDT", "1h", limit=2)) == 2


async def test_ccxt_calls_an_unknown_symbol_a_bad_symbol(exchange: ccxt.bybit) -> None:
    with pytest.raises(ccxt.BadSymbol):
        await exchange.public_get_v5_market_orderbook({"category": "spot", "symbol": "NOPEUSDT"})
