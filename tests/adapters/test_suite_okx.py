"""The ccxt adapter keeps the promises of every adapter at OKX."""

from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import ClassVar

import pytest
import pytest_asyncio

from adapters.exchanges.paper.events import SIZE_SCALE
from engine.errors import Rejected
from engine.ids import Instant
from engine.trading.instrument import Instrument, Market
from tests.adapters.ccxt_house import open_ccxt_house
from tests.adapters.dialects.okx import OkxDialect
from tests.adapters.house import PRICE, Bot, House, now_ms
from tests.adapters.suite import MINUTE_MS, ExchangeSuite


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house() -> AsyncIterator[House]:
    """One venue for the file; each test brings its own bot."""
    async with open_ccxt_house("okx", OkxDialect) as house:
        yield house


class TestOkx(ExchangeSuite):
    """Every promise, spot and linear."""

    many_orders: ClassVar[int] = 15
    """One request each, at ten a second."""
    untold: ClassVar[Mapping[str, str]] = {"min_notional": "OKX asks for a least quantity, not for a least value"}

    async def test_preparing_again_is_possible_while_orders_are_open(self, house: House, bot: Bot) -> None:
        await house.trading.prepare(bot.instrument, 5)
        await bot.rest(bot.order())
        await house.trading.prepare(bot.instrument, 5)
        if bot.instrument.market is Market.LINEAR:
            with pytest.raises(Rejected, match="Cancel any open orders"):
                await house.trading.prepare(bot.instrument, 6)

    async def test_the_volume_of_a_bar_counts_the_base_coin(self, house: House, instrument: Instrument) -> None:
        async def volume() -> Decimal:
            end_ms = now_ms() + MINUTE_MS
            bars = await house.market_data.candles(
                instrument, 1, Instant(end_ms - 10 * MINUTE_MS), Instant(end_ms)
            )
            return sum((bar.volume for bar in bars), Decimal(0))

        before = await volume()
        house.trade(instrument, instrument.ticks(str(PRICE)), 2 * SIZE_SCALE)
        assert await volume() - before == 2
