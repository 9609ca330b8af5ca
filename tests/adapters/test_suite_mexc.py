"""The ccxt adapter keeps the promises of every adapter at MEXC, as far as MEXC lets it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar

import pytest
import pytest_asyncio

from engine.errors import Rejected
from engine.ids import Instant
from engine.trading.instrument import Instrument, Market
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

    async def test_bars_that_the_exchange_does_not_have_are_refused(
        self, house: House, instrument: Instrument
    ) -> None:
        with pytest.raises(Rejected, match=r"no bars of 3 minutes; there are \[1, 5, 15, 30, 60, 240, 1440\]"):
            await house.market_data.candles(instrument, 3, Instant(0), Instant(1))
