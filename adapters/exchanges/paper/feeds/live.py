"""Mirrors the real venue: its public stream for trades and book, its REST bars for the past.

It trades nothing there and needs no key. Losing the line only pauses the market; it comes back by itself.
"""

import asyncio
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec

from adapters.exchanges.bybit.hosts import LIVE, BybitHosts
from engine.trading.instrument import Instrument, Market

from ..candles import MINUTE_MS, Bar
from ..events import SIZE_SCALE, MarketEvent
from .base import MarketSink
from .rounding import TickGrid, price_units
from .v5_stream import STALE_S, V5MarketSocket

HISTORY_MINUTES = 7 * 1440
PAGE_BARS = 1000
REQUEST_S = 10.0


class _Klines(msgspec.Struct):
    class Result(msgspec.Struct):
        """The page itself; absent when the request was refused."""

        rows: list[tuple[str, ...]] = msgspec.field(name="list", default_factory=list)

    retCode: int
    retMsg: str
    result: Result


class LiveFeed:
    """Mirrors instruments from a V5 venue; which one is a parameter, so that tests mirror our own."""

    def __init__(
        self,
        instruments: Iterable[Instrument],
        hosts: BybitHosts = LIVE,
        venue_name: str = "Bybit mainnet",
        stale_s: float = STALE_S,
    ) -> None:
        self.name = f"live: {venue_name}"
        self._instruments = tuple(instruments)
        self._hosts = hosts
        self._stale_s = stale_s

    async def history(self, instrument: Instrument, until_ms: int) -> Sequence[Bar]:
        """Page a week of one-minute bars from the venue; what cannot be had is simply not there."""
        bars: list[Bar] = []
        end_ms = until_ms - until_ms % MINUTE_MS - MINUTE_MS
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_S)) as http:
            while len(bars) < HISTORY_MINUTES:
                try:
                    page = await self._page(http, instrument, end_ms)
                except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError):
                    break
                bars.extend(page)
                if len(page) < PAGE_BARS:
                    break
                end_ms = page[-1].start_ms - MINUTE_MS
        return bars[::-1]

    async def run(self, sink: MarketSink, start_ms: int) -> None:
        """Mirror until cancelled. Market time is the other venue's own; `start_ms` has no say in it."""
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
            for market in Market:
                wanted = [each for each in self._instruments if each.market is market]
                if wanted:
                    socket = V5MarketSocket(self._hosts.public, market, wanted, lambda: http, sink, self._stale_s)
                    tasks.create_task(socket.run(), name=socket.name)

    async def answers(self, timeout_s: float) -> bool:
        """Tell whether the public stream sends anything for the first instrument within the limit."""
        heard = asyncio.Event()

        def listen(_: Instrument, __: MarketEvent) -> None:
            heard.set()

        probe = LiveFeed(self._instruments[:1], self._hosts, stale_s=self._stale_s)
        running = asyncio.create_task(probe.run(listen, 0))
        try:
            async with asyncio.timeout(timeout_s):
                await heard.wait()
        except TimeoutError:
            return False
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        return True

    async def _page(self, http: aiohttp.ClientSession, instrument: Instrument, end_ms: int) -> list[Bar]:
        """Give up to a thousand bars that start at or before `end_ms`, newest first."""
        query: dict[str, Any] = {
            "category": instrument.market.value,
            "symbol": instrument.symbol,
            "interval": "1",
            "limit": PAGE_BARS,
            "end": end_ms,
        }
        async with http.get(f"{self._hosts.market_rest}/v5/market/kline", params=query) as response:
            answer = msgspec.json.decode(await response.read(), type=_Klines)
        grid = TickGrid(instrument)
        return [_bar(row, grid, instrument.tick_size) for row in answer.result.rows]


def _bar(row: tuple[str, ...], grid: TickGrid, tick_size: Decimal) -> Bar:
    opened, high, low, close = (grid.nearest(price_units(text)) for text in row[1:5])
    volume = int(Decimal(row[5]) * SIZE_SCALE)
    turnover = int(Decimal(row[6]) / tick_size * SIZE_SCALE)
    return Bar(int(row[0]), opened, high, low, close, volume, turnover)
