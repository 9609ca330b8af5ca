"""The outbox: events arrive at least once, in order per key, and take effect once."""

import asyncio

import pytest

from storage.database import Connection, Database
from storage.outbox import ATTEMPTS_MAX, EventRow, NewEvent, Outbox, first_time, write


@pytest.fixture
async def outbox(database: Database) -> Outbox:
    await database.rows("TRUNCATE outbox, consumed_events")
    await database.rows("CREATE TABLE IF NOT EXISTS effects (event_id bigint)")
    await database.rows("TRUNCATE effects")
    return Outbox(database)


async def _write(database: Database, *events: tuple[str, int]) -> None:
    async with database.transaction() as connection:
        await write(connection, [NewEvent("fills", key, {"n": number}) for key, number in events])


async def _consume(database: Database, event: EventRow) -> None:
    async def effect(connection: Connection) -> None:
        if await first_time(connection, "counter", event.id):
            await connection.execute("INSERT INTO effects VALUES ($1)", event.id)

    await database.repeat(effect)


async def test_an_event_vanishes_with_the_change_it_tells_of(outbox: Outbox, database: Database) -> None:
    async def failing() -> None:
        async with database.transaction() as connection:
            await write(connection, [NewEvent("fills", "a", {})])
            raise KeyError("the change failed")

    with pytest.raises(KeyError):
        await failing()
    assert await outbox.backlog() == (0, 0)


async def test_a_published_event_is_not_offered_again(outbox: Outbox, database: Database) -> None:
    await _write(database, ("a", 1))
    [event] = await outbox.claim(10, 0)
    assert (event.topic, event.key, event.payload) == ("fills", "a", {"n": 1})
    await outbox.published([event.id])
    assert await outbox.claim(10, 0) == []


async def test_an_event_of_a_relay_that_died_is_offered_again_and_takes_effect_once(
    outbox: Outbox, database: Database
) -> None:
    await _write(database, ("a", 1), ("b", 2), ("c", 3))
    for event in await outbox.claim(10, 0):
        await _consume(database, event)  # and then the relay dies, before it can say so
    again = await outbox.claim(10, 60_000)
    for event in again:
        await _consume(database, event)
    await outbox.published([event.id for event in again])
    assert await database.value("SELECT count(*) FROM effects") == 3
    assert (await outbox.backlog())[0] == 0


async def test_many_relays_share_the_work_and_each_event_takes_effect_once(
    outbox: Outbox, database: Database
) -> None:
    await _write(database, *((f"key-{number % 50}", number) for number in range(300)))
    offered = []

    async def relay() -> None:
        while (await outbox.backlog())[0]:
            for event in await outbox.claim(7, 30_000):
                offered.append(event.id)
                await _consume(database, event)
                await outbox.published([event.id])

    await asyncio.wait_for(asyncio.gather(*(relay() for _ in range(5))), 60)
    assert len(offered) == len(set(offered)) == 300
    assert await database.value("SELECT count(*) FROM effects") == 300


async def test_events_of_one_key_arrive_in_order_and_wait_for_each_other(
    outbox: Outbox, database: Database
) -> None:
    await _write(database, ("a", 1), ("a", 2), ("b", 3))
    first = await outbox.claim(10, 60_000)
    assert [event.payload["n"] for event in first] == [1, 3]
    assert await outbox.claim(10, 60_000) == []
    await outbox.published([first[0].id])
    assert [event.payload["n"] for event in await outbox.claim(10, 60_000)] == [2]


async def test_a_failed_event_comes_back_later_and_finally_waits_for_a_person(
    outbox: Outbox, database: Database
) -> None:
    await _write(database, ("a", 1))
    for attempt in range(1, ATTEMPTS_MAX + 1):
        [event] = await outbox.claim(10, 0)
        assert event.attempts == attempt
        await outbox.failed(event, "no route to host")
        assert await outbox.claim(10, 0) == []
        await database.rows("UPDATE outbox SET due_at_ms = 0")
    assert await outbox.claim(10, 0) == []
    [stuck] = await outbox.stuck()
    assert stuck.last_error == "no route to host"


async def test_old_published_events_are_forgotten_with_their_notes(outbox: Outbox, database: Database) -> None:
    await _write(database, ("a", 1), ("b", 2))
    [first, _] = await outbox.claim(10, 0)
    await _consume(database, first)
    await outbox.published([first.id])
    assert await outbox.forget_published(await database.value("SELECT now_ms() + 1")) == 1
    assert await database.value("SELECT count(*) FROM consumed_events") == 0
    assert (await outbox.backlog())[0] == 1
