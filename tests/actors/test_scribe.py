"""The scribe works on a thread of its own, and ends with its owner."""

import asyncio
import threading

import pytest

from actors.scribe import Scribe


async def test_work_is_done_on_another_thread_and_its_outcome_comes_back(postgres_dsn: str) -> None:
    scribe = Scribe(postgres_dsn, 1, "test scribe")
    await scribe.open()
    try:

        async def work() -> tuple[int, int]:
            return threading.get_ident(), await scribe.database.value("SELECT 7")

        thread, value = await scribe.do(work())
        assert value == 7
        assert thread != threading.get_ident()

        async def fail() -> None:
            raise ValueError("told to the owner")

        with pytest.raises(ValueError, match="told to the owner"):
            await scribe.do(fail())
    finally:
        await scribe.close()
    assert "test scribe" not in {each.name for each in threading.enumerate()}


async def test_a_cancelled_wait_cancels_the_work(postgres_dsn: str) -> None:
    scribe = Scribe(postgres_dsn, 1, "test scribe")
    await scribe.open()
    begun, ended = threading.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.sleep(600)
        finally:
            ended.set()

    waiting = asyncio.create_task(scribe.do(work()))
    await asyncio.to_thread(begun.wait, 10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asyncio.to_thread(ended.wait, 10)
    await scribe.close()
    await scribe.close()  # Twice is harmless.
