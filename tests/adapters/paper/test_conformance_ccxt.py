"""Unmodified ccxt (async REST and pro) against the PaperVenue's private side."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import ccxt.pro
import pytest

from adapters.exchanges.paper.server import PaperVenue

from .market_fixtures import ccxt_config
from .trading_fixtures import COIN, LINEAR, RICH, SPOT, Market, running

KEY, SECRET = "ccxt", "secret of ccxt"
COINS, PERPETUAL = "BTC/USDT", "BTC/USDT:USDT"


@pytest.fixture(scope="module")
async def venue() -> AsyncIterator[PaperVenue]:
    """Serve a venue."""
    async with running() as paper:
        paper.create_account(KEY, SECRET, RICH)
        yield paper


@pytest.fixture(scope="module")
async def exchange(venue: PaperVenue) -> AsyncIterator[ccxt.pro.bybit]:
    """Give ccxt.pro, which is the async REST client with sockets added, with its markets loaded."""
    client = ccxt.pro.bybit({**ccxt_config(venue.address), "apiKey": KEY, "secret": SECRET})  # type: ignore[arg-type]
    await client.load_markets()
    yield client
    await client.close()


async def test_markets_and_balances_are_understood(exchange: ccxt.pro.bybit) -> None:
    assert {COINS, PERPETUAL} <= exchange.markets.keys()
    assert exchange.markets[COINS]["precision"] == {"amount": 0.000001, "price": 0.01}
    balance = await exchange.fetch_balance()
    assert balance["USDT"]["total"] == 1_000_000
    fee = await exchange.fetch_trading_fee(COINS)
    assert (fee["maker"], fee["taker"]) == (0.001, 0.001)


async def test_an_order_lives_through_rest(exchange: ccxt.pro.bybit) -> None:
    order = await exchange.create_order(COINS, "limit", "buy", 0.001, 59000, {"clientOrderId": "ccxt-1"})
    with pytest.raises(ccxt.InvalidOrder):
        await exchange.create_order(COINS, "limit", "buy", 0.001, 59000, {"clientOrderId": "ccxt-1"})
    (found,) = await exchange.fetch_open_orders(COINS)
    assert (found["id"], found["clientOrderId"], found["status"]) == (order["id"], "ccxt-1", "open")
    assert (await exchange.fetch_balance())["USDT"]["used"] == 59
    edited = await exchange.edit_order(order["id"], COINS, "limit", "buy", 0.001, 58000)
    assert edited["id"] == order["id"]
    await exchange.cancel_order(order["id"], COINS)
    with pytest.raises(ccxt.OrderNotFound):
        await exchange.cancel_order(order["id"], COINS)
    (gone,) = [each for each in await exchange.fetch_canceled_orders(COINS) if each["id"] == order["id"]]
    assert (gone["status"], gone["price"], gone["filled"]) == ("canceled", 58000, 0)
    assert (await exchange.fetch_balance())["USDT"]["used"] == 0


async def test_refusals_become_the_right_exceptions(exchange: ccxt.pro.bybit) -> None:
    with pytest.raises(ccxt.InsufficientFunds):
        await exchange.create_order(COINS, "limit", "buy", 50, 59000)
    with pytest.raises(ccxt.InvalidOrder):
        await exchange.create_order(COINS, "limit", "buy", 0.00002, 59000)
    assert await exchange.fetch_open_orders(COINS) == []


async def test_batches_and_cancelling_all(exchange: ccxt.pro.bybit) -> None:
    wanted = [
        {"symbol": PERPETUAL, "type": "limit", "side": "buy", "amount": 0.001, "price": 59000 - step}
        for step in range(3)
    ]
    orders = await exchange.create_orders(wanted)
    assert len({order["id"] for order in orders}) == 3
    await exchange.cancel_orders([orders[0]["id"]], PERPETUAL)
    await exchange.cancel_all_orders(PERPETUAL)
    assert await exchange.fetch_open_orders(PERPETUAL) == []


async def test_trades_carry_their_exact_fee(exchange: ccxt.pro.bybit, venue: PaperVenue) -> None:
    order = await exchange.create_order(COINS, "limit", "buy", 0.001, 59000)
    Market(venue.core, SPOT).trade("58999", COIN, buyer_is_taker=False)
    (trade,) = [each for each in await exchange.fetch_my_trades(COINS) if each["order"] == order["id"]]
    assert (trade["takerOrMaker"], trade["fee"]) == ("maker", {"currency": "BTC", "cost": 0.000001, "rate": 0.001})
    closed = await exchange.fetch_closed_order(order["id"], COINS)
    assert (closed["status"], closed["filled"], closed["average"]) == ("closed", 0.001, 59000)


async def test_market_orders_by_amount_and_by_cost(exchange: ccxt.pro.bybit) -> None:
    before = (await exchange.fetch_balance())["BTC"]["total"]
    await exchange.create_order(COINS, "market", "buy", 0.002)
    await exchange.create_market_buy_order_with_cost(COINS, 60.001)
    gained = (await exchange.fetch_balance())["BTC"]["total"] - before
    assert gained == pytest.approx(0.003 * 0.999, abs=0.000002)


async def test_positions_leverage_and_funding(exchange: ccxt.pro.bybit, venue: PaperVenue) -> None:
    await exchange.set_leverage(5, PERPETUAL)
    await exchange.create_order(PERPETUAL, "market", "sell", 0.01)
    position = await exchange.fetch_position(PERPETUAL)
    assert (position["side"], position["contracts"], position["leverage"]) == ("short", 0.01, 5)
    assert position["entryPrice"] == 59999
    assert position["liquidationPrice"] == pytest.approx(71698.8)
    (listed,) = await exchange.fetch_positions([PERPETUAL])
    assert listed["symbol"] == PERPETUAL
    venue.core.settle_funding(LINEAR.market, "BTCUSDT")
    (funding,) = await exchange.fetch_funding_history(PERPETUAL)
    assert funding["amount"] == pytest.approx(-0.06), (
        "ccxt gives the fee as the venue writes it: negative is received"
    )
    await exchange.create_order(PERPETUAL, "market", "buy", 0.01, None, {"reduceOnly": True})
    (closed,) = await exchange.fetch_positions_history([PERPETUAL])
    assert closed["realizedPnl"] == pytest.approx(-0.68)
    rows = await exchange.fetch_ledger("USDT")
    assert rows


async def test_orders_trades_positions_and_balances_are_watched(
    exchange: ccxt.pro.bybit, venue: PaperVenue
) -> None:
    watching = {
        "orders": asyncio.create_task(exchange.watch_orders(COINS)),
        "trades": asyncio.create_task(exchange.watch_my_trades(COINS)),
        "balance": asyncio.create_task(exchange.watch_balance()),
    }
    await _subscribed(venue, {"order", "execution", "wallet"})
    order = await exchange.create_order(COINS, "limit", "buy", 0.001, 60100)
    heard = {name: await _soon(task) for name, task in watching.items()}
    assert (heard["orders"][-1]["id"], heard["orders"][-1]["status"]) == (order["id"], "closed")
    assert (heard["trades"][-1]["order"], heard["trades"][-1]["takerOrMaker"]) == (order["id"], "taker")
    assert heard["balance"]["BTC"]["total"] > 100
    # The first call gives the snapshot that ccxt fetches over HTTP, linear and inverse; the next one subscribes.
    await _soon(exchange.watch_positions([PERPETUAL]))
    positions = asyncio.create_task(exchange.watch_positions([PERPETUAL]))
    await _subscribed(venue, {"position"})
    await exchange.create_order(PERPETUAL, "market", "buy", 0.003)
    assert [each["contracts"] for each in await _soon(positions)] == [0.003]


async def test_orders_go_through_the_trade_socket(exchange: ccxt.pro.bybit) -> None:
    order = await _soon(exchange.create_order_ws(COINS, "limit", "buy", 0.001, 58500))
    edited = await _soon(exchange.edit_order_ws(order["id"], COINS, "limit", "buy", 0.001, 58400))
    assert edited["id"] == order["id"]
    cancelled = await _soon(exchange.cancel_order_ws(order["id"], COINS))
    assert cancelled["id"] == order["id"]
    with pytest.raises(ccxt.InvalidOrder):
        await _soon(exchange.create_order_ws(COINS, "limit", "buy", 0.00002, 58500))


async def _subscribed(venue: PaperVenue, topics: set[str]) -> None:
    async with asyncio.timeout(5):
        while not any(topics <= session.topics for session in venue.private_stream.door.sessions):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def _soon(awaited: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(awaited, 10)
