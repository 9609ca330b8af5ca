"""Puts the club's actors together: networks, assets, the supervisor of the single writers, the demo.

As `actors.wiring` does for bots. What needs a chain's own words is in `actors.chains` and `actors.tron_devnet`.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError

from actors import wiring
from actors.chains import MAINNET
from actors.club_demo import ClubDemo, DemoFailed, owners
from actors.club_desk import ClubDesk
from actors.home import Home
from actors.plan import ChainPlan, ClubPlan
from actors.settings import Club, Settings
from adapters.chains.registry import CHAINS
from engine.errors import Rejected, RejectReason, VenueError
from engine.money import Asset, AssetId, Network
from storage import assets
from storage.database import Connection, Database

log = logging.getLogger(__name__)

DEVNET_NAME = "tron-devnet"
SUPERVISOR_NAME = "club-supervisor"
STOP_LIMIT_S = 20.0
TOKEN_DECIMALS = 6


class ClubEngine:
    """What `start_club` has started: the desk in front of it, the demo if there is one, and how to end it."""

    def __init__(self, desk: ClubDesk, supervisor: Any, devnet: Any, demo: ClubDemo | None) -> None:
        self.desk = desk
        self.demo = demo
        self._supervisor = supervisor
        self._devnet = devnet
        self._setting_up = None if demo is None else asyncio.create_task(_set_up(demo), name="demo club")

    async def stop(self) -> None:
        """End every actor. What they have not finished, the next start goes on with."""
        if self._setting_up is not None:
            self._setting_up.cancel()
            with suppress(asyncio.CancelledError):
                await self._setting_up
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await self._supervisor.shutdown.remote()
                if self._devnet is not None:
                    await self._devnet.stop.remote()
        except (TimeoutError, RayError) as error:
            log.warning("club.stop_incomplete error=%s", error)
        for actor in (self._supervisor, self._devnet):
            if actor is not None:
                ray.kill(actor)


async def plan_club(settings: Settings) -> tuple[ClubPlan | None, Any]:
    """Say what the club of these settings is, and give the devnet's actor where it is a demo."""
    node: str = ray.get_runtime_context().get_node_id()
    match settings.club:
        case Club.OFF:
            return None, None
        case Club.ON:
            chain = ChainPlan(Network.TRON, settings.tron_nodes, MAINNET, settings.tron_treasury)
            return ClubPlan((chain,), node), None
        case Club.DEMO:
            return await _plan_demo(settings, node)


async def start_club(database: Database, plan: "wiring.Plan", devnet: Any) -> ClubEngine | None:
    """List the assets and start the actors; None where the club is off."""
    if plan.club is None:
        return None
    await _list_assets(database, plan.club)
    from actors.club_supervisor import ClubSupervisor

    make = wiring.detached_actor(ClubSupervisor, SUPERVISOR_NAME, restarts=wiring.FOR_EVER, concurrency=100)
    supervisor = make.remote(wiring.encode_plan(plan))
    await supervisor.begin.remote()
    desk = ClubDesk(database, plan, supervisor)
    demo = None
    if devnet is not None:
        demo = ClubDemo(database, desk.admission, plan.club.chain(Network.TRON), devnet)
    return ClubEngine(desk, supervisor, devnet, demo)


async def _plan_demo(settings: Settings, node: str) -> tuple[ClubPlan, Any]:
    from actors.tron_devnet import DevnetFacts, DevnetPlan, TronDevnetActor

    plan = DevnetPlan(Home(settings.home).devnet, settings.home, settings.log_level, owners())
    make = wiring.detached_actor(TronDevnetActor, DEVNET_NAME, restarts=wiring.FOR_EVER, concurrency=100)
    actor = make.remote(msgspec.msgpack.encode(plan, enc_hook=str))
    try:
        facts = msgspec.msgpack.decode(await actor.describe.remote(), type=DevnetFacts)
    except ray.exceptions.RayTaskError as error:
        # Detached, it would outlive us on a cluster and fail again.
        ray.kill(actor)
        raise Rejected(RejectReason.OTHER, f"the demo's TRON does not start: {error.cause}") from error
    tokens = tuple(
        Asset(AssetId(f"tron:{symbol}"), Network.TRON, symbol, contract, TOKEN_DECIMALS, is_dollar=True)
        for symbol, contract in sorted(facts.tokens.items())
    )
    return ClubPlan((ChainPlan(Network.TRON, facts.nodes, tokens),), node, devnet=facts.nodes[0]), actor


async def _list_assets(database: Database, club: ClubPlan) -> None:
    async def put(connection: Connection) -> None:
        for chain in club.networks:
            for asset in (CHAINS[chain.network].coin, *chain.assets):
                await assets.put(connection, asset)

    await database.repeat(put)


async def _set_up(demo: ClubDemo) -> None:
    while True:
        try:
            await demo.set_up()
            return
        except (DemoFailed, VenueError, RayError) as error:
            log.warning("club.demo_waits error=%s", error)
            demo.progress = f"waits: {error}"
            await asyncio.sleep(5)
