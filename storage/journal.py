"""A bot's journal: every message its machine took in, and what followed from each, committed in groups.

It decides that a group is all or nothing, written only under the bot's current lease, without gaps, and harmless
to write twice. Messages and states are opaque bytes; what they mean is the engine's business.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import asyncpg
import msgspec

from engine.errors import Retryable
from engine.ids import BotId, ExecutionId, Instant
from storage import actions, executions, metrics, orders
from storage.actions import ActionRow
from storage.database import REPEAT_LIMIT_S, Connection, Database
from storage.events import BOTS_CHANNEL
from storage.executions import ExecutionRow, FundingRow, RoundTripRow
from storage.leases import bot_lease, guard
from storage.metrics import MetricRow
from storage.orders import OrderRow
from storage.rows import AlreadyExistsDifferently, columns, to_rows

EXEC_IDS_MAX = 4_096


class JournalGap(Exception):
    """A group does not follow the last entry: a bug of the caller, which must load again."""


class JournalRow(msgspec.Struct, frozen=True):
    """One message as the machine took it in. `seq` counts the bot's messages from 1."""

    seq: int
    at_ms: Instant
    message: bytes


class SnapshotRow(msgspec.Struct, frozen=True):
    """The machine's state after the message `seq`; 0 is the state before the first."""

    seq: int
    epoch: int
    state: bytes
    state_hash: bytes


class JournalBatch(msgspec.Struct, frozen=True):
    """A group to commit: consecutive messages and everything that follows from them."""

    entries: Sequence[JournalRow] = ()
    orders: Sequence[OrderRow] = ()
    """At most one row per order: its latest state."""
    executions: Sequence[ExecutionRow] = ()
    round_trips: Sequence[RoundTripRow] = ()
    funding: Sequence[FundingRow] = ()
    actions: Sequence[ActionRow] = ()
    metrics: Sequence[MetricRow] = ()
    snapshot: SnapshotRow | None = None


class Recovery(msgspec.Struct, frozen=True):
    """What a bot continues from: the newest snapshot, and the messages after it in order."""

    snapshot: SnapshotRow | None
    tail: list[JournalRow]
    exec_ids: list[ExecutionId] = []
    """The newest executions and funding payments that are written, oldest first: they need no second entry."""

    @property
    def last_seq(self) -> int:
        """Give the number of the last message that was saved; 0 before the first."""
        if self.tail:
            return self.tail[-1].seq
        return self.snapshot.seq if self.snapshot else 0


