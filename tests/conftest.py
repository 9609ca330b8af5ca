"""What every test may ask for: a real PostgreSQL server, started once, and a migrated database of its own."""

import logging
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from actors.cluster import Cluster
from actors.settings import load
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from tests.databases import TEMPLATE, execute, migrated_copy, named
from tests.invariants import assert_books_hold

if TYPE_CHECKING:
    from tests.api.conftest import Api


@pytest.fixture(scope="session")
async def postgres_server() -> AsyncIterator[EmbeddedPostgres]:
    """Start one embedded server for the session. A test that stops or kills servers starts its own."""
    logging.getLogger("storage.migrate").setLevel(logging.WARNING)
    # Not pytest's own temporary folder: it is closed to the account that PostgreSQL runs under when we are root.
    home = Path(tempfile.mkdtemp(prefix="trellis-test-"))
    server = EmbeddedPostgres(home)
    try:
        await server.start()
        await execute(server.dsn, f"CREATE DATABASE {TEMPLATE}")
        async with Database(named(server.dsn, TEMPLATE), pool_size=1) as template:
            await migrate(template)
        yield server
    finally:
        await server.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
async def postgres_dsn(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """Give each test module a migrated database of its own."""
    async with migrated_copy(postgres_server) as dsn:
        yield dsn


@pytest.fixture(scope="module")
async def database(postgres_dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """Open the module's database. If money moved in it, the books must hold in the end."""
    async with Database(postgres_dsn, pool_size=8, name="tests") as opened:
        yield opened
        await _look_at_the_books(opened, request)


@pytest.fixture
async def own_dsn(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """Give the test a migrated database of its own."""
    async with migrated_copy(postgres_server) as dsn:
        yield dsn


@pytest.fixture
async def own_database(own_dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """Open the test's own database. If money moved in it, the books must hold in the end."""
    async with Database(own_dsn, pool_size=6, name="a test") as opened:
        yield opened
        await _look_at_the_books(opened, request)


async def _look_at_the_books(database: Database, request: pytest.FixtureRequest) -> None:
    moved = await database.value("SELECT EXISTS (SELECT FROM ledger_transfer)")
    if moved and request.node.get_closest_marker("tampers") is None:
        await assert_books_hold(database)


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
