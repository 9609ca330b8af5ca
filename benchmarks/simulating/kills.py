"""Real processes, killed for real: the engine at its crash points and anywhere else, and PostgreSQL under it.

The devnet answers over HTTP in this process, the engine lives in another, PostgreSQL waits for the disk as in
production. Each kill comes while a new payout and a new transfer are under way. In the end nothing is killed any
more, everything must come to its end, and the auditor judges by the chain alone.
"""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from adapters.chains.tron.devnet.server import Server
from benchmarks.harness import ROOT
from benchmarks.simulating.beginning import FIRST_BLOCKS, furnish
from benchmarks.simulating.busy_club import Club, KillReport, kill_postgres, settle
from benchmarks.simulating.engine_process import Orders
from benchmarks.simulating.network import BLOCK_MS, SOLID_LAG, Network, Time
from benchmarks.simulating.point_in_time import ArchivedPostgres
from benchmarks.simulating.table import POINTS
from engine.ids import Instant
from storage.club_commands import Command
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.freezes import Freezes
from storage.migrate import migrate

SPEED = 15.0
"""How much faster than ours the world's clock runs: a block every fifth of a second."""
REACH_S = 8.0
"""So long a life has to pass the crash point it is to die at; then it is killed wherever it is."""
POSTGRES_EVERY = 5
PLACES = [point for point in POINTS if not point.startswith("watcher:roll_back")]
"""A living chain never replaces a final block, so nobody passes those points here."""


class RunningTime(Time):
    """Stands still until it is started; then runs with ours, only faster."""

    began_s = 0.0

    def start(self) -> None:
        """Run from now on."""
        self.began_s = time.time()

    def __call__(self) -> Instant:
        """Give the world's time."""
        if not self.began_s:
            return Instant(self.now_ms)
        return Instant(self.now_ms + int((time.time() - self.began_s) * SPEED * 1_000))


class Engine:
    """The process that starts lives, and the life that it has started last."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self.pid = 0

    async def open(self) -> None:
        """Start the process that lives are forked from."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.simulating.engine_process",
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )

    async def begin(self, orders: Orders) -> None:
        """Start a life."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(orders) + b"\n")
        self.pid = await self._line()

    async def gone(self, within_s: float) -> bool:
        """Wait for the life to be gone by itself."""
        try:
            async with asyncio.timeout(within_s):
                await self._line()
        except TimeoutError:
            return False
        return True

    async def kill(self) -> None:
        """End the life with SIGKILL."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        await self._line()

    async def close(self) -> None:
        """End the process."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()

    async def _line(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        return int(await self._process.stdout.readline())


async def kill_often(
    kills: int, folder: Path, tell: Callable[[str], None] = lambda line: None, first: int = 0
) -> KillReport:
    """Kill so many times, let everything settle, and judge. `first` is the crash point to begin with."""
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  once, before anything runs
    report, killed = KillReport(), Counter[str]()
    async with _running(folder) as (postgres, network, database, engine, orders):
        club = Club(database, network)
        for number in range(kills):
            is_postgres = number % POSTGRES_EVERY == POSTGRES_EVERY - 1
            point = PLACES[(first + number) % len(PLACES)]
            await club.ask()
            await engine.begin(msgspec.structs.replace(orders, dies_at="" if is_postgres else point))
            if is_postgres:
                await asyncio.sleep(0.5 + number % 4 * 0.3)
                await kill_postgres(postgres, database)
                await engine.kill()
                killed["postgres"] += 1
            elif await engine.gone(REACH_S):
                killed[point] += 1
            else:
                await engine.kill()
                killed["elsewhere"] += 1
            tell(f"kill {number + 1}: {'postgres' if is_postgres else point}")
        await engine.begin(orders)
        report.settled_s = await settle(club)
        await engine.kill()
        network.devnet.produce(SOLID_LAG + 1)
        await club.judge(report)
    report.kills = dict(killed)
    shutil.rmtree(folder, ignore_errors=True)
    return report


async def restore_in_flight(folder: Path) -> KillReport:
    """Lose the database while payouts are under way, and go on with what it was some payouts ago.

    The base backup is a real one, so is the archive of the log, and PostgreSQL itself replays it to the point that
    was named. The broadcast journal is kept, and people say again what the database has forgotten.
    """
    archive, report = ArchivedPostgres(folder / "archive"), KillReport(kills={"database": 1})
    async with _running(folder, archive) as (_, network, database, engine, orders):
        club = Club(database, network)
        await archive.base_backup()
        await engine.begin(orders)
        for number in range(6):
            await club.ask()
            if number == 2:
                await asyncio.sleep(1.0)
                await archive.name_this_point("then")
        await asyncio.sleep(2.0)
        await engine.kill()
        await archive.lose()
        dsn = await archive.restore_to("then")
        async with Database(dsn, pool_size=4, name="restored") as restored:
            await engine.begin(msgspec.structs.replace(orders, dsn=dsn))
            await club.say_again(restored)
            report.settled_s = await settle(club, lambda: _lift(restored, network))
            await engine.kill()
            network.devnet.produce(SOLID_LAG + 1)
            seen = await restored.value("SELECT count(*) FROM alarm WHERE kind = 'restored_database'")
            await club.judge(report)
            report.findings += [] if seen else ["nobody has noticed the restore"]
    return report


async def _lift(database: Database, network: Network) -> None:
    """Let two operators lift safe mode; it is refused as long as something is forgotten."""
    freezes = Freezes(database)
    for row in await freezes.current():
        for operator in ("op_ada", "op_grace"):
            command = Command(operator, f"lift {row.id} {network.head}", network.time())
            await freezes.lift(row.id, command)


@asynccontextmanager
async def _running(
    folder: Path, archive: ArchivedPostgres | None = None
) -> AsyncIterator[tuple[EmbeddedPostgres, Network, Database, Engine, Orders]]:
    """Start everything, and end it whatever happens."""
    network = Network(RunningTime())
    network.produce(FIRST_BLOCKS)
    server, engine = Server(network.devnet, produces=False), Engine()
    if archive is not None:
        await archive.start()
    server_of = archive.server if archive is not None else EmbeddedPostgres(folder / "postgres")
    async with server_of as postgres:  # noqa: SIM117  its dsn is known when it runs
        async with Database(postgres.dsn, pool_size=4, name="kills") as database:
            await migrate(database)
            await furnish(database)
            await server.start()
            await engine.open()
            journals = folder / "journals"
            journals.mkdir()
            assert isinstance(network.time, RunningTime)
            network.time.start()
            blocks = asyncio.create_task(_make_blocks(network))
            orders = Orders(
                postgres.dsn,
                str(journals),
                server.addresses,
                network.time.now_ms,
                network.time.began_s,
                SPEED,
                os.getpid(),
            )
            try:
                yield postgres, network, database, engine, orders
            finally:
                blocks.cancel()
                await engine.close()
                if archive is not None:
                    await archive.stop()
                await server.stop()


async def _make_blocks(network: Network) -> None:
    while True:
        await asyncio.sleep(BLOCK_MS / SPEED / 1_000)
        network.devnet.produce()
