"""The PaperVenue on loopback with markets under the test's hand, and the real client libraries pointed at it."""

import asyncio
import os
import random
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pybit.unified_trading import HTTP, WebSocket

from adapters.exchanges.paper.candles import Bar
from adapters.exchanges.paper.catalogue import Listing, listings
from adapters.exchanges.paper.events import SIZE_SCALE, BookChange, MarketEvent, MarketTrade
from adapters.exchanges.paper.feeds.files import load_recording
from adapters.exchanges.paper.feeds.recording import Recording
from adapters.exchanges.paper.limits import Limits
from adapters.exchanges.paper.market import MarketState
from adapters.exchanges.paper.server import PaperVenue
from engine.trading.instrument import Instrument

SHARED = Path(os.environ.get("TRELLIS_SHARED", Path(__file__).parents[4] / "shared"))
TICKS = SHARED / "data" / "ticks"
needs_recordings = pytest.mark.skipif(
    not TICKS.is_dir(), reason=f"the exchange recordings are not there: {TICKS} (set TRELLIS_SHARED)"
)

BTC_SPOT, BTC_LINEAR = (listing.instrument for listing in listings(["BTCUSDT"]))
RECORDINGS = {BTC_SPOT: "spot_btcusdt_20240808.gz", BTC_LINEAR: "usdm_btcusdt_20240808.gz"}
DAY_BARS = 1440


@cache
def recording_of(instrument: Instrument) -> Recording:
    """Load a market's recording, once for all tests: the larger one takes seconds."""
    return load_recording(TICKS / RECORDINGS[instrument], instrument)


def now_ms() -> int:
    """Give the wall clock as the venue reads it."""
    return time.time_ns() // 1_000_000


def listing_of(instrument: Instrument) -> Listing:
    """Find an instrument's listing."""
    return listings([instrument.symbol], instrument.market)[0]


class MarketVenue:
    """The whole PaperVenue without a feed: each test is the feed."""

    def __init__(self) -> None:
        self.paper = PaperVenue(listings(["BTCUSDT", "ETHUSDT"]), limits=Limits(0, 0, 0, 0))
        self.board = self.paper.core.board
        self.stream = self.paper.public_stream

    @property
    def http(self) -> str:
        """Give the REST address."""
        return self.paper.address.http

    @property
    def ws(self) -> str:
        """Give the WebSocket address."""
        return self.paper.address.ws

    @property
    def listeners(self) -> int:
        """Count the clients on the public sockets."""
        return sum(len(door.sessions) for door in self.stream.doors)

    async def subscribed(self, topic: str, clients: int = 1) -> None:
        """Wait until so many clients listen to a topic."""
        doors = self.stream.doors
        await eventually(lambda: sum(topic in each.topics for door in doors for each in door.sessions) >= clients)

    def on_market(self, instrument: Instrument, event: MarketEvent) -> None:
        """Hand an event to the venue."""
        self.paper.on_market(instrument, event)

    def trade(self, instrument: Instrument, ticks: int, size: int = SIZE_SCALE, buy: bool = True) -> MarketTrade:
        """Print a trade now."""
        event = MarketTrade(now_ms(), ticks, size, buy)
        self.on_market(instrument, event)
        return event

    def book(self, instrument: Instrument, bids: Any, asks: Any, snapshot: bool = False) -> None:
        """Change the book now."""
        self.on_market(instrument, BookChange(now_ms(), snapshot, tuple(bids), tuple(asks)))

    def open_market(self, instrument: Instrument, ticks: int) -> MarketState:
        """Give a market a day of bars, twenty levels a side, and a few trades around `ticks`."""
        state = self.board.of(instrument)
        minute = now_ms() // 60_000 * 60_000
        state.candles.seed(
            Bar(
                minute - back * 60_000,
                ticks,
                ticks + 9,
                ticks - 9,
                ticks + back % 5,
                SIZE_SCALE,
                ticks * SIZE_SCALE,
            )
            for back in range(DAY_BARS, 0, -1)
        )
        self.book(
            instrument,
            [(ticks - 1 - step, SIZE_SCALE + step) for step in range(60)],
            [(ticks + 1 + step, SIZE_SCALE * 2 + step) for step in range(60)],
            snapshot=True,
        )
        for step in range(5):
            self.trade(instrument, ticks + step % 2, SIZE_SCALE // 1000 * (step + 1), buy=bool(step % 2))
        return state

    async def stir(self, instrument: Instrument, ticks: int, turns: int = 200, every_s: float = 0.02) -> None:
        """Move the market a little at a time, so that each topic has something to say."""
        rng = random.Random(1)
        for turn in range(turns):
            self.book(
                instrument, [(ticks - rng.randint(1, 90), rng.randint(0, 3) * SIZE_SCALE)], [(ticks + 1, turn + 1)]
            )
            self.trade(instrument, ticks + rng.randint(-3, 3), SIZE_SCALE // 100 + turn, buy=turn % 3 == 0)
            await asyncio.sleep(every_s)


@asynccontextmanager
async def market_venue() -> AsyncIterator[MarketVenue]:
    """Run a venue with two open BTCUSDT markets."""
    venue = MarketVenue()
    await venue.paper.start()
    venue.open_market(BTC_SPOT, 6_183_763)
    venue.open_market(BTC_LINEAR, 618_002)
    try:
        yield venue
    finally:
        await venue.paper.stop()


def pybit_http(venue: MarketVenue) -> HTTP:
    """Give the unmodified pybit client, pointed at the venue."""
    client = HTTP()
    client.endpoint = venue.http
    return client


def pybit_socket(venue: MarketVenue, category: str) -> WebSocket:
    """Give the unmodified pybit WebSocket, pointed at the venue. Blocks: call it in a thread."""

    class LocalSocket(WebSocket):
        def _connect(self, url: str) -> None:
            super()._connect(re.sub(r"^wss?://[^/]+", venue.ws, url))

    return LocalSocket(testnet=False, channel_type=category)


def ccxt_config(venue: MarketVenue) -> dict[str, Any]:
    """Give the configuration that points ccxt at the venue."""
    public = {kind: f"{venue.ws}/v5/public/{kind}" for kind in ("spot", "linear", "inverse", "option")}
    private = {
        "spot": {"unified": f"{venue.ws}/v5/private", "nonUnified": f"{venue.ws}/v5/private"},
        "contract": f"{venue.ws}/v5/private",
        "usdc": f"{venue.ws}/v5/private",
        "trade": f"{venue.ws}/v5/trade",
    }
    rest = dict.fromkeys(("spot", "futures", "v2", "public", "private"), venue.http)
    return {"urls": {"api": {**rest, "ws": {"public": public, "private": private}}}, "enableRateLimit": False}


async def eventually(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait until something holds; fail after the limit."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the condition is the client's, in its own thread
            await asyncio.sleep(0.01)
