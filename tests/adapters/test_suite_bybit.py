"""Our own Bybit adapter keeps the promises of every adapter, against the PaperVenue."""

from collections.abc import AsyncIterator

import pytest_asyncio

from adapters.exchanges.bybit.hosts import single_host
from adapters.exchanges.bybit.market_data import BybitMarketData
from adapters.exchanges.bybit.trading import BybitTrading
from tests.adapters.house import KEY, House, open_house
from tests.adapters.suite import ExchangeSuite


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house() -> AsyncIterator[House]:
    """One venue for the file; each test brings its own bot."""
    async with open_house() as house:
        hosts = single_host(house.address)
        house.market_data = BybitMarketData(hosts)
        house.trading = BybitTrading(hosts, KEY, recv_window_ms=1_000, deadline_s=1.0)
        await house.trading.connect()
        try:
            yield house
        finally:
            await house.trading.close()
            await house.market_data.close()


class TestBybit(ExchangeSuite):
    """Every promise, spot and linear."""
