"""The one place that knows concrete classes: which adapter an account gets, and how the actors are put together.

Everything else asks for a Protocol of `engine.ports`. `start_engine` starts what lives above PostgreSQL and Ray:
the paper venue, the supervisor with its hosts, and the desk in front of them.
"""

import asyncio
import hmac
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors import redaction
from actors import settings as settings_module
from actors.dotenv import merged_environment
from actors.home import Home
from actors.plan import ClubPlan
from actors.settings import Settings
from adapters.exchanges import registry
from adapters.exchanges.paper.client import open_account as open_paper_account
from adapters.secrets.envelope import KekFile, Sealed, Vault
from adapters.secrets.keys import ApiKey
from adapters.secrets.sealed import SealBroken
from engine.errors import Rejected, RejectReason
from engine.ids import AccountId, UserId
from engine.ports import KeyPermissions, MarketDataPort, TradingPort
from storage.accounts import AccountRow, Accounts, Environment, NewAccount, SealedKey
from storage.database import Database
from storage.sealed_values import key_place
from storage.seed import OPERATOR, PAPER_ACCOUNT, seed

if TYPE_CHECKING:
    from actors.club_wiring import ClubEngine

log = logging.getLogger(__name__)

NAMESPACE = "trellis"
VENUE_NAME = "paper-venue"
SUPERVISOR_NAME = "supervisor"
LEASE_TTL_MS = 10_000
PAPER_EXCHANGE = "bybit"
"""Whose language our own venue speaks."""
PAPER_MONEY = {"USDT": "100000", "BTC": "1", "ETH": "10"}
"""What a paper account begins with."""
FOR_EVER = -1
"""How often Ray starts an actor again that dies."""


class Plan(msgspec.Struct, frozen=True):
    """What an actor needs to know to find everything else. Holds no key; `dsn` may hold a password."""

    dsn: str
    home: Path
    bots_per_host: int
    log_level: str
    paper_port: int
    paper_node: str
    lease_ttl_ms: int = LEASE_TTL_MS
    sealing_keys: Path | None = None
    """None: the file in the home folder."""
    club: ClubPlan | None = None
    """None: companies do not settle here."""

    def __repr__(self) -> str:
        return f"Plan(dsn=***, paper_port={self.paper_port}, bots_per_host={self.bots_per_host})"


def encode_plan(plan: Plan) -> bytes:
    """Write a plan for an actor."""
    return msgspec.msgpack.encode(plan, enc_hook=str)


def decode_plan(data: bytes) -> Plan:
    """Read a plan."""
    return msgspec.msgpack.decode(data, type=Plan, dec_hook=lambda kind, value: kind(value))


# ---------------------------------------------------------------------- adapters


def market_port(plan: Plan, account: AccountRow) -> MarketDataPort:
    """Make the public side of an account's venue."""
    return registry.market_data(account.exchange, *_world(plan, account))


async def connected_trading_port(plan: Plan, account: AccountRow, database: Database) -> TradingPort:
    """Make and connect an account's private side; raise `Rejected(PERMISSION)` if its key is refused.

    A paper account is opened at our own venue by this, whenever the venue does not know it (any more).
    """
    key = await _key(plan, account, database)
    if account.environment is Environment.PAPER:
        await open_paper_account(f"http://127.0.0.1:{plan.paper_port}", key, PAPER_MONEY, account.label)
    port = registry.trading(account.exchange, key, *_world(plan, account))
    try:
        await port.connect()
    except BaseException:
        await port.close()
        raise
    return port


async def key_permissions(exchange: str, environment: Environment, key: ApiKey) -> KeyPermissions:
    """Ask a venue what a key may do, before anything is kept of it."""
    try:
        port = registry.trading(exchange, key, registry.Environment(environment.value))
    except ValueError as error:
        raise Rejected(RejectReason.OTHER, str(error)) from None
    try:
        return await port.permissions()
    finally:
        await port.close()


def exchanges() -> Sequence[registry.Exchange]:
    """List the exchanges that an account can be at."""
    return tuple(registry.EXCHANGES.values())


