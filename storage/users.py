"""People: who they are and how they like their screens."""

from typing import Any

import msgspec

from engine.ids import Instant, UserId
from storage.database import Connection, Database
from storage.rows import to_row


class UserRow(msgspec.Struct, frozen=True):
    """A person with their profile."""

    id: UserId
    email: str | None
    phone: str | None
    status: str
    display_name: str
    locale: str
    time_zone: str
    preferences: dict[str, Any]
    created_at_ms: Instant


async def add_user(connection: Connection, user: UserId, display_name: str, email: str | None = None) -> None:
    """Add a person and their profile; one who is there already stays as they are."""
    await connection.execute(
        "INSERT INTO users (id, email) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING", user, email
    )
    await connection.execute(
        "INSERT INTO profiles (user_id, display_name) VALUES ($1, $2) ON CONFLICT (user_id) DO NOTHING",
        user,
        display_name,
    )


class Users:
    """The tables of users and profiles."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, user: UserId) -> UserRow | None:
        """Find one person."""
        record = await self._database.row(
            "SELECT id, email, phone, status, display_name, locale, time_zone, preferences, created_at_ms "
            "FROM users JOIN profiles ON profiles.user_id = users.id WHERE id = $1",
            user,
        )
        return None if record is None else to_row(record, UserRow)
