"""The journal: all or nothing, without gaps, one writer, and harmless to write twice."""

import asyncio
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest

from engine.errors import OutcomeUnknown
from engine.ids import BotId, Instant
from storage.actions import Actions
from storage.bots import Bots
from storage.database import Database
from storage.executions import Executions
from storage.journal import Journal, JournalBatch, JournalGap, JournalRow, SnapshotRow
from storage.leases import Lease, Leases, StaleEpoch, bot_lease
from storage.metrics import Metrics
from storage.orders import Orders
from storage.rows import AlreadyExistsDifferently
from tests.storage.conftest import action, entries, execution, full_batch, metric, order, round_trip
from tests.storage.proxy import BreakingWire, Cut


async def test_a_group_is_read_back_as_it_was_written(database: Database, led_bot: tuple[BotId, Lease]) -> None:
    bot, lease = led_bot
    await Journal(database).append_batch(bot, lease.epoch, full_batch(bot, 1, 5))

    recovery = await Journal(database).load(bot)
    assert recovery.snapshot is None
    assert recovery.tail == entries(1, 5)
    assert recovery.last_seq == 5
    assert (await Orders(database).page(bot)).items == [order(bot, 1, seq=5)]
    assert (await Executions(database).page(bot)).items == [execution(bot, 1, seq=5)]
    assert (await Executions(database).round_trips(bot)).items == [round_trip(5)]
    assert (await Executions(database).funding(bot)).items == list(full_batch(bot, 1, 5).funding)
    assert (await Actions(database).page(bot)).items == [action(5)]
    assert await Metrics(database).series(bot, metric(5).at_ms, Instant(metric(5).at_ms + 1)) == [metric(5)]


async def test_amounts_keep_every_digit(database: Database, led_bot: tuple[BotId, Lease]) -> None:
    bot, lease = led_bot
    await Journal(database).append_batch(bot, lease.epoch, full_batch(bot, 1, 1))
    [stored] = (await Orders(database).page(bot)).items
    assert (str(stored.price), str(stored.quantity)) == ("98000.10", "0.00100")


async def test_writing_a_group_twice_is_harmless(database: Database, led_bot: tuple[BotId, Lease]) -> None:
    bot, lease = led_bot
    journal = Journal(database)
    for _ in range(3):
        await journal.append_batch(bot, lease.epoch, full_batch(bot, 1, 5))
    assert (await journal.load(bot)).tail == entries(1, 5)
    assert len((await Executions(database).page(bot)).items) == 1
    assert len((await Executions(database).round_trips(bot)).items) == 1
    assert len((await Actions(database).page(bot)).items) == 1


async def test_a_group_that_overlaps_the_end_adds_only_what_is_new(
    database: Database, led_bot: tuple[BotId, Lease]
) -> None:
    bot, lease = led_bot
    journal = Journal(database)
    await journal.append_batch(bot, lease.epoch, JournalBatch(entries(1, 5)))
    await journal.append_batch(bot, lease.epoch, JournalBatch(entries(4, 8)))
    assert (await journal.load(bot)).tail == entries(1, 8)


async def test_the_same_number_with_other_content_is_refused(
    database: Database, led_bot: tuple[BotId, Lease]
) -> None:
    bot, lease = led_bot
    journal = Journal(database)
    await journal.append_batch(bot, lease.epoch, JournalBatch(entries(1, 2)))
    other = JournalRow(2, Instant(1), b"something else")
    with pytest.raises(AlreadyExistsDifferently):
        await journal.append_batch(bot, lease.epoch, JournalBatch([other], executions=[execution(bot, 9)]))
    assert (await Executions(database).page(bot)).items == []


@pytest.mark.parametrize("group", [entries(4, 5), [*entries(3, 3), *entries(5, 5)]], ids=["after", "inside"])
async def test_a_gap_is_refused(database: Database, led_bot: tuple[BotId, Lease], group: list[JournalRow]) -> None:
    bot, lease = led_bot
    journal = Journal(database)
    await journal.append_batch(bot, lease.epoch, JournalBatch(entries(1, 2)))
    with pytest.raises(JournalGap):
        await journal.append_batch(bot, lease.epoch, JournalBatch(group))
    assert (await journal.load(bot)).last_seq == 2