def vault(plan: Plan) -> Vault:
    """Give what seals secrets for the database, and opens them in the process that needs them."""
    return Vault(KekFile(plan.sealing_keys or Home(plan.home).sealing_keys))


def seal_key(plan: Plan, account: AccountId, owner: UserId, key: ApiKey) -> SealedKey:
    """Seal an exchange key for the row of one account."""
    sealed = vault(plan).seal(msgspec.json.encode(key), *key_place(account, owner))
    return SealedKey(sealed.content, sealed.kek_id)


def _world(plan: Plan, account: AccountRow) -> tuple[registry.Environment, str | None]:
    """Say which of an exchange's worlds an account lives in, and where our own venue stands for one."""
    if account.environment is Environment.PAPER:
        return registry.Environment.LOCAL, f"http://127.0.0.1:{plan.paper_port}"
    return registry.Environment(account.environment.value), None


async def _key(plan: Plan, account: AccountRow, database: Database) -> ApiKey:
    """Find an account's key where it is kept; it is read, and opened, in the process that signs."""
    if account.retired_at_ms is not None:
        raise Rejected(RejectReason.PERMISSION, f"the account {account.label!r} was removed, and its key with it")
    if account.environment is Environment.PAPER:
        return paper_key(plan.home, account.id)
    if account.sealing_key_id is not None:
        return await _opened_key(plan, account, database)
    keys = settings_module.api_keys(settings_module.load(merged_environment(os.environ, Path(".env"))))
    if account.id not in keys:
        raise Rejected(
            RejectReason.PERMISSION,
            f"no key of the account {account.id!r} in the environment or the sealed file of this node",
        )
    return keys[account.id]


async def _opened_key(plan: Plan, account: AccountRow, database: Database) -> ApiKey:
    sealed = await Accounts(database).sealed_key(account.id)
    if sealed is None:
        raise Rejected(RejectReason.PERMISSION, f"the key of the account {account.label!r} is gone")
    try:
        plain = vault(plan).open(Sealed(sealed.ciphertext), *key_place(account.id, account.owner))
    except (SealBroken, OSError) as error:
        raise Rejected(
            RejectReason.PERMISSION, f"the key of the account {account.label!r} cannot be opened here: {error}"
        ) from None
    return msgspec.json.decode(plain, type=ApiKey)


def paper_key(home: Path, account: AccountId) -> ApiKey:
    """Give the key of a paper account: worth nothing, and yet its owner's alone and another on every machine."""
    token = Home(home).token("paper")
    if account == PAPER_ACCOUNT:
        return ApiKey(key=f"paper-{account}", secret=token)
    return ApiKey(f"paper-{account}", hmac.new(token.encode(), account.encode(), "sha256").hexdigest())


# ---------------------------------------------------------------------- actors


def detached_actor(kind: type, name: str, *, restarts: int, concurrency: int, strategy: Any = "DEFAULT") -> Any:
    """Prepare a named actor that outlives whoever starts it. Ray never makes one of its calls a second time."""
    return ray.remote(kind).options(
        name=name,
        namespace=NAMESPACE,
        get_if_exists=True,
        lifetime="detached",
        max_restarts=restarts,
        max_task_retries=0,
        max_concurrency=concurrency,
        num_cpus=0,
        scheduling_strategy=strategy,
    )


def host_strategy(plan: Plan) -> Any:
    """Keep bots on the node of the paper venue, which listens on loopback; elsewhere Ray may choose."""
    if not plan.paper_node:
        return "SPREAD"
    return NodeAffinitySchedulingStrategy(node_id=plan.paper_node, soft=False)


def set_up_logging(home: Path, level: str) -> None:
    """Write this process's events to the installation's log, for Ray's own files go with the cluster."""
    handler = logging.FileHandler(Home(home).log)
    handler.setFormatter(redaction.formatter())
    logging.getLogger().handlers[:] = [handler]
    logging.getLogger().setLevel(level.upper())


