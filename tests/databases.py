"""Databases for tests, copied in no time from one that is migrated already."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from storage.embedded import EmbeddedPostgres

TEMPLATE = "migrated"

_numbers = itertools.count(1)


@asynccontextmanager
async def migrated_copy(server: EmbeddedPostgres) -> AsyncIterator[str]:
    """Make a database, give its dsn, and take it away in the end."""
    name = f"test_{next(_numbers)}"
    await execute(server.dsn, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield named(server.dsn, name)
    await execute(server.dsn, f"DROP DATABASE {name} WITH (FORCE)")


def named(dsn: str, database: str) -> str:
    """Give the dsn of another database of the same server."""
    return dsn.replace("@/trellis?", f"@/{database}?")


async def execute(dsn: str, sql: str) -> None:
    """Run one statement outside any transaction."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
