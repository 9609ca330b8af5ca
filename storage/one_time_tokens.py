"""Tokens that open one door once. Only their hashes are stored; taking one is deleting it."""

from typing import Any

import msgspec

from engine.access.one_time import LIFE_MS, Purpose
from engine.ids import UserId
from storage.database import Connection, Database
from storage.rows import to_row


class OneTimeToken(msgspec.Struct, frozen=True):
    """What a token was given for."""

    user_id: UserId | None
    email: str
    payload: dict[str, Any]

    def __repr__(self) -> str:
        return f"OneTimeToken(user_id={self.user_id!r}, ***)"


async def put(
    connection: Connection,
    purpose: Purpose,
    token_hash: bytes,
    *,
    user: UserId | None = None,
    email: str = "",
    payload: dict[str, Any] | None = None,
) -> None:
    """Write a token. A newer one of a person's replaces the older of the same purpose."""
    await connection.execute("DELETE FROM one_time_tokens WHERE expires_at_ms < now_ms()")
    if user is not None:
        await connection.execute("DELETE FROM one_time_tokens WHERE user_id = $1 AND purpose = $2", user, purpose)
    await connection.execute(
        "INSERT INTO one_time_tokens (hash, purpose, user_id, email, payload, expires_at_ms) "
        "VALUES ($1, $2, $3, $4, $5, now_ms() + $6)",
        token_hash,
        purpose,
        user,
        email,
        payload or {},
        LIFE_MS[purpose],
    )


async def take(connection: Connection, purpose: Purpose, token_hash: bytes) -> OneTimeToken | None:
    """Use a token up, in the transaction of what it opens; None if there is none of this purpose."""
    record = await connection.fetchrow(
        "DELETE FROM one_time_tokens WHERE hash = $1 AND purpose = $2 AND expires_at_ms > now_ms() "
        "RETURNING user_id, email, payload",
        token_hash,
        purpose,
    )
    return None if record is None else to_row(record, OneTimeToken)


async def owner(database: Database, purpose: Purpose, token_hash: bytes) -> UserId | None:
    """Look whose token it is without using it up; None if it is nobody's."""
    record = await database.row(
        "SELECT user_id FROM one_time_tokens WHERE hash = $1 AND purpose = $2 AND expires_at_ms > now_ms()",
        token_hash,
        purpose,
    )
    return None if record is None else record["user_id"]


async def forget(connection: Connection, user: UserId) -> None:
    """Drop every token of a person: their password or address has changed."""
    await connection.execute("DELETE FROM one_time_tokens WHERE user_id = $1", user)
