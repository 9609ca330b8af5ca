"""Group commit beside the order path: what a bot did is queued in memory and written in batches.

The path from a fill to the next order never waits for the database, and its loop only collects what is to be
written: messages and effects never change, so the scribe's thread words, encodes and commits them (`_write`). What
a crash takes from the queue is not lost: the venue knows every order and execution, and the next life of the bot
reads them there.
"""

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from actors.projection import Projection, Rows, metric_row
from actors.scribe import Scribe, breathe
from engine.errors import OutcomeUnknown, Retryable
from engine.grid.messages import GridEffect, GridMessage, encode_message
from engine.grid.state import GridState, encode_state
from engine.ids import Instant
from storage.journal import Journal, JournalBatch, JournalGap, JournalRow, Recovery, SnapshotRow
from storage.leases import LeaseKeeper, StaleEpoch
from storage.metrics import MetricRow
from storage.rows import AlreadyExistsDifferently

log = logging.getLogger(__name__)

GATHER_S = 0.05
"""How long a commit waits for company: each costs a millisecond of processor time, however small it is. A fill's
row is on the dashboard well within 300 ms all the same."""

BATCH_MAX = 2_000
PIECE = 8
"""Entries that are worded at a time, in less time than a step of the machine takes."""

SNAPSHOT_EVERY = 1_000
"""Entries between snapshots: a restart replays fewer messages than this, in milliseconds."""

QUEUE_MAX = 50_000
"""Far more than a bot does in the life of a lease; beyond it the database is not coming back in time."""


class Group(msgspec.Struct, frozen=True):
    """What has been collected for one commit."""

    entries: Sequence[tuple[int, Instant, GridMessage, list[GridEffect]]]
    metrics: Sequence[MetricRow]
    snapshot: tuple[int, bytes] | None
    """The number of the last entry, and the state after it."""


class JournalWriter:
    """Writes one bot's journal under its lease. `on_lost` is called once when the lease turns out to be over."""

    def __init__(
        self,
        scribe: Scribe,
        lease: LeaseKeeper,
        state: GridState,
        recovery: Recovery,
        on_lost: Callable[[], Awaitable[None]],
    ) -> None:
        self._scribe = scribe
        self._journal = Journal(scribe.database)
        self._lease = lease
        self._state = state
        self._seq = recovery.last_seq
        self._written_seq = recovery.last_seq
        self._snapshot_seq = recovery.snapshot.seq if recovery.snapshot else 0
        self._on_lost = on_lost
        self._projection = Projection(state)
        self._queue: deque[tuple[int, Instant, GridMessage, list[GridEffect]]] = deque()
        self._metrics: list[MetricRow] = []
        self._more = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()

    @property
    def lag(self) -> int:
        """Count the entries that are not written yet."""
        return self._seq - self._written_seq

    @property
    def is_full(self) -> bool:
        """Tell whether the queue has reached its bound: the bot must not act on."""
        return len(self._queue) >= QUEUE_MAX

    def add(self, at_ms: Instant, message: GridMessage, effects: list[GridEffect]) -> None:
        """Queue one message with its effects. Never waits."""
        self._seq += 1
        self._queue.append((self._seq, at_ms, message, effects))
        self._wake()

    def sample(self, mark_ticks: int, now: Instant) -> None:
        """Queue a sample of the bot's figures."""
        self._metrics.append(metric_row(self._state, mark_ticks, now))
        self._wake()

    async def run(self) -> None:
        """Write until cancelled, or until the lease is over: nothing may be done that is not written."""
        try:
            await self._write_on()
        except Exception:
            # Whatever it was: a bot whose deeds are not written must not go on, so it is given up below.
            log.exception("journal.failed bot=%s lag=%s", self._state.bot, self.lag)
        await self._on_lost()

    async def _write_on(self) -> None:
        while True:
            await self._more.wait()
            await asyncio.sleep(GATHER_S)
            self._more.clear()
            group = self._collect()
            if not await self._scribe.do(self._write(group)):
                return
            if group.entries:
                self._written_seq = group.entries[-1][0]
            if self._queue or self._metrics:
                self._more.set()
            else:
                self._drained.set()

    async def flush(self, within_s: float) -> bool:
        """Wait until everything queued is written; tell whether it was within the time."""
        try:
            async with asyncio.timeout(within_s):
                await self._drained.wait()
        except TimeoutError:
            return False
        return True

    def _wake(self) -> None:
        self._drained.clear()
        self._more.set()

    def _collect(self) -> Group:
        entries = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_MAX))]
        metrics, self._metrics = self._metrics, []
        return Group(entries, metrics, self._snapshot())

    def _snapshot(self) -> tuple[int, bytes] | None:
        # The state is the one after the last entry only while nothing is queued; no await lies between.
        due = self._seq - self._snapshot_seq >= SNAPSHOT_EVERY or self._snapshot_seq == 0
        if self._queue or not due or self._seq == 0:
            return None
        self._snapshot_seq = self._seq
        return self._seq, encode_state(self._state)

    # ------------------------------------------------------------------ on the scribe's thread

    async def _write(self, group: Group) -> bool:
        """Word and commit a group; tell whether the lease still held."""
        rows = Rows()
        entries: list[JournalRow] = []
        for number, (seq, at_ms, message, effects) in enumerate(group.entries, 1):
            entries.append(JournalRow(seq, at_ms, encode_message(message)))
            self._projection.add(rows, seq, at_ms, message, effects)
            if number % PIECE == 0:
                breathe()
        snapshot = None
        if group.snapshot is not None:
            seq, state = group.snapshot
            snapshot = SnapshotRow(seq, self._lease.lease.epoch, state, hashlib.sha256(state).digest())
        return await self._commit(
            JournalBatch(
                entries=entries,
                orders=list(rows.orders.values()),
                executions=rows.executions,
                round_trips=rows.round_trips,
                funding=rows.funding,
                actions=rows.actions,
                metrics=group.metrics,
                snapshot=snapshot,
            )
        )

    async def _commit(self, batch: JournalBatch) -> bool:
        """Write a batch, again and again through outages; tell whether the lease still held."""
        while True:
            try:
                await self._journal.append_batch(self._state.bot, self._lease.lease.epoch, batch)
            except (StaleEpoch, JournalGap, AlreadyExistsDifferently) as error:
                # Either somebody else is this bot now, or our queue does not follow what is written: load again.
                log.error("journal.ended bot=%s lag=%s error=%r", self._state.bot, self.lag, error)
                return False
            except (Retryable, OutcomeUnknown) as error:
                log.warning("journal.waiting bot=%s lag=%s error=%s", self._state.bot, self.lag, error)
                await asyncio.sleep(0.2)
            else:
                return True
