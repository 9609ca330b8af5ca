"""Processes are killed and suspended, the venue goes away: orders are adopted, nothing is lost or doubled."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from adapters.exchanges.paper.limits import Limits
from engine.grid.state import BotStatus
from storage.bots import DesiredState
from storage.database import Database
from storage.orders import Orders
from tests.scenarios.processes import host_process
from tests.scenarios.world import World, a_world, eventually

TTL_MS = 1_500


@pytest.fixture
async def world(seeded: Database, postgres_dsn: str, home: Path) -> AsyncIterator[World]:
    """Give a world whose leases run out soon."""
    async with a_world(seeded, postgres_dsn, home, TTL_MS) as opened:
        yield opened


@asynccontextmanager
async def a_lively_market(world: World, seed: int = 1, pause_s: float = 0.02) -> AsyncIterator[None]:
    """Let the price wander through the grids, so that something is always being filled."""
    chance = random.Random(seed)

    async def wander() -> None:
        price = 60_000
        while True:
            price = min(60_450, max(59_550, price + chance.choice((-70, -40, -20, 20, 40, 70))))
            world.move(price)
            await asyncio.sleep(pause_s)

    wandering = asyncio.create_task(wander())
    try:
        yield
    finally:
        wandering.cancel()
        with suppress(asyncio.CancelledError):
            await wandering


async def test_a_host_killed_at_any_moment_loses_and_doubles_nothing(world: World) -> None:
    bots = [await world.create("spot"), await world.create("neutral", leverage=3)]
    chance = random.Random(7)
    recovered_s = []
    async with a_lively_market(world):
        killed_at = 0.0
        for life in range(5):
            with host_process(world, *bots) as process:
                placed = [world.placed(bot) for bot in bots]
                await eventually(
                    lambda placed=placed: all(
                        world.placed(bot) > before for bot, before in zip(bots, placed, strict=True)
                    ),
                    "both bots place orders",
                    30,
                )
                if killed_at:
                    recovered_s.append(time.monotonic() - killed_at)
                # Every other time at once, in the middle of adopting; else after a while of trading.
                await asyncio.sleep(0.5 + chance.random() if life % 2 else 0.0)
                killed_at = process.kill()
                # Fills go on while nobody is there.
                await asyncio.sleep(0.2)
        print(f"host killed: next order after {', '.join(f'{each:.1f}' for each in recovered_s)} s")
        host = await world.host()
        await host.assign(bots)
        await eventually(
            lambda: all(len(world.executions(bot)) >= 10 for bot in bots),
            "both bots have traded enough to tell",
            30,
        )
    await world.trades(bots[0])
    await world.trades(bots[1])
    await world.assert_reconciled(*bots)


async def test_a_process_suspended_past_its_lease_places_nothing_when_it_wakes_up(
    seeded: Database, postgres_dsn: str, home: Path
) -> None:
    async with a_world(seeded, postgres_dsn, home, TTL_MS, Limits()) as world:
        bot = await world.create("neutral", grids=80, leverage=10)
        with host_process(world, bot) as old:
            # Suspended while most of its orders still wait in its own queue for the rate limit.
            await eventually(lambda: world.open(bot), "the first orders arrive", 30)
            old.suspend()
            assert 0 < len(world.open(bot)) < 30
            new = await world.host()
            await world.bots.set_desired(bot, DesiredState.STOPPED_SELLING, "test")
            await new.assign([bot])
            # Most of eighty orders are in doubt, and an address may ask only so many questions a second.
            await world.has_status(bot, BotStatus.STOPPED, 90)
            placed = world.placed(bot)
            old.resume()
            await asyncio.sleep(2.0)
            assert not world.open(bot)
            assert world.placed(bot) == placed, "the old process placed an order"
        await world.assert_reconciled(bot)


async def test_two_processes_of_one_bot_never_trade_at_the_same_time(world: World) -> None:
    bot = await world.create("spot")
    with host_process(world, bot) as old:
        await eventually(lambda: len(world.open(bot)) == 10, "the bot trades", 30)
        old.suspend()
        new = await world.host()
        await new.assign([bot])
        async with a_lively_market(world, pause_s=0.05):
            await world.trades(bot)
            before = set(world.account.by_link)
            old.resume()
            await asyncio.sleep(2.0)
        await world.assert_reconciled(bot)
        # Only the holder of the lease can write: what is at the venue unwritten was the old one's.
        written, cursor = set(), None
        while True:
            page = await Orders(world.database).page(bot, limit=200, cursor=cursor)
            written |= {row.link_id for row in page.items}
            cursor = page.next_cursor
            if cursor is None:
                break
        since = set(world.account.by_link) - before
        assert since, "nothing was placed after the old process woke up"
        assert since <= written, "the old process placed an order"
        assert {each.link_id for each in world.executions(bot)} <= written


async def test_every_fault_at_once_for_a_while(world: World) -> None:
    await world.host()
    bots = [await world.create("spot"), await world.create("neutral", leverage=3)]
    await world.hosts[0].assign(bots)
    await world.trades(bots[0])
    await world.trades(bots[1])
    chance = random.Random(3)
    faults = world.venue.faults
    async with a_lively_market(world):
        for _ in range(30):
            match chance.randrange(7):
                case 0:
                    faults.lose_answers(operation=chance.choice(("order.create", "order.create-batch")))
                case 1:
                    faults.refuse(chance.choice((10006, 10016)), accepted=chance.random() < 0.5)
                case 2:
                    faults.miss_messages(chance.randrange(1, 6))
                case 3:
                    world.venue.drop_sockets(chance.choice(("private", "trade", "public", "all")))
                case 4:
                    faults.delay_answers(0.3, count=2)
                case 5:
                    faults.set_clock_offset(chance.choice((-8_000, 0, 8_000)))
                case _:
                    await world.venue.restart(away_s=0.3)
            await asyncio.sleep(0.15)
        faults.clear()
    # A missed message without a reconnect is found by the regular look; here it is asked for.
    for bot in bots:
        await world.live(bot)._resync("the storm is over")
    await world.assert_reconciled(*bots)
