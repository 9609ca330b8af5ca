"""People: who they are, what they may be, and how they like their screens."""

from typing import Any

import asyncpg
import msgspec

from engine.access.principals import Role
from engine.ids import Instant, UserId
from storage import audit
from storage.database import Connection, Database
from storage.paging import BY_CREATION, Page, read_page
from storage.rows import to_row
from storage.sessions import end_all

ACTIVE = "active"
DISABLED = "disabled"


class EmailTaken(Exception):
    """Another account has this address."""


class UserRow(msgspec.Struct, frozen=True):
    """A person with their profile."""

    id: UserId
    email: str | None
    phone: str | None
    status: str
    display_name: str
    locale: str
    time_zone: str
    theme: str
    preferences: dict[str, Any]
    roles: list[Role]
    created_at_ms: Instant

    @property
    def is_active(self) -> bool:
        """Tell whether they may sign in."""
        return self.status == ACTIVE


_SELECT = (
    "SELECT id, email, phone, status, display_name, locale, time_zone, theme, preferences, created_at_ms, "
    "ARRAY(SELECT role FROM user_roles WHERE user_id = users.id ORDER BY role DESC) AS roles "
    "FROM users JOIN profiles ON profiles.user_id = users.id"
)


async def add_user(
    connection: Connection, user: UserId, display_name: str, email: str | None = None, locale: str = "en"
) -> None:
    """Add a person and their profile; one who is there already stays as they are. Raise `EmailTaken`."""
    try:
        await connection.execute(
            "INSERT INTO users (id, email) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING", user, email
        )
    except asyncpg.UniqueViolationError:
        raise EmailTaken from None
    await connection.execute(
        "INSERT INTO profiles (user_id, display_name, locale) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        user,
        display_name,
        locale,
    )


async def grant_role(connection: Connection, user: UserId, role: Role) -> None:
    """Let a person be something; twice is harmless."""
    await connection.execute(
        "INSERT INTO user_roles (user_id, role) VALUES ($1, $2) ON CONFLICT DO NOTHING", user, role
    )


async def set_email(connection: Connection, user: UserId, email: str) -> None:
    """Write a person's confirmed address; raise `EmailTaken`."""
    try:
        await connection.execute("UPDATE users SET email = $2 WHERE id = $1", user, email)
    except asyncpg.UniqueViolationError:
        raise EmailTaken from None


async def set_profile(connection: Connection, user: UserId, changes: dict[str, str]) -> None:
    """Write what is given of display_name, locale, time_zone and theme."""
    await connection.execute(
        "UPDATE profiles SET display_name = coalesce($2, display_name), locale = coalesce($3, locale), "
        "time_zone = coalesce($4, time_zone), theme = coalesce($5, theme) WHERE user_id = $1",
        user,
        *(changes.get(name) for name in ("display_name", "locale", "time_zone", "theme")),
    )


class Users:
    """The tables of users, profiles and roles."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, user: UserId) -> UserRow | None:
        """Find one person."""
        record = await self._database.row(f"{_SELECT} WHERE id = $1", user)
        return None if record is None else to_row(record, UserRow)

    async def by_email(self, email: str) -> UserRow | None:
        """Find the person with an address; capital letters make no difference."""
        record = await self._database.row(f"{_SELECT} WHERE lower(email) = lower($1)", email)
        return None if record is None else to_row(record, UserRow)

    async def page(self, *, cursor: str | None = None, limit: int = 50) -> Page[UserRow]:
        """List people, newest first."""
        return await read_page(self._database, _SELECT, {}, BY_CREATION, UserRow, cursor, limit)

    async def has_operator(self) -> bool:
        """Tell whether somebody can sign in as the operator."""
        record = await self._database.row(
            "SELECT EXISTS (SELECT FROM credentials JOIN user_roles USING (user_id) WHERE role = 'operator') "
            "AS is_so"
        )
        assert record is not None
        return bool(record["is_so"])

    async def set_status(self, user: UserId, status: str, actor: str) -> UserRow | None:
        """Let a person in, or keep them out and end their sessions; None if nobody is called that."""

        async def write(connection: Connection) -> None:
            before = await connection.fetchval("SELECT status FROM users WHERE id = $1 FOR UPDATE", user)
            if before in (None, status):
                return
            await connection.execute("UPDATE users SET status = $2 WHERE id = $1", user, status)
            if status == DISABLED:
                await end_all(connection, user, "account disabled")
            entry = audit.NewEntry(actor, f"user.{status}", f"user:{user}", before, status)
            await audit.append(connection, [entry])

        await self._database.repeat(write)
        return await self.get(user)

    async def change_profile(self, user: UserId, changes: dict[str, str], actor: str) -> None:
        """Write a changed profile with its audit entry, which names what was changed and not the words."""

        async def write(connection: Connection) -> None:
            await set_profile(connection, user, changes)
            entry = audit.NewEntry(actor, "profile.change", f"user:{user}", after={"changed": sorted(changes)})
            await audit.append(connection, [entry])

        await self._database.repeat(write)
