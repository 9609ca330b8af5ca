"""The failure classes that grid bots are known to suffer from, one test each, numbered as in our research.

Everything is real but the exchange: the real adapter, on real sockets, against the PaperVenue with its faults.
After each of them the bot agrees with the venue to the last unit.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from actors import grid_bot
from adapters.exchanges.paper.events import SIZE_SCALE
from adapters.exchanges.paper.limits import Limits
from adapters.exchanges.paper.model import Account, Status
from adapters.exchanges.paper.records import Changes
from adapters.exchanges.paper.requests import CreateOrder
from engine.grid.orders import link_id, parse_link_id
from engine.grid.state import BotStatus, OrderPhase
from engine.ids import Instant
from engine.trading.orders import Side
from storage.actions import Actions
from storage.bots import DesiredState
from storage.database import Database
from storage.orders import Orders
from tests.adapters.paper.trading_fixtures import LINEAR, SPOT
from tests.scenarios.world import World, a_world, eventually, live_names

GONE, GONE_LINEAR = 170213, 110001


async def test_01_duplicate_order_after_unknown_status(world: World) -> None:
    bot = await world.run()
    # One order for each kind of doubt: accepted but unanswered, accepted but refused in words, and not accepted.
    world.venue.faults.lose_answers()
    with _no_news_of_the_next_order(world):
        await world.walk(59_890)
    world.venue.faults.refuse(10016, accepted=True)
    await world.walk(59_790)
    world.venue.faults.refuse(10016)
    await world.walk(59_690)
    assert OrderPhase.SENT in [cell.slot.phase for cell in world.live(bot).state.cells]
    await world.assert_reconciled(bot)
    told = Counter(line.kind for line in (await Actions(world.database).page(bot, limit=200)).items)
    assert told["in_doubt"] == 3
    assert told["absent"] == 1
    rows = (await Orders(world.database).page(bot, limit=200)).items
    assert {row.link_id for row in rows} == {
        link for link in world.account.by_link if link.startswith(f"tg-{bot}")
    }


async def test_02_missed_fill(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid_bot, "RESYNC_EVERY_MS", 1_000)
    bot = await world.run()
    # Never delivered, and no reconnect that would tell: only the regular look at the venue finds these.
    world.venue.faults.miss_messages(20)
    world.move(59_790)
    world.venue.faults.clear()
    await world.assert_reconciled(bot)
    # Missed while the socket was away.
    assert world.venue.drop_sockets("private")
    world.move(60_110)
    await world.assert_reconciled(bot)


async def test_02b_missed_fill_that_is_older_than_the_overlap(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid_bot, "RESYNC_EVERY_MS", 1_000)
    monkeypatch.setattr(grid_bot, "OVERLAP_MS", 0)
    bot = await world.run()
    world.venue.faults.miss_messages(20)
    world.move(59_890)
    world.venue.faults.clear()
    # A later fill is heard, so the last known execution is younger than the missing one.
    await world.walk(59_790)
    await world.assert_reconciled(bot)


async def test_03_orders_dropped_from_tracking_on_network_error(world: World) -> None:
    bot = await world.run()
    believed, placed = live_names(world.live(bot).state), world.placed(bot)
    away = asyncio.create_task(world.venue.restart(away_s=1.5))
    await asyncio.sleep(1.0)
    assert live_names(world.live(bot).state) == believed, "an outage ended an order"
    world.move(59_890)
    await away
    await world.assert_reconciled(bot)
    assert world.placed(bot) == placed + 1, "the outage cost orders"


async def test_04_orphans_and_duplicates_after_crash(world: World) -> None:
    bot = await world.run()
    first, second = world.hosts[0], await world.host()
    believed, placed = live_names(world.live(bot).state), world.placed(bot)
    await world.end(first)
    # What other programs and an unlucky earlier life may have left behind.
    foreign = _rest(world, "somebody-else", 58_000)
    orphan = _rest(world, link_id(bot, 77, 3, Side.BUY), 58_100)
    lowest = min((parse_link_id(link) for link in believed), key=lambda name: name.level)
    twin = _rest(world, link_id(bot, lowest.level, lowest.generation - 1, lowest.side), 58_200)
    await second.assign([bot])
    await world.trades(bot)
    await eventually(lambda: orphan not in world.account.by_link or _is_over(world, orphan), "the orphan ends")
    await eventually(lambda: _is_over(world, twin), "the twin ends")
    assert not _is_over(world, foreign), "an order of another program was touched"
    assert live_names(world.live(bot).state) == believed, "orders were not adopted"
    assert world.placed(bot) == placed + 2, "orders were placed again"
    await world.assert_reconciled(bot)


async def test_05_double_mirror_order_by_stale_view(world: World) -> None:
    bot = await world.run()
    live = world.live(bot)
    fill_ms = live.state.started_ms - 1_000
    for price in (59_890, 59_790, 60_010):
        world.move(price)
        # Every fill is told again and again: by resyncs that overlap the stream, and by the stream itself.
        await asyncio.gather(*(live._on_gap() for _ in range(3)))
        for fill in await live._trading.executions(live.state.instrument, live._prefix, Instant(fill_ms)):
            live.on_fact(fill, fill.at_ms)
    fills = len({each.link_id for each in world.executions(bot)})
    await world.assert_reconciled(bot)
    # One order for each of the ten intervals, the entry, and one answer to each order that was filled.
    assert world.placed(bot) == 10 + 1 + fills - 1


async def test_06_rate_limits(seeded: Database, postgres_dsn: str, home: Path) -> None:
    async with a_world(seeded, postgres_dsn, home, limits=Limits()) as world:
        bot = await world.run("neutral", grids=60, leverage=5)
        links = [link for link in world.account.by_link if link.startswith(f"tg-{bot}")]
        distance = [abs(59_500 + parse_link_id(link).level * 1_000 / 60 - 60_000) for link in links]
        assert distance[:20] <= sorted(distance)[:20] or max(distance[:10]) < 200, "not the nearest levels first"
        world.venue.faults.refuse(10006)
        world.venue.faults.refuse(429)
        await world.walk(59_970, 59_950, 59_930)
        await world.assert_reconciled(bot)
        assert all(world.venue.limiter.admit("127.0.0.1", world.venue.core.now_ms()) for _ in range(100))


async def test_07_endless_identical_rejects(world: World) -> None:
    bot = await world.run()
    placed = world.placed(bot)
    world.venue.faults.refuse(170140, count=50)
    await world.walk(59_890)
    await eventually(lambda: "blocked" in _why(world, bot, 5), "the level is blocked")
    left = len(world.venue.faults._waiting)
    assert left >= 50 - 4, "the venue was asked again and again"
    world.venue.faults.clear()
    # One bad level does not stop the others.
    await world.walk(59_790)
    await eventually(lambda: world.placed(bot) > placed, "the next level goes on")
    await world.assert_reconciled(bot)


async def test_08_precision_and_dust(world: World) -> None:
    bot = await world.run(grids=7, lower=Decimal("59487.3"), upper=Decimal("60513.7"))
    market = world.markets[SPOT.market]
    buys = sorted((order for order in world.open(bot) if order.buy), key=lambda order: -order.ticks)[:2]
    for order in buys:
        price = SPOT.price_text(order.ticks)
        for part in (3, 7_777, 12_345, 20_001):
            # Less than a lot, odd lots, and a rest that is left open when the bot stops.
            market.trade(price, part * SIZE_SCALE // 10**6, buyer_is_taker=False)
            await asyncio.sleep(0.02)
    await world.assert_reconciled(bot)
    await world.want(bot, DesiredState.STOPPED_SELLING)
    await world.has_status(bot, BotStatus.STOPPED)
    await world.assert_reconciled(bot)
    dust = abs(world.live(bot).state.base_total())
    assert dust < 2 * SPOT.units_per_lot, "more than dust stays behind"


async def test_09_fee_in_base(world: World) -> None:
    # Without a single coin beside what the bot buys, selling more than it got would be refused.
    world.take_out("BTC")
    bot = await world.run()
    await world.walk(59_790, 59_590, 59_810, 60_010, 59_690, 60_210)
    await world.assert_reconciled(bot)
    assert world.account.coin("BTC") == world.live(bot).state.base_total()
    rows = (await Orders(world.database).page(bot, limit=200)).items
    assert Counter(row.status for row in rows)["rejected"] == 0
    assert any(each.fee_asset == "BTC" for each in await world.executions_in_table(bot))


@pytest.mark.parametrize("direction", ["long", "short"])
async def test_10_profit_with_fees_and_funding(world: World, direction: str) -> None:
    bot = await world.run(direction, leverage=3)
    await world.walk(59_890, 60_110)
    for _ in range(2):
        world.venue.core.settle_funding(LINEAR.market, LINEAR.symbol)
    await eventually(lambda: len(world.live(bot).state.funding_seen) == 2, "the funding is booked")
    await world.walk(59_990)
    ledger = world.live(bot).state.ledger
    assert ledger.fee_units > 0
    assert ledger.funding_units != 0
    await world.assert_reconciled(bot)


async def test_11_cancel_race_and_status_lag(world: World) -> None:
    bot = await world.run("neutral", leverage=3)
    # The venue claims not to know the orders that it has, and fills others while they are being cancelled.
    world.venue.faults.refuse(GONE_LINEAR, count=2, operation="order.cancel-batch")
    world.venue.faults.delay_answers(0.3, count=2, operation="order.cancel")
    await world.want(bot, DesiredState.STOPPED_KEEPING)
    world.move(59_790)
    await world.has_status(bot, BotStatus.STOPPED)
    assert not world.open(bot)
    await world.assert_reconciled(bot)


async def test_12_clock_skew(world: World) -> None:
    bot = await world.run()
    for offset_ms in (30_000, -30_000):
        world.venue.faults.set_clock_offset(offset_ms)
        await world.walk(59_890, 60_010)
        await world.assert_reconciled(bot)
    world.venue.faults.set_clock_offset(0)
    await world.walk(59_890)
    await world.assert_reconciled(bot)


async def test_13_post_only_loops(world: World) -> None:
    bot = await world.run()
    market, placed = world.markets[SPOT.market], world.placed(bot)
    # The market jumps back over the next order before it arrives: it would have to take, again and again.
    market.trade("59890", 1_000 * SIZE_SCALE, buyer_is_taker=False)
    market.open("60300")
    await asyncio.sleep(1.0)
    assert world.placed(bot) - placed < 40, "the level asks again and again"
    market.open("59890")
    await world.assert_reconciled(bot)
    assert not any(cell.blocked for cell in world.live(bot).state.cells)


@contextmanager
def _no_news_of_the_next_order(world: World) -> Iterator[None]:
    """Swallow what the private stream says of the next order that the venue takes."""

    def swallow(account: Account, changes: Changes) -> None:
        if any(order.status is Status.NEW for order in changes.orders.values()):
            listeners.remove(swallow)
            world.venue.faults.miss_messages(2)

    listeners = world.venue.core.records.listeners
    listeners.insert(0, swallow)
    yield
    world.venue.faults.miss_messages(-world.venue.faults.missed_messages)


def _rest(world: World, link: str, price: int) -> str:
    """Let a small order rest at the venue under a name of its own."""
    request = CreateOrder(
        category="spot",
        symbol="BTCUSDT",
        side="Buy",
        order_type="Limit",
        qty="0.001",
        price=str(price),
        order_link_id=link,
    )
    world.venue.core.desk.place(world.account, request)
    world.venue.core.records.commit()
    return link


def _is_over(world: World, link: str) -> bool:
    return all(order.link_id != link for order in world.account.open.values())


def _why(world: World, bot: str, level: int) -> str:
    return next(view.why for view in world.live(bot).snapshot().levels if view.level == level)
