"""The club's Ray actors, killed for real: signers, the watcher, their supervisor, and PostgreSQL under them.

Production's own wiring starts them, and nothing of them is replaced: hot wallets' keys are sealed in the database,
the clock is the machine's, nodes answer over HTTP, the supervisor starts whoever dies, and Ray the supervisor.
The devnet answers from this process, so that the auditor reads the chain itself.
"""

import asyncio
import os
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random

import ray
from ray.exceptions import RayError

from actors import wiring
from actors.clock import now_ms
from actors.club_supervisor import PREFIX
from actors.club_wiring import SUPERVISOR_NAME, start_club
from actors.cluster import Cluster
from actors.home import Home
from actors.plan import ChainPlan, ClubPlan
from actors.settings import load
from adapters.chains.tron.devnet.server import Server
from adapters.secrets.envelope import KekFile
from benchmarks.simulating.beginning import FIRST_BLOCKS, furnish_with
from benchmarks.simulating.busy_club import Club, KillReport, kill_postgres, settle
from benchmarks.simulating.club import FIRMS, Firm, secret
from benchmarks.simulating.network import SOLID_LAG, Network, Time
from engine.ids import Instant
from engine.money import Network as Chain
from engine.payments.alarms import Severity
from storage import assets
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from storage.sealed_values import hot_wallet_place

TURN = ("signer", "watcher", "supervisor", "signer", "postgres")
"""Who is killed, one after another. As many as the firms and one: so each firm's signer has its turn."""
BLOCK_MS = 250
LEASE_MS = 3_000
"""Short: whoever comes after a kill waits for it."""
MOMENT_MAX_S = 3.0
"""A payout is asked for, signed, in a block, final and confirmed within this, if nobody is killed."""
ALIVE_WITHIN_S = 120.0
"""As long as the supervisor itself lets an actor start: on a busy machine a process takes half a minute."""
ANSWER_LIMIT_S = 5.0


class OurTime(Time):
    """Stands still while the chain begins; from `start` on it is the clock of the actors."""

    is_started = False

    def start(self) -> None:
        """Be the machine's clock from now on."""
        self.is_started = True

    def __call__(self) -> Instant:
        """Give the chain's time."""
        return now_ms() if self.is_started else super().__call__()


async def kill_actors_often(
    kills: int, folder: Path, tell: Callable[[str], None] = lambda line: None, seed: int = 1
) -> KillReport:
    """Kill so many times at the moments that the seed draws, let everything settle, and judge. Ray must run."""
    chance = Random(seed)  # noqa: S311  for repeating, not for secrets
    report, killed = KillReport(), Counter[str]()
    async with _running(folder) as (postgres, network, database):
        club = Club(database, network)
        for number in range(kills):
            who = TURN[number % len(TURN)]
            if number % 2:
                # Everybody is at work again; the other kills come before, and meet whoever just begins.
                await settle(club)
            pid = None if who == "postgres" else await _pid_of(_name(who, club.next_firm))
            await club.ask()
            # Most of what can be torn apart happens in the first moments.
            await asyncio.sleep(MOMENT_MAX_S * chance.random() ** 3)
            tell(f"kill {number + 1}: {who}, payouts are {await _states(database)}")
            if pid is None:
                await kill_postgres(postgres, database)
            else:
                os.kill(pid, signal.SIGKILL)
            killed[who if pid is None else f"{who} actor"] += 1
        report.settled_s = await settle(club)
        network.devnet.produce(SOLID_LAG + 1)
        await club.judge(report)
        report.findings += await _grave_alarms(database)
    report.kills = dict(killed)
    shutil.rmtree(folder, ignore_errors=True)
    return report


async def kill_actors_on_our_ray(kills: int, folder: Path, tell: Callable[[str], None]) -> KillReport:
    """Do the same on a local Ray that is started for it and ended with it."""
    cluster = Cluster(load({"TRELLIS_HOME": str(folder / "ray")}))
    try:
        await cluster.start()
        return await kill_actors_often(kills, folder / "club", tell)
    finally:
        await cluster.stop()


def _name(who: str, firm: Firm) -> str:
    match who:
        case "signer":
            return f"{PREFIX}signer:{firm.hot_wallet}"
        case "watcher":
            return f"{PREFIX}watcher:{Chain.TRON}"
        case _:
            return SUPERVISOR_NAME


async def _pid_of(name: str) -> int:
    """Wait for an actor to live, and give its process."""
    async with asyncio.timeout(ALIVE_WITHIN_S):
        while True:
            with suppress(ValueError, RayError, TimeoutError):
                async with asyncio.timeout(ANSWER_LIMIT_S):
                    actor = ray.get_actor(name, namespace=wiring.NAMESPACE)
                    return int(await actor.__ray_call__.remote(lambda _: os.getpid()))
            await asyncio.sleep(0.1)


async def _grave_alarms(database: Database) -> list[str]:
    """List what would have woken somebody up: being killed is no reason to."""
    rows = await database.rows(
        "SELECT kind, subject, detail FROM alarm WHERE severity = $1 ORDER BY id", Severity.SEV1
    )
    return [f"alarm: {row['kind']} of {row['subject']}: {row['detail']}" for row in rows]


async def _states(database: Database) -> str:
    rows = await database.rows("SELECT state, count(*) FROM payout_task GROUP BY 1 ORDER BY 1")
    return str({row[0]: row[1] for row in rows})


@asynccontextmanager
async def _running(folder: Path) -> AsyncIterator[tuple[EmbeddedPostgres, Network, Database]]:
    """Start everything, and end it whatever happens."""
    time = OurTime()
    network = Network(time, BLOCK_MS)
    network.produce(FIRST_BLOCKS)
    server = Server(network.devnet)
    async with AsyncExitStack() as ends:
        postgres = await ends.enter_async_context(EmbeddedPostgres(folder / "postgres"))
        database = await ends.enter_async_context(Database(postgres.dsn, pool_size=4, name="ray kills"))
        await migrate(database)
        await furnish_with(database, network)
        time.start()
        await server.start()
        ends.push_async_callback(server.stop)
        plan = await _plan(postgres.dsn, folder / "home", server, database)
        await _seal_keys(plan, database)
        engine = await start_club(database, plan, devnet=None)
        assert engine is not None
        ends.push_async_callback(engine.stop)
        yield postgres, network, database


async def _plan(dsn: str, home: Path, server: Server, database: Database) -> wiring.Plan:
    async with database.reading() as connection:
        listed = await assets.listed(connection)
    tokens = tuple(asset for asset in listed.values() if asset.contract)
    club = ClubPlan(
        (ChainPlan(Chain.TRON, tuple(server.addresses.values()), tokens),), ray.get_runtime_context().get_node_id()
    )
    return wiring.Plan(
        dsn,
        home,
        bots_per_host=1,
        log_level="warning",
        paper_port=0,
        paper_node="",
        lease_ttl_ms=LEASE_MS,
        club=club,
    )


async def _seal_keys(plan: wiring.Plan, database: Database) -> None:
    """Seal the hot wallets' keys as admission does. Only that they follow from names is ours: the auditor knows
    their addresses beforehand."""
    Home(plan.home).create()
    KekFile(Home(plan.home).sealing_keys).make()
    async with database.transaction() as connection:
        for firm in FIRMS:
            sealed = wiring.vault(plan).seal(secret(firm.hot_wallet), *hot_wallet_place(firm.hot_wallet, firm.id))
            await connection.execute(
                "UPDATE hot_wallet SET sealed_key = $2, sealing_key_id = $3 WHERE id = $1",
                firm.hot_wallet,
                sealed.content,
                sealed.kek_id,
            )
