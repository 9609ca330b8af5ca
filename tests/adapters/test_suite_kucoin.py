"""The ccxt adapter keeps the promises of every adapter at KuCoin."""

from collections.abc import AsyncIterator, Sequence
from typing import ClassVar

import pytest_asyncio

from engine.trading.instrument import Market
from tests.adapters.ccxt_house import open_ccxt_house
from tests.adapters.dialects.kucoin import KucoinDialect
from tests.adapters.house import House
from tests.adapters.suite import ExchangeSuite


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house() -> AsyncIterator[House]:
    """One venue for the file; each test brings its own bot."""
    async with open_ccxt_house("kucoin", KucoinDialect) as house:
        yield house


class TestKucoin(ExchangeSuite):
    """Every promise on spot. Futures are another venue at KuCoin, which the adapter refuses to reach."""

    markets: ClassVar[Sequence[Market]] = (Market.SPOT,)
    many_orders: ClassVar[int] = 15
    """One request each, at ten a second."""
