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
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from adapters.chains.tron.devnet.server import Server
from benchmarks.harness import ROOT
from benchmarks.simulating.auditor import Agreement, Approval, Story, Window, audit
from benchmarks.simulating.beginning import FIRST_BLOCKS, furnish
from benchmarks.simulating.checks import broken
from benchmarks.simulating.club import APPROVALS, CAP, DOLLAR, FIRMS, USDT, Firm
from benchmarks.simulating.engine_process import Orders
from benchmarks.simulating.network import BLOCK_MS, SOLID_LAG, Network, Time, address
from benchmarks.simulating.point_in_time import ArchivedPostgres
from benchmarks.simulating.table import POINTS
from engine.errors import OutcomeUnknown, Retryable
from engine.ids import Instant, PayoutId
from engine.money import Network as Chain
from engine.payments.approval import PayoutFields
from engine.payments.payout import Purpose
from engine.payments.request import NewPayout
from storage import payouts
from storage.club_commands import Command
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.freezes import Freezes
from storage.migrate import migrate
from storage.payout_decisions import Decisions

SPEED = 15.0
"""How much faster than ours the world's clock runs: a block every fifth of a second."""
REACH_S = 8.0
"""So long a life has to pass the crash point it is to die at; then it is killed wherever it is."""
SETTLE_S = 120.0
POSTGRES_EVERY = 5
PLACES = [point for point in POINTS if not point.startswith("watcher:roll_back")]
"""A living chain never replaces a final block, so nobody passes those points here."""
AFTER_ALL = 2**40
"""A moment later than everything that people say."""


class KillReport(msgspec.Struct):
    """What was killed, and what was found afterwards."""

    kills: dict[str, int] = {}
    payouts: int = 0
    findings: list[str] = []
    settled_s: float = 0.0


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


