"""A second event loop beside the order path, in a thread of its own and with its own connections to the database.

What a host's bots write down is worded, encoded and committed here, so that the loop on which fills arrive does
none of it. The two threads still share Python's lock: work of any length must `breathe` between small pieces.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

from storage.database import Database

T = TypeVar("T")

BREATH_S = 0.000_1
"""Long enough that a thread which waits for the lock wakes up and takes it; letting go alone is not enough."""

SWITCH_S = 0.000_5
"""How long one thread keeps Python's lock from another: a fill must not wait for the usual five milliseconds, and
an order should be on its way before the scribe may take the lock back."""

JOIN_LIMIT_S = 5.0


class Scribe:
    """Runs coroutines for its owner on its own loop. `open` before the first, `close` after the last."""

    def __init__(self, dsn: str, pool_size: int, name: str) -> None:
        self.database = Database(dsn, pool_size=pool_size, name=name)
        """For work that runs here, and nowhere else."""
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    async def open(self) -> None:
        """Start the thread and its connections; raise as `Database.open` does, and can then be called again."""
        if not self._thread.is_alive():
            sys.setswitchinterval(SWITCH_S)
            self._thread.start()
        await self.do(self.database.open())

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Have something done here, and wait for it on the caller's loop. A cancelled wait cancels the work."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def close(self) -> None:
        """End the connections and the thread."""
        if not self._thread.is_alive():
            return
        await self.do(self.database.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, JOIN_LIMIT_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


def breathe() -> None:
    """Let the order path have the lock. Called by work on the scribe's thread, which nobody waits for."""
    time.sleep(BREATH_S)
