"""The private streams of any exchange behind ccxt.pro: orders and executions to the bots they belong to.

ccxt replays nothing after a lost line and does not say when it is subscribed again, so each loss is followed by a
gap notice a moment after the line was asked for anew. What arrives while nobody waits for it stays unseen until
the next message; so one loop does nothing but wait, and another hands on.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from adapters.exchanges.background import Background
from adapters.exchanges.ccxt_unified.account import CcxtAccount
from adapters.exchanges.ccxt_unified.convert import Listed, Unified
from adapters.exchanges.routing import Routes, local_now_ms
from engine.errors import VenueError

log = logging.getLogger(__name__)

Handler = Callable[[Listed, list[Unified]], Awaitable[None]]

_GAP_AFTER_S = 1.0
_HEARD_MAX = 10_000
_TOLD_MAX = 10_000
_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 0.2, 15.0


class PrivateStreams:
    """Orders and executions of each instrument, shared by its bots."""

    def __init__(self, account: CcxtAccount, routes: Routes[None], background: Background) -> None:
        self._account = account
        self._routes = routes
        self._background = background
        self._watched: set[str] = set()
        self._heard_s: float | None = None
        self._failing: set[str] = set()
        self._gap_due = False
        # OKX tells a fill once for each subscription that it fits, and the loops make two.
        self._told: dict[tuple[str, str], None] = {}

    @property
    def silent_ms(self) -> int:
        """Tell how long ago the last message arrived (or the streams were opened); -1 while one fails."""
        if self._heard_s is None or self._failing:
            return -1
        return int((time.monotonic() - self._heard_s) * 1000)

    def watch(self, listed: Listed) -> None:
        """Follow one instrument's orders and executions.

        What happens before the exchange has confirmed the subscription is missed, hence the first gap notice.
        """
        if listed.symbol in self._watched:
            return
        self._watched.add(listed.symbol)
        self._heard_s = time.monotonic()
        for method, handle in (("watch_orders", self._orders), ("watch_my_trades", self._trades)):
            self._background.start(self._follow(method, listed, handle), f"{method}.{listed.symbol}")
        self._gap_soon()

    async def _follow(self, method: str, listed: Listed, handle: Handler) -> None:
        name, failures = f"{method}.{listed.symbol}", 0
        heard: asyncio.Queue[Unified] = asyncio.Queue(_HEARD_MAX)
        self._background.start(self._hand_on(heard, listed, handle), f"{name}.hand_on")
        while True:
            try:
                rows = await self._account.call(method, listed.symbol)
            except VenueError as error:
                log.warning("ccxt.stream_failed name=%s error=%s", name, error)
                failures += 1
                self._failing.add(name)
                await asyncio.sleep(min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2 ** min(failures, 10)))
                self._failing.discard(name)
                self._gap_soon()
                continue
            failures = 0
            self._heard_s = time.monotonic()
            for row in rows:
                try:
                    # A copy: ccxt writes an order's next state into the row of the last one.
                    heard.put_nowait(dict(row))
                except asyncio.QueueFull:
                    self._gap_soon()

    async def _hand_on(self, heard: asyncio.Queue[Unified], listed: Listed, handle: Handler) -> None:
        while True:
            rows = [await heard.get()]
            while not heard.empty():
                rows.append(heard.get_nowait())
            try:
                await handle(listed, rows)
            except VenueError as error:
                log.error("ccxt.unreadable name=%s error=%s", listed.symbol, error)
                self._gap_soon()

    async def _orders(self, listed: Listed, rows: list[Unified]) -> None:
        for row in rows:
            with self._unreadable_is_a_gap(listed):
                report = self._account.read(listed, row)
                if report is not None and (route := self._routes.of(report.link_id)) is not None:
                    route.deliver(report, local_now_ms())

    async def _trades(self, listed: Listed, rows: list[Unified]) -> None:
        news = [row for row in rows if self._is_news(listed, row)]
        for row in await self._account.with_fees(listed, news) if news else ():
            with self._unreadable_is_a_gap(listed):
                execution = await self._account.read_trade(listed, row)
                if execution is not None and (route := self._routes.of(execution.link_id)) is not None:
                    route.deliver(execution, local_now_ms())

    def _is_news(self, listed: Listed, trade: Unified) -> bool:
        name = (listed.symbol, str(trade["id"]))
        if name in self._told:
            return False
        if len(self._told) >= _TOLD_MAX:
            del self._told[next(iter(self._told))]
        self._told[name] = None
        return True

    @contextmanager
    def _unreadable_is_a_gap(self, listed: Listed) -> Iterator[None]:
        try:
            yield
        except (VenueError, ValueError, KeyError, ArithmeticError) as error:
            log.error("ccxt.unreadable symbol=%s error=%s", listed.symbol, error)
            self._gap_soon()

    def _gap_soon(self) -> None:
        if not self._gap_due:
            self._gap_due = True
            self._background.start(self._tell_gap(), "gap")

    async def _tell_gap(self) -> None:
        await asyncio.sleep(_GAP_AFTER_S)
        self._gap_due = False
        self._routes.gap(self._background)
