"""The PaperVenue as one object: the core, its feeds and its doors on one address. Start it, stop it, drill it.

It assembles and owns life and death; what is decided is decided in `venue` and what is said in the doors.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from aiohttp import web

from engine.trading.instrument import Instrument

from .admin import Admin
from .catalogue import LISTINGS, Listing
from .faults import Faults
from .feeds.base import Feed
from .limits import Limits, RateLimiter
from .market import MarketState
from .operations import OrderOperations
from .private_rest import PrivateRest, ip_guard, no_such_path
from .private_stream import PrivateStream
from .public_rest import market_routes
from .public_stream import PublicStream
from .queries import Queries
from .rows import Rows
from .sessions import KeyRing
from .settings import Settings
from .trade_stream import TradeStream
from .venue import Venue

log = logging.getLogger(__name__)

ANSWER_DELAY_S = 0.005
"""Answers on the private and trade sockets are held back this long. pybit sends before it registers its callback
and drops, or dies of, an answer that is faster than that. Zero for benchmarks and clients that listen first."""

FUNDING_LOOK_S = 1.0


class Address(msgspec.Struct, frozen=True):
    """Where the venue listens."""

    host: str
    port: int

    @property
    def http(self) -> str:
        """Give the base address for HTTP."""
        return f"http://{self.host}:{self.port}"

    @property
    def ws(self) -> str:
        """Give the base address for WebSockets."""
        return f"ws://{self.host}:{self.port}"


class PaperVenue:
    """A Bybit-V5-compatible venue with paper money.

    With a `state_dir` it survives the death of its process: every acknowledged order, execution, balance and link
    id is there again. Without one it forgets everything when it goes.
    """

    def __init__(
        self,
        listings: Iterable[Listing] = LISTINGS,
        feeds: Sequence[Feed] = (),
        state_dir: Path | None = None,
        limits: Limits | None = None,
        answer_delay_s: float = ANSWER_DELAY_S,
    ) -> None:
        self.core = Venue(listings, state_dir)
        self.create_account = self.core.create_account
        self.on_market = self.core.on_market
        """Take in a market event, as a feed does."""
        self.feeds = tuple(feeds)
        self.core.board.feed_name = "; ".join(feed.name for feed in self.feeds)
        self.limiter = RateLimiter(limits or Limits())
        rows = Rows(self.core.listings, self.core.clearing, self.core.board)
        keys = KeyRing(self.core.records.by_key)
        operations = OrderOperations(self.core, self.limiter)
        self.public_stream = PublicStream(self.core.board, self.core.now_ms)
        self.private_stream = PrivateStream(self.core, rows, keys, answer_delay_s)
        self.trade_stream = TradeStream(self.core, operations, keys, answer_delay_s)
        self._doors = {
            "public": self.public_stream.doors,
            "private": [self.private_stream.door],
            "trade": [self.trade_stream.door],
        }
        rest = PrivateRest(
            self.core,
            operations,
            Queries(self.core, rows),
            Settings(self.core, self.private_stream),
            keys,
            self.limiter,
        )
        admin = Admin(self.core, rows, self.drop_sockets, self._restart_soon, self.stop_feeds)
        self.core.market_listeners.append(self.public_stream.publish)
        self.core.liquidation_listeners.append(self.public_stream.publish_liquidation)
        self._routes = [
            *market_routes(self.core.board, self.core.now_ms),
            *(door.route for doors in self._doors.values() for door in doors),
            *rest.routes(),
            *admin.routes(),
            web.route("*", "/{path:.*}", no_such_path),
        ]
        self._runner: web.AppRunner | None = None
        self._address: Address | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._feeding: list[asyncio.Task[None]] = []
        self._restarting: asyncio.Task[None] | None = None

    @property
    def faults(self) -> Faults:
        """Give the switchboard of faults."""
        return self.core.faults

    @property
    def address(self) -> Address:
        """Give the address it listens, or listened last, on."""
        if self._address is None:
            raise RuntimeError("the venue has not been started")
        return self._address

    def market(self, instrument: Instrument) -> MarketState:
        """Give the state of a market."""
        return self.core.board.of(instrument)

    # ------------------------------------------------------------------ life

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> Address:
        """Seed the past, open the doors, then let the feeds run; port 0 picks a free one."""
        for feed in self.feeds:
            await self._seed(feed)
        await self._listen(host, port)
        start_ms = self.core.now_ms()
        self._feeding = [
            asyncio.create_task(self._pump(feed, start_ms), name=f"feed {feed.name}") for feed in self.feeds
        ]
        self._tasks = [*self._feeding, asyncio.create_task(self._watch_funding(), name="funding")]
        return self.address

    async def stop(self) -> None:
        """Stop the feeds, close the doors and the journal."""
        tasks = [*self._tasks, *([self._restarting] if self._restarting is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks, self._feeding, self._restarting = [], [], None
        await self._hang_up()
        self.core.close()

    async def restart(self, away_s: float = 0.0) -> None:
        """Fault: close every door and socket without a word, come back on the same address after a while.

        Accounts and orders stay; the market goes on meanwhile, so orders may fill while nobody can hear it.
        """
        address = self.address
        await self._hang_up(politely=False)
        await asyncio.sleep(away_s)
        await self._listen(address.host, address.port)

    async def _restart_soon(self, away_s: float) -> None:
        # Asked over HTTP: the answer leaves first, the doors close a moment later.
        async def restart() -> None:
            await asyncio.sleep(0.05)
            await self.restart(away_s)

        self._restarting = asyncio.create_task(restart())

    def stop_feeds(self) -> None:
        """Let the market stand still until the next `start`: no feed moves it any more."""
        for feeding in self._feeding:
            feeding.cancel()

    def drop_sockets(self, which: str = "all") -> int:
        """Fault: cut the `public`, `private` or `trade` sockets, or `all`; tell how many."""
        chosen = [door for name, doors in self._doors.items() if which in (name, "all") for door in doors]
        return sum(door.drop_clients() for door in chosen)

    async def _seed(self, feed: Feed) -> None:
        for listing in self.core.listings.values():
            bars = await feed.history(listing.instrument, self.core.now_ms())
            if bars:
                self.core.board.of(listing.instrument).seed(bars)

    async def _pump(self, feed: Feed, start_ms: int) -> None:
        """Run a feed. One that fails must not fail silently: prices that stand still look like a calm market."""
        try:
            await feed.run(self.core.on_market, start_ms)
        except Exception:
            # A feed that breaks must not take the venue's books with it; every screen shows that it has failed.
            log.exception("the feed %s failed", feed.name)
            self.core.board.feed_name += " (failed)"

    async def _listen(self, host: str, port: int) -> None:
        app = web.Application(middlewares=[ip_guard(self.core, self.limiter)], client_max_size=2**20)
        app.add_routes(self._routes)
        # Idle sockets must not hold up a stop; politeness is done by the doors' own close.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, host, port, reuse_address=True)
        await site.start()
        self._runner = runner
        self._address = Address(host, runner.addresses[0][1])

    async def _hang_up(self, politely: bool = True) -> None:
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        # The listener goes first. Who was accepted in the same moment must get its handler before the handlers
        # are shut down, or it would wait for ever on a connection that nobody owns.
        for site in tuple(runner.sites):
            await site.stop()
        await asyncio.sleep(0.01)
        if politely:
            await asyncio.gather(*(door.close() for doors in self._doors.values() for door in doors))
        self.drop_sockets("all")
        self.public_stream.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await runner.cleanup()

    async def _watch_funding(self) -> None:
        while True:
            self.core.settle_due_funding()
            await asyncio.sleep(FUNDING_LOOK_S)
