"""How long the engine takes from a final block that pays for deals to the payouts that leave because of it.

`python -m benchmarks.pass_through`. Everything that works in production works here: the watcher and the signer,
each under its lease and woken as it is there, PostgreSQL and the broadcast journal with every sync, approvals,
limits, allow-list, freezes, ledger. Only the nodes are the devnet's core, in this process behind the transport's
Protocol: what they take to answer is measured and taken away, and the network to them is not there at all.

A run counts only if every credit became exactly one confirmed payout of the right amount to the right address, and
the books agree with the chain.
"""

import argparse
import asyncio
import gc
import random
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import uvloop
from rich.console import Console

from actors.broadcast_journal import BroadcastJournal
from actors.chain_watcher import ChainWatcher
from actors.clock import now_ms
from actors.club_hosts import POOL_SIZE, SIGNER_PAUSE_S, SigningTurns
from actors.leased import LeasedWriter
from actors.payout_signer import PayoutSigner, Signer
from adapters.chains.rpc import NodePool
from adapters.chains.tron.payouts import TronPayouts
from benchmarks.harness import Machine, introduce, result, save, table
from benchmarks.passing.club import ARMING_AT_ONCE, HOT, Armed, Club
from benchmarks.passing.stopwatch import FINAL, HANDED, SEEN, DevnetTransport, Moment, Stopwatch
from engine.money import Network
from storage.chain_cursor import ChainCursor, watcher_lease
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.events import SIGNERS_CHANNEL
from storage.leases import Lease
from storage.migrate import migrate
from storage.payout_memory import SignerRights, signer_lease

AIM_CREDITS, AIM_MS = 100, 250.0
ADDRESSES = 100
LEASE_TTL_MS = 15_000
LIMIT_S = 120.0
LOOK_S = 0.05


