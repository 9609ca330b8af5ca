"""What goes wrong during a soak, when, and how long it takes until all is well again: from one seed.

The same seed gives the same troubles in the same order. What they hit depends on the machine's timing, as in life;
a failed soak is therefore reported with its seed and its log, not promised to fail again at the same place.
"""

import asyncio
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

import aiohttp

from benchmarks.soaking.processes import LEASE_TTL_MS, HostProcess, Processes
from storage.database import Database

log = logging.getLogger(__name__)

WELL_LIMIT_S = 90.0
AWAY = (OSError, aiohttp.ClientError, TimeoutError)
"""What the operator's door raises while the venue is away: the fault then simply does not happen."""

ORDER_OPERATIONS = (
    "order.create",
    "order.create",
    "order.create-batch",
    "order.cancel",
    "order.cancel-batch",
    "order.realtime",
    "execution.list",
)
CODES = (10006, 10016, 429)


class Troubles:
    """Makes trouble until it is told to end, and keeps the counts."""

    def __init__(self, processes: Processes, database: Database, seed: int) -> None:
        self.faults: Counter[str] = Counter()
        self.kills: Counter[str] = Counter()
        self.recoveries: dict[str, list[float]] = {}
        """Seconds from each kill until the part was well again, by kind of kill."""
        self._processes = processes
        self._database = database
        self._random = Random(seed)  # noqa: S311  for repeating, not for secrets
        self._deed: asyncio.Task[None] | None = None

    async def rain(self, every_s: float) -> None:
        """Order a fault from the venue every so often, until cancelled."""
        choices = (
            (self._lose_answer, 4),
            (self._delay_answer, 3),
            (self._refuse, 4),
            (self._miss_messages, 3),
            (self._drop_sockets, 3),
            (self._close_doors, 1),
            (self._shift_clock, 1),
            (self._charge_funding, 1),
        )
        makers, weights = zip(*choices, strict=True)
        while True:
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * every_s)
            (make,) = self._random.choices(makers, weights)
            with suppress(*AWAY):
                await make()

    async def strike(self, every_s: float, kinds: tuple[str, ...]) -> None:
        """Kill something every so often and see it come back, each kind in its turn, until cancelled."""
        deeds: dict[str, Callable[[], Awaitable[None]]] = {
            "host": self._kill_host,
            "frozen host": self._freeze_host,
            "venue": self._kill_venue,
            "postgres": self._kill_postgres,
        }
        while True:
            for kind in self._random.sample(kinds, len(kinds)):
                await asyncio.sleep(self._random.uniform(0.5, 1.5) * every_s)
                # What was struck must come back, even if the one who strikes is cancelled meanwhile.
                self._deed = asyncio.create_task(self._struck(kind, deeds[kind]))
                await asyncio.shield(self._deed)

    async def end(self) -> None:
        """Wait for the last recovery, call off what is in waiting, and make every bot look at the venue again.

        Messages that were swallowed leave no sign, so bots find those fills at their next regular look, a minute
        later. A dropped socket, the last trouble, brings that look forward.
        """
        if self._deed is not None:
            await self._deed
        venue = self._processes.venue
        await venue.post("/paper/faults", kind="clear")
        await venue.post("/paper/faults", kind="drop", sockets="private")
        self.faults["drop"] += 1

    # ------------------------------------------------------------------ faults

    async def _order(self, kind: str, **terms: object) -> None:
        await self._processes.venue.post("/paper/faults", kind=kind, **terms)
        self.faults[kind] += int(str(terms.get("count", 1)))

    async def _lose_answer(self) -> None:
        operation = self._random.choice(ORDER_OPERATIONS)
        await self._order("lose_answer", operation=operation, count=self._random.randint(1, 3))

    async def _delay_answer(self) -> None:
        # Some within the deadline of five seconds, some beyond it.
        delay_s = self._random.choice((0.3, 1.0, 6.0))
        await self._order("delay_answer", operation=self._random.choice(ORDER_OPERATIONS), delay_s=delay_s)

    async def _refuse(self) -> None:
        await self._order(
            "refuse",
            operation=self._random.choice(ORDER_OPERATIONS),
            code=self._random.choice(CODES),
            count=self._random.randint(1, 2),
            accepted=self._random.random() < 0.5,
        )

    async def _miss_messages(self) -> None:
        await self._order("miss_messages", count=self._random.randint(1, 5))

    async def _drop_sockets(self) -> None:
        await self._order("drop", sockets=self._random.choice(("private", "trade", "public", "all")))

    async def _close_doors(self) -> None:
        await self._order("restart", delay_s=self._random.uniform(0.2, 2.0))

    async def _shift_clock(self) -> None:
        await self._order("clock", offset_ms=self._random.choice((-7_000, -1_500, 1_500, 7_000)))
        await asyncio.sleep(2.0)
        await self._processes.venue.post("/paper/faults", kind="clock", offset_ms=0)

    async def _charge_funding(self) -> None:
        """No fault, but as rare in an hour as these and as easily lost."""
        await self._processes.venue.post("/paper/funding", symbol="BTCUSDT")
        self.faults["funding charged"] += 1

    # ------------------------------------------------------------------ kills

    async def _struck(self, kind: str, deed: Callable[[], Awaitable[None]]) -> None:
        log.info("soak.kill kind=%s", kind)
        self.kills[kind] += 1
        began_s = time.monotonic()
        await deed()
        took_s = time.monotonic() - began_s
        self.recoveries.setdefault(kind, []).append(round(took_s, 2))
        log.info("soak.recovered kind=%s after_s=%.2f", kind, took_s)

    async def _kill_host(self) -> None:
        host = self._any_host()
        host.kill()
        await host.died()
        await host.start()
        await host.well(WELL_LIMIT_S)

    async def _freeze_host(self) -> None:
        """Let a host sleep through its leases and wake beside its successor, as on a node that was cut off."""
        host = self._any_host()
        ghost = host.freeze()
        await host.start()
        await host.well(WELL_LIMIT_S)
        await asyncio.sleep(LEASE_TTL_MS / 1_000)
        os.kill(ghost.pid, signal.SIGCONT)
        # Time enough to do harm: it holds orders, sockets and decisions from before.
        await asyncio.sleep(self._random.uniform(1.0, 4.0))
        ghost.kill()
        await ghost.wait()
        await host.well(WELL_LIMIT_S)

    async def _kill_venue(self) -> None:
        venue = self._processes.venue
        venue.kill()
        await venue.died()
        await venue.start()

    async def _kill_postgres(self) -> None:
        postgres = self._processes.postgres
        assert postgres.pid is not None
        os.kill(postgres.pid, signal.SIGKILL)
        while postgres.pid is not None:  # noqa: ASYNC110  a process that dies sets no event
            await asyncio.sleep(0.01)
        await postgres.start()
        await self._database.ping()

    def _any_host(self) -> HostProcess:
        return self._random.choice(self._processes.hosts)