async def test_loading_starts_from_the_newest_snapshot(database: Database, led_bot: tuple[BotId, Lease]) -> None:
    bot, lease = led_bot
    journal = Journal(database)
    for upto in (3, 6, 9):
        snapshot = SnapshotRow(upto, lease.epoch, b"state %d" % upto, b"hash")
        await journal.append_batch(bot, lease.epoch, JournalBatch(entries(upto - 2, upto), snapshot=snapshot))
    await journal.append_batch(bot, lease.epoch, JournalBatch(entries(10, 11)))

    recovery = await journal.load(bot)
    assert recovery.snapshot == SnapshotRow(9, lease.epoch, b"state 9", b"hash")
    assert recovery.tail == entries(10, 11)
    assert await database.value("SELECT count(*) FROM bot_snapshots WHERE bot = $1", bot) == 2
    assert await journal.entries(bot) == entries(1, 11)


async def test_a_late_repeat_does_not_turn_an_order_back(database: Database, led_bot: tuple[BotId, Lease]) -> None:
    bot, lease = led_bot
    journal = Journal(database)
    opened = JournalBatch(entries(1, 1), orders=[order(bot, 1, seq=1)])
    filled = JournalBatch(entries(2, 2), orders=[order(bot, 1, seq=2, status="filled", filled="0.001")])
    for batch in (opened, filled, opened):
        await journal.append_batch(bot, lease.epoch, batch)
    stored = await Orders(database).get(order(bot, 1).link_id)
    assert stored is not None
    assert (stored.status, stored.filled, stored.is_live) == ("filled", Decimal("0.001"), False)


async def test_an_old_epoch_writes_nothing(database: Database, led_bot: tuple[BotId, Lease], bots: Bots) -> None:
    bot, old = led_bot
    leases, journal = Leases(database), Journal(database)
    await leases.release(old)
    new = await leases.acquire(bot_lease(bot), "holder-2", 60_000)
    assert new is not None
    await journal.append_batch(bot, new.epoch, JournalBatch(entries(1, 1)))

    with pytest.raises(StaleEpoch):
        await journal.append_batch(bot, old.epoch, full_batch(bot, 2, 2))
    with pytest.raises(StaleEpoch):
        await bots.set_status(bot, old.epoch, "running")
    assert (await journal.load(bot)).tail == entries(1, 1)
    assert (await Orders(database).page(bot)).items == []


@pytest.mark.parametrize("cut", list(Cut))
async def test_a_commit_in_doubt_is_repeated_without_doubling(
    database: Database, led_bot: tuple[BotId, Lease], postgres_dsn: str, cut: Cut
) -> None:
    bot, lease = led_bot
    with tempfile.TemporaryDirectory() as folder:
        async with BreakingWire(postgres_dsn, Path(folder)) as wire, Database(wire.dsn) as wired:
            wire.cuts.append(cut)
            await Journal(wired).append_batch(bot, lease.epoch, full_batch(bot, 1, 3))
            wire.cuts.append(cut)
            with pytest.raises(OutcomeUnknown):
                await Journal(wired).append_batch(bot, lease.epoch, full_batch(bot, 4, 6), within_s=0)
            await Journal(wired).append_batch(bot, lease.epoch, full_batch(bot, 4, 6))
    assert (await Journal(database).load(bot)).tail == entries(1, 6)
    assert len((await Executions(database).page(bot)).items) == 2


async def test_killing_the_servers_session_in_the_middle_is_repeated(
    database: Database, led_bot: tuple[BotId, Lease]
) -> None:
    bot, lease = led_bot
    journal = Journal(database)

    async def assassin() -> None:
        for _ in range(10):
            async with Database(database._dsn, pool_size=1) as other:
                await other.rows(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            await asyncio.sleep(0.02)

    killing = asyncio.create_task(assassin())
    last = 0
    while not killing.done() or last < 50:
        await journal.append_batch(bot, lease.epoch, full_batch(bot, last + 1, last + 5))
        last += 5
    await killing
    assert (await journal.load(bot)).tail == entries(1, last)
    assert await database.value("SELECT count(*) FROM executions WHERE bot = $1", bot) == last // 5
