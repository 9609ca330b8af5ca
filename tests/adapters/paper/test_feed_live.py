"""The live feed, mirroring our own venue on loopback: a mirror of a mirror, cut, starved and restarted."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest_asyncio
from aiohttp import web

from adapters.exchanges.bybit.hosts import BybitHosts, single_host
from adapters.exchanges.paper.events import SIZE_SCALE, BookChange, MarketEvent, MarketTrade
from adapters.exchanges.paper.feeds.choose import choose_feed
from adapters.exchanges.paper.feeds.live import LiveFeed
from adapters.exchanges.paper.feeds.model import ModelFeed
from adapters.exchanges.paper.feeds.recorder import read_events, read_header
from adapters.exchanges.paper.feeds.recording_session import record
from adapters.exchanges.paper.market import MarketState
from engine.trading.instrument import Instrument
from engine.trading.orders import Side
from tests.adapters.paper.market_fixtures import (
    BTC_LINEAR,
    BTC_SPOT,
    MarketVenue,
    eventually,
    market_venue,
    now_ms,
)

BOTH = (BTC_SPOT, BTC_LINEAR)


@pytest_asyncio.fixture(loop_scope="session")
async def venue() -> AsyncIterator[MarketVenue]:
    """The venue that is mirrored."""
    async with market_venue() as running:
        yield running


class Mirror:
    """What came out of a live feed."""

    def __init__(self) -> None:
        self.states = {instrument: MarketState(instrument) for instrument in BOTH}
        self.events: list[MarketEvent] = []

    def take(self, instrument: Instrument, event: MarketEvent) -> None:
        """Apply an event, as a venue does."""
        self.states[instrument].apply(event)
        self.events.append(event)

    def snapshots(self) -> int:
        """Count the new pictures of the book."""
        return sum(isinstance(event, BookChange) and event.snapshot for event in self.events)

    def equals(self, venue: MarketVenue, instrument: Instrument) -> bool:
        """Compare the visible fifty levels and the last price with the original's."""
        mine, original = self.states[instrument], venue.board.of(instrument)
        sides = all(mine.depth(side, 50)[:45] == original.depth(side, 45) for side in Side)
        return sides and mine.last_ticks == original.last_ticks


@asynccontextmanager
async def _mirroring(venue: MarketVenue, stale_s: float = 20.0) -> AsyncIterator[Mirror]:
    mirror = Mirror()
    feed = LiveFeed(BOTH, single_host(venue.http), "a venue", stale_s)
    running = asyncio.create_task(feed.run(mirror.take, now_ms()))
    try:
        await eventually(lambda: mirror.snapshots() >= 2)
        yield mirror
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_book_and_trades_of_both_markets_are_mirrored(venue: MarketVenue) -> None:
    async with _mirroring(venue) as mirror:
        await asyncio.gather(
            venue.stir(BTC_SPOT, 6_183_763, turns=100, every_s=0.005),
            venue.stir(BTC_LINEAR, 618_002, turns=100, every_s=0.005),
        )
        await eventually(lambda: all(mirror.equals(venue, instrument) for instrument in BOTH))
        for instrument in BOTH:
            original = [entry.trade for entry in venue.board.of(instrument).tape][-100:]
            assert [entry.trade for entry in mirror.states[instrument].tape] == original


async def test_after_a_cut_the_mirror_comes_back_with_a_fresh_snapshot(venue: MarketVenue) -> None:
    async with _mirroring(venue) as mirror:
        for _ in range(3):
            before = mirror.snapshots()
            await eventually(lambda: venue.listeners == 2)
            assert venue.paper.drop_sockets("public") == 2
            # What happens while nobody listens is in the next snapshot.
            venue.book(BTC_SPOT, [(6_183_762, 77 * SIZE_SCALE)], [])
            await eventually(lambda before=before: mirror.snapshots() >= before + 2)  # type: ignore[misc]
            venue.trade(BTC_SPOT, 6_183_760)
            venue.trade(BTC_LINEAR, 618_001)
            await eventually(lambda: mirror.equals(venue, BTC_SPOT))


