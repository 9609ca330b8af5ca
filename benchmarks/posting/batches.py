"""What we do instead of locking rows: callers post batches, each in a transaction of its own."""

import asyncio
import time
from collections.abc import Callable

from engine.ledger.postings import Transfer
from storage import ledger
from storage.database import Database

_MOST_PER_SECOND = 80_000


async def post_batches(
    database: Database, callers: int, make: Callable[[], list[Transfer]], seconds: float
) -> tuple[int, float]:
    """Post for some seconds; give how many transfers were posted and how long it took.

    One posts at a time; meanwhile the next caller makes the columns of his batch ready.
    """
    # Made before the clock starts, and enough of them: what is asked here is what posting takes.
    ready = [make()]
    while len(ready) * len(ready[0]) < seconds * _MOST_PER_SECOND or len(ready) < 2 * callers:
        ready.append(make())
    began = time.perf_counter()

    async def keep_posting() -> int:
        posted = 0
        while ready and time.perf_counter() < began + seconds:
            posted += await post_batch(database, ready.pop(0))
        return posted

    posted = await asyncio.gather(*(keep_posting() for _ in range(callers)))
    return sum(posted), time.perf_counter() - began


async def post_batch(database: Database, transfers: list[Transfer]) -> int:
    """Post a batch in a transaction of its own; give how many were posted."""
    async with database.transaction() as connection:
        answers = await ledger.post(connection, transfers)
    assert all(answer.ok for answer in answers)
    return len(answers)
