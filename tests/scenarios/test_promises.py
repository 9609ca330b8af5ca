"""What the page promises is what happens: fifty random grids through the API, held against the venue's own books.

Preview, orders at the venue, first profits and the numbers of a stop must be equal to the last digit. The market
stands still between the steps, so that nothing moves between a promise and its test.
"""

import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec
import pytest

from actors.clock import now_ms
from actors.sealing import Seals
from adapters.exchanges.paper.model import Account, Order
from api.access.limits import RequestLimits
from api.app import ApiServer
from api.listening import listen_on
from api.services import Programme, assemble
from engine.grid.config import Direction, GridConfig
from engine.grid.orders import link_prefix
from engine.grid.preview import trip_profit
from engine.ids import AccountId, BotId
from engine.trading.instrument import AMOUNT_DECIMALS, FeeRates, Instrument
from storage.accounts import Accounts, Environment, NewAccount
from storage.seed import OPERATOR
from tests.adapters.paper.trading_fixtures import LINEAR, SPOT
from tests.api.conftest import NO_LIMITS, TOKEN
from tests.scenarios.desk import desk_of
from tests.scenarios.world import PRICE, World, eventually

GRIDS = 50
ACCOUNTS = 10
"""Five bots each: an account has one perpetual bot of a pair at most."""

SETTLE_S = 120.0


