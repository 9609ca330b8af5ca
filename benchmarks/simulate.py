"""The crash simulation: does every payout happen exactly once, whatever dies, lies or is forgotten?

`python -m benchmarks.simulate` runs thousands of seeded worlds, the whole table of crash points, real kills (of a
plain engine, of Ray actors, of PostgreSQL) and the planted bugs, and writes the counts down; anything found ends
with exit code 1. `trellis simulate --seed N` tells the story of one world, which is the same each time.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import uvloop
from rich.console import Console

from benchmarks.harness import Machine, introduce, result, save, table
from benchmarks.simulating.beginning import furnish
from benchmarks.simulating.busy_club import KillReport
from benchmarks.simulating.kills import kill_often, restore_in_flight
from benchmarks.simulating.planted import PLANTED
from benchmarks.simulating.table import POINTS
from benchmarks.simulating.work import Job, Report
from benchmarks.simulating.workers import WORKERS, Worker, share, workers

PLANTED_SEEDS_MAX = 500
FINDINGS_SHOWN = 40
TOLD_EVERY = 100


class Plan(msgspec.Struct, frozen=True):
    """How much of everything. `first_seed` and up."""

    seeds: int = 5_000
    first_seed: int = 1
    payouts: int = 8
    """In each world. Many small ones find more in the same time than few large ones; tests run those."""
    rows: int = len(POINTS)
    kills: int = 450
    ray_kills: int = 50
    planted: bool = True
    workers: int = WORKERS
    minutes: int = 0
    """After these no other world begins, and what was seen is written down; 0: all of them are run."""


class Summary(msgspec.Struct):
    """What a simulation has seen."""

    seeds: int = 0
    counts: dict[str, int] = {}
    faults: dict[str, int] = {}
    crash_points: dict[str, int] = {}
    cells: int = 0
    findings: list[str] = []
    repeated: list[str] = []
    """Cases that could not be run the first time, and why; they were run again."""
    found_at: dict[str, int] = {}
    """Planted bug → the seed at which it was found; 0: it was not."""
    kills: KillReport | None = None
    ray_kills: KillReport | None = None
    restore: KillReport | None = None
    """A point-in-time restore in mid-flight."""
    wall_s: float = 0.0

    @property
    def killed(self) -> dict[str, int]:
        """Count what was killed, in all harnesses."""
        reports = [report for report in (self.kills, self.ray_kills) if report is not None]
        return dict(sum((Counter(report.kills) for report in reports), Counter()))

    @property
    def kill_findings(self) -> list[str]:
        """List what was found after real kills and after the restore."""
        reports = (self.kills, self.ray_kills, self.restore)
        return [line for report in reports if report is not None for line in report.findings]

    @property
    def is_clean(self) -> bool:
        """Tell whether every promise was kept, and every planted bug was found."""
        return not self.findings and not self.kill_findings and all(self.found_at.values())

    @property
    def line(self) -> str:
        """Say it in one line."""
        counts = self.counts
        return (
            f"{self.seeds} seeds, {counts.get('payouts', 0)} payouts in {counts.get('transfers', 0)} transfers, "
            f"{sum(self.faults.values())} faults, {sum(self.crash_points.values())} crashes at "
            f"{len(self.crash_points)} points, {self.cells} cells, {sum(self.killed.values())} kills: "
            f"{counts.get('doubles', 0)} doubles, {counts.get('losses', 0)} losses, "
            f"{counts.get('stuck', 0)} stuck, {len(self.findings)} findings; "
            f" {sum(map(bool, self.found_at.values()))} of {len(self.found_at)} "
            f"planted bugs found, in {self.wall_s:.0f} s"
        )


async def run(plan: Plan, folder: Path, tell: Callable[[str], None] = lambda line: None) -> Summary:
    """Run everything in `folder`."""
    began_s = time.monotonic()
    summary = Summary()
    async with asyncio.TaskGroup() as group:
        group.create_task(_simulate(plan, tell, summary))
        # Those who are killed mostly wait, for leases and for blocks: worlds run meanwhile.
        group.create_task(_kill(plan, folder, tell, summary))
    summary.wall_s = round(time.monotonic() - began_s, 1)
    return summary


async def _simulate(plan: Plan, tell: Callable[[str], None], summary: Summary) -> None:
    async with workers(furnish, plan.workers) as among:
        jobs = [Job("table", number) for number in range(plan.rows)]
        jobs += [Job("seed", plan.first_seed + number, payouts=plan.payouts) for number in range(plan.seeds)]
        for report in await share(jobs, among, _telling(plan, tell)):
            _add(summary, report)
        if plan.planted:
            for name in PLANTED:
                summary.found_at[name] = await find(name, among)
                tell(f"{name}: found at seed {summary.found_at[name]}")


async def _kill(plan: Plan, folder: Path, tell: Callable[[str], None], summary: Summary) -> None:
    if plan.kills:
        summary.kills = await kill_often(plan.kills, folder / "kills", tell)
        summary.restore = await restore_in_flight(folder / "restore")
    if plan.ray_kills:
        # Imported here: Ray takes a second, and who asks for one world's story needs nothing of it.
        from benchmarks.simulating.ray_kills import kill_actors_on_our_ray

        summary.ray_kills = await kill_actors_on_our_ray(plan.ray_kills, folder / "ray", tell)


async def find(name: str, among: Sequence[Worker], seeds_max: int = PLANTED_SEEDS_MAX) -> int:
    """Run seeds with a planted bug until it is found; give the first such seed, 0 for none."""
    jobs = (Job("planted", seed, name) for seed in range(1, seeds_max + 1))
    reports = await share(jobs, list(among), lambda report: bool(report.findings))
    return next((report.job.number for report in reports if report.findings), 0)


def _telling(plan: Plan, tell: Callable[[str], None]) -> Callable[[Report], bool]:
    """Tell what is found, and say when it is time to begin nothing more."""
    began_s = time.monotonic()
    done = 0

    def told(report: Report) -> bool:
        nonlocal done
        done += 1
        for line in _findings(report):
            tell(line)
        if done % TOLD_EVERY == 0:
            tell(f"{done} of {plan.rows + plan.seeds} cases")
        return 0 < plan.minutes * 60 < time.monotonic() - began_s

    return told


def _findings(report: Report) -> list[str]:
    lines = [*report.findings, f"could not be run: {report.died}"] if report.died else report.findings
    return [f"{report.job.kind} {report.job.number}: {line}" for line in lines]


def _add(summary: Summary, report: Report) -> None:
    job = report.job
    summary.findings += _findings(report)
    if report.repeated:
        summary.repeated.append(f"{job.kind} {job.number}: {report.repeated}")
    summary.faults = dict(Counter(summary.faults) + Counter(report.faults))
    summary.crash_points = dict(Counter(summary.crash_points) + Counter(report.crash_points))
    if job.kind == "table":
        summary.cells += report.counts.get("cells", 0)
    else:
        summary.seeds += 1
        summary.counts = dict(Counter(summary.counts) + Counter(report.counts))


def show(summary: Summary, console: Console) -> None:
    """Print the counts."""
    table(console, "What was simulated", ("", "count"), sorted(summary.counts.items()))
    table(console, "What went wrong on purpose", ("fault", "times"), sorted(summary.faults.items()))
    table(console, "Where processes died", ("crash point", "times"), sorted(summary.crash_points.items()))
    if summary.killed:
        table(console, "What was killed", ("process", "times"), sorted(summary.killed.items()))
    if summary.found_at:
        table(console, "Planted bugs", ("bug", "found at seed"), sorted(summary.found_at.items()))
    for line in (summary.findings + summary.kill_findings)[:FINDINGS_SHOWN]:
        console.print(f"[red]{line}[/red]")
    for line in summary.repeated[:FINDINGS_SHOWN]:
        console.print(f"run again: {line}")
    console.print(summary.line)
    console.print("[green]clean[/green]" if summary.is_clean else "[red]NOT CLEAN[/red]")


def main() -> int:
    """Run a simulation from the command line; the exit code says whether it was clean."""
    options = _options()
    console = Console()
    machine = Machine.here()
    introduce(console, "simulate", machine)
    plan = Plan(
        seeds=options.seeds,
        first_seed=options.first,
        kills=options.kills,
        ray_kills=options.ray_kills,
        minutes=options.minutes,
    )
    # Not below a private folder: PostgreSQL runs under an account of its own when we are root.
    folder = Path(tempfile.mkdtemp(prefix="trellis-simulate-"))
    summary = uvloop.run(run(plan, folder, console.print))
    show(summary, console)
    path = save(result("simulate", machine, msgspec.to_builtins(plan), msgspec.to_builtins(summary)))
    console.print(f"written to {path.name}")
    shutil.rmtree(folder, ignore_errors=True)
    return 0 if summary.is_clean else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=Plan().seeds)
    parser.add_argument("--first", type=int, default=Plan().first_seed, help="the first seed")
    parser.add_argument("--kills", type=int, default=Plan().kills, help="of a plain engine and PostgreSQL")
    parser.add_argument("--ray-kills", type=int, default=Plan().ray_kills, help="of Ray actors and PostgreSQL")
    parser.add_argument("--minutes", type=int, default=0, help="begin no world after these; 0: run all seeds")
    return parser.parse_args()


# ---------------------------------------------------------------------- one story


def tell(job: Job) -> bool:
    """Print the story of one world; tell whether nothing was found."""
    report = uvloop.run(_tell_one(job))
    console = Console()
    table(console, f"Seed {job.number}", ("", "count"), sorted(report.counts.items()))
    table(console, "What went wrong on purpose", ("fault", "times"), sorted(report.faults.items()))
    table(console, "Where processes died", ("crash point", "times"), sorted(report.crash_points.items()))
    for line in _findings(report):
        console.print(f"[red]{line}[/red]")
    console.print(f"trace {report.digest[:16]}: the same whenever this seed is run")
    return report.is_clean


async def _tell_one(job: Job) -> Report:
    async with workers(furnish, 1) as among:
        return (await share([job], among))[0]


if __name__ == "__main__":
    sys.exit(main())
