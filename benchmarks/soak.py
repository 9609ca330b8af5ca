"""The soak: a fleet of bots on an hour of real market, with faults and kills throughout, audited to the last unit.

`python -m benchmarks.soak`. It decides whether Trellis kept its promises: no order lost, none doubled, every
execution booked once, profit equal to the venue's own balances. Anything else ends with exit code 1.

The market plays at a bounded speed and never skips an event: a venue that cannot keep up plays late, so the hour
is measured in the market's own time, by the stamps of its trades, and ends when it is full.
"""

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from rich.console import Console

from actors import wiring
from benchmarks.harness import Machine, introduce, result, save, table
from benchmarks.soaking.audit import Audit, Findings, duplicates
from benchmarks.soaking.fleet import MONEY, Member, fleet
from benchmarks.soaking.processes import Processes
from benchmarks.soaking.troubles import AWAY, Troubles
from engine.ids import BotId
from storage.accounts import Accounts, Environment, NewAccount
from storage.bots import Bots, NewBot
from storage.database import Database
from storage.migrate import migrate
from storage.seed import OPERATOR, seed

SETTLE_LIMIT_S = 120.0
STEADY_S = 5.0
SAMPLE_S = 0.5
TELL_EVERY_S = 15.0


class Plan(msgspec.Struct, frozen=True):
    """How much of everything."""

    bots: int = 20
    hosts: int = 4
    market_minutes: float = 60.0
    speed: float = 15.0
    seed: int = 8
    fault_every_s: float = 1.0
    kill_every_s: float = 6.0
    kills: tuple[str, ...] = ("host", "frozen host", "venue", "postgres")
    markets: tuple[str, ...] = ("spot", "linear")


class Report(msgspec.Struct):
    """What a soak has seen."""

    feed: str
    wall_s: float
    market_s: float
    settled_s: float
    counts: dict[str, int]
    faults: dict[str, int]
    kills: dict[str, int]
    recoveries_s: dict[str, list[float]]
    samples: int
    duplicates: list[str]
    findings: Findings

    @property
    def is_clean(self) -> bool:
        """Tell whether every promise was kept."""
        return not self.duplicates and not self.findings.all()


class Watch:
    """Looks at the venue's book all the time: for two orders in one place, and for the market's own clock."""

    def __init__(self, processes: Processes) -> None:
        self.samples = 0
        self.market_ms = 0
        self.duplicates: list[str] = []
        self._processes = processes
        self._last_ms = 0
        self._pid = 0

    async def look_for_ever(self) -> None:
        """Take samples until cancelled; while the venue is away there is nothing to see."""
        while True:
            await asyncio.sleep(SAMPLE_S)
            try:
                await self.look()
            except AWAY:
                continue

    async def look(self) -> None:
        """Take one sample."""
        venue = self._processes.venue
        self.duplicates += duplicates(await venue.get("/paper/orders"))
        self.samples += 1
        now_ms, pid = await venue.market_ms(), venue.pid
        if pid == self._pid and now_ms > self._last_ms:
            self.market_ms += now_ms - self._last_ms
        self._last_ms, self._pid = now_ms, pid


async def soak(plan: Plan, folder: Path, console: Console) -> Report:
    """Run a whole soak in `folder`."""
    members = fleet(plan.bots)
    began_s = time.monotonic()
    async with _running(plan, folder, members) as (processes, database):
        console.print(f"{len(members)} bots in {len(processes.hosts)} processes on {processes.venue.feed}")
        troubles = Troubles(processes, database, plan.seed)
        watch = Watch(processes)
        watching = asyncio.create_task(watch.look_for_ever())
        trouble = [
            asyncio.create_task(troubles.rain(plan.fault_every_s)),
            asyncio.create_task(troubles.strike(plan.kill_every_s, plan.kills)),
        ]
        await _until_played(plan, watch, trouble, console)
        for task in trouble:
            task.cancel()
        await troubles.end()
        await processes.venue.post("/paper/faults", kind="stop_feeds")
        audit = Audit(database, processes.venue, members)
        settled_s = await _settle(audit)
        silent = [f"host {host.number} hangs" for host in processes.hosts if host.is_silent]
        await processes.stop_hosts()
        watching.cancel()
        await watch.look()
        findings = await audit.look()
        findings.bots += silent
        return Report(
            feed=processes.venue.feed,
            wall_s=round(time.monotonic() - began_s, 1),
            market_s=watch.market_ms / 1_000,
            settled_s=settled_s,
            counts=await audit.counts(),
            faults=dict(troubles.faults),
            kills=dict(troubles.kills),
            recoveries_s=troubles.recoveries,
            samples=watch.samples,
            duplicates=watch.duplicates,
            findings=findings,
        )