class Journal:
    """The journals of all bots."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append_batch(
        self, bot: BotId, epoch: int, batch: JournalBatch, *, within_s: float = REPEAT_LIMIT_S
    ) -> None:
        """Commit a group under the bot's lease, repeating through lost connections for `within_s`.

        After `Retryable` or `OutcomeUnknown` call it again with the same group: what is already there stays as it
        is. `StaleEpoch`: the lease is over, stop. `AlreadyExistsDifferently` and `JournalGap`: load again.
        """

        async def write(connection: Connection) -> None:
            await guard(connection, bot_lease(bot), epoch)
            await _write_entries(connection, bot, epoch, batch.entries)
            await orders.write(connection, bot, batch.orders)
            await executions.write(connection, bot, batch.executions)
            await executions.write_round_trips(connection, bot, batch.round_trips)
            await executions.write_funding(connection, bot, batch.funding)
            await actions.write(connection, bot, batch.actions)
            await metrics.write(connection, bot, batch.metrics)
            if batch.snapshot is not None:
                await _write_snapshot(connection, bot, batch.snapshot)

        await self._database.repeat(write, within_s=within_s)
        await self._wake_up(bot)

    async def load(self, bot: BotId) -> Recovery:
        """Read what the bot continues from. Take the lease first: then nobody else is writing."""
        record = await self._database.row(
            f"SELECT {columns(SnapshotRow)} FROM bot_snapshots WHERE bot = $1 ORDER BY seq DESC LIMIT 1",
            bot,
        )
        snapshot = None if record is None else SnapshotRow(*record)
        tail = await self.entries(bot, after=snapshot.seq if snapshot else 0)
        return Recovery(snapshot, tail, await executions.newest_ids(self._database, bot, EXEC_IDS_MAX))

    async def entries(self, bot: BotId, *, after: int = 0, limit: int | None = None) -> list[JournalRow]:
        """Read messages in order, from the one after `after`."""
        records = await self._database.rows(
            f"SELECT {columns(JournalRow)} FROM bot_journal WHERE bot = $1 AND seq > $2 ORDER BY seq LIMIT $3",
            bot,
            after,
            limit,
        )
        return to_rows(records, JournalRow)

    async def last_seqs(self, bots: Sequence[BotId]) -> dict[BotId, int]:
        """Give the number of the last message of each bot that has one."""
        records = await self._database.rows(
            """
            SELECT wanted.bot, newest.seq FROM unnest($1::text[]) AS wanted (bot)
            CROSS JOIN LATERAL (SELECT seq FROM bot_journal
                                WHERE bot_journal.bot = wanted.bot ORDER BY seq DESC LIMIT 1) AS newest
            """,
            list(bots),
        )
        return {BotId(record["bot"]): record["seq"] for record in records}

    async def _wake_up(self, bot: BotId) -> None:
        # Apart from the commit: a transaction that notifies holds a lock of the whole database through its disk
        # flush, and the commits of all bots would queue up behind each other.
        # A wake-up that is lost does no harm: listeners look at everything when they connect again.
        with suppress(Retryable):
            await self._database.notify(BOTS_CHANNEL, bot)


async def _write_entries(connection: Connection, bot: BotId, epoch: int, entries: Sequence[JournalRow]) -> None:
    if not entries:
        return
    seqs = [entry.seq for entry in entries]
    if seqs != list(range(seqs[0], seqs[0] + len(seqs))):
        raise JournalGap(f"bot {bot}: a group must be consecutive")
    last: int = await connection.fetchval("SELECT coalesce(max(seq), 0) FROM bot_journal WHERE bot = $1", bot)
    if seqs[0] > last + 1:
        raise JournalGap(f"bot {bot}: {seqs[0]} does not follow {last}")
    stored = [entry for entry in entries if entry.seq <= last]
    if stored:
        await _require_same(connection, bot, stored)
    new = entries[len(stored) :]
    await connection.execute(
        """
        INSERT INTO bot_journal (bot, epoch, seq, at_ms, message)
        SELECT $1, $2, * FROM unnest($3::bigint[], $4::bigint[], $5::bytea[])
        """,
        bot,
        epoch,
        [entry.seq for entry in new],
        [entry.at_ms for entry in new],
        [entry.message for entry in new],
    )


async def _require_same(connection: Connection, bot: BotId, entries: list[JournalRow]) -> None:
    records: list[asyncpg.Record] = await connection.fetch(
        f"SELECT {columns(JournalRow)} FROM bot_journal WHERE bot = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq",
        bot,
        entries[0].seq,
        entries[-1].seq,
    )
    if [tuple(record) for record in records] != [msgspec.structs.astuple(entry) for entry in entries]:
        raise AlreadyExistsDifferently(f"bot {bot}: entries from {entries[0].seq} exist with other content")


async def _write_snapshot(connection: Connection, bot: BotId, snapshot: SnapshotRow) -> None:
    values: tuple[Any, ...] = msgspec.structs.astuple(snapshot)
    await connection.execute(
        "INSERT INTO bot_snapshots (bot, seq, epoch, state, state_hash) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (bot, seq) DO NOTHING",
        bot,
        *values,
    )
    # The newest two stay: the one before is the fallback when a new program cannot read the newest.
    await connection.execute(
        "DELETE FROM bot_snapshots WHERE bot = $1 AND seq < "
        "(SELECT seq FROM bot_snapshots WHERE bot = $1 ORDER BY seq DESC OFFSET 1 LIMIT 1)",
        bot,
    )
