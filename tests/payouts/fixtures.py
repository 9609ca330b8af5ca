"""A fresh database and a fresh chain for each test. Asked for with `pytest_plugins`."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from storage.database import Database
from storage.embedded import EmbeddedPostgres
from tests.payouts.world import World

_numbers = itertools.count(1)


@pytest.fixture
async def own_dsn(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """Give the test a migrated database of its own."""
    name = f"payouts_{next(_numbers)}"
    await execute(postgres_server.dsn, f"CREATE DATABASE {name} TEMPLATE migrated")
    yield postgres_server.dsn.replace("@/trellis?", f"@/{name}?")
    await execute(postgres_server.dsn, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def own_database(own_dsn: str) -> AsyncIterator[Database]:
    """Open it."""
    async with Database(own_dsn, pool_size=6, name="payouts") as opened:
        yield opened


@pytest.fixture
async def world(own_database: Database, tmp_path: Path) -> AsyncIterator[World]:
    """Give a club in which payouts need no approval; at the end its books must hold."""
    opened = await World(own_database, tmp_path).open()
    yield opened
    await opened.check()


async def execute(dsn: str, sql: str) -> None:
    """Run one statement outside any transaction."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