@asynccontextmanager
async def _running(
    plan: Plan, folder: Path, members: Sequence[Member]
) -> AsyncIterator[tuple[Processes, Database]]:
    """Start everything, and end it whatever happens."""
    processes = Processes(folder, plan.speed, plan.markets)
    try:
        dsn = await processes.start_venue_and_database()
        async with Database(dsn, pool_size=4, name="soak") as database:
            await migrate(database)
            await _register(processes, database, members)
            bots = [member.bot for member in members]
            shares: list[list[BotId]] = [bots[number :: plan.hosts] for number in range(plan.hosts)]
            await processes.start_hosts(dsn, shares)
            yield processes, database
    finally:
        await processes.stop()


async def _register(processes: Processes, database: Database, members: Sequence[Member]) -> None:
    """Open the accounts at the venue and write accounts and bots into the database."""
    await seed(database)
    for account in dict.fromkeys(member.account for member in members):
        key = wiring.paper_key(processes.home.path, account)
        await processes.venue.post("/paper/accounts", key=key.key, secret=key.secret, balances=MONEY)
        new = NewAccount(account, OPERATOR, "bybit", Environment.PAPER, account)
        await Accounts(database).add(new, "soak")
    for member in members:
        new_bot = NewBot(member.bot, OPERATOR, member.account, member.name, member.config)
        await Bots(database).create(new_bot, "soak")


async def _until_played(plan: Plan, watch: Watch, trouble: Sequence[asyncio.Task[None]], console: Console) -> None:
    """Wait until the market has moved for as long as planned. Trouble that ends by itself is a bug of the soak."""
    next_s = time.monotonic() + TELL_EVERY_S
    while watch.market_ms < plan.market_minutes * 60_000:
        await asyncio.sleep(0.1)
        for task in trouble:
            if task.done():
                task.result()
        if time.monotonic() > next_s:
            next_s += TELL_EVERY_S
            console.print(f"market minute {watch.market_ms / 60_000:.1f}, {watch.samples} looks at the book")


async def _settle(audit: Audit) -> float:
    """Wait until everything agrees and goes on to, and give the seconds until it did.

    One look is not enough: a bot that waits before it places again agrees in its pause, and is stopped in the
    middle of a request after it. Past the limit the last look will say what does not agree.
    """
    began_s = agreed_s = time.monotonic()
    while time.monotonic() - began_s < SETTLE_LIMIT_S:
        if (await audit.look()).all():
            agreed_s = time.monotonic()
        elif time.monotonic() - agreed_s > STEADY_S:
            break
        await asyncio.sleep(1.0)
    return round(agreed_s - began_s, 1)


def show(report: Report, console: Console) -> None:
    """Print the counts."""
    console.print(f"feed: {report.feed}")
    speed = report.market_s / report.wall_s
    console.print(f"{report.market_s / 60:.1f} market minutes in {report.wall_s:.0f} s ({speed:.1f} x, all in)")
    table(console, "What the bots did", ("", "count"), list(report.counts.items()))
    table(console, "What went wrong on purpose", ("fault", "ordered"), sorted(report.faults.items()))
    rows = [
        (kind, count, ", ".join(f"{took:.1f}" for took in report.recoveries_s.get(kind, ())))
        for kind, count in sorted(report.kills.items())
    ]
    table(console, "What was killed", ("process", "times", "well again after, s"), rows)
    findings = report.findings
    verdict: list[tuple[str, Any]] = [
        ("duplicate orders", len(report.duplicates)),
        ("lost orders", len(findings.lost)),
        ("executions that differ", len(findings.executions)),
        ("balances that differ", len(findings.money)),
        ("bots not well", len(findings.bots)),
    ]
    table(console, f"Against the venue's own book ({report.samples} looks)", ("", "count"), verdict)
    console.print(f"everything agreed {report.settled_s} s after the market had stopped")
    for line in [*report.duplicates, *findings.all()][:40]:
        console.print(f"[red]{line}[/red]")
    console.print("[green]clean[/green]" if report.is_clean else "[red]NOT CLEAN[/red]")


def main() -> int:
    """Run a soak from the command line; the exit code says whether it was clean."""
    options = _options()
    console = Console()
    machine = Machine.here()
    introduce(console, "soak", machine)
    logging.basicConfig(level=logging.WARNING)
    plan = Plan(bots=options.bots, market_minutes=options.minutes, speed=options.speed, seed=options.seed)
    # Not below a private folder: PostgreSQL runs under an account of its own when we are root.
    folder = Path(tempfile.mkdtemp(prefix="trellis-soak-"))
    report = uvloop.run(soak(plan, folder, console))
    show(report, console)
    path = save(result("soak", machine, msgspec.to_builtins(plan), msgspec.to_builtins(report)))
    console.print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name}")
    if report.is_clean:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        console.print(f"the logs and the database are kept in {folder}")
    return 0 if report.is_clean else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--bots", type=int, default=Plan().bots)
    parser.add_argument("--minutes", type=float, default=Plan().market_minutes, help="of market time")
    parser.add_argument("--speed", type=float, default=Plan().speed, help="market seconds per second, at most")
    parser.add_argument("--seed", type=int, default=Plan().seed)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
