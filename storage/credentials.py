"""How people prove who they are: password hashes, sealed seeds of one-time codes, recovery codes, wrong guesses.

Nothing here can be turned back into what a person types. What a code must look like is decided elsewhere.
"""

from collections.abc import Sequence

import msgspec

from engine.ids import Instant, UserId
from storage.database import Connection, Database
from storage.rows import columns, to_row


class CredentialRow(msgspec.Struct, frozen=True):
    """What a person's answers are compared with."""

    user_id: UserId
    password_hash: str
    totp_sealed: bytes | None
    totp_active: bool
    totp_last_step: int

    def __repr__(self) -> str:
        return f"CredentialRow({self.user_id!r}, ***)"


class FailureRow(msgspec.Struct, frozen=True):
    """How often somebody guessed wrong, and when last, by the database's clock."""

    failures: int
    last_at_ms: Instant
    now_ms: Instant


async def set_password(connection: Connection, user: UserId, password_hash: str) -> None:
    """Write a new password hash."""
    await connection.execute(
        "INSERT INTO credentials (user_id, password_hash) VALUES ($1, $2) "
        "ON CONFLICT (user_id) DO UPDATE SET password_hash = $2, changed_at_ms = now_ms()",
        user,
        password_hash,
    )


async def put_totp(connection: Connection, user: UserId, sealed: bytes) -> None:
    """Keep a new seed that is not in force yet; a seed in force stays."""
    await connection.execute(
        "UPDATE credentials SET totp_sealed = $2, totp_last_step = 0 WHERE user_id = $1 AND NOT totp_active",
        user,
        sealed,
    )


async def activate_totp(connection: Connection, user: UserId, code_hashes: Sequence[bytes]) -> None:
    """Ask for one-time codes from now on, with recovery codes for the day the device is lost."""
    await connection.execute("UPDATE credentials SET totp_active = true WHERE user_id = $1", user)
    await connection.execute("DELETE FROM recovery_codes WHERE user_id = $1", user)
    await connection.execute(
        "INSERT INTO recovery_codes (user_id, hash) SELECT $1, unnest($2::bytea[])", user, list(code_hashes)
    )


async def drop_totp(connection: Connection, user: UserId) -> None:
    """Ask for one-time codes no more."""
    await connection.execute(
        "UPDATE credentials SET totp_active = false, totp_sealed = NULL, totp_last_step = 0 WHERE user_id = $1",
        user,
    )
    await connection.execute("DELETE FROM recovery_codes WHERE user_id = $1", user)


async def use_totp_step(connection: Connection, user: UserId, step: int) -> bool:
    """Use up a code's time step; False if it, or a later one, was used before."""
    done = await connection.execute(
        "UPDATE credentials SET totp_last_step = $2 WHERE user_id = $1 AND totp_last_step < $2", user, step
    )
    return bool(done == "UPDATE 1")


async def use_recovery_code(connection: Connection, user: UserId, code_hash: bytes) -> bool:
    """Use up a recovery code; False if it is none, or was used before."""
    done = await connection.execute(
        "UPDATE recovery_codes SET used_at_ms = now_ms() WHERE user_id = $1 AND hash = $2 AND used_at_ms IS NULL",
        user,
        code_hash,
    )
    return bool(done == "UPDATE 1")


class Credentials:
    """The tables of credentials, recovery codes and wrong guesses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, user: UserId) -> CredentialRow | None:
        """Find a person's credentials."""
        record = await self._database.row(
            f"SELECT {columns(CredentialRow)} FROM credentials WHERE user_id = $1", user
        )
        return None if record is None else to_row(record, CredentialRow)

    async def failures(self, key: bytes) -> FailureRow | None:
        """Tell how often a guesser was wrong."""
        record = await self._database.row(
            "SELECT failures, last_at_ms, now_ms() AS now_ms FROM sign_in_failures WHERE key = $1", key
        )
        return None if record is None else to_row(record, FailureRow)

    async def note_failure(self, key: bytes, forget_before_ms: int) -> int:
        """Count a wrong guess and give how many there are; those of long ago are forgotten."""

        async def note(connection: Connection) -> int:
            await connection.execute(
                "DELETE FROM sign_in_failures WHERE last_at_ms < now_ms() - $1", forget_before_ms
            )
            count: int = await connection.fetchval(
                "INSERT INTO sign_in_failures (key, failures, last_at_ms) VALUES ($1, 1, now_ms()) "
                "ON CONFLICT (key) DO UPDATE SET failures = sign_in_failures.failures + 1, last_at_ms = now_ms() "
                "RETURNING failures",
                key,
            )
            return count

        return await self._database.repeat(note)

    async def forget_failures(self, key: bytes) -> None:
        """Begin to count anew, after a right answer."""
        await self._database.rows("DELETE FROM sign_in_failures WHERE key = $1", key)