async def test_a_line_that_falls_silent_is_given_up_and_replaced() -> None:
    """A socket that accepts, confirms and then says nothing: open to the eye, dead in fact."""
    connections = 0

    async def dead(request: web.Request) -> web.WebSocketResponse:
        nonlocal connections
        connections += 1
        line = web.WebSocketResponse()
        await line.prepare(request)
        async for message in line:
            if "subscribe" in message.data:
                await line.send_str('{"success":true,"ret_msg":"","op":"subscribe"}')
        return line

    async with _server(dead) as hosts:
        feed = LiveFeed([BTC_SPOT], hosts, stale_s=0.2)
        running = asyncio.create_task(feed.run(lambda instrument, event: None, now_ms()))
        await eventually(lambda: connections >= 3)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_the_past_is_paged_from_the_venues_own_bars(venue: MarketVenue) -> None:
    feed = LiveFeed(BOTH, single_host(venue.http), "a venue")
    original = venue.board.of(BTC_LINEAR).candles.bars
    bars = await feed.history(BTC_LINEAR, now_ms())
    assert len(original) > 1_000
    assert list(bars) == original[: len(bars)]
    assert len(bars) >= len(original) - 2


async def test_a_venue_that_answers_is_chosen(venue: MarketVenue) -> None:
    feed = await choose_feed(BOTH, single_host(venue.http), "a venue")
    assert isinstance(feed, LiveFeed)
    assert feed.name == "live: a venue"


async def test_without_a_venue_the_model_is_chosen_and_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # Accepts and never speaks: the worst case of the probe.
        hosts = single_host(f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        feed = await choose_feed(BOTH, hosts, seed=9, probe_s=0.3)
        assert time.monotonic() - began >= 0.3
    assert isinstance(feed, ModelFeed)
    assert feed.name == "model: seed 9"


async def test_a_venue_that_cannot_be_reached_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        hosts = single_host(f"http://127.0.0.1:{closed.getsockname()[1]}")
    async with asyncio.timeout(10):
        assert isinstance(await choose_feed(BOTH, hosts, probe_s=60), ModelFeed)
        nowhere = single_host("http://no-such-venue.invalid")
        assert isinstance(await choose_feed(BOTH, nowhere, probe_s=5), ModelFeed)
        assert await LiveFeed(BOTH, hosts).history(BTC_SPOT, now_ms()) == []


async def test_a_recording_session_writes_what_the_stream_said(venue: MarketVenue, tmp_path: Path) -> None:
    progress: list[dict[Path, int]] = []
    session = asyncio.create_task(
        record(BOTH, tmp_path, now_ms, single_host(venue.http), "a venue", 1.6, progress.append)
    )
    await venue.subscribed("publicTrade.BTCUSDT", clients=2)
    await venue.stir(BTC_SPOT, 6_183_763, turns=60, every_s=0.005)
    counts = await session
    assert progress
    spot, linear = sorted(counts, key=lambda path: "linear" in path.name)
    assert read_header(spot).source == "live: a venue"
    events = list(read_events(spot))
    assert len(events) == counts[spot]
    tape = [entry.trade for entry in venue.board.of(BTC_SPOT).tape][-60:]
    assert [event for event in events if isinstance(event, MarketTrade)] == tape
    assert [event.snapshot for event in read_events(linear) if isinstance(event, BookChange)] == [True]


async def test_a_cancelled_session_leaves_whole_files(venue: MarketVenue, tmp_path: Path) -> None:
    session = asyncio.create_task(record([BTC_SPOT], tmp_path, now_ms, single_host(venue.http), "a venue"))
    await venue.subscribed("publicTrade.BTCUSDT")
    venue.trade(BTC_SPOT, 6_183_000)
    await asyncio.sleep(0.2)
    session.cancel()
    await asyncio.gather(session, return_exceptions=True)
    (file,) = tmp_path.iterdir()  # noqa: ASYNC240
    assert [event.ticks for event in read_events(file) if isinstance(event, MarketTrade)] == [6_183_000]


@asynccontextmanager
async def _server(endpoint: web.RequestHandler) -> AsyncIterator[BybitHosts]:  # type: ignore[type-arg]
    app = web.Application()
    app.router.add_get("/v5/public/spot", endpoint)  # type: ignore[arg-type]
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listening).start()
    try:
        yield single_host(f"http://127.0.0.1:{listening.getsockname()[1]}")
    finally:
        await runner.cleanup()
