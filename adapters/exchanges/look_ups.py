"""Asks after orders that are in doubt until the exchange has said what became of them.

It never decides that an order is absent: that is `find_order`'s word, and a question that failed is asked again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from adapters.exchanges.background import Background
from adapters.exchanges.routing import Route, local_now_ms
from engine.errors import VenueError
from engine.ids import LinkId
from engine.trading.instrument import Instrument
from engine.trading.orders import OrderAbsent, OrderReport

C = TypeVar("C")
log = logging.getLogger(__name__)

_PAUSE_FIRST_S, _PAUSE_MAX_S = 0.2, 5.0


class LookUps(Generic[C]):
    """Looks orders up beside the caller, each one once at a time; the answers go to the bots."""

    def __init__(
        self, find_order: Callable[[Instrument, LinkId], Awaitable[OrderReport | None]], background: Background
    ) -> None:
        self._find_order = find_order
        self._background = background
        self._running: set[LinkId] = set()

    def start(self, route: Route[C], link_id: LinkId) -> None:
        """Look an order up until the answer is known or its bot is detached."""
        if link_id not in self._running:
            self._running.add(link_id)
            self._background.start(self._until_known(route, link_id), f"look_up.{link_id}")

    async def _until_known(self, route: Route[C], link_id: LinkId) -> None:
        pause_s = _PAUSE_FIRST_S
        try:
            while route.open:
                try:
                    report = await self._find_order(route.instrument, link_id)
                except VenueError as error:
                    log.warning("look_up.failed link_id=%s error=%s", link_id, error)
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _PAUSE_MAX_S)
                else:
                    # The bot may ask again from within the delivery.
                    self._running.discard(link_id)
                    await route.deliver(report or OrderAbsent(link_id), local_now_ms())
                    return
        finally:
            self._running.discard(link_id)