class Engine:
    """What `start_engine` has started: the desk, and how to end it."""

    def __init__(
        self,
        database: Database,
        plan: Plan,
        supervisor: Any,
        venue: Any,
        feed_name: str,
        club: "ClubEngine | None",
    ) -> None:
        from actors.desk import BotDesk

        self.database = database
        self.plan = plan
        self.feed_name = feed_name
        self.desk = BotDesk(database, plan, supervisor, feed_name)
        self.club = club
        self._supervisor = supervisor
        self._venue = venue

    async def stop(self) -> None:
        """Let every bot go, end every actor. Orders rest at the venue until the next start adopts them."""
        await self.desk.close()
        if self.club is not None:
            await self.club.stop()
        try:
            async with asyncio.timeout(30):
                await self._supervisor.shutdown.remote()
                if self._venue is not None:
                    await self._venue.stop.remote()
        except (TimeoutError, ray.exceptions.RayError) as error:
            log.warning("engine.stop_incomplete error=%s", error)
        for actor in (self._supervisor, self._venue):
            if actor is not None:
                ray.kill(actor)
        await self.database.close()


async def start_engine(settings: Settings, dsn: str) -> Engine:
    """Start everything above PostgreSQL (migrated, at `dsn`) and Ray (initialised)."""
    database = Database(dsn, pool_size=8, name="trellis desk")
    await database.open()
    try:
        return await _start_on(database, settings, dsn)
    except BaseException:
        await database.close()
        raise


async def _start_on(database: Database, settings: Settings, dsn: str) -> Engine:
    await seed(database)
    await _add_real_accounts(database, settings)
    venue, feed_name, port = await _start_venue(settings)
    from actors.club_wiring import plan_club, start_club

    club, devnet = await plan_club(settings)
    plan = Plan(
        dsn=dsn,
        home=settings.home,
        bots_per_host=settings.placement.bots_per_host,
        log_level=settings.log_level,
        paper_port=port,
        paper_node=_paper_node(settings),
        sealing_keys=settings.sealing_keys,
        club=club,
    )
    if settings.sealing_keys is None:
        KekFile(Home(settings.home).sealing_keys).make()
    supervisor = _start_supervisor(plan)
    await supervisor.begin.remote()
    return Engine(database, plan, supervisor, venue, feed_name, await start_club(database, plan, devnet))


def _paper_node(settings: Settings) -> str:
    """Name the node that bots must share with the paper venue; none where they trade elsewhere."""
    if settings.bybit_environment is not Environment.PAPER:
        return ""
    node: str = ray.get_runtime_context().get_node_id()
    return node


async def _add_real_accounts(database: Database, settings: Settings) -> None:
    if settings.bybit_environment is Environment.PAPER:
        return
    for account in settings_module.api_keys(settings):
        label = f"Bybit {settings.bybit_environment.value}"
        new = NewAccount(account, OPERATOR, "bybit", settings.bybit_environment, label, f"key:{account}")
        await Accounts(database).add(new, "start")


async def _start_venue(settings: Settings) -> tuple[Any, str, int]:
    """Start the paper venue on the port it had, so that its bots and the scripts of its users find it again."""
    from actors.paper_venue import PaperVenueActor, VenuePlan

    home = Home(settings.home)
    home.create()
    plan = VenuePlan(
        state_dir=home.venue,
        feed_kind=settings.feed.kind.value,
        feed_path=settings.feed.path,
        feed_speed=settings.feed.speed,
        home=settings.home,
        log_level=settings.log_level,
    )
    make = detached_actor(PaperVenueActor, VENUE_NAME, restarts=FOR_EVER, concurrency=100)
    actor = make.remote(msgspec.msgpack.encode(plan, enc_hook=str))
    try:
        feed_name, port = await actor.describe.remote()
    except ray.exceptions.RayTaskError as error:
        # Detached, it would outlive us on a cluster and fail again.
        ray.kill(actor)
        log.exception("engine.no_venue")
        raise Rejected(RejectReason.OTHER, f"the paper venue does not start: {error.cause}") from error
    return actor, feed_name, port


def _start_supervisor(plan: Plan) -> Any:
    from actors.supervisor import Supervisor

    make = detached_actor(Supervisor, SUPERVISOR_NAME, restarts=FOR_EVER, concurrency=1_000)
    return make.remote(encode_plan(plan))
