"""Group commit: many callers, each with its own transfers and its own answers, share one writer and its commits.

While one batch commits the next one gathers, so the disk's flush is paid once for all who waited for it.
"""

import asyncio
from collections.abc import Sequence
from types import TracebackType

import msgspec

from engine.errors import OutcomeUnknown, Retryable
from engine.ledger.postings import Posted, Transfer
from storage.database import Connection, Database
from storage.ledger import post_each

WAITING_MAX = 4_096
BATCH_TRANSFERS_MAX = 1_000


class _Submission(msgspec.Struct, frozen=True):
    transfers: Sequence[Transfer]
    answer: "asyncio.Future[list[Posted]]"


class LedgerWriter:
    """The one writer of a process, for callers whose transfers need no transaction of their own.

    `submit` waits while too many others wait. Its transfers are posted in order and answered as `post` would; what
    others submit may stand between two submissions, never within one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: asyncio.Queue[_Submission | None] = asyncio.Queue(WAITING_MAX)
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "LedgerWriter":
        self._writing = asyncio.create_task(self._write())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._writing is not None
        await self._queue.put(None)
        await self._writing

    async def submit(self, transfers: Sequence[Transfer]) -> list[Posted]:
        """Post transfers and wait until they are durable.

        Lost connections are repeated with the same ids for a bounded time. After that `Retryable` means that
        nothing happened, `OutcomeUnknown` that nobody knows: either way say it again, with the same ids.
        """
        answer: asyncio.Future[list[Posted]] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Submission(transfers, answer))
        return await answer

    async def _write(self) -> None:
        ended = False
        while not ended:
            first = await self._queue.get()
            if first is None:
                return
            batch, count = [first], len(first.transfers)
            while count < BATCH_TRANSFERS_MAX and not self._queue.empty():
                following = self._queue.get_nowait()
                if following is None:
                    ended = True
                    break
                batch.append(following)
                count += len(following.transfers)
            await self._answer(batch)

    async def _answer(self, batch: Sequence[_Submission]) -> None:
        async def write(connection: Connection) -> list[list[Posted]]:
            return await post_each(connection, [submission.transfers for submission in batch])

        try:
            answers = await self._database.repeat(write)
        except (Retryable, OutcomeUnknown) as error:
            for submission in batch:
                _fail(submission, error)
        except Exception as error:
            if len(batch) == 1:
                _fail(batch[0], error)
                return
            # Somebody's transfers make no sense to the database: let nobody else suffer for it.
            for submission in batch:
                await self._answer([submission])
        else:
            for submission, posted in zip(batch, answers, strict=True):
                if not submission.answer.done():
                    submission.answer.set_result(posted)


def _fail(submission: _Submission, error: Exception) -> None:
    if not submission.answer.done():
        submission.answer.set_exception(error)
