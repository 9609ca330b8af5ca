"""The ccxt adapter keeps the promises of every adapter: its Bybit row, pointed at the PaperVenue itself."""

from collections.abc import AsyncIterator
from typing import ClassVar

import pytest_asyncio

from tests.adapters.ccxt_house import open_ccxt_house
from tests.adapters.house import House
from tests.adapters.suite import ExchangeSuite


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house() -> AsyncIterator[House]:
    """One venue for the file; each test brings its own bot."""
    async with open_ccxt_house("bybit", None) as house:
        yield house


class TestCcxtBybit(ExchangeSuite):
    """Every promise, spot and linear."""

    many_orders: ClassVar[int] = 15
    """One request each, at ten a second."""
