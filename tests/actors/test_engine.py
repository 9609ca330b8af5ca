"""The whole engine on real Ray: its processes are killed with SIGKILL, kind after kind, while bots trade.

The truth is the venue's own account, read over its operator's door: it runs in a process of its own here.
"""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import ray

from actors import wiring
from actors.cluster import Cluster
from actors.settings import load
from actors.views import BotView
from actors.wiring import Engine, start_engine
from api.demo import suggest
from engine.grid.orders import link_prefix, parse_link_id
from engine.ids import BotId
from storage.executions import Executions
from storage.seed import PAPER_ACCOUNT

WAIT_S = 60.0


@pytest.fixture(scope="module")
async def engine(ray_cluster: Cluster, postgres_dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    """Start an engine, in the placement asked for, on the session's Ray."""
    home = Path(tempfile.mkdtemp(prefix="trellis-engine-"))
    environment = {"TRELLIS_HOME": str(home), "TRELLIS_FEED": "model", "TRELLIS_PLACEMENT": request.param}
    engine = await start_engine(load(environment), postgres_dsn)
    try:
        yield engine
    finally:
        await engine.stop()
        shutil.rmtree(home, ignore_errors=True)


dedicated = pytest.mark.parametrize("engine", ["dedicated"], indirect=True)
both_placements = pytest.mark.parametrize("engine", ["dedicated", "pooled(3)"], indirect=True)


@both_placements
async def test_a_killed_host_is_replaced_and_its_orders_are_adopted(engine: Engine) -> None:
    bots = [await a_bot(engine, "one"), await a_bot(engine, "two")]
    hosts = actors_named("bot-host-")
    assert len(hosts) == (2 if engine.plan.bots_per_host == 1 else 1)
    await kill(hosts)
    recovered_s = [await trades_again(engine, bot) for bot in bots]
    print(f"hosts killed: trading again after {max(recovered_s):.1f} s")
    for bot in bots:
        await assert_agrees(engine, bot)
        await end(engine, bot)


@dedicated
async def test_a_killed_venue_comes_back_on_its_port_with_every_order(engine: Engine) -> None:
    bot = await a_bot(engine, "venue")
    believed = await orders_at_venue(engine, bot)
    began = time.monotonic()
    await kill([wiring.VENUE_NAME])
    await eventually(lambda: _answers(engine), "the venue answers on its port again")
    print(f"venue killed: answers again after {time.monotonic() - began:.1f} s")
    kept = set(believed) & set(await orders_at_venue(engine, bot))
    assert len(kept) > len(believed) // 2, "orders were lost with the venue"
    await trades_again(engine, bot)
    await assert_agrees(engine, bot)
    await end(engine, bot)


@dedicated
async def test_a_killed_supervisor_goes_on_by_itself(engine: Engine) -> None:
    bot = await a_bot(engine, "supervised")
    await kill([wiring.SUPERVISOR_NAME])
    # Nobody calls it: Ray starts it again, and it must find the hosts, and replace one that dies.
    hosts = actors_named("bot-host-")
    await asyncio.sleep(1.0)
    await kill(hosts)
    recovered_s = await trades_again(engine, bot)
    print(f"supervisor and host killed: trading again after {recovered_s:.1f} s")
    assert len(actors_named("bot-host-")) == 1, "a bot has two hosts"
    await assert_agrees(engine, bot)
    outcomes = await engine.desk.emergency_stop("test", bot)
    assert [(each.bot, each.orders_left) for each in outcomes] == [(bot, 0)]
    assert not await orders_at_venue(engine, bot)


async def a_bot(engine: Engine, name: str) -> BotId:
    """Create a bot on a narrow grid around the price, and wait until it trades."""
    suggestion = await suggest(engine)
    half = suggestion.price * Decimal("0.01")
    config = msgspec.structs.replace(
        suggestion.config,
        lower=(suggestion.price - half).quantize(Decimal(1)),
        upper=(suggestion.price + half).quantize(Decimal(1)),
        grids=20,
        amount=Decimal(4_000),
    )
    view = await engine.desk.create("test", PAPER_ACCOUNT, name, config, f"{name} {engine.plan.bots_per_host}")
    assert isinstance(view, BotView), view
    await trades_again(engine, view.id)
    return view.id


async def end(engine: Engine, bot: BotId) -> None:
    """Stop a bot and wait until nothing is left of it at the venue."""
    await engine.desk.stop("test", bot, sell=True, command_id="end")

    async def is_over() -> bool:
        return (await engine.desk.view(bot)).status == "stopped" and not await orders_at_venue(engine, bot)

    await eventually(is_over, f"{bot} ends")


async def trades_again(engine: Engine, bot: BotId) -> float:
    """Wait until a live process of the bot has all its orders at the venue; give the seconds."""

    seen: list[Any] = []

    async def trades() -> bool:
        view = await engine.desk.view(bot)
        believed = {level.order for level in view.levels if level.order}
        listed = set(await orders_at_venue(engine, bot))
        seen[:] = [
            view.status,
            view.status_reason,
            view.live,
            believed ^ listed,
            [each.why for each in view.levels],
        ]
        # A level may be waiting after a refusal: not every one has an order at every moment.
        return view.live and view.status == "running" and len(believed) >= 15 and believed == listed

    return await eventually(trades, lambda: f"{bot} trades: {seen}")


async def assert_agrees(engine: Engine, bot: BotId) -> None:
    """Hold the bot's orders and executions against the venue's own books."""

    async def agrees() -> bool:
        said = {row["execId"] for row in (await venue_account(engine))["executions"] if _is_of(row, bot)}
        written, cursor = set(), None
        while True:
            page = await Executions(engine.database).page(bot, cursor=cursor, limit=200)
            written |= {row.exec_id for row in page.items}
            cursor = page.next_cursor
            if cursor is None:
                return written == said and bool(said)

    await eventually(agrees, f"the executions of {bot} are written, each once")
    names = [parse_link_id(link) for link in await orders_at_venue(engine, bot)]
    places = Counter((name.level, name.side) for name in names if name)
    assert max(places.values()) == 1, "two orders for one place"


async def orders_at_venue(engine: Engine, bot: BotId) -> list[Any]:
    """Name the bot's open orders in the venue's book."""
    return [row["orderLinkId"] for row in (await venue_account(engine))["openOrders"] if _is_of(row, bot)]


async def venue_account(engine: Engine) -> dict[str, Any]:
    """Read the paper account as the venue has it."""
    key = wiring.paper_key(engine.plan.home, PAPER_ACCOUNT).key
    address = f"http://127.0.0.1:{engine.plan.paper_port}/paper/accounts/{key}"
    async with aiohttp.ClientSession() as http, http.get(address) as response:
        account: dict[str, Any] = await response.json()
        return account


async def _answers(engine: Engine) -> bool:
    try:
        return bool(await venue_account(engine))
    except (aiohttp.ClientError, ConnectionError):
        return False


def _is_of(row: dict[str, Any], bot: BotId) -> bool:
    return str(row["orderLinkId"]).startswith(link_prefix(bot))


def actors_named(prefix: str) -> list[str]:
    """List the living actors whose name begins like this."""
    entries = ray.util.list_named_actors(all_namespaces=True)
    return [entry["name"] for entry in entries if entry["name"].startswith(prefix)]


async def kill(names: list[str]) -> None:
    """Kill the processes of actors on the spot."""
    for name in names:
        actor = ray.get_actor(name, namespace=wiring.NAMESPACE)
        os.kill(await actor.__ray_call__.remote(lambda _: os.getpid()), signal.SIGKILL)


async def eventually(condition: Callable[[], Awaitable[bool]], what: str | Callable[[], str]) -> float:
    """Wait until something holds, and give the seconds it took."""
    began = time.monotonic()
    while not await condition():
        in_time = time.monotonic() - began < WAIT_S
        assert in_time, f"not within {WAIT_S} s: {what if isinstance(what, str) else what()}"
        await asyncio.sleep(0.1)
    return time.monotonic() - began
