"""The ledger's batches beside a loop of row locks, in one run: the same server, tables, accounts and transfers.

`python -m benchmarks.ledger`. First both post the same transfers on two fresh databases and must end with the same
balances. Then they take turns for some seconds each, so that the noise of the machine hits both: 32 clients with
row locks, and batches of several sizes from two callers, one of whom makes his next batch ready while the other's
is posted. Group commit is 256 callers that each wait for their own transfer. With `--grow`, how the cost of a
transfer changes as the ledger fills up, to ten million by default.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median

import asyncpg
import msgspec
import uvloop
from rich.console import Console

from benchmarks.harness import Machine, introduce, quantile, result, save, table
from benchmarks.posting.batches import post_batch, post_batches
from benchmarks.posting.load import Load, Shape, open_accounts
from benchmarks.posting.row_locks import row_lock_loop
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.invariants import check
from storage.ledger_chain import LedgerChain
from storage.ledger_writer import LedgerWriter
from storage.migrate import migrate

AIMS = {Shape.UNIFORM: 20.0, Shape.HOT: 80.0}
"""How many times as many transfers a second as the row-lock loop we want to post."""
WAIT_AIM_MS = 100.0
SEED = 4
GROWN_BY = 8_000
"""Transfers in each batch that fills the ledger."""
_COMPARED_BATCHES = 4


class Settings(msgspec.Struct, frozen=True):
    """How large a run is."""

    accounts: int = 10_000
    clients: int = 32
    batches: tuple[int, ...] = (1_000, 8_000, 16_000, 32_000)
    """Transfers in each; TigerBeetle's have up to 8,190. The more there are, the more share an update."""
    posters: int = 2
    """Callers that post batches. One posts at a time; more than two would only wait."""
    callers: int = 256
    seconds: float = 4.0
    rounds: int = 3
    compared: int = 2_000
    """Transfers that both sides post before anything is measured."""
    grow: int = 0
    """How many transfers the ledger is filled with at the end; 0: not at all."""


class Rates(msgspec.Struct, frozen=True):
    """Transfers a second: the median of the rounds, and each. `batch` is how many shared one."""

    shape: Shape
    batch: int
    batches: float
    row_locks: float
    ratio: float
    aim: float
    batches_by_round: list[float]
    row_locks_by_round: list[float]

    @property
    def is_met(self) -> bool:
        """Tell whether the aim is met."""
        return self.ratio >= self.aim


class GroupCommit(msgspec.Struct, frozen=True):
    """What one of many callers waits for its own transfer, in milliseconds."""

    transfers_per_second: float
    median_ms: float
    p99_ms: float


class Growth(msgspec.Struct, frozen=True):
    """The cost of a transfer when the ledger holds so many."""

    transfers: int
    microseconds: float


class Report(msgspec.Struct, frozen=True):
    """What a run has measured."""

    compared: int
    differences: list[str]
    rates: list[Rates]
    group_commit: dict[Shape, GroupCommit]
    growth: list[Growth]


async def ledger_benchmark(settings: Settings, folder: Path) -> Report:
    """Compare, then measure."""
    async with EmbeddedPostgres(folder) as server:
        differences = [difference for shape in Shape for difference in await _compare(server.dsn, shape, settings)]
        rates: list[Rates] = []
        waits = {}
        for shape in Shape:
            async with _books(server.dsn, "measured", settings) as (database, dsn, load):
                rates += await _rates(database, dsn, load, shape, settings)
                waits[shape] = await _group_commit(database, load, shape, settings)
        growth = []
        if settings.grow:
            async with _books(server.dsn, "grown", settings) as (database, _, load):
                growth = await _grow(database, load, settings)
    return Report(2 * settings.compared, differences, rates, waits, growth)


# ---------------------------------------------------------------------- the same transfers, the same books


