"""Wake-up calls: a commit wakes the listener, and a lost connection is made good by looking at everything."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from engine.ids import BotId
from storage.bots import Bots, DesiredState
from storage.database import Database
from storage.events import EVERYTHING, listen, notify_bot
from storage.journal import Journal, JournalBatch
from storage.leases import Lease
from tests.storage.conftest import entries


async def _next(wake_ups: AsyncGenerator[str, None]) -> str:
    return await asyncio.wait_for(anext(wake_ups), 20)


async def test_the_first_wake_up_says_to_look_at_everything(database: Database) -> None:
    async with aclosing(listen(database)) as wake_ups:
        assert await _next(wake_ups) == EVERYTHING


async def test_a_commit_to_the_journal_wakes_the_listener(
    database: Database, led_bot: tuple[BotId, Lease]
) -> None:
    bot, lease = led_bot
    async with aclosing(listen(database)) as wake_ups:
        await _next(wake_ups)
        await Journal(database).append_batch(bot, lease.epoch, JournalBatch(entries(1, 1)))
        assert await _next(wake_ups) == bot


async def test_a_command_wakes_the_listener_when_it_commits(
    database: Database, bots: Bots, led_bot: tuple[BotId, Lease]
) -> None:
    bot, lease = led_bot
    async with aclosing(listen(database)) as wake_ups:
        await _next(wake_ups)
        await bots.set_desired(bot, DesiredState.PAUSED, "operator")
        assert await _next(wake_ups) == bot
        await bots.set_status(bot, lease.epoch, "paused")
        assert await _next(wake_ups) == bot


async def test_work_that_is_rolled_back_wakes_nobody(database: Database, led_bot: tuple[BotId, Lease]) -> None:
    async def failing() -> None:
        async with database.transaction() as connection:
            await notify_bot(connection, BotId("aaaaaaaa"))
            raise KeyError

    async with aclosing(listen(database)) as wake_ups:
        await _next(wake_ups)
        with pytest.raises(KeyError):
            await failing()
        async with database.transaction() as connection:
            await notify_bot(connection, BotId("bbbbbbbb"))
        assert await _next(wake_ups) == "bbbbbbbb"


async def test_a_lost_connection_is_followed_by_a_look_at_everything(
    database: Database, led_bot: tuple[BotId, Lease]
) -> None:
    async with aclosing(listen(database)) as wake_ups:
        await _next(wake_ups)
        waiting = asyncio.create_task(_next(wake_ups))
        await asyncio.sleep(0.05)
        await database.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
        assert await waiting == EVERYTHING


async def test_a_slow_listener_gets_one_wake_up_per_bot(database: Database, led_bot: tuple[BotId, Lease]) -> None:
    async with aclosing(listen(database)) as wake_ups:
        await _next(wake_ups)
        for _ in range(20):
            for bot in ("aaaaaaaa", "bbbbbbbb"):
                async with database.transaction() as connection:
                    await notify_bot(connection, BotId(bot))
        await asyncio.sleep(0.1)
        assert {await _next(wake_ups), await _next(wake_ups)} == {"aaaaaaaa", "bbbbbbbb"}
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(wake_ups), 0.2)


async def test_leaving_the_loop_ends_the_connection(database: Database) -> None:
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    async with aclosing(listen(database)) as wake_ups:
        await _next(wake_ups)
        assert await database.value(count) == 1
    for _ in range(100):
        if await database.value(count) == 0:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the listening connection is still there")
