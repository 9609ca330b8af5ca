"""The ccxt adapter keeps the promises of every adapter at Binance."""

from collections.abc import AsyncIterator, Mapping
from typing import ClassVar

import pytest_asyncio

from tests.adapters.ccxt_house import open_ccxt_house
from tests.adapters.dialects.binance import BinanceDialect
from tests.adapters.house import House
from tests.adapters.suite import ExchangeSuite


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house() -> AsyncIterator[House]:
    """One venue for the file; each test brings its own bot."""
    async with open_ccxt_house("binance", BinanceDialect) as house:
        yield house


class TestBinance(ExchangeSuite):
    """Every promise, spot and linear."""

    many_orders: ClassVar[int] = 8
    """One request each, at five a second."""
    untold: ClassVar[Mapping[str, str]] = {"leverage_max": "Binance tells it to holders of a key only"}