async def _compare(server: str, shape: Shape, settings: Settings) -> list[str]:
    """Post the same transfers both ways; name every balance that differs."""
    ends = []
    for name in ("batched", "locked"):
        async with _books(server, name, settings) as (database, dsn, load):
            if name == "batched":
                for _ in range(_COMPARED_BATCHES):
                    await post_batch(database, load.batch(shape, settings.compared // _COMPARED_BATCHES))
                breaches = [str(breach) for breach in await check(database)]
                if not (await LedgerChain(database).verify()).is_intact:
                    breaches.append("the chain of hashes is broken")
            else:
                await row_lock_loop(dsn, settings.clients, partial(load.one, shape), 1e9, count=settings.compared)
            count = await database.value("SELECT count(*) FROM ledger_transfer")
            rows = await database.rows("SELECT code, balance FROM ledger_account ORDER BY code")
            ends.append((count, {row["code"]: row["balance"] for row in rows}))
    (batched, ours), (locked, theirs) = ends
    different = [f"{shape}: {code} {ours[code]} and {theirs[code]}" for code in ours if ours[code] != theirs[code]]
    if batched != locked:
        different.append(f"{shape}: {batched} and {locked} transfers")
    return different + breaches


# ---------------------------------------------------------------------- rates


async def _rates(database: Database, dsn: str, load: Load, shape: Shape, settings: Settings) -> list[Rates]:
    ours: dict[int, list[float]] = {batch: [] for batch in settings.batches}
    theirs = []
    for _ in range(settings.rounds):
        for batch, rounds in ours.items():
            make = partial(load.batch, shape, batch)
            posted, took = await post_batches(database, settings.posters, make, settings.seconds)
            rounds.append(posted / took)
        posted, took = await row_lock_loop(dsn, settings.clients, partial(load.one, shape), settings.seconds)
        theirs.append(posted / took)
    return [
        Rates(
            shape=shape,
            batch=batch,
            batches=round(median(rounds), 1),
            row_locks=round(median(theirs), 1),
            ratio=round(median(rounds) / median(theirs), 1),
            aim=AIMS[shape],
            batches_by_round=[round(rate, 1) for rate in rounds],
            row_locks_by_round=[round(rate, 1) for rate in theirs],
        )
        for batch, rounds in ours.items()
    ]


async def _group_commit(database: Database, load: Load, shape: Shape, settings: Settings) -> GroupCommit:
    waits: list[float] = []
    began = time.perf_counter()
    until = began + settings.seconds

    async def call(writer: LedgerWriter) -> None:
        while time.perf_counter() < until:
            asked = time.perf_counter()
            (answer,) = await writer.submit([load.one(shape)])
            waits.append((time.perf_counter() - asked) * 1000)
            assert answer.ok

    async with LedgerWriter(database) as writer:
        await asyncio.gather(*(call(writer) for _ in range(settings.callers)))
    ordered = sorted(waits)
    return GroupCommit(
        round(len(waits) / (time.perf_counter() - began), 1),
        round(quantile(ordered, 50), 2),
        round(quantile(ordered, 99), 2),
    )


# ---------------------------------------------------------------------- growth


async def _grow(database: Database, load: Load, settings: Settings) -> list[Growth]:
    """Fill the ledger; note the cost at 1, 2, 5, 10 … thousandths of the end."""
    marks = [settings.grow * part // 1000 for part in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)]
    growth, posted, took, counted = [], 0, 0.0, 0
    for mark in marks:
        while posted < mark:
            transfers = load.batch(Shape.UNIFORM, GROWN_BY)
            began = time.perf_counter()
            counted += await post_batch(database, transfers)
            took += time.perf_counter() - began
            posted += GROWN_BY
        if counted:
            growth.append(Growth(posted, round(took / counted * 1e6, 1)))
            took, counted = 0.0, 0
    return growth


# ---------------------------------------------------------------------- stage


@asynccontextmanager
async def _books(server: str, name: str, settings: Settings) -> AsyncIterator[tuple[Database, str, Load]]:
    """Open a fresh ledger in a database of its own, every account with money."""
    await _execute(server, f"CREATE DATABASE {name}")
    dsn = server.replace("@/trellis?", f"@/{name}?")
    load = Load(settings.accounts, SEED)
    try:
        async with Database(dsn, pool_size=settings.posters + 1, name="ledger benchmark") as database:
            await migrate(database)
            await open_accounts(database, load)
            yield database, dsn, load
    finally:
        await _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def show(report: Report, console: Console) -> None:
    """Print the figures and what they mean for the aims."""
    rows = [
        (
            f"{each.shape}, {each.batch:,} in a batch",
            f"{each.batches:,.0f}",
            f"{each.row_locks:,.0f}",
            f"{each.ratio} x",
            f"{each.aim:g} x",
            _word(each),
        )
        for each in report.rates
    ]
    heads = ("transfers a second", "batches", "row locks", "ratio", "aim", "")
    table(console, "batches beside the row-lock loop", heads, rows)
    waits = [
        (shape, f"{each.transfers_per_second:,.0f}", each.median_ms, each.p99_ms, f"{WAIT_AIM_MS:g}")
        for shape, each in report.group_commit.items()
    ]
    table(
        console, "group commit, each caller its own transfer", ("", "a second", "p50 ms", "p99 ms", "aim"), waits
    )
    if report.growth:
        grown = [(f"{each.transfers:,}", each.microseconds) for each in report.growth]
        table(console, "the cost of a transfer as the ledger fills", ("transfers", "µs each"), grown)
    console.print(f"{report.compared} transfers compared, {len(report.differences)} differences")
    for difference in report.differences:
        console.print(f"[red]{difference}[/red]")


def _word(rates: Rates) -> str:
    return "[green]met[/green]" if rates.is_met else "[red]not met[/red]"


def main() -> int:
    """Run from the command line; books that differ make the figures worthless and the exit code 1."""
    defaults = Settings()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--seconds", type=float, default=defaults.seconds, help="of each turn")
    parser.add_argument("--rounds", type=int, default=defaults.rounds)
    parser.add_argument("--batches", type=int, nargs="+", default=defaults.batches, metavar="TRANSFERS")
    parser.add_argument("--callers", type=int, default=defaults.callers)
    parser.add_argument("--grow", type=int, nargs="?", const=10_000_000, default=0, metavar="TRANSFERS")
    settings = msgspec.structs.replace(defaults, **vars(parser.parse_args()))
    console = Console()
    machine = Machine.here()
    introduce(console, "ledger", machine)
    # Not below a private folder: PostgreSQL runs under an account of its own when we are root.
    folder = Path(tempfile.mkdtemp(prefix="trellis-ledger-"))
    try:
        report = uvloop.run(ledger_benchmark(settings, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(report, console)
    outcome = result(
        "ledger", machine, msgspec.structs.asdict(settings), msgspec.to_builtins(report), ("asyncpg",)
    )
    path = save(outcome)
    console.print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name}")
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
