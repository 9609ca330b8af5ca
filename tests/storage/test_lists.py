"""What screens and the API read: orders, executions, round trips, actions, samples and the precomputed sums."""

import datetime
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import asyncpg
import msgspec
import pytest

from engine.ids import BotId, Instant
from storage.actions import Actions
from storage.analytics import Analytics
from storage.bots import BotRow, Bots, NewBot
from storage.database import Database
from storage.executions import Executions
from storage.journal import Journal, JournalBatch
from storage.leases import Lease, Leases, bot_lease
from storage.metrics import Metrics
from storage.orders import Orders
from storage.paging import PAGE_ROWS_MAX, Page
from storage.seed import OPERATOR, PAPER_ACCOUNT
from tests.factories import new_bot_id
from tests.storage.conftest import CONFIG, action, entries, execution, metric, order, round_trip

START_MS = 1_700_000_000_000
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
async def busy_bot(database: Database, bots: Bots) -> BotId:
    """Give a bot with 25 of everything."""
    bot = (await bots.create(NewBot(new_bot_id(), OPERATOR, PAPER_ACCOUNT, "busy", CONFIG), "test")).id
    lease = await Leases(database).acquire(bot_lease(bot), "holder", 60_000)
    assert lease is not None
    numbers = range(1, 26)
    batch = JournalBatch(
        entries=entries(1, 25),
        orders=[order(bot, n, seq=n, status="open" if n % 5 == 0 else "filled") for n in numbers],
        executions=[execution(bot, n, seq=n) for n in numbers],
        round_trips=[round_trip(n, closed_at_ms=START_MS + n * DAY_MS // 5) for n in numbers],
        actions=[action(n, kind="blocked" if n % 2 else "placed", level=n % 3) for n in numbers],
        metrics=[metric(n) for n in numbers],
    )
    await Journal(database).append_batch(bot, lease.epoch, batch)
    return bot


async def _all(page: Callable[..., Awaitable[Page[Any]]], *arguments: Any, **filters: Any) -> list[Any]:
    items: list[Any] = []
    cursor = None
    while True:
        found = await page(*arguments, cursor=cursor, limit=5, **filters)
        items += found.items
        assert len(found.items) == 5 or found.next_cursor is None
        assert found.items or cursor is None, "an empty page was announced"
        cursor = found.next_cursor
        if cursor is None:
            return items


async def test_orders_page_newest_first(database: Database, busy_bot: BotId) -> None:
    found = await _all(Orders(database).page, busy_bot)
    assert [row.level for row in found] == list(range(25, 0, -1))


async def test_orders_are_filtered_by_status_and_time(database: Database, busy_bot: BotId) -> None:
    orders = Orders(database)
    assert [row.level for row in await _all(orders.page, busy_bot, statuses=["open"])] == [25, 20, 15, 10, 5]
    found = await _all(
        orders.page, busy_bot, since_ms=Instant(START_MS + 3), until_ms=Instant(START_MS + 6), statuses=["filled"]
    )
    assert [row.level for row in found] == [4, 3]


async def test_live_orders_are_those_that_may_rest_at_the_venue(database: Database, busy_bot: BotId) -> None:
    assert {row.level for row in await Orders(database).live(busy_bot)} == {5, 10, 15, 20, 25}


async def test_executions_page_newest_first_and_by_order(database: Database, busy_bot: BotId) -> None:
    executions = Executions(database)
    assert [row.seq for row in await _all(executions.page, busy_bot)] == list(range(25, 0, -1))
    link = execution(busy_bot, 7).link_id
    assert [row.seq for row in await _all(executions.page, busy_bot, link_id=link)] == [7]
    assert len(await _all(executions.page, busy_bot, since_ms=Instant(START_MS + 20))) == 6


async def test_round_trips_page_newest_first(database: Database, busy_bot: BotId) -> None:
    found = await _all(Executions(database).round_trips, busy_bot)
    assert [row.seq for row in found] == list(range(25, 0, -1))
    assert await _all(Executions(database).round_trips, busy_bot, level=99) == []


async def test_actions_page_and_filter_by_level(database: Database, busy_bot: BotId) -> None:
    actions = Actions(database)
    assert len(await _all(actions.page, busy_bot)) == 25
    found = await _all(actions.page, busy_bot, level=1)
    assert [row.seq for row in found] == list(range(25, 0, -3))


async def test_a_page_has_a_largest_size(database: Database, busy_bot: BotId) -> None:
    assert len((await Orders(database).page(busy_bot, limit=10**9)).items) == 25
    assert len((await Orders(database).page(busy_bot, limit=-1)).items) == 1
    assert PAGE_ROWS_MAX < 1000


async def test_samples_are_thinned_evenly_and_keep_the_newest(database: Database, busy_bot: BotId) -> None:
    metrics = Metrics(database)
    since, until = Instant(START_MS), Instant(START_MS + 26_000)
    whole = await metrics.series(busy_bot, since, until)
    assert whole == [metric(n) for n in range(1, 26)]
    thinned = await metrics.series(busy_bot, since, until, points_max=5)
    assert len(thinned) == 5
    assert thinned[-1] == metric(25)


async def test_sums_per_day_and_owner_equal_the_rows(
    database: Database, busy_bot: BotId, make_bot: Callable[..., Awaitable[BotRow]]
) -> None:
    await make_bot("idle")
    analytics = Analytics(database)
    await analytics.refresh()
    days = await analytics.daily_profit(busy_bot, datetime.date(2023, 1, 1), datetime.date(2024, 1, 1))
    assert sum(day.round_trips for day in days) == 25
    assert sum(day.grid_profit for day in days) == 25 * Decimal("0.8")
    assert sum(day.volume for day in days) == 25 * Decimal("98.00010")
    assert [day.day for day in days] == sorted({day.day for day in days})
    [total] = [row for row in await analytics.owner_totals(OPERATOR) if row.symbol == "BTCUSDT"]
    assert (total.bots, total.trades, total.round_trips) == (2, 25, 25)
    assert (total.grid_profit, total.total_profit) == (Decimal("20.000"), Decimal("1.5"))


async def test_a_refresh_does_not_block_readers(database: Database, busy_bot: BotId) -> None:
    analytics = Analytics(database)
    async with database.transaction() as connection:
        await connection.fetch("SELECT * FROM daily_bot_profit")
        await analytics.refresh()
    before = await analytics.owner_totals(OPERATOR)
    await analytics.refresh()
    assert await analytics.owner_totals(OPERATOR) == before


async def test_a_round_trip_whose_net_is_wrong_is_refused(
    database: Database, led_bot: tuple[BotId, Lease]
) -> None:
    bot, lease = led_bot
    wrong = msgspec.structs.replace(round_trip(1), net=Decimal(1))
    with pytest.raises(asyncpg.CheckViolationError):
        await Journal(database).append_batch(bot, lease.epoch, JournalBatch(entries(1, 1), round_trips=[wrong]))
    assert (await Journal(database).load(bot)).last_seq == 0
