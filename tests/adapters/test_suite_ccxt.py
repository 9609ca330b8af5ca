"""The generic ccxt adapter keeps the promises of every adapter: its Bybit row, pointed at the PaperVenue."""

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest_asyncio

from adapters.exchanges.ccxt_unified.market_data import CcxtMarketData
from adapters.exchanges.ccxt_unified.trading import CcxtTrading
from engine.trading.instrument import Market
from engine.trading.orders import OrderReport
from tests.adapters.house import KEY, House, attached, open_house
from tests.adapters.suite import ExchangeSuite


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house() -> AsyncIterator[House]:
    """One venue for the file; each test brings its own bot."""
    async with open_house() as house:
        house.market_data = CcxtMarketData("bybit", house.address)
        house.trading = CcxtTrading("bybit", KEY, house.address, timeout_s=2.0, settle_ms=1_000)
        await house.trading.connect()
        for market in Market:
            await _warm_up(house, market)
        try:
            yield house
        finally:
            await house.trading.close()
            await house.market_data.close()


async def _warm_up(house: House, market: Market) -> None:
    """Subscribe the private streams: ccxt does not tell when they are, so the first facts may be missed."""
    async with attached(house, await house.market_data.instrument("BTCUSDT", market)) as bot:
        while not any(isinstance(fact, OrderReport) for fact in bot.facts):
            await bot.submit(bot.order())
            await asyncio.sleep(0.2)


class TestCcxtBybit(ExchangeSuite):
    """Every promise, spot and linear."""

    many_orders: ClassVar[int] = 15
    """One request each, at ten a second."""
