"""What people ask of the club, each under an id of their own: asked again, the answer is the same, a "no" too.

A refusal is kept here and in the audit, in the transaction that decided it, so that it can be shown later.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from engine.errors import Refusal
from engine.ids import Instant
from storage import audit
from storage.database import Connection, Database
from storage.paging import Key, Page, read_page
from storage.rows import AlreadyExistsDifferently, columns

T = TypeVar("T")

_BY_TIME = Key(("at_ms", "id"), tuple[int, str])


class Command(msgspec.Struct, frozen=True):
    """Who asks, when, and under which id: the caller's own, unique among what `actor` ever asked."""

    actor: str
    id: str
    at_ms: Instant


class RefusedRow(msgspec.Struct, frozen=True):
    """A wish that our rules refused."""

    actor: str
    id: str
    name: str
    target: str
    content: Any
    refusal: Refusal
    at_ms: Instant


async def once(
    connection: Connection,
    command: Command,
    name: str,
    target: str,
    content: Any,
    work: Callable[[], Awaitable[T | Refusal]],
    again: Callable[[], Awaitable[T]],
) -> T | Refusal:
    """Run `work` for a new command; for one that was given before, repeat the refusal or look it up `again`.

    Call it after the locks that decide the order (the ledger's turn, the row). `work` writes its own audit entry
    when it agrees, and nothing when it refuses. `AlreadyExistsDifferently`: the id belongs to another wish.
    """
    if not await _note(connection, command, name, target, content):
        stored = await _stored(connection, command, name, target, content)
        return await again() if stored is None else stored
    answer = await work()
    if isinstance(answer, Refusal):
        await _keep_refusal(connection, command, name, target, answer)
    return answer


class Refusals:
    """The refused wishes, for people to look at."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, *, target: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> Page[RefusedRow]:
        """List refused wishes, newest first, about one thing or all."""
        refused = "(SELECT * FROM club_command WHERE refusal IS NOT NULL) AS refused"
        select = f"SELECT {columns(RefusedRow)} FROM {refused}"
        return await read_page(
            self._database, select, {"target = {}": target}, _BY_TIME, RefusedRow, cursor, limit
        )


async def _note(connection: Connection, command: Command, name: str, target: str, content: Any) -> bool:
    # Whoever comes second under the same id waits here for the first one's commit.
    done = await connection.execute(
        "INSERT INTO club_command (actor, id, name, target, content, at_ms) VALUES ($1, $2, $3, $4, $5, $6) "
        "ON CONFLICT DO NOTHING",
        command.actor,
        command.id,
        name,
        target,
        content,
        command.at_ms,
    )
    return bool(done == "INSERT 0 1")


async def _stored(
    connection: Connection, command: Command, name: str, target: str, content: Any
) -> Refusal | None:
    record = await connection.fetchrow(
        "SELECT name, target, content, refusal FROM club_command WHERE actor = $1 AND id = $2",
        command.actor,
        command.id,
    )
    assert record is not None
    asked = (name, target, msgspec.json.decode(msgspec.json.encode(content)))
    if (record["name"], record["target"], record["content"]) != asked:
        raise AlreadyExistsDifferently(f"the command {command.id} of {command.actor} was another one before")
    return None if record["refusal"] is None else msgspec.convert(record["refusal"], Refusal, strict=False)


async def _keep_refusal(
    connection: Connection, command: Command, name: str, target: str, refusal: Refusal
) -> None:
    await connection.execute(
        "UPDATE club_command SET refusal = $3 WHERE actor = $1 AND id = $2", command.actor, command.id, refusal
    )
    entry = audit.NewEntry(command.actor, name, target, after={"refused": msgspec.to_builtins(refusal)})
    await audit.append(connection, [entry])