class Club:
    """Who keeps the engine busy: a withdrawal and a payment in for every kill, and the auditor's story of it."""

    def __init__(self, database: Database, network: Network) -> None:
        self._database = database
        self._network = network
        self._number = 0
        self.paid_in = 0
        self.story = Story(
            solid_depth=SOLID_LAG,
            our_addresses=frozenset(address(firm.hot_wallet) for firm in FIRMS),
            contracts=frozenset(at for at in network.contracts.values() if at),
        )
        for firm in FIRMS:
            self.story.allowed[network.contracts[USDT], address(firm.wallets[0])].append(Window(0))

    async def ask(self) -> None:
        """Ask for one payout, approve it, and pay something in."""
        self._number += 1
        await self._wish(self._number)
        firm = FIRMS[self._number % len(FIRMS)]
        self._network.pay(
            firm.wallets[1], address(firm.hot_wallet), self._network.contracts[USDT], DOLLAR + self._number
        )
        self.paid_in += DOLLAR + self._number

    async def say_again(self, database: Database) -> None:
        """Say everything once more to a database that may have forgotten it."""
        self._database = database
        for number in range(1, self._number + 1):
            await self._wish(number)

    async def _wish(self, number: int) -> None:
        firm = FIRMS[number % len(FIRMS)]
        units, to = 10 * DOLLAR + number, address(firm.wallets[0])
        payout = PayoutId(f"po_kill{number}")
        now = self._network.time()
        new = NewPayout(
            payout,
            firm.id,
            firm.id,
            Purpose.WITHDRAWAL,
            f"kill{number}",
            Chain.TRON,
            USDT,
            units,
            to,
            firm.wallets[0],
            firm.hot_wallet,
            firm.trader,
            now,
        )
        await self._database.repeat(lambda connection: payouts.request(connection, [new]))
        fields = PayoutFields(payout, Chain.TRON, USDT, units, to)
        for approver in firm.approvers[1 : 1 + APPROVALS]:
            command = Command(approver, f"approve {payout}", now)
            await Decisions(self._database).approve(fields, firm.id, command)
            self.story.approvals.append(Approval(payout, approver, to, units, number))
        if number > len(self.story.agreements):
            self.story.agreements.append(self._agreement(payout, firm, units, to))

    def _agreement(self, payout: PayoutId, firm: Firm, units: int, to: str) -> Agreement:
        return Agreement(
            payout,
            "withdrawal",
            firm.id,
            address(firm.hot_wallet),
            to,
            self._network.contracts[USDT],
            units,
            CAP,
            frozenset(firm.approvers),
            APPROVALS,
            firm.trader,
        )

    async def are_served(self) -> bool:
        """Tell whether every payout is over and everything that was paid in is credited."""
        left = await self._database.value(
            "SELECT count(*) FROM payout_task WHERE state NOT IN ('confirmed', 'failed')"
        )
        credited = await self._database.value(
            "SELECT coalesce(sum(amount_token), 0) FROM incoming_tx WHERE amount_token < $1", 100 * DOLLAR
        )
        return not left and int(credited) == self.paid_in

    async def judge(self) -> list[str]:
        """Give the auditor's findings, and the database's own."""
        story = self.story
        story.movements = self._network.movements()
        story.signed = {movement.tx: AFTER_ALL for movement in story.movements}
        rows = await self._database.rows("SELECT id, state, coalesce(tx_hash, '') AS tx FROM payout_task")
        story.final_states = {row["id"]: (row["state"], row["tx"]) for row in rows}
        credited = await self._database.value(
            "SELECT coalesce(sum(amount_token), 0) FROM incoming_tx WHERE amount_token < $1", 100 * DOLLAR
        )
        wrong = [] if int(credited) == self.paid_in else [f"{self.paid_in} was paid in, {credited} credited"]
        return [*audit(story).all(), *wrong, *await broken(self._database)]


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
                await _kill_postgres(postgres, database)
                await engine.kill()
                killed["postgres"] += 1
            elif await engine.gone(REACH_S):
                killed[point] += 1
            else:
                await engine.kill()
                killed["elsewhere"] += 1
            tell(f"kill {number + 1}: {'postgres' if is_postgres else point}")
        await engine.begin(orders)
        report.settled_s = await _settle(club, _nothing)
        await engine.kill()
        network.devnet.produce(SOLID_LAG + 1)
        report.findings = await club.judge()
        report.payouts = len(club.story.agreements)
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
            await club.say_again(restored)
            await engine.begin(msgspec.structs.replace(orders, dsn=dsn))
            report.settled_s = await _settle(club, lambda: _lift(restored, network))
            await engine.kill()
            network.devnet.produce(SOLID_LAG + 1)
            seen = await restored.value("SELECT count(*) FROM alarm WHERE kind = 'restored_database'")
            report.findings = await club.judge() + ([] if seen else ["nobody has noticed the restore"])
        report.payouts = len(club.story.agreements)
    return report


async def _lift(database: Database, network: Network) -> None:
    """Let two operators lift safe mode; it is refused as long as something is forgotten."""
    freezes = Freezes(database)
    for row in await freezes.current():
        for operator in ("op_ada", "op_grace"):
            command = Command(operator, f"lift {row.id} {network.head}", network.time())
            await freezes.lift(row.id, command)


async def _settle(club: Club, also: Callable[[], Awaitable[None]]) -> float:
    began_s = time.monotonic()
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_S):
            while not await club.are_served():
                await also()
                await asyncio.sleep(0.2)
    return round(time.monotonic() - began_s, 1)


async def _nothing() -> None:
    """Do nothing meanwhile."""


async def _kill_postgres(postgres: EmbeddedPostgres, database: Database) -> None:
    assert postgres.pid is not None
    os.kill(postgres.pid, signal.SIGKILL)
    while postgres.pid is not None:  # noqa: ASYNC110  a process that dies sets no event
        await asyncio.sleep(0.01)
    await postgres.start()
    while True:
        with suppress(Retryable, OutcomeUnknown):
            await database.ping()
            return
        await asyncio.sleep(0.05)


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
