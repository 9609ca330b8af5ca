"""A database that was restored to an earlier time, and the journal that remembers what it has forgotten."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from actors.broadcast_journal import BroadcastJournal
from adapters.chains.tron.devnet.faults import HONEST, Conduct, Sending
from engine.errors import Refusal
from engine.ids import Instant
from engine.payments.payout import TaskState, WaitsFor
from engine.payments.velocity import PayoutPolicy
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.freezes import Freezes
from storage.payout_decisions import Decisions
from storage.payout_memory import DatabaseRestored
from tests.databases import execute
from tests.invariants import assert_books_hold
from tests.payouts.world import ANNA, BORIS, COIN, DAY_MS, HOT, USDT, World

pytest_plugins = ["tests.payouts.fixtures"]

Take = Callable[[], Awaitable[None]]
Restore = Callable[[], Awaitable[None]]


@pytest.fixture
async def backup(
    world: World, own_dsn: str, postgres_server: EmbeddedPostgres
) -> AsyncIterator[tuple[Take, Restore]]:
    """Give two verbs: copy the database as it is now, and put the world back to that copy."""
    name = own_dsn.split("@/")[1].split("?")[0]
    copy = f"{name}_backup"
    opened: list[Database] = []

    async def take() -> None:
        await world.database.close()
        await execute(postgres_server.dsn, f"CREATE DATABASE {copy} TEMPLATE {name}")
        await world.database.open()

    async def restore() -> None:
        world.database = Database(own_dsn.replace(f"@/{name}?", f"@/{copy}?"), pool_size=4, name="restored")
        await world.database.open()
        opened.append(world.database)
        await world.release_lease()

    yield take, restore
    for database in opened:
        await assert_books_hold(database)
        await database.close()
    await execute(postgres_server.dsn, f"DROP DATABASE IF EXISTS {copy} WITH (FORCE)")


async def set_cap(world: World, cap_units: int) -> None:
    policy = PayoutPolicy(USDT, cap_units, 0, DAY_MS, 5_000_000 * COIN)
    await Decisions(world.database).set_policy(policy, world.says(ANNA))


async def lift_safe_mode(world: World) -> bool | Refusal:
    freezes = Freezes(world.database)
    safe_mode = (await freezes.current())[0]
    assert safe_mode.is_safe_mode
    await freezes.lift(safe_mode.id, world.says(ANNA))
    return await freezes.lift(safe_mode.id, world.says(BORIS))


async def test_a_payout_that_the_restored_database_has_forgotten_is_not_paid_again(
    world: World, backup: tuple[Take, Restore]
) -> None:
    take, restore = backup
    first = await world.signer("before")
    payout = await world.pay()
    await take()
    await world.settle(first)
    assert len(world.transfers_to(world.payee_address)) == 1
    first.stop()

    await restore()
    assert (await world.payout(payout)).state is TaskState.QUEUED
    signer = await world.signer("after")
    assert (await world.payout(payout)).state is TaskState.CONFIRMED
    assert await world.alarms() == ["restored_database"]
    later = await world.pay(COIN)
    await world.settle(signer)
    assert (await world.payout(later)).tasks[0].waits_for is WaitsFor.FROZEN
    assert len(world.transfers_to(world.payee_address)) == 1
    assert await lift_safe_mode(world) is True
    await world.settle(signer)
    assert sorted(world.transfers_to(world.payee_address)) == [COIN, 100 * COIN]


async def test_without_the_journal_a_person_must_lift_the_safe_mode_and_then_it_is_paid_twice(
    world: World, backup: tuple[Take, Restore]
) -> None:
    """What the journal is for: the same story without it ends badly, so the story above has teeth."""
    take, restore = backup
    first = await world.signer("before")
    await world.pay()
    await take()
    await world.settle(first)
    first.stop()
    await restore()
    signer = await world.signer("after", journal="an empty one")
    await world.settle(signer)
    assert len(world.transfers_to(world.payee_address)) == 1
    assert await world.alarms() == ["restored_database"]
    assert await lift_safe_mode(world) is True
    await world.settle(signer)
    assert len(world.transfers_to(world.payee_address)) == 2


async def test_what_has_no_task_stays_as_evidence_until_the_chain_is_read_again(
    world: World, backup: tuple[Take, Restore]
) -> None:
    take, restore = backup
    first = await world.signer("before")
    await take()
    wish = world.wish()
    await world.ask(wish)
    await world.settle(first)
    first.stop()

    await restore()
    signer = await world.signer("after")
    assert await world.database.value("SELECT count(*) FROM payout_forgotten WHERE bound_at_ms IS NULL") == 1
    refused = await lift_safe_mode(world)
    assert isinstance(refused, Refusal)
    assert refused.code == "forgotten_attempts"

    # The watcher credits the deal from the chain again; ids follow from the deal, so it is the same payout.
    assert await world.ask(wish) == [wish.id]
    await world.settle(signer)
    assert (await world.payout(wish.id)).state is TaskState.CONFIRMED
    assert len(world.transfers_to(world.payee_address)) == 1
    safe_mode = (await Freezes(world.database).current())[0]
    for who in (ANNA, BORIS):
        await Freezes(world.database).lift(safe_mode.id, world.says(who))
    assert await Freezes(world.database).current() == []
    await world.settle(signer)
    assert len(world.transfers_to(world.payee_address)) == 1


async def test_what_is_remembered_left_after_it_was_signed_though_the_clock_was_set_back(
    world: World, backup: tuple[Take, Restore]
) -> None:
    take, restore = backup
    first = await world.signer("before")
    await world.pay()
    await take()
    assert (await first.turn()).signed == 1
    first.stop()

    await restore()
    world.now = Instant(world.now - 60_000)
    await world.signer("after")
    assert await world.database.value("SELECT count(*) FROM payout_attempt WHERE status = 'live'") == 1


async def test_several_forgotten_attempts_of_one_task_come_back_in_their_order(
    world: World, backup: tuple[Take, Restore]
) -> None:
    take, restore = backup
    first = await world.signer("before")
    payout = await world.pay()
    await take()
    for node in world.devnet.nodes.values():
        node.conduct = Conduct(sending=Sending.TAKEN_DROPPED)
    await first.turn()
    world.produce(110)
    await first.turn()
    for node in world.devnet.nodes.values():
        node.conduct = HONEST
    await world.settle(first)
    first.stop()

    await restore()
    signer = await world.signer("after")
    await world.settle(signer)
    records = await world.database.rows("SELECT n, status FROM payout_attempt ORDER BY n")
    assert [tuple(record) for record in records] == [(1, "dead"), (2, "confirmed")]
    assert (await world.payout(payout)).state is TaskState.CONFIRMED
    assert len(world.transfers_to(world.payee_address)) == 1


async def test_another_timeline_alone_is_reason_enough_for_safe_mode(world: World) -> None:
    system = await world.database.value("SELECT system_identifier::text FROM pg_control_system()")
    journal = BroadcastJournal(world.folder / "journal", HOT)
    journal.open()
    journal.note_database(system, 0)
    journal.close()
    await world.signer()
    assert await world.alarms() == ["restored_database"]
    assert [freeze.is_safe_mode for freeze in await Freezes(world.database).current()] == [True]


@pytest.mark.tampers
async def test_a_signer_that_runs_through_a_restore_notices_it_and_signs_nothing(world: World) -> None:
    signer = await world.signer()
    await world.pay()
    await signer.turn()
    await world.pay()
    await world.database.rows("UPDATE payout_database_seen SET timeline = 0 RETURNING 1")
    with pytest.raises(DatabaseRestored):
        await signer.turn()
    await world.database.rows("UPDATE payout_database_seen SET timeline = 1 RETURNING 1")
    await world.database.rows("DELETE FROM payout_attempt RETURNING 1")
    with pytest.raises(DatabaseRestored):
        await signer.turn()
    await signer.boot()
    assert await world.alarms() == ["restored_database"]


async def test_a_forgotten_payout_is_cut_as_it_was_signed_though_the_cap_has_changed(
    world: World, backup: tuple[Take, Restore]
) -> None:
    take, restore = backup
    first = await world.signer("before")
    await take()
    await set_cap(world, 40 * COIN)
    wish = world.wish(100 * COIN)
    await world.ask(wish)
    await world.settle(first, rounds=6)
    first.stop()

    await restore()
    signer = await world.signer("after")
    await set_cap(world, 70 * COIN)
    assert await world.ask(wish) == [wish.id]
    await world.settle(signer, rounds=6)
    payout = await world.payout(wish.id)
    assert payout.state is TaskState.CONFIRMED
    assert [task.amount_token for task in payout.tasks] == [40 * COIN, 40 * COIN, 20 * COIN]
    assert sorted(world.transfers_to(world.payee_address)) == [20 * COIN, 40 * COIN, 40 * COIN]
    assert await lift_safe_mode(world) is True


async def test_nobody_asks_for_a_payout_before_its_signer_has_compared_the_journal(world: World) -> None:
    signer = await world.signer()
    await world.database.rows("UPDATE payout_database_seen SET timeline = 0 RETURNING 1")
    with pytest.raises(DatabaseRestored, match="has not compared"):
        await world.pay()
    await signer.boot()
    assert (await world.payout(await world.pay())).state is TaskState.QUEUED


async def test_nobody_gives_a_payout_up_in_a_database_that_may_have_forgotten(world: World) -> None:
    await world.signer()
    payout = await world.pay()
    await world.database.rows("UPDATE payout_database_seen SET timeline = 0 RETURNING 1")
    refused = await Decisions(world.database).give_up(payout, "too late", world.says(ANNA))
    assert refused is not None
    assert refused.code == "database_restored"


async def test_a_journal_that_was_lost_is_written_again_for_what_is_still_alive(world: World) -> None:
    first = await world.signer("first")
    await world.pay()
    for node in world.devnet.nodes.values():
        node.conduct = Conduct(sending=Sending.SILENT_DROPPED)
    await first.turn()
    first.stop()
    shutil.move(world.folder / "journal", world.folder / "lost")
    world.produce(5)
    await world.release_lease()
    await world.settle(await world.signer("second"), rounds=2)
    journal = BroadcastJournal(world.folder / "lost", HOT)
    journal.open()
    assert len(journal.attempts()) == 1
    assert (world.folder / "journal").read_bytes().count(b'"attempt"') >= 1
