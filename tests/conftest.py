"""What every test may ask for: a real PostgreSQL server, started once, and a migrated database of its own."""

import itertools
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from actors.cluster import Cluster
from actors.settings import load
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate

if TYPE_CHECKING:
    from tests.api.conftest import Api

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
async def postgres_server() -> AsyncIterator[EmbeddedPostgres]:
    """Start one embedded server for the session. A test that stops or kills servers starts its own."""
    logging.getLogger("storage.migrate").setLevel(logging.WARNING)
    # Not pytest's own temporary folder: it is closed to the account that PostgreSQL runs under when we are root.
    home = Path(tempfile.mkdtemp(prefix="trellis-test-"))
    server = EmbeddedPostgres(home)
    try:
        await server.start()
        await _execute(server.dsn, "CREATE DATABASE migrated")
        async with Database(_named(server.dsn, "migrated"), pool_size=1) as template:
            await migrate(template)
        yield server
    finally:
        await server.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
async def postgres_dsn(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """Give each test module a migrated database of its own."""
    name = f"test_{next(_numbers)}"
    await _execute(postgres_server.dsn, f"CREATE DATABASE {name} TEMPLATE migrated")
    yield _named(postgres_server.dsn, name)
    await _execute(postgres_server.dsn, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
async def database(postgres_dsn: str) -> AsyncIterator[Database]:
    """Open the module's database."""
    async with Database(postgres_dsn, pool_size=8, name="tests") as opened:
        yield opened


@pytest.fixture(scope="session")
async def ray_cluster() -> AsyncIterator[Cluster]:
    """Start one local Ray for the session: it takes seconds. Only one program of actors runs on it at a time."""
    home = Path(tempfile.mkdtemp(prefix="trellis-ray-"))
    cluster = Cluster(load({"TRELLIS_HOME": str(home)}))
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
async def api(ray_cluster: Cluster) -> AsyncIterator["Api"]:
    """Start an installation with its API once for all who ask; it is the one program on the session's Ray."""
    # Imported here: the unit tests need nothing of it, and it takes a second.
    from tests.api.conftest import an_installation

    async with an_installation() as caller:
        yield caller


def _named(dsn: str, name: str) -> str:
    return dsn.replace("@/trellis?", f"@/{name}?")


async def _execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
