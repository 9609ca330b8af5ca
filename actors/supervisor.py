"""Desired against running: keeps every bot that needs a process in one, and says how everything is.

One per cluster. It decides where bots run, never what they do. It holds no truth of its own: what shall run is in
the database, what runs is told by the hosts, so that it can be killed and started again at any moment. A bot
that runs twice for a while (a lost node's processes live on) is harmless: only one of the two holds the lease.
"""

import asyncio
import logging
import secrets
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import msgspec
import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayError

from actors import wiring
from actors.clock import now_ms
from actors.emergency import EmergencyList
from actors.host import BotHost
from actors.messages import ComponentHealth, HostReport, StopOutcome, decode, encode
from engine.errors import VenueError
from engine.ids import BotId, Instant
from storage.analytics import Analytics
from storage.bots import BotRow, Bots
from storage.database import Database

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
REFRESH_EVERY_S = 60.0
SAY_AGAIN_MS = 3_000
ANSWER_LIMIT_S = 5.0
SNAPSHOT_LIMIT_S = 2.0
"""Less than a desk waits for a whole list."""
SILENT_MAX_S = 30.0
"""A host that has not answered for so long is killed: its bots' leases ran out long ago."""

START_MAX_S = 120.0
"""A new process may take its time on a busy machine before it answers for the first time."""

HOST_PREFIX = "bot-host-"


class HostHandle(msgspec.Struct):
    """A host as the supervisor sees it."""

    name: str
    actor: Any
    bots: set[BotId] = msgspec.field(default_factory=set)
    report: HostReport | None = None
    answered_ms: int = 0


