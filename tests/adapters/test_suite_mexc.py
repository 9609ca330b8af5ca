"""The ccxt adapter keeps the promises of every adapter at MEXC, as far as MEXC lets it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar

import pytest_asyncio

from engine.trading.instrument import Market
from tests.adapters.ccxt_house import open_ccxt_house
from tests.adapters.dialects.mexc import MexcDialect
from tests.adapters.house import House
from tests.adapters.suite import ExchangeSuite


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house() -> AsyncIterator[House]:
    """One venue for the file; each test brings its own bot."""
    async with open_ccxt_house("mexc", MexcDialect) as house:
        yield house


class TestMexc(ExchangeSuite):
    """Every promise, on spot: MEXC's futures API is closed to most keys."""

    markets: ClassVar[Sequence[Market]] = (Market.SPOT,)
    many_orders: ClassVar[int] = 8
    """One request each, at five a second."""
    untold: ClassVar[Mapping[str, str]] = {"max_lots": "MEXC limits the value of an order, not its quantity"}
    tells_permissions: ClassVar[bool] = False
    no_market_buys: ClassVar[str] = "no market buy by quantity"
