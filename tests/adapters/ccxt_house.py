"""A house whose two ports are the ccxt adapter's: unmodified ccxt, speaking an exchange's own dialect."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapters.exchanges.ccxt_unified.market_data import CcxtMarketData
from adapters.exchanges.ccxt_unified.profiles import PROFILES
from adapters.exchanges.ccxt_unified.trading import CcxtTrading
from engine.trading.instrument import Market
from engine.trading.orders import OrderReport
from tests.adapters.dialects.base import Dialect
from tests.adapters.house import KEY, House, attached, open_house


@asynccontextmanager
async def open_ccxt_house(exchange: str, dialect: type[Dialect] | None) -> AsyncIterator[House]:
    """Run a venue that speaks the dialect, with the adapter connected; every address asked must exist there."""
    async with open_house(dialect=dialect) as house:
        house.market_data = CcxtMarketData(exchange, house.address)
        house.trading = CcxtTrading(exchange, KEY, house.address, timeout_s=2.0, settle_ms=1_000)
        await house.trading.connect()
        for market in Market:
            if market in PROFILES[exchange].markets:
                await _warm_up(house, market)
        try:
            yield house
        finally:
            await house.trading.close()
            await house.market_data.close()
        assert house.dialect is None or not house.dialect.unknown


async def _warm_up(house: House, market: Market) -> None:
    """Subscribe the private streams: ccxt does not tell when they are, so the first facts may be missed."""
    async with attached(house, await house.market_data.instrument(house.symbol(market), market)) as bot:
        while not any(isinstance(fact, OrderReport) for fact in bot.facts):
            await bot.submit(bot.order())
            await asyncio.sleep(0.2)
