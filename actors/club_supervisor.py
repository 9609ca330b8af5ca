"""Desired against running, for the club: who watches each network, signs for each wallet, closes each day.

One per cluster. It holds no truth of its own and decides nothing about money: who shall run is read from the
database, who runs is asked; so it can be killed and started again at any moment. Two of a kind for a while are
harmless: only one of them holds the lease.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
import ray
from ray.exceptions import RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors import wiring
from actors.books_auditor import AUDITOR_LEASE, BooksAuditor
from actors.clock import now_ms
from actors.club_hosts import ClubHost, SessionHost, SignerHost, WatcherHost
from actors.deadlines import DEADLINES_LEASE, Deadlines
from actors.leased import LeasedWriter, Writer
from actors.messages import ClubReport, ComponentHealth, decode, encode
from engine.errors import VenueError
from engine.ids import Instant
from storage import trust_sessions
from storage.companies import Companies
from storage.database import Database
from storage.leases import Lease

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
ANSWER_LIMIT_S = 5.0
WRITERS_PAUSE_S = 2.0
SILENT_MAX_MS = 30_000
START_MAX_MS = 120_000
PREFIX = "club-writer-"

KINDS: Mapping[str, type[ClubHost]] = {"watcher": WatcherHost, "signer": SignerHost, "session": SessionHost}


class _Running(msgspec.Struct):
    actor: Any
    answered_ms: Instant
    report: ClubReport | None = None


class ClubSupervisor:
    """The plain class; `actors.wiring` makes it a Ray actor."""

    def __init__(self, plan_data: bytes) -> None:
        self._data = plan_data
        self._plan = wiring.decode_plan(plan_data)
        assert self._plan.club is not None
        self._club = self._plan.club
        self._database = Database(self._plan.dsn, pool_size=4, name="trellis club supervisor")
        self._running: dict[str, _Running] = {}
        self._loop: asyncio.Task[None] | None = None
        self._is_open = False
        self._problem = "has not looked yet"
        # Writers of the whole club, too small for a process of their own.
        self._writers = [
            self._writer(AUDITOR_LEASE, self._audit),
            self._writer(DEADLINES_LEASE, self._watch_deadlines),
        ]
        self._writing: list[asyncio.Task[None]] = []
        # Ray makes such actors on their own loop: one that was killed begins again by itself.
        with suppress(RuntimeError):
            asyncio.get_running_loop().call_soon(self._begin_once)

    async def begin(self) -> None:
        """Adopt what runs already, and start looking. Twice is harmless."""
        self._begin_once()

    async def reports(self) -> bytes:
        """Give the report of every actor that has answered (a dict of `ClubReport` by name)."""
        return encode({name: each.report for name, each in self._running.items() if each.report is not None})

    async def health(self) -> bytes:
        """Say how the parts are (a list of `ComponentHealth`)."""
        parts = [ComponentHealth("club", not self._problem, self._problem or "looks every second")]
        for report in (writer.report() for writer in self._writers):
            parts.append(ComponentHealth(report.name, not report.problem, report.problem or "works"))
        now = now_ms()
        for name, each in sorted(self._running.items()):
            age_ms = now - each.answered_ms
            if each.report is None:
                parts.append(ComponentHealth(name, age_ms < START_MAX_MS, "is starting", age_ms))
                continue
            problem = each.report.problem
            parts.append(ComponentHealth(name, not problem and age_ms < SILENT_MAX_MS, problem or "works", age_ms))
        return encode(parts)

    async def shutdown(self) -> None:
        """Let every actor give its lease back, and end it."""
        for task in (self._loop, *self._writing):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        running, self._running = self._running, {}
        await asyncio.gather(*(self._end(each.actor) for each in running.values()))
        await self._database.close()

    # ------------------------------------------------------------------ the loop

    def _begin_once(self) -> None:
        if self._loop is not None:
            return
        wiring.set_up_logging(self._plan.home, self._plan.log_level)
        for entry in ray.util.list_named_actors(all_namespaces=True):
            name = entry["name"].removeprefix(PREFIX)
            if entry["name"] != name and entry["namespace"] == wiring.NAMESPACE:
                actor = ray.get_actor(entry["name"], namespace=wiring.NAMESPACE)
                self._running[name] = _Running(actor, now_ms())
        self._loop = asyncio.create_task(self._look_for_ever())

    async def _look_for_ever(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        """Compare once. Never raises: whatever is wrong now is tried again at the next look."""
        try:
            if not self._is_open:
                await self._database.open()
                self._is_open = True
                self._writing = [asyncio.create_task(writer.run()) for writer in self._writers]
            await asyncio.gather(*(self._ask(name) for name in tuple(self._running)))
            wanted = await self._wanted()
            await asyncio.gather(*(self._start(name) for name in wanted if name not in self._running))
            await asyncio.gather(*(self._let_go(name) for name in tuple(self._running) if name not in wanted))
        except (VenueError, RayError) as error:
            self._problem = f"{type(error).__name__}: {error}"
            log.warning("club.look_failed error=%s", self._problem)
        except Exception as error:
            # A mistake of ours in one look must not end the looking: every writer depends on the next one.
            self._problem = f"{type(error).__name__}: {error}"
            log.exception("club.look_failed")
        else:
            self._problem = ""

    def _writer(self, name: str, make: Callable[[Lease], Awaitable[Writer]]) -> LeasedWriter:
        return LeasedWriter(self._database, name, make, ttl_ms=self._plan.lease_ttl_ms, pause_s=WRITERS_PAUSE_S)

    async def _audit(self, lease: Lease) -> Writer:
        return BooksAuditor(self._database, lease, now_ms)

    async def _watch_deadlines(self, lease: Lease) -> Writer:
        return Deadlines(self._database, lease, now_ms)

    async def _wanted(self) -> set[str]:
        """Name who shall run: `watcher:tron`, `signer:<hot wallet>`, `session:<pair and day>`."""
        wanted = {f"watcher:{plan.network}" for plan in self._club.networks}
        for plan in self._club.networks:
            wallets = await Companies(self._database).hot_wallets(plan.network)
            wanted |= {f"signer:{wallet.id}" for wallet in wallets}
        async with self._database.transaction() as connection:
            wanted |= {f"session:{each}" for each in await trust_sessions.running(connection, now_ms())}
        return wanted

    async def _start(self, name: str) -> None:
        kind, _, subject = name.partition(":")
        log.info("club.start name=%s", name)
        make = wiring.detached_actor(
            KINDS[kind], f"{PREFIX}{name}", restarts=0, concurrency=100, strategy=self._strategy()
        )
        actor = make.remote(self._data, subject)
        self._running[name] = _Running(actor, now_ms())
        with suppress(RayError, TimeoutError):
            async with asyncio.timeout(ANSWER_LIMIT_S):
                await actor.begin.remote()

    async def _ask(self, name: str) -> None:
        each = self._running[name]
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                await each.actor.begin.remote()
                each.report = decode(await each.actor.report.remote(), ClubReport)
            each.answered_ms = now_ms()
        except RayActorError:
            log.warning("club.actor_died name=%s", name)
            self._running.pop(name, None)
        except (TimeoutError, RayError) as error:
            silent_ms = now_ms() - each.answered_ms
            log.warning("club.actor_silent name=%s for_ms=%s error=%s", name, silent_ms, error)
            if silent_ms > (SILENT_MAX_MS if each.report is not None else START_MAX_MS):
                ray.kill(each.actor)
                self._running.pop(name, None)

    async def _let_go(self, name: str) -> None:
        await self._end(self._running.pop(name).actor)

    async def _end(self, actor: Any) -> None:
        with suppress(RayError, TimeoutError):
            async with asyncio.timeout(ANSWER_LIMIT_S):
                await actor.close.remote()
        ray.kill(actor)

    def _strategy(self) -> Any:
        # The broadcast journal is a file, and the demo's TRON listens on loopback: both are on this node.
        return NodeAffinitySchedulingStrategy(node_id=self._club.node, soft=False)
