"""Mirrors the real venue: its public stream for trades and book, its REST bars for the past.

It trades nothing there and needs no key. Losing the line only pauses the market; it comes back by itself.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from decimal import Decimal

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
REQUESTS_AT_ONCE = 8

log = logging.getLogger(__name__)


class _Page(msgspec.Struct):
    rows: list[tuple[str, ...]] = msgspec.field(name="list", default_factory=list)


class _Answer(msgspec.Struct):
    result: _Page


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
        """Read a week of one-minute bars from the venue; what cannot be had is simply not there."""
        newest_ms = until_ms - until_ms % MINUTE_MS - MINUTE_MS
        ends = [newest_ms - back * MINUTE_MS for back in range(0, HISTORY_MINUTES, PAGE_BARS)]
        limit = asyncio.Semaphore(REQUESTS_AT_ONCE)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_S)) as http:
            pages = await asyncio.gather(*(self._page(http, limit, instrument, end_ms) for end_ms in ends))
        bars: list[Bar] = []
        for page in pages:
            bars.extend(page)
            if len(page) < PAGE_BARS:
                # The instrument is younger than that, or a page is missing: bars beyond would leave a hole.
                break
        return bars[::-1]

    async def run(self, sink: MarketSink, start_ms: int) -> None:
        """Mirror until cancelled. Market time is the other venue's own; `start_ms` has no say in it."""
        async with asyncio.TaskGroup() as tasks:
            for market in Market:
                wanted = [each for each in self._instruments if each.market is market]
                if wanted:
                    socket = V5MarketSocket(self._hosts.public, market, wanted, sink, self._stale_s)
                    tasks.create_task(socket.run(), name=socket.name)

    async def answers(self, timeout_s: float) -> bool:
        """Tell whether the public stream says anything of the first instrument within the limit.

        A venue that cannot be reached, or refuses, is a no at once; only a silent one uses up the time.
        """
        instrument = self._instruments[0]
        heard = asyncio.Event()

        def listen(_: Instrument, __: MarketEvent) -> None:
            heard.set()

        socket = V5MarketSocket(self._hosts.public, instrument.market, [instrument], listen, self._stale_s)
        running = asyncio.create_task(socket.run(), name="feed.probe")
        try:
            async with asyncio.timeout(timeout_s):
                await socket.tried.wait()
                if socket.up.is_set():
                    await heard.wait()
        except TimeoutError:
            pass
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        return heard.is_set()

    async def _page(
        self, http: aiohttp.ClientSession, limit: asyncio.Semaphore, instrument: Instrument, end_ms: int
    ) -> list[Bar]:
        """Give up to a thousand bars that start at or before `end_ms`, newest first; none if it fails."""
        query: dict[str, str | int] = {
            "category": instrument.market.value,
            "symbol": instrument.symbol,
            "interval": "1",
            "limit": PAGE_BARS,
            "start": end_ms - (PAGE_BARS - 1) * MINUTE_MS,
            "end": end_ms,
        }
        url = f"{self._hosts.market_rest}/v5/market/kline"
        try:
            async with limit, http.get(url, params=query) as response:
                answer = msgspec.json.decode(await response.read(), type=_Answer)
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError) as error:
            log.warning("feed.history_failed symbol=%s error=%s", instrument.symbol, type(error).__name__)
            return []
        grid = TickGrid(instrument)
        return [_bar(row, grid, instrument.tick_size) for row in answer.result.rows]


def _bar(row: tuple[str, ...], grid: TickGrid, tick_size: Decimal) -> Bar:
    opened, high, low, close = (grid.nearest(price_units(text)) for text in row[1:5])
    volume = int(Decimal(row[5]) * SIZE_SCALE)
    turnover = int(Decimal(row[6]) / tick_size * SIZE_SCALE)
    return Bar(int(row[0]), opened, high, low, close, volume, turnover)
