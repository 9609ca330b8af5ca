"""Leases: one writer at a time, by the database's clock, and never an old one."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from engine.errors import Retryable
from storage.database import Connection, Database
from storage.leases import Lease, LeaseKeeper, Leases, StaleEpoch, guard
from tests.storage.proxy import BreakingWire, Cut

LONG_MS = 60_000


@pytest.fixture
async def leases(database: Database) -> AsyncIterator[Leases]:
    yield Leases(database)
    await database.rows("DELETE FROM leases")


async def _expire(database: Database, name: str) -> None:
    await database.rows("UPDATE leases SET expires_at_ms = now_ms() - 1 WHERE name = $1", name)


async def _write(database: Database, lease: Lease) -> None:
    async with database.transaction() as connection:
        await guard(connection, lease.name, lease.epoch)


async def _must_hold(leases: Leases, name: str, holder: str, ttl_ms: int = LONG_MS) -> Lease:
    lease = await leases.acquire(name, holder, ttl_ms)
    assert lease is not None
    return lease


async def test_of_many_that_ask_at_once_one_gets_the_lease(leases: Leases) -> None:
    answers = await asyncio.gather(*(leases.acquire("x", f"holder-{n}", LONG_MS) for n in range(16)))
    assert len([lease for lease in answers if lease]) == 1


async def test_a_new_name_can_be_taken_by_many_at_once(leases: Leases) -> None:
    for name in (f"new-{number}" for number in range(60)):
        answers = await asyncio.gather(*(leases.acquire(name, f"holder-{n}", LONG_MS) for n in range(6)))
        assert len([lease for lease in answers if lease]) == 1


async def test_asking_again_after_a_lost_answer_gives_the_same_epoch(leases: Leases) -> None:
    first = await _must_hold(leases, "x", "a")
    assert await leases.acquire("x", "a", LONG_MS) == first
    assert await leases.acquire("x", "b", LONG_MS) is None


async def test_the_epoch_grows_with_each_change_of_holder(leases: Leases, database: Database) -> None:
    epochs = []
    for holder in ("a", "b", "a", "a"):
        epochs.append((await _must_hold(leases, "x", holder)).epoch)
        await _expire(database, "x")
    assert epochs == [1, 2, 3, 4]


async def test_an_expired_holder_is_refused_even_before_anyone_takes_over(
    leases: Leases, database: Database
) -> None:
    lease = await _must_hold(leases, "x", "a")
    await _write(database, lease)
    await _expire(database, "x")
    with pytest.raises(StaleEpoch):
        await _write(database, lease)
    assert not await leases.renew(lease)


async def test_an_old_holder_is_refused_after_a_takeover(leases: Leases, database: Database) -> None:
    old = await _must_hold(leases, "x", "a")
    await _expire(database, "x")
    new = await _must_hold(leases, "x", "b")
    await _write(database, new)
    with pytest.raises(StaleEpoch):
        await _write(database, old)
    assert not await leases.renew(old)
    await leases.release(old)
    await _write(database, new)


async def test_a_short_lease_runs_out_by_itself(leases: Leases, database: Database) -> None:
    lease = await _must_hold(leases, "x", "a", ttl_ms=50)
    for _ in range(100):
        if await leases.acquire("x", "b", LONG_MS):
            break
        await asyncio.sleep(0.02)
    with pytest.raises(StaleEpoch):
        await _write(database, lease)


async def test_a_released_lease_is_free_at_once(leases: Leases) -> None:
    await leases.release(await _must_hold(leases, "x", "a"))
    assert (await _must_hold(leases, "x", "b")).epoch == 2


async def test_a_takeover_waits_for_a_write_in_progress(leases: Leases, database: Database) -> None:
    lease = await _must_hold(leases, "x", "a")
    async with database.transaction() as connection:
        await guard(connection, lease.name, lease.epoch)
        await _expire(database, "x")
        takeover = asyncio.create_task(leases.acquire("x", "b", LONG_MS))
        await asyncio.sleep(0.2)
        assert not takeover.done()
    new = await takeover
    assert new is not None
    assert new.epoch == lease.epoch + 1


async def test_a_renewal_does_not_wait_for_a_write_in_progress(leases: Leases, database: Database) -> None:
    lease = await _must_hold(leases, "x", "a")
    async with database.transaction() as connection:
        await guard(connection, lease.name, lease.epoch)
        assert await asyncio.wait_for(leases.renew(lease), 2)


async def test_two_who_fight_for_a_lease_never_write_in_the_same_epoch(database: Database, leases: Leases) -> None:
    await database.rows("CREATE TABLE fight (n bigserial, holder text, epoch bigint)")

    async def fighter(holder: str) -> None:
        refused = 0
        while refused < 15:
            lease = await leases.acquire("x", holder, 15)
            if lease is None:
                await asyncio.sleep(0.003)
                continue
            try:
                while True:
                    async with database.transaction() as connection:
                        await guard(connection, "x", lease.epoch)
                        await connection.execute(
                            "INSERT INTO fight (holder, epoch) VALUES ($1, $2)", holder, lease.epoch
                        )
            except StaleEpoch:
                refused += 1

    await asyncio.gather(*(fighter(name) for name in "ab"))
    rows = await database.rows("SELECT holder, epoch FROM fight ORDER BY n")
    assert {row["holder"] for row in rows} == {"a", "b"}
    assert [row["epoch"] for row in rows] == sorted(row["epoch"] for row in rows)
    assert len({(row["holder"], row["epoch"]) for row in rows}) == len({row["epoch"] for row in rows})


@pytest.mark.parametrize("cuts", [[], [Cut.BEFORE_COMMIT], [Cut.AFTER_COMMIT]])
async def test_a_keeper_renews_in_time_even_through_a_renewal_in_doubt(
    leases: Leases, database: Database, postgres_dsn: str, cuts: list[Cut]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with BreakingWire(postgres_dsn, Path(folder)) as wire, Database(wire.dsn) as wired:
            keeper = await LeaseKeeper.take(Leases(wired), "x", "a", 2000)
            assert keeper is not None
            wire.cuts.extend(cuts)
            lost = asyncio.Event()
            task = asyncio.create_task(keeper.keep(_setter(lost)))
            await asyncio.sleep(2.6)
            assert not wire.cuts
            assert keeper.is_safe
            await _write(database, keeper.lease)
            task.cancel()
            assert not lost.is_set()


async def test_a_keeper_says_so_when_another_has_taken_over(leases: Leases, database: Database) -> None:
    keeper = await LeaseKeeper.take(leases, "x", "a", 300)
    assert keeper is not None
    await _expire(database, "x")
    await _must_hold(leases, "x", "b")
    lost = asyncio.Event()
    await asyncio.wait_for(keeper.keep(_setter(lost)), 5)
    assert lost.is_set()
    assert not keeper.is_safe


async def test_a_keeper_gives_up_in_time_when_the_database_is_away(
    leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = await LeaseKeeper.take(leases, "x", "a", 300)
    assert keeper is not None

    async def away(_lease: Lease) -> bool:
        raise Retryable("the database does not answer")

    monkeypatch.setattr(leases, "renew", away)
    lost = asyncio.Event()
    await asyncio.wait_for(keeper.keep(_setter(lost)), 5)
    assert lost.is_set()
    assert keeper.left_s == 0.0


async def test_a_guarded_write_is_refused_before_anything_is_written(leases: Leases, database: Database) -> None:
    lease = await _must_hold(leases, "x", "a")
    await _expire(database, "x")

    async def work(connection: Connection) -> None:
        await guard(connection, "x", lease.epoch)
        raise AssertionError("not reached")

    with pytest.raises(StaleEpoch):
        await database.repeat(work)


def _setter(event: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def on_lost() -> None:
        event.set()

    return on_lost
