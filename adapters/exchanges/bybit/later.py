"""What can wait until every socket has been read: it is handled once nothing more urgent has arrived.

A fill and a price can lead to an order; an acknowledgement and an order's report only confirm what is assumed
already. When they arrive together, the former go first. A bot copes with any order of arrival, so this costs
nothing but the wait, which is as many turns of the loop as messages wait.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from adapters.exchanges.routing import local_now_ms
from engine.ids import Instant

log = logging.getLogger(__name__)

Handler = Callable[[bytes, Instant], None]


class Later:
    """Messages that wait, in their order of arrival."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Handler, bytes, Instant]] = deque()

    def put(self, handle: Handler, message: bytes) -> None:
        """Have a message handled in one of the next turns of the loop, with the time of its arrival."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._settle_one)
        self._waiting.append((handle, message, local_now_ms()))

    def settle(self) -> None:
        """Handle all that waits, now."""
        while self._waiting:
            self._handle_oldest()

    def _settle_one(self) -> None:
        # One in a turn: between two of them the sockets are looked at again.
        if self._waiting:
            self._handle_oldest()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._settle_one)

    def _handle_oldest(self) -> None:
        handle, message, at_ms = self._waiting.popleft()
        try:
            handle(message, at_ms)
        except Exception:
            # A mistake about one message must not cost those behind it.
            log.exception("bybit.message_failed")
