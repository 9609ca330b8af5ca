"""The database is killed while bots trade: they go on while their lease surely holds, and not a moment longer."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.grid.state import BotStatus
from storage.bots import DesiredState
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from storage.seed import seed
from tests.scenarios.desk import desk_of
from tests.scenarios.world import World, a_world, eventually

SHORT_TTL_MS, LONG_TTL_MS = 2_000, 30_000


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[EmbeddedPostgres]:
    """Start a server that may be killed."""
    folder = Path(tempfile.mkdtemp(prefix="trellis-outage-"))
    server = EmbeddedPostgres(folder)
    try:
        await server.start()
        async with Database(server.dsn, pool_size=1) as database:
            await migrate(database)
            await seed(database)
        yield server
    finally:
        await server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def a_world_on(server: EmbeddedPostgres, home: Path, lease_ttl_ms: int) -> AsyncIterator[World]:
    """Open a world on a server of this module."""
    async with (
        Database(server.dsn, pool_size=4, name="tests") as database,
        a_world(database, server.dsn, home, lease_ttl_ms) as world,
    ):
        yield world


def kill(server: EmbeddedPostgres) -> float:
    """Kill the server on the spot, and give the time."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    return time.monotonic()


async def test_a_bot_trades_through_a_short_outage_of_the_database(server: EmbeddedPostgres, home: Path) -> None:
    async with a_world_on(server, home, LONG_TTL_MS) as world:
        bot = await world.run()
        fills = len(world.executions(bot))
        kill(server)
        await world.walk(59_790, 60_010, 59_890)
        live = world.live(bot)
        assert len(world.executions(bot)) >= fills + 4
        assert live.snapshot().journal_lag > 0
        await eventually(lambda: len(world.open(bot)) == 10, "the fills are answered while nothing can be written")
        await server.start()
        await world.assert_reconciled(bot)
        assert world.live(bot) is live, "the bot was restarted for nothing"


async def test_a_bot_whose_lease_ran_out_places_nothing_until_the_database_is_back(
    server: EmbeddedPostgres, home: Path
) -> None:
    async with a_world_on(server, home, SHORT_TTL_MS) as world:
        bot = await world.run()
        kill(server)
        await eventually(lambda: world.find(bot) is None, "the bot has stopped acting")
        placed = world.placed(bot)
        await world.walk(59_790, 60_110)
        assert world.placed(bot) == placed, "orders were placed without a lease"
        assert len(world.open(bot)) < 10, "the market has filled orders meanwhile"
        await server.start()
        await world.trades(bot)
        await world.assert_reconciled(bot)


@pytest.mark.parametrize("lease_ttl_ms", [LONG_TTL_MS, SHORT_TTL_MS], ids=["lease holds", "lease is over"])
async def test_an_emergency_stop_works_while_the_database_is_away(
    server: EmbeddedPostgres, home: Path, lease_ttl_ms: int
) -> None:
    async with a_world_on(server, home, lease_ttl_ms) as world:
        bot = await world.run()
        desk = await desk_of(world)
        kill(server)
        if lease_ttl_ms == SHORT_TTL_MS:
            await eventually(lambda: world.find(bot) is None, "the lease has run out")
        asked_at = time.monotonic()
        outcomes = await desk.emergency_stop("test", None)
        assert [(each.bot, each.orders_left) for each in outcomes] == [(bot, 0)]
        assert not world.open(bot)
        assert time.monotonic() - asked_at < 10
        placed = world.placed(bot)
        await server.start()
        await eventually(lambda: _is_emergency_stopped(world, bot), "the wish is recorded", 12)
        await world.has_status(bot, BotStatus.STOPPED)
        # Nor does a new process put anything back.
        await world.end(world.hosts[0])
        await (await world.host()).assign([bot])
        await world.has_status(bot, BotStatus.STOPPED)
        await world.walk(59_790, 60_110)
        assert world.placed(bot) == placed, "an order came back after the emergency stop"
        await world.assert_reconciled(bot)
        await desk.close()


async def test_an_emergency_stop_survives_the_end_of_the_program(server: EmbeddedPostgres, home: Path) -> None:
    async with a_world_on(server, home, SHORT_TTL_MS) as world:
        bot = await world.run()
        desk = await desk_of(world)
        kill(server)
        await desk.emergency_stop("test", bot)
        # The program ends before the database is back; only the file knows.
        await desk.close()
        await world.end(world.hosts[0])
        placed = world.placed(bot)
        await server.start()
        await (await world.host()).assign([bot])
        await world.has_status(bot, BotStatus.STOPPED)
        assert world.placed(bot) == placed, "an order came back after the emergency stop"
        assert await _is_emergency_stopped(world, bot)
        await world.assert_reconciled(bot)


async def _is_emergency_stopped(world: World, bot: str) -> bool:
    row = await world.bots.get(bot)
    return row is not None and row.desired_state is DesiredState.EMERGENCY_STOPPED


async def test_killing_the_database_again_and_again_loses_nothing(server: EmbeddedPostgres, home: Path) -> None:
    async with a_world_on(server, home, LONG_TTL_MS) as world:
        bot = await world.run("neutral", leverage=3)
        for _ in range(3):
            world.move(59_790)
            # In the middle of whatever is being written about it.
            await asyncio.sleep(0.03)
            kill(server)
            world.move(60_010)
            await asyncio.sleep(0.2)
            await server.start()
        await world.assert_reconciled(bot)
