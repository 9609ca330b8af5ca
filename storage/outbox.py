"""Events that must arrive: written with the change they tell of, published later, and taken into account once.

Publishing is at least once (a relay may die between publishing and saying so), so each consumer notes the
events it has taken into account in the transaction of their effect.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from engine.ids import Instant
from storage.database import Connection, Database
from storage.paging import BY_ID, Page, read_page
from storage.rows import columns, to_rows

ATTEMPTS_MAX = 12
RETRY_FIRST_MS = 1_000
RETRY_LONGEST_MS = 600_000


class NewEvent(msgspec.Struct, frozen=True):
    """Something that happened, for others to hear. Events of one `key` concern one thing, in order."""

    topic: str
    key: str
    payload: Any


class EventRow(msgspec.Struct, frozen=True):
    """A written event. `id` is what consumers recognise a repetition by."""

    id: int
    topic: str
    key: str
    payload: Any
    created_at_ms: Instant
    attempts: int
    last_error: str


class ShownEvent(msgspec.Struct, frozen=True):
    """A written event, as somebody who looks at the list sees it."""

    id: int
    payload: Any
    created_at_ms: Instant
    published_at_ms: Instant | None
    attempts: int
    last_error: str


_COLUMNS = columns(EventRow)


async def write(connection: Connection, events: Sequence[NewEvent]) -> None:
    """Write events in the transaction of the change that they tell of."""
    if not events:
        return
    await connection.execute(
        "INSERT INTO outbox (topic, key, payload) SELECT * FROM unnest($1::text[], $2::text[], $3::jsonb[])",
        [event.topic for event in events],
        [event.key for event in events],
        [event.payload for event in events],
    )


async def first_time(connection: Connection, consumer: str, event_id: int) -> bool:
    """Note, in the transaction of the effect, that `consumer` takes the event into account; False if it had."""
    done = await connection.execute(
        "INSERT INTO consumed_events (consumer, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        consumer,
        event_id,
    )
    return bool(done == "INSERT 0 1")


class Outbox:
    """The table of events, as its relays see it.

    Several relays share the work without meeting (SKIP LOCKED). An event waits while an older one of the same key
    is unpublished, so each key keeps its order, and one that cannot be published holds up nobody else's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, limit: int, for_ms: int, topic: str | None = None) -> list[EventRow]:
        """Take up to `limit` due events (of a topic) for `for_ms`; after that, unless settled, they are due again.

        Events that have failed `ATTEMPTS_MAX` times are no longer offered; `stuck` lists them.
        """

        async def take(connection: Connection) -> list[EventRow]:
            records = await connection.fetch(
                f"""
                WITH due AS (
                    SELECT id FROM outbox AS candidate
                    WHERE published_at_ms IS NULL AND due_at_ms <= now_ms() AND attempts < {ATTEMPTS_MAX}
                      AND ($3::text IS NULL OR candidate.topic = $3)
                      AND NOT EXISTS (SELECT FROM outbox AS older
                                      WHERE older.key = candidate.key AND older.topic = candidate.topic
                                        AND older.id < candidate.id AND older.published_at_ms IS NULL)
                    ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
                ), taken AS (
                    UPDATE outbox SET due_at_ms = now_ms() + $2, attempts = attempts + 1
                    FROM due WHERE outbox.id = due.id
                    RETURNING outbox.*
                )
                SELECT {_COLUMNS} FROM taken ORDER BY id
                """,
                limit,
                for_ms,
                topic,
            )
            return to_rows(records, EventRow)

        return await self._database.repeat(take)

    async def published(self, ids: Sequence[int], forget: Sequence[str] = ()) -> None:
        """Settle events that have arrived, and forget the fields that are nobody's business any more."""

        async def settle(connection: Connection) -> None:
            await connection.execute(
                "UPDATE outbox SET published_at_ms = now_ms(), payload = payload - $2::text[] "
                "WHERE id = ANY ($1) AND published_at_ms IS NULL",
                list(ids),
                list(forget),
            )

        await self._database.repeat(settle)

    async def failed(self, event: EventRow, error: str) -> None:
        """Put an event back, due again after a pause that doubles with each attempt."""
        pause_ms = min(RETRY_FIRST_MS * 2 ** (event.attempts - 1), RETRY_LONGEST_MS)

        async def put_back(connection: Connection) -> None:
            await connection.execute(
                "UPDATE outbox SET due_at_ms = now_ms() + $2, last_error = $3 "
                "WHERE id = $1 AND published_at_ms IS NULL",
                event.id,
                pause_ms,
                error[:500],
            )

        await self._database.repeat(put_back)

    async def give_up(self, event: EventRow, error: str) -> None:
        """Offer an event no more: it was refused for good. `stuck` lists it."""

        async def mark(connection: Connection) -> None:
            await connection.execute(
                "UPDATE outbox SET attempts = $2, last_error = $3 WHERE id = $1 AND published_at_ms IS NULL",
                event.id,
                ATTEMPTS_MAX,
                error[:500],
            )

        await self._database.repeat(mark)

    async def outdate(self, topic: str, forget: Sequence[str], older_than_ms: int) -> int:
        """Offer old events of a topic no more, and forget the fields that held for a time only; count them."""

        async def mark(connection: Connection) -> int:
            done = await connection.execute(
                "UPDATE outbox SET payload = payload - $2::text[], attempts = greatest(attempts, $4) "
                "WHERE topic = $1 AND created_at_ms < now_ms() - $3 AND payload ?| $2::text[]",
                topic,
                list(forget),
                older_than_ms,
                ATTEMPTS_MAX,
            )
            return int(done.rpartition(" ")[2])

        return await self._database.repeat(mark)

    async def stuck(self, limit: int = 50) -> list[EventRow]:
        """List the events that nobody offers any more, oldest first: an operator must look."""
        records = await self._database.rows(
            f"SELECT {_COLUMNS} FROM outbox WHERE published_at_ms IS NULL AND attempts >= {ATTEMPTS_MAX} "
            "ORDER BY id LIMIT $1",
            limit,
        )
        return to_rows(records, EventRow)

    async def page(self, topic: str, *, cursor: str | None = None, limit: int = 50) -> Page[ShownEvent]:
        """List the events of a topic, newest first, whether or not they have arrived."""
        select = f"SELECT {columns(ShownEvent)} FROM outbox"
        return await read_page(self._database, select, {"topic = {}": topic}, BY_ID, ShownEvent, cursor, limit)

    async def backlog(self) -> tuple[int, int]:
        """Count the unpublished events, and give the age of the oldest in milliseconds."""
        record = await self._database.row(
            "SELECT count(*) AS count, coalesce(now_ms() - min(created_at_ms), 0) AS age_ms "
            "FROM outbox WHERE published_at_ms IS NULL"
        )
        assert record is not None
        return record["count"], record["age_ms"]

    async def forget_published(self, before_ms: Instant) -> int:
        """Delete events that were published before `before_ms`, and the consumers' notes of them; count them."""

        async def forget(connection: Connection) -> int:
            count: int = await connection.fetchval(
                """
                WITH gone AS (DELETE FROM outbox WHERE published_at_ms < $1 RETURNING id),
                notes AS (DELETE FROM consumed_events USING gone WHERE event_id = gone.id)
                SELECT count(*) FROM gone
                """,
                before_ms,
            )
            return count

        return await self._database.repeat(forget)