class Leg(msgspec.Struct, frozen=True):
    """One stretch of time over many payouts, in milliseconds."""

    p50: float
    p99: float
    longest: float

    @classmethod
    def of(cls, nanoseconds: Sequence[int]) -> "Leg":
        """Sum up measurements; there must be one at least."""
        ordered = sorted(nanoseconds)
        places = (len(ordered) // 2, min(len(ordered) - 1, len(ordered) * 99 // 100), -1)
        return cls(*(round(ordered[place] / 1e6, 2) for place in places))


class Run(msgspec.Struct, frozen=True):
    """One block: what each of its credits took until its payout was handed over, and where the time went."""

    payouts: list[tuple[Moment, Moment]]
    """Since the block was final, and since a node has told us so."""
    phases: dict[str, Moment]


class Size(msgspec.Struct, frozen=True):
    """All runs with so many credits in a block. Everything in milliseconds, over all payouts of all runs."""

    credits: int
    runs: int
    engine: Leg
    """Seen → handed over, without the nodes' time: the engine's share."""
    wall: Leg
    """The same with the nodes' time."""
    engine_since_final: Leg
    """Final → handed over, without the nodes' time: the watcher's pause between two looks is in it."""
    wall_since_final: Leg
    phases: dict[str, float]
    """The engine's time by the point that it ends at, a run's median. With several batches their sum."""
    nodes_ms: float
    """What of a run was the nodes' time, median."""


class Report(msgspec.Struct, frozen=True):
    """What a benchmark has measured."""

    sizes: list[Size]
    payouts_compared: int
    differences: list[str]

    @property
    def aim_is_met(self) -> bool | None:
        """Tell whether the aim is met; None when its size was not measured."""
        for size in self.sizes:
            if size.credits == AIM_CREDITS:
                return size.engine.p99 <= AIM_MS
        return None


class Stage:
    """The engine at work on a club's chain."""

    def __init__(self, club: Club, stopwatch: Stopwatch) -> None:
        self._club = club
        self._stopwatch = stopwatch
        self._cursor = ChainCursor(club.database, Network.TRON)
        self._random = random.Random(1)  # noqa: S311  when blocks come, nothing secret

    async def run(self, credits: int) -> tuple[list[Armed], Run]:
        """Arm deals, pay them all in one block, and follow their payouts until they are confirmed."""
        club, stopwatch = self._club, self._stopwatch
        armed = await club.arm(credits)
        block = club.pay_in(armed)
        club.produce(club.devnet.rules.solid_lag - 1)
        await self._until_read(block - 1)
        # A block comes when it comes, not when the watcher has just looked.
        await asyncio.sleep(self._random.uniform(0.5, 1.5))
        # Else the collector would walk through the whole chain, which in production is in other people's machines.
        gc.collect()
        gc.freeze()
        club.produce()
        assert club.devnet.solid_number == block
        stopwatch.begin(block)
        async with asyncio.timeout(LIMIT_S):
            while len(stopwatch.handed) < credits:  # noqa: ASYNC110  an event would be one more thing to time
                await asyncio.sleep(LOOK_S)
        measured = _measured(stopwatch)
        async with asyncio.timeout(LIMIT_S):
            while await club.unpaid(armed):
                club.produce(club.devnet.rules.solid_lag + 1)
                await self._until_read(club.devnet.solid_number)
        return armed, measured

    async def _until_read(self, number: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not await self._has_read(number):  # noqa: ASYNC110  it is in the database
                await asyncio.sleep(LOOK_S)

    async def _has_read(self, number: int) -> bool:
        cursor = await self._cursor.at()
        return cursor is not None and cursor.number >= number


async def pass_through(plan: dict[int, int], folder: Path, console: Console) -> Report:
    """Measure: `plan` says how many runs for which number of credits. The first run of all is thrown away."""
    runs: dict[int, list[Run]] = {credits: [] for credits in plan}
    everything: list[Armed] = []
    async with _stage(folder) as (stage, club):
        armed, _ = await stage.run(1)
        everything += armed
        for credits, count in plan.items():
            for number in range(1, count + 1):
                with console.status(f"{credits} credits in a block, {number} of {count} …"):
                    armed, run = await stage.run(credits)
                everything += armed
                runs[credits].append(run)
        differences = await club.differences(everything)
    return Report([_sum_up(credits, of) for credits, of in runs.items()], len(everything), differences)


@asynccontextmanager
async def _stage(folder: Path) -> AsyncIterator[tuple[Stage, Club]]:
    stopwatch = Stopwatch()
    async with (
        EmbeddedPostgres(folder / "postgres") as postgres,
        Database(postgres.dsn, pool_size=ARMING_AT_ONCE + 1, name="pass through") as database,
    ):
        await migrate(database)
        club = Club(database, ADDRESSES)
        await club.open()
        async with _working(postgres.dsn, club, stopwatch, folder):
            yield Stage(club, stopwatch), club


@asynccontextmanager
async def _working(dsn: str, club: Club, stopwatch: Stopwatch, folder: Path) -> AsyncIterator[None]:
    """Run the watcher and the signer as `actors.club_hosts` does, each with a database door of its own."""
    async with (
        Database(dsn, pool_size=POOL_SIZE, name="pass through watcher") as watchers,
        Database(dsn, pool_size=POOL_SIZE, name="pass through signer") as signers,
    ):
        tasks = [
            asyncio.create_task(writer.run())
            for writer in (_watcher(watchers, club, stopwatch), _signer(signers, club, stopwatch, folder))
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _chain(club: Club, stopwatch: Stopwatch) -> TronPayouts:
    transport = DevnetTransport(club.devnet, stopwatch)
    pool = NodePool("tron", tuple(club.devnet.nodes), transport, now_ms, lambda kind, what: None)
    return TronPayouts(pool, now_ms)


def _watcher(database: Database, club: Club, stopwatch: Stopwatch) -> LeasedWriter:
    async def make(lease: Lease) -> ChainWatcher:
        chain = _chain(club, stopwatch)
        return ChainWatcher(Network.TRON, database, chain, lease, now_ms, crash_point=stopwatch.mark)

    pause_s = club.devnet.rules.block_ms / 3_000
    return LeasedWriter(database, watcher_lease(Network.TRON), make, ttl_ms=LEASE_TTL_MS, pause_s=pause_s)


def _signer(database: Database, club: Club, stopwatch: Stopwatch, folder: Path) -> LeasedWriter:
    async def make(lease: Lease) -> SigningTurns:
        signer = PayoutSigner(
            Signer(SignerRights(HOT, lease.name, lease.epoch), Network.TRON),
            database,
            _chain(club, stopwatch),
            club.key(),
            BroadcastJournal(folder / f"{HOT}.journal", HOT),
            now_ms,
            crash_point=stopwatch.mark,
        )
        return SigningTurns(signer)

    return LeasedWriter(
        database,
        signer_lease(HOT),
        make,
        ttl_ms=LEASE_TTL_MS,
        pause_s=SIGNER_PAUSE_S,
        channel=SIGNERS_CHANNEL,
    )


# ---------------------------------------------------------------------- figures


def _measured(stopwatch: Stopwatch) -> Run:
    marks = stopwatch.marks
    final = marks[0][1]
    seen = next(moment for name, moment in marks if name == SEEN)
    last = max(stopwatch.handed.values(), key=lambda moment: moment.wall_ns)
    payouts = [(moment.since(final), moment.since(seen)) for moment in stopwatch.handed.values()]
    return Run(payouts, _phases([mark for mark in marks if mark[1].wall_ns < last.wall_ns], last))


def _phases(marks: Sequence[tuple[str, Moment]], last: Moment) -> dict[str, Moment]:
    """Add up the stretches between neighbouring marks, by the mark that each ends at.

    The watcher's and the signer's marks are in one row: while one of them works, the other sleeps or looks around
    quickly, and what it marks then only splits a stretch.
    """
    phases: dict[str, Moment] = {}
    for (_, earlier), (name, moment) in zip(marks, [*marks[1:], (HANDED, last)], strict=True):
        so_far = phases.get(name, Moment(0, 0))
        stretch = moment.since(earlier)
        phases[name] = Moment(so_far.wall_ns + stretch.wall_ns, so_far.devnet_ns + stretch.devnet_ns)
    return phases


def _sum_up(credits: int, runs: Sequence[Run]) -> Size:
    since_final = [final for run in runs for final, _ in run.payouts]
    since_seen = [seen for run in runs for _, seen in run.payouts]
    names = dict.fromkeys(name for run in runs for name in run.phases)
    nothing = Moment(0, 0)
    by_name = {name: _median_ms([run.phases.get(name, nothing).engine_ns for run in runs]) for name in names}
    return Size(
        credits=credits,
        runs=len(runs),
        engine=Leg.of([moment.engine_ns for moment in since_seen]),
        wall=Leg.of([moment.wall_ns for moment in since_seen]),
        engine_since_final=Leg.of([moment.engine_ns for moment in since_final]),
        wall_since_final=Leg.of([moment.wall_ns for moment in since_final]),
        phases=by_name,
        nodes_ms=_median_ms([max(seen.devnet_ns for _, seen in run.payouts) for run in runs]),
    )


def _median_ms(nanoseconds: Sequence[int]) -> float:
    return round(sorted(nanoseconds)[len(nanoseconds) // 2] / 1e6, 2)


def show(report: Report, console: Console) -> None:
    """Print the figures and whether they meet the aim."""
    heads = ("ms", "p50", "p99", "longest")
    for size in report.sizes:
        legs = {
            "engine's share, seen → handed over": size.engine,
            "with the nodes' own time": size.wall,
            "engine's share, final → handed over": size.engine_since_final,
            "final → handed over, wall": size.wall_since_final,
        }
        title = f"{size.credits} credits in a block, {size.runs} runs ({size.nodes_ms} ms of nodes in one)"
        table(console, title, heads, [(name, leg.p50, leg.p99, leg.longest) for name, leg in legs.items()])
    names = dict.fromkeys(name for size in report.sizes for name in size.phases)
    rows = [(name, *(size.phases.get(name, "") for size in report.sizes)) for name in names if name != FINAL]
    heads = ("engine's ms until", *(f"{size.credits} credits" for size in report.sizes))
    table(console, "where the time goes", heads, rows)
    if report.aim_is_met is not None:
        verdict = "[green]met[/green]" if report.aim_is_met else "[red]not met[/red]"
        console.print(f"p99 with {AIM_CREDITS} credits at most {AIM_MS:.0f} ms: {verdict}")
    console.print(f"{report.payouts_compared} payouts compared, {len(report.differences)} differences")
    for difference in report.differences[:20]:
        console.print(f"[red]{difference}[/red]")


def main() -> int:
    """Run from the command line; a payout that is not as it must be makes the figures worthless: exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pass_through", description=__doc__)
    parser.add_argument(
        "--plan",
        default="1x9,100x7,1000x3",
        help="credits in a block x runs, as 1x9,100x7",
    )
    options = parser.parse_args()
    pairs = [part.split("x") for part in options.plan.split(",")]
    plan = {int(credits): int(runs) for credits, runs in pairs}
    console = Console()
    machine = Machine.here()
    introduce(console, "pass through", machine)
    # Not below a private folder: PostgreSQL runs under an account of its own when we are root.
    folder = Path(tempfile.mkdtemp(prefix="trellis-pass-"))
    try:
        report = uvloop.run(pass_through(plan, folder, console))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(report, console)
    settings = {"plan": options.plan, "addresses": ADDRESSES, "aim_ms": AIM_MS}
    path = save(result("pass_through", machine, settings, msgspec.to_builtins(report), ("asyncpg", "uvloop")))
    console.print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name}")
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
