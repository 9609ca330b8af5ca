"""How fast the API answers reads when the database holds the history of a thousand bots.

`python -m benchmarks.read_latency`. Everything between the socket and PostgreSQL is the real thing: one API server
and one caller, answers read to their end. The bots have ended, so that no process of theirs answers and what is
measured is the reading of history; their accounts are at a PaperVenue of this process.
"""

import argparse
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import uvloop
from rich.console import Console

from actors import wiring
from actors.clock import now_ms
from actors.desk import BotDesk
from actors.home import Home
from actors.sealing import Seals
from adapters.exchanges.paper.limits import Limits
from adapters.exchanges.paper.server import PaperVenue
from adapters.secrets.envelope import KekFile
from api.access.limits import RequestLimits
from api.app import ApiServer
from api.listening import listen_on
from api.services import Programme, assemble
from benchmarks.harness import Machine, Waits, introduce, result, save, table
from benchmarks.reading.history import Size, write_history
from engine.access.rates import Rate, RateClass
from engine.ids import BotId, UserId
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from storage.seed import seed

TARGET_MS = 50.0
DAY_MS = 86_400_000
TOKEN = secrets.token_hex(32)
NO_LIMITS = {kind: Rate(10**9, 60) for kind in RateClass}


class Report(msgspec.Struct, frozen=True):
    """What a run has measured."""

    routes: dict[str, Waits]
    all: Waits
    rows: dict[str, int]
    failed: int


class _Silent:
    """Stands where the supervisor would: no bot runs."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def remote(self, *_: object) -> Any:
        return self._answer


class NobodyRuns:
    """A supervisor without hosts."""

    snapshots = _Silent({})
    why_not_running = _Silent("")


async def read_latency(size: Size, rounds: int, folder: Path, console: Console) -> Report:
    """Write the history, then read everything `rounds` times, each time another bot and another owner."""
    home = Home(folder)
    home.create()
    KekFile(home.sealing_keys).make()
    async with (
        EmbeddedPostgres(home.postgres) as postgres,
        Database(postgres.dsn, pool_size=8, name="read latency") as database,
    ):
        await migrate(database)
        await seed(database)
        with console.status("writing the history …"):
            written = await write_history(database, size)
        async with _serving(database, postgres.dsn, home) as address:
            times, failed = await _read(address, written.owners, written.bots, rounds)
    every = [took for each in times.values() for took in each]
    return Report({name: Waits.of(each) for name, each in times.items()}, Waits.of(every), written.rows, failed)


@asynccontextmanager
async def _serving(database: Database, dsn: str, home: Home) -> AsyncIterator[str]:
    venue = PaperVenue(limits=Limits(ip_per_5s=0))
    port = (await venue.start()).port
    plan = wiring.Plan(dsn, home.path, bots_per_host=1, log_level="warning", paper_port=port, paper_node="")
    desk = BotDesk(database, plan, NobodyRuns(), "none")
    listening, address = listen_on("127.0.0.1", 0)
    services = assemble(
        desk,
        database,
        Programme("0", "paper", "none", "dedicated", address, now_ms()),
        token=TOKEN,
        hosts=(),
        seals=Seals(plan),
        limits=RequestLimits(NO_LIMITS, NO_LIMITS),
    )
    server = ApiServer(services)
    await server.start(listening)
    try:
        yield address
    finally:
        await server.stop()
        await desk.close()
        await venue.stop()


def paths(bot: BotId, owner: UserId, now: int) -> Mapping[str, str]:
    """Name every read that a page makes, by what it is."""
    own = f"owner={owner}"
    month = f"since_ms={now - 30 * DAY_MS}&until_ms={now}"
    return {
        "bots of an owner": f"bots?{own}",
        "accounts": f"accounts?{own}",
        "dashboard, a week": f"dashboard?{own}&days=7",
        "dashboard, a month": f"dashboard?{own}&days=30",
        "trades of an owner": f"trades?{own}",
        "trades, one side, a month": f"trades?{own}&side=sell&{month}",
        "trades of everybody": "trades",
        "a bot": f"bots/{bot}",
        "its levels": f"bots/{bot}/levels",
        "its result": f"bots/{bot}/pnl",
        "its open orders": f"bots/{bot}/orders?state=open",
        "its cancelled orders": f"bots/{bot}/orders?state=cancelled",
        "its executions": f"bots/{bot}/executions",
        "its round trips": f"bots/{bot}/round-trips",
        "its log": f"bots/{bot}/actions",
        "its chart, a month": f"bots/{bot}/metrics-history?{month}&points=500",
    }


async def _read(
    address: str, owners: list[UserId], bots: dict[UserId, list[BotId]], rounds: int
) -> tuple[dict[str, list[float]], int]:
    times: dict[str, list[float]] = {}
    failed = 0
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        # The first look at an account connects it, and reads the journals of its bots: that is not what is asked.
        for owner in owners:
            async with http.get(f"{address}/api/v1/dashboard?owner={owner}") as answer:
                await answer.read()
        for number in range(rounds):
            owner = owners[number % len(owners)]
            bot = bots[owner][number % len(bots[owner])]
            for name, path in paths(bot, owner, now_ms()).items():
                began = time.perf_counter()
                async with http.get(f"{address}/api/v1/{path}") as answer:
                    await answer.read()
                times.setdefault(name, []).append((time.perf_counter() - began) * 1000)
                failed += answer.status != 200
    return times, failed


def show(report: Report, console: Console) -> None:
    """Print the figures and whether they meet the aim."""
    held = [(name, f"{count:,}") for name, count in report.rows.items()]
    table(console, "what the database holds", ("table", "rows"), held)
    rows = [(name, each.median, each.p95, each.longest, each.count) for name, each in report.routes.items()]
    rows.append(("all reads", report.all.median, report.all.p95, report.all.longest, report.all.count))
    table(console, "reads", ("ms", "median", "p95", "longest", "count"), rows)
    met = report.all.p95 < TARGET_MS and not report.failed
    verdict = "[green]met[/green]" if met else "[red]not met[/red]"
    console.print(f"p95 of all reads {report.all.p95} ms, aim below {TARGET_MS:.0f} ms: {verdict}")
    if report.failed:
        console.print(f"[red]{report.failed} reads were not answered with 200[/red]")


def main() -> int:
    """Run from the command line; a read that fails makes the figures worthless and the exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.read_latency", description=__doc__)
    parser.add_argument("--owners", type=int, default=50)
    parser.add_argument("--bots", type=int, default=20, help="of each owner")
    parser.add_argument("--fills", type=int, default=1_000, help="of each bot")
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    size = Size(options.owners, options.bots, options.fills)
    console = Console()
    machine = Machine.here()
    introduce(console, "read latency", machine)
    # Not below a private folder: PostgreSQL runs under an account of its own when we are root.
    folder = Path(tempfile.mkdtemp(prefix="trellis-reads-"))
    try:
        report = uvloop.run(read_latency(size, options.rounds, folder, console))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(report, console)
    settings = msgspec.structs.asdict(size) | {"rounds": options.rounds}
    path = save(result("read_latency", machine, settings, msgspec.to_builtins(report), ("aiohttp", "asyncpg")))
    console.print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name}")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