class Page:
    """What the create page sends and shows."""

    def __init__(self, address: str, http: aiohttp.ClientSession) -> None:
        self._address = address
        self._http = http

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": uuid.uuid4().hex}
        url = f"{self._address}/api/v1{path}"
        async with self._http.request(method, url, json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def get(self, path: str) -> Any:
        status, body = await self.ask("GET", path)
        assert status == 200, body
        return body

    async def post(self, path: str, body: Any) -> Any:
        status, answer = await self.ask("POST", path, body)
        assert status in (200, 201), answer
        return answer


class Promise:
    """A grid, what its preview said, and the bot that was made of it."""

    def __init__(self, account: AccountId, config: dict[str, Any], preview: dict[str, Any], bot: str) -> None:
        self.account = account
        self.config = config
        self.preview = preview
        self.bot = BotId(bot)
        self.instrument: Instrument = SPOT if config["direction"] == "spot" else LINEAR

    def owner(self, world: World) -> Account:
        return world.venue.core.records.by_key[f"paper-{self.account}"]

    def open_at_venue(self, world: World) -> list[Order]:
        prefix = link_prefix(self.bot)
        return [order for order in self.owner(world).open.values() if order.link_id.startswith(prefix)]


@asynccontextmanager
async def page_on(world: World) -> AsyncIterator[Page]:
    """Serve the API on a world."""
    listening, address = listen_on("127.0.0.1", 0)
    desk = await desk_of(world)
    programme = Programme("0.1.0", "paper", "hand", "dedicated", address, now_ms())
    limits = RequestLimits(NO_LIMITS, NO_LIMITS)
    services = assemble(
        desk, world.database, programme, token=TOKEN, hosts=(), seals=Seals(world.plan), limits=limits
    )
    server = ApiServer(services)
    await server.start(listening)
    try:
        async with aiohttp.ClientSession() as http:
            yield Page(address, http)
    finally:
        await server.stop()
        await desk.close()


def random_grid(rng: random.Random, direction: Direction) -> dict[str, Any]:
    """Think of a grid around the price, as somebody would who tries things."""
    return {
        "symbol": "BTCUSDT",
        "direction": direction.value,
        "lower": str(int(PRICE * (1 - rng.uniform(0.004, 0.04)))),
        "upper": str(int(PRICE * (1 + rng.uniform(0.004, 0.04)))),
        "grids": rng.randint(2, 14),
        "amount": str(rng.randint(200, 15_000)),
        "spacing": rng.choice(["arithmetic", "geometric"]),
        "leverage": 1 if direction is Direction.SPOT else rng.randint(1, 5),
        "live_orders": rng.choice([None, None, 6]),
    }


@pytest.fixture
async def promises(world: World) -> AsyncIterator[tuple[Page, list[Promise]]]:
    """Weigh fifty random grids on the page, launch each, and wait until all run."""
    rng = random.Random(47)
    names = [AccountId(f"page{number}") for number in range(ACCOUNTS)]
    for name in names:
        await Accounts(world.database).add(NewAccount(name, OPERATOR, "bybit", Environment.PAPER, name), "test")
    async with page_on(world) as page:
        made: list[Promise] = []
        while len(made) < GRIDS:
            account = names[len(made) % ACCOUNTS]
            perpetual = rng.choice([Direction.LONG, Direction.SHORT, Direction.NEUTRAL])
            config = random_grid(rng, perpetual if len(made) < ACCOUNTS else Direction.SPOT)
            body = {"account": account, "config": config}
            status, preview = await page.ask("POST", "/bots/preview", body)
            if status == 422:
                assert preview["errors"][0]["pointer"].startswith("#/config/")
                continue
            assert status == 200, preview
            bot = await page.post("/bots", body | {"name": f"grid {len(made)}"})
            made.append(Promise(account, config, preview, bot["id"]))
        await eventually(lambda: all(_stands(world, each) for each in made), "every grid stands", SETTLE_S)
        yield page, made


def _stands(world: World, promise: Promise) -> bool:
    live = world.find(promise.bot)
    planned = [order for order in promise.preview["orders"] if order["price"] is not None]
    return (
        live is not None
        and live.state.status == "running"
        and not live.state.syncing
        and len(promise.open_at_venue(world)) == len(planned)
    )


async def test_fifty_random_grids_do_what_their_previews_said(
    world: World, promises: tuple[Page, list[Promise]]
) -> None:
    page, made = promises
    for promise in made:
        assert_orders(world, promise)
    # Down, up and back: every interval within two percent buys and sells, or sells and buys.
    for price in (PRICE * 98 // 100, PRICE * 102 // 100, PRICE):
        world.move(price)
        await eventually(lambda: all(_quiet(world, each) for each in made), f"all is heard at {price}", SETTLE_S)
    checked = 0
    for promise in made:
        checked += await assert_first_profits(page, promise)
    assert checked >= GRIDS
    for number, promise in enumerate(made):
        await assert_stop(page, promise, sell=bool(number % 2))


def assert_orders(world: World, promise: Promise) -> None:
    """Hold the orders of the preview against the venue's book, and its entry against the venue's executions."""
    instrument = promise.instrument
    said = Counter(
        (order["side"], instrument.ticks(order["price"]), instrument.lots(order["quantity"]))
        for order in promise.preview["orders"]
        if order["price"] is not None
    )
    rests = Counter(
        ("buy" if order.buy else "sell", order.ticks, order.lots) for order in promise.open_at_venue(world)
    )
    assert rests == said, promise.config
    entry = sum(
        instrument.lots(order["quantity"]) for order in promise.preview["orders"] if order["price"] is None
    )
    prefix = link_prefix(promise.bot)
    executed = [each for each in promise.owner(world).executions if each.link_id.startswith(prefix)]
    assert sum(each.lots for each in executed) == entry, promise.config


def _quiet(world: World, promise: Promise) -> bool:
    """Tell whether bot and venue agree on every order, and all is written."""
    live = world.find(promise.bot)
    if live is None or live.state.syncing or live.snapshot().journal_lag:
        return False
    slots = [cell.slot for cell in live.state.cells]
    if any(slot.phase not in ("none", "live") for slot in slots):
        return False
    believed = sum(slot.phase == "live" for slot in slots)
    executions = [
        each for each in promise.owner(world).executions if each.link_id.startswith(link_prefix(promise.bot))
    ]
    return believed == len(promise.open_at_venue(world)) and live.state.ledger.trades == len(executions)


async def assert_first_profits(page: Page, promise: Promise) -> int:
    """Hold the first round trip of each interval that began with a grid order against the preview."""
    preview, instrument = promise.preview, promise.instrument
    fees = FeeRates(Decimal(preview["maker_fee"]), Decimal(preview["taker_fee"]))
    levels = [instrument.ticks(price) for price in preview["levels"]]
    lots = instrument.lots(preview["quantity"])
    config = msgspec.convert(promise.config, GridConfig)
    trips = (await page.get(f"/bots/{promise.bot}/round-trips?limit=500"))["items"]
    first = {trip["level"]: trip for trip in trips if _began_with_a_grid_order(promise, trip, levels)}
    for level, trip in first.items():
        expected = trip_profit(config, instrument, fees, levels[level], levels[level + 1], lots)
        net = Decimal(trip["net"])
        assert net == Decimal(expected).scaleb(-AMOUNT_DECIMALS), (promise.config, trip)
        least, most = Decimal(preview["profit_per_grid_min"]), Decimal(preview["profit_per_grid_max"])
        assert least <= net <= most
    return len(first)


def _began_with_a_grid_order(promise: Promise, trip: dict[str, Any], levels: list[int]) -> bool:
    """Leave out what began with the entry at market: its first leg is no grid order."""
    level, price = trip["level"], promise.instrument.ticks(promise.preview["price"])
    starts_selling = 2 * price <= levels[level] + levels[level + 1]
    match Direction(promise.config["direction"]):
        case Direction.SHORT:
            return starts_selling
        case Direction.NEUTRAL:
            return True
        case _:
            return not starts_selling


async def assert_stop(page: Page, promise: Promise, *, sell: bool) -> None:
    """Hold the numbers of a stop against the stop that follows."""
    said = await page.get(f"/bots/{promise.bot}/stop-preview")
    await page.post(f"/bots/{promise.bot}/stop", {"sell": sell})
    shown: dict[str, Any] = {}

    async def stopped() -> bool:
        nonlocal shown
        shown = await page.get(f"/bots/{promise.bot}")
        return bool(shown["status"] == "stopped")

    await eventually(stopped, f"{promise.bot} is stopped")
    total, held = Decimal(shown["profit"]["total"]), Decimal(shown["profit"]["base_inventory"])
    expected = Decimal(said["total_if_sold" if sell else "total_if_kept"])
    assert held == Decimal(said["left_over" if sell else "position"])
    # What is left is valued at the last trade, which the sale itself may have been.
    shift = held * (Decimal(shown["profit"]["mark_price"]) - Decimal(said["price"]))
    assert abs(total - shift - expected) <= Decimal("1e-17"), (promise.config, said)
