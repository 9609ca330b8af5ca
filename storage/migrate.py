"""Bring a database to the shape that this code expects, forward only.

It decides which of the numbered files beside it are still to be applied, and refuses a database whose history
is not ours: an old file that was edited, or a newer program's tables. It never undoes anything.
"""

import hashlib
import logging
import re
import time
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import msgspec

from storage.database import Database, sorted_errors

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LIMIT_S = 600.0
_LOCK_KEY = 0x7472_656C_6C69_7331
_FILE_NAME = re.compile(r"(\d{4})_([a-z_]+)\.sql")

_HISTORY = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    word       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    took_ms    bigint NOT NULL
)"""


class MigrationRefused(Exception):
    """The database does not fit this program's files, or may not be changed by us; the message says where."""


class Migration(msgspec.Struct, frozen=True):
    """One numbered step."""

    version: int
    word: str
    sql: str

    @property
    def checksum(self) -> str:
        """Give the fingerprint that is stored when the step is applied."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


async def migrate(database: Database, folder: Path = MIGRATIONS) -> list[Migration]:
    """Apply what is missing, each step in its own transaction, and return the steps applied now.

    Two programs that start together take turns; the second finds nothing to do. After `Retryable` call it again:
    a step is applied and noted, or neither.
    """
    steps = read_migrations(folder)
    connection = await database.dedicated()
    try:
        with sorted_errors():
            await connection.execute(
                "SET statement_timeout = 0; SET lock_timeout = 0; SET transaction_timeout = 0"
            )
            await connection.execute("SELECT pg_advisory_lock($1)", _LOCK_KEY, timeout=MIGRATION_LIMIT_S)
            await connection.execute(_HISTORY)
            missing = steps[await _applied(connection, steps) :]
            for step in missing:
                await _apply(connection, step)
            return missing
    except asyncpg.InsufficientPrivilegeError as error:
        # Since PostgreSQL 15 only a database's owner may create tables in its schema `public`.
        raise MigrationRefused(f"{error}: make the user of DATABASE_URL the owner of the database") from error
    finally:
        # Ends the session, and with it the advisory lock.
        connection.terminate()


def read_migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """Read the steps in order; raise `MigrationRefused` when a number is missing or double."""
    steps = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationRefused(f"{path.name} is not named like 0001_word.sql")
        # Universal newlines: a checkout on another system must not change the checksum.
        steps.append(Migration(int(match[1]), match[2], path.read_text(encoding="utf-8")))
    numbers = [step.version for step in steps]
    if numbers != list(range(1, len(steps) + 1)):
        raise MigrationRefused(f"migrations must be numbered 1, 2, 3 … without gaps; found {numbers}")
    return steps


async def _applied(connection: "asyncpg.Connection[asyncpg.Record]", steps: Sequence[Migration]) -> int:
    history = await connection.fetch("SELECT version, word, checksum FROM schema_migrations ORDER BY version")
    if len(history) > len(steps):
        newest = history[-1]
        raise MigrationRefused(
            f"the database is newer than this program: it has step {newest['version']} ({newest['word']}), "
            f"the program knows {len(steps)}; start the newer program"
        )
    for row, step in zip(history, steps, strict=False):
        if row["version"] != step.version or row["checksum"] != step.checksum:
            raise MigrationRefused(
                f"step {step.version} ({step.word}) differs from what was applied to this database; "
                "applied steps are never edited: put the file back and add a new one"
            )
    return len(history)


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", step: Migration) -> None:
    started = time.perf_counter()
    async with connection.transaction():
        await connection.execute(step.sql, timeout=MIGRATION_LIMIT_S)
        took_ms = int((time.perf_counter() - started) * 1000)
        await connection.execute(
            "INSERT INTO schema_migrations (version, word, checksum, took_ms) VALUES ($1, $2, $3, $4)",
            step.version,
            step.word,
            step.checksum,
            took_ms,
        )
    log.info("migration.applied version=%s word=%s took_ms=%s", step.version, step.word, took_ms)
