"""One writer at a time, through doubts, mistakes and takeovers, on a real database."""

import asyncio
from contextlib import suppress

from actors.leased import LeasedWriter
from engine.errors import OutcomeUnknown, Retryable
from storage.database import Database
from storage.leases import Lease


class Diary:
    """What the lives of one writer did, in order, as (epoch, deed)."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []
        self.errors: list[Exception] = []
        """Raised by the next turns, one each."""
        self.ended = 0

    async def until(self, count: int) -> list[tuple[int, str]]:
        async with asyncio.timeout(10):
            while len(self.lines) < count:  # noqa: ASYNC110  whatever the writer does comes as a line
                await asyncio.sleep(0.01)
        return self.lines


class Scribbler:
    def __init__(self, lease: Lease, diary: Diary) -> None:
        self._epoch = lease.epoch
        self._diary = diary

    async def boot(self) -> None:
        self._diary.lines.append((self._epoch, "boot"))

    async def turn(self) -> bool:
        if self._diary.errors:
            raise self._diary.errors.pop(0)
        self._diary.lines.append((self._epoch, "turn"))
        return False

    def stop(self) -> None:
        self._diary.ended += 1


def writer(database: Database, diary: Diary, name: str = "scribbler", pause_s: float = 0.05) -> LeasedWriter:
    async def make(lease: Lease) -> Scribbler:
        return Scribbler(lease, diary)

    return LeasedWriter(database, name, make, ttl_ms=1_500, pause_s=pause_s)


async def stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_second_writer_waits_until_the_first_gives_the_lease_back(database: Database) -> None:
    first, second = Diary(), Diary()
    one = asyncio.create_task(writer(database, first).run())
    await first.until(3)
    two = asyncio.create_task(writer(database, second).run())
    await asyncio.sleep(0.4)
    assert second.lines == []
    await stop(one)
    lines = await second.until(2)
    assert lines[0] == (first.lines[0][0] + 1, "boot")
    await stop(two)


async def test_a_writer_whose_database_stalls_for_a_moment_goes_on_in_the_same_life(database: Database) -> None:
    diary = Diary()
    diary.errors = [Retryable("a moment")]
    task = asyncio.create_task(writer(database, diary, "stalled").run())
    assert [deed for _, deed in (await diary.until(2))[:2]] == ["boot", "turn"]
    await stop(task)


async def test_a_doubt_or_a_mistake_begins_a_new_life_that_reads_the_database_again(database: Database) -> None:
    for error in (OutcomeUnknown("committed or not"), RuntimeError("a mistake")):
        diary = Diary()
        diary.errors = [error]
        task = asyncio.create_task(writer(database, diary, f"doubting {type(error).__name__}").run())
        lines = await diary.until(3)
        assert [deed for _, deed in lines[:3]] == ["boot", "boot", "turn"]
        await stop(task)
        assert diary.ended == 2


async def test_waking_a_resting_writer_makes_it_turn_at_once(database: Database) -> None:
    diary = Diary()
    resting = writer(database, diary, "resting", pause_s=60.0)
    task = asyncio.create_task(resting.run())
    await diary.until(2)
    resting.wake()
    await diary.until(3)
    assert resting.report().problem == ""
    await stop(task)