class Supervisor:
    """The plain class; `actors.wiring` makes it a Ray actor."""

    def __init__(self, wiring_data: bytes) -> None:
        self._data = wiring_data
        self._plan = wiring.decode_plan(wiring_data)
        self._database = Database(self._plan.dsn, pool_size=2, name="trellis supervisor")
        self._emergencies = EmergencyList(self._plan.home)
        self._hosts: dict[str, HostHandle] = {}
        self._said: dict[BotId, tuple[int, Instant]] = {}
        self._loop: asyncio.Task[None] | None = None
        self._refresher: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()
        self._looked_ms = 0
        self._problem = "has not looked yet"
        self._venue: Any = None
        self._is_open = False
        # Ray makes such actors on their own loop: one that was killed begins again by itself.
        with suppress(RuntimeError):
            asyncio.get_running_loop().call_soon(self._begin_once)

    # ------------------------------------------------------------------ what the desk asks

    async def begin(self) -> None:
        """Adopt the hosts that run already, and start looking. Twice is harmless."""
        self._begin_once()

    def _begin_once(self) -> None:
        if self._loop is not None:
            return
        wiring.set_up_logging(self._plan.home, self._plan.log_level)
        # Before the database is asked: an emergency stop must reach the hosts without it.
        for entry in ray.util.list_named_actors(all_namespaces=True):
            if entry["name"].startswith(HOST_PREFIX) and entry["namespace"] == wiring.NAMESPACE:
                self._add(entry["name"], ray.get_actor(entry["name"], namespace=wiring.NAMESPACE))
        self._loop = asyncio.create_task(self._look_for_ever())
        self._refresher = asyncio.create_task(self._refresh_for_ever())

    async def look(self, bot: str) -> None:
        """Act on a bot's row now: start what must run, carry out a new wish."""
        await self._look()

    async def snapshots(self, bots: list[str]) -> dict[str, bytes]:
        """Give the own accounts of those of these bots whose host answers soon: one slow host delays no list."""
        hosts = {bot: host for host in self._hosts.values() for bot in host.bots}
        asked = [(BotId(bot), hosts[BotId(bot)]) for bot in bots if BotId(bot) in hosts]
        answers = await asyncio.gather(
            *(_answer(host.actor.snapshot.remote(bot), SNAPSHOT_LIMIT_S) for bot, host in asked)
        )
        return {bot: told for (bot, _), told in zip(asked, answers, strict=True) if told is not None}

    async def emergency_stop(self, bot: str | None) -> bytes:
        """Cancel the orders of one bot or of all, also without the database (a list of `StopOutcome`)."""
        hosts = [host for host in self._hosts.values() if bot is None or BotId(bot) in host.bots]
        # Noted before the stop: a bot that has ended by it leaves its host's list while we wait.
        meant = [tuple(host.bots) if bot is None else (BotId(bot),) for host in hosts]
        answers = await asyncio.gather(
            *(_answer(host.actor.emergency_stop.remote(bot), 2 * ANSWER_LIMIT_S + 5) for host in hosts)
        )
        outcomes = []
        for names, left in zip(meant, answers, strict=True):
            for name in names:
                outcomes.append(_outcome(name, None if left is None else left.get(name)))
        return encode(outcomes)

    async def why_not_running(self, bot: str) -> str:
        """Say what a bot that does not answer waits for; empty if nobody knows."""
        host = self._host_of(BotId(bot))
        return host.report.waits.get(BotId(bot), "") if host is not None and host.report is not None else ""

    async def health(self) -> bytes:
        """Say how the parts are (a list of `ComponentHealth`)."""
        now = now_ms()
        age_ms = now - self._looked_ms if self._looked_ms else None
        parts = [ComponentHealth("supervisor", not self._problem, self._problem or "looks every second", age_ms)]
        if self._plan.paper_port:
            address = await self._venue_address()
            parts.append(ComponentHealth("paper venue", address is not None, address or "does not answer"))
        for host in self._hosts.values():
            report = host.report
            ok = report is not None and now - host.answered_ms < SILENT_MAX_S * 1_000
            detail = "has not answered yet" if report is None else _bots_in_words(report)
            parts.append(ComponentHealth(f"host {host.name}", ok, detail, now - host.answered_ms))
        return encode(parts)

    async def shutdown(self) -> None:
        """Let every bot go (its orders stay at the venue) and end every host."""
        for task in (self._loop, self._refresher):
            if task is not None:
                task.cancel()
        async with self._looking:
            hosts = list(self._hosts.values())
            await asyncio.gather(*(_answer(host.actor.close.remote(), 2 * ANSWER_LIMIT_S) for host in hosts))
            for host in hosts:
                ray.kill(host.actor)
            self._hosts.clear()
        await self._database.close()

    # ------------------------------------------------------------------ the loop

    async def _look_for_ever(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        """Compare once. Never raises: whatever is wrong now is tried again at the next look."""
        async with self._looking:
            try:
                await self._ask_hosts()
                if not self._is_open:
                    await self._database.open()
                    self._is_open = True
                await self._venue_address()
                # A stop that the database has not heard of yet comes before anything is started.
                await self._emergencies.record(Bots(self._database))
                rows = await Bots(self._database).needing_a_process()
                await self._place(rows)
                await self._pass_on_wishes(rows)
                await self._let_go(rows)
            except (VenueError, RayError) as error:
                self._problem = f"{type(error).__name__}: {error}"
                log.warning("supervisor.look_failed error=%s", self._problem)
            except Exception as error:
                # A mistake of ours in one look must not end the looking: every bot depends on the next one.
                self._problem = f"{type(error).__name__}: {error}"
                log.exception("supervisor.look_failed")
            else:
                self._problem = ""
                self._looked_ms = now_ms()

    async def _refresh_for_ever(self) -> None:
        """Keep the precomputed sums for the statistics fresh. They may be old, so a failure only waits."""
        while True:
            await asyncio.sleep(REFRESH_EVERY_S)
            try:
                await Analytics(self._database).refresh()
            except VenueError as error:
                log.warning("supervisor.refresh_waits error=%s", error)

    async def _ask_hosts(self) -> None:
        await asyncio.gather(*(self._ask(host) for host in tuple(self._hosts.values())))

    async def _ask(self, host: HostHandle) -> None:
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                host.report = decode(await host.actor.report.remote(), HostReport)
            host.answered_ms = now_ms()
            host.bots |= {*host.report.running, *host.report.opening}
        except RayActorError:
            log.warning("supervisor.host_died host=%s bots=%s", host.name, sorted(host.bots))
            del self._hosts[host.name]
        except (TimeoutError, RayError) as error:
            silent_s = (now_ms() - host.answered_ms) / 1_000
            log.warning("supervisor.host_silent host=%s for_s=%.0f error=%s", host.name, silent_s, error)
            if silent_s > (SILENT_MAX_S if host.report is not None else START_MAX_S):
                ray.kill(host.actor)
                del self._hosts[host.name]

    async def _place(self, rows: list[BotRow]) -> None:
        """Give every bot without a host one. Hosts start side by side: each takes seconds to import its world."""
        assignments: dict[str, list[str]] = {}
        for row in rows:
            host = self._host_of(row.id) or self._host_with_room()
            host.bots.add(row.id)
            report = host.report
            if report is None or row.id not in (*report.running, *report.opening):
                assignments.setdefault(host.name, []).append(row.id)
        await asyncio.gather(
            *(
                _answer(self._hosts[name].actor.assign.remote(bots), 6 * ANSWER_LIMIT_S)
                for name, bots in assignments.items()
            )
        )

    async def _pass_on_wishes(self, rows: list[BotRow]) -> None:
        """Tell hosts of wishes that are not carried out yet, again after a while: saying it twice is safe."""
        now = now_ms()
        for row in rows:
            host = self._host_of(row.id)
            version, said_ms = self._said.get(row.id, (0, Instant(0)))
            if host is None or row.version <= row.carried_out:
                continue
            if row.version > version or now - said_ms > SAY_AGAIN_MS:
                self._said[row.id] = (row.version, now)
                await _answer(host.actor.look.remote(row.id))

    async def _let_go(self, rows: list[BotRow]) -> None:
        """Release bots that need no process any more, and end hosts that have none left."""
        needed = {row.id for row in rows}
        for host in tuple(self._hosts.values()):
            for bot in host.bots - needed:
                await _answer(host.actor.release.remote(bot), 2 * ANSWER_LIMIT_S)
                host.bots.discard(bot)
            if not host.bots:
                await _answer(host.actor.close.remote(), 2 * ANSWER_LIMIT_S)
                ray.kill(host.actor)
                del self._hosts[host.name]

    # ------------------------------------------------------------------ hosts and the venue

    def _host_of(self, bot: BotId) -> HostHandle | None:
        return next((host for host in self._hosts.values() if bot in host.bots), None)

    def _host_with_room(self) -> HostHandle:
        for host in self._hosts.values():
            if len(host.bots) < self._plan.bots_per_host:
                return host
        name = f"{HOST_PREFIX}{secrets.token_hex(4)}"
        # A host that dies is replaced by a new one with an empty memory: one way to begin, not two.
        make = wiring.detached_actor(
            BotHost, name, restarts=0, concurrency=1_000, strategy=wiring.host_strategy(self._plan)
        )
        return self._add(name, make.remote(self._data, name))

    def _add(self, name: str, actor: ActorHandle) -> HostHandle:
        self._hosts[name] = HostHandle(name, actor, answered_ms=now_ms())
        return self._hosts[name]

    async def _venue_address(self) -> str | None:
        """Ask the paper venue where it listens, which also brings a restarted one back to its port."""
        if not self._plan.paper_port:
            return None
        try:
            self._venue = self._venue or ray.get_actor(wiring.VENUE_NAME, namespace=wiring.NAMESPACE)
        except ValueError:
            return None
        address: str | None = await _answer(self._venue.address.remote())
        return address


async def _answer(call: Coroutine[Any, Any, Any] | Any, limit_s: float = ANSWER_LIMIT_S) -> Any:
    """Wait for an actor's answer; None if it has died or says nothing."""
    try:
        async with asyncio.timeout(limit_s):
            return await call
    except (RayError, TimeoutError) as error:
        log.warning("supervisor.no_answer error=%s", type(error).__name__)
        return None


def _outcome(bot: BotId, left: int | None) -> StopOutcome:
    if left is None:
        return StopOutcome(bot, False, -1, "its process did not answer; it is stopped as soon as one runs again")
    if left < 0:
        return StopOutcome(bot, False, -1, "the venue did not answer; cancelling goes on when it does")
    if left:
        return StopOutcome(bot, False, left, f"{left} orders are still being cancelled")
    return StopOutcome(bot, True, 0, "no order is left at the venue")


def _bots_in_words(report: HostReport) -> str:
    running = ", ".join(f"{bot} {report.statuses.get(bot, '')}".strip() for bot in report.running)
    opening = [f"opening {bot}, {report.waits.get(bot, 'just begun')}" for bot in report.opening]
    return "; ".join([running or "no bot yet", *opening])
