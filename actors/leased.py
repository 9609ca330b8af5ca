"""A single writer's life: take the lease, work in turns while it holds, begin anew when it is lost.

What the watcher of a chain, the signer of a wallet and the session of a pair have in common. The lease's epoch
goes with every write, so that an older life of the same writer, which Ray may have left running, is refused by the
database; and the writer stops by its own clock before the database would let another one in.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Protocol

from actors.clock import now_ms
from actors.messages import WriterReport
from engine.errors import OutcomeUnknown, Rejected, Retryable, VenueError
from engine.ids import Instant
from storage.database import Database
from storage.events import listen
from storage.leases import Lease, LeaseKeeper, Leases, StaleEpoch
from storage.payout_memory import DatabaseRestored

log = logging.getLogger(__name__)

LEASE_PAUSE_S = 0.5
TROUBLE_PAUSE_S = 1.0


class Writer(Protocol):
    """What works under a lease. `boot` and `turn` may be repeated after any error; they lose nothing."""

    async def boot(self) -> None:
        """Find out how things stand; called once in each life, before the first turn."""
        ...

    async def turn(self) -> bool:
        """Do what is due now, once. True: there is more to do at once."""
        ...

    def stop(self) -> None:
        """Let go of what only one life may hold (a key, a file). Called once at the end of each life."""
        ...


class LeasedWriter:
    """Runs one writer under the lease `name` until it is stopped. Trouble is told and tried again."""

    def __init__(
        self,
        database: Database,
        name: str,
        make: Callable[[Lease], Awaitable[Writer]],
        *,
        ttl_ms: int,
        pause_s: float,
        channel: str = "",
    ) -> None:
        self._database = database
        self._name = name
        self._make = make
        self._ttl_ms = ttl_ms
        self._pause_s = pause_s
        self._channel = channel
        self._wake = asyncio.Event()
        self._epoch = 0
        self._turned_ms = Instant(0)
        self._problem = "waits for its lease"

    def report(self) -> WriterReport:
        """Say how it is."""
        return WriterReport(self._name, self._epoch, self._turned_ms, self._problem)

    def wake(self) -> None:
        """Let the next turn begin now."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; the lease is given back then."""
        listening = asyncio.create_task(self._listen()) if self._channel else None
        # Unique to this life: a lost answer is recognised, an earlier life's lease is never mistaken for ours.
        holder = f"{self._name}:{secrets.token_hex(8)}"
        try:
            while True:
                await self._live(holder)
        finally:
            if listening is not None:
                listening.cancel()

    async def _live(self, holder: str) -> None:
        leases = Leases(self._database)
        keeper = await self._take(leases, holder)
        if keeper is None:
            await asyncio.sleep(LEASE_PAUSE_S)
            return
        self._epoch = keeper.lease.epoch
        log.info("writer.begins name=%s epoch=%s", self._name, self._epoch)
        keeping = asyncio.create_task(keeper.keep(_nothing))
        try:
            await self._begin(keeper)
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
            with suppress(VenueError):
                await leases.release(keeper.lease)

    async def _take(self, leases: Leases, holder: str) -> LeaseKeeper | None:
        try:
            return await LeaseKeeper.take(leases, self._name, holder, self._ttl_ms)
        except VenueError as error:
            self._trouble(f"the database does not answer: {error}")
            return None

    async def _begin(self, keeper: LeaseKeeper) -> None:
        try:
            writer = await self._make(keeper.lease)
        except Exception as error:
            # A key that does not open, a damaged journal: told, and tried again, while the others go on.
            log.exception("writer.not_made name=%s", self._name)
            self._trouble(f"cannot begin: {error}")
            await asyncio.sleep(TROUBLE_PAUSE_S)
            return
        try:
            await self._work(keeper, writer)
        except StaleEpoch as error:
            self._trouble(f"its lease is over: {error}")
        except OutcomeUnknown as error:
            # What it holds in memory may be older than the database: a new life reads it again.
            self._trouble(str(error))
        except DatabaseRestored as error:
            # A signer begins with the comparison; all others wait until it has been made.
            self._trouble(str(error))
            await asyncio.sleep(TROUBLE_PAUSE_S)
        except Exception as error:
            # A mistake of ours must not end the writer for good; each new life starts from the database.
            log.exception("writer.failed name=%s", self._name)
            self._trouble(f"{type(error).__name__}: {error}")
            await asyncio.sleep(TROUBLE_PAUSE_S)
        finally:
            writer.stop()

    async def _work(self, keeper: LeaseKeeper, writer: Writer) -> None:
        is_up = False
        while keeper.is_safe:
            try:
                if not is_up:
                    await writer.boot()
                    is_up = True
                has_more = await writer.turn()
            except (Retryable, Rejected) as error:
                self._trouble(str(error))
                await asyncio.sleep(TROUBLE_PAUSE_S)
            else:
                self._turned_ms, self._problem = now_ms(), ""
                if not has_more:
                    await self._rest()

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), self._pause_s)
        self._wake.clear()

    async def _listen(self) -> None:
        async with aclosing(listen(self._database, self._channel)) as payloads:
            async for _ in payloads:
                self._wake.set()

    def _trouble(self, words: str) -> None:
        self._problem = words
        log.warning("writer.trouble name=%s error=%s", self._name, words)


async def _nothing() -> None:
    """Do nothing: the loop itself sees that the lease is no longer safe."""
