"""One database per module of scenarios, and a world of its own for each test."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from actors import wiring
from storage.database import Database
from storage.seed import seed
from tests.scenarios.world import World, a_world


@pytest.fixture(autouse=True)
def leave_the_logs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave logging to pytest: hosts run in this process here."""
    monkeypatch.setattr(wiring, "set_up_logging", lambda home, level: None)


@pytest.fixture
def home() -> Iterator[Path]:
    """Give a home folder with a short path."""
    path = Path(tempfile.mkdtemp(prefix="trellis-home-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
async def seeded(database: Database) -> Database:
    """Give the module's database with its operator and paper account."""
    await seed(database)
    return database


@pytest.fixture
async def world(seeded: Database, postgres_dsn: str, home: Path) -> AsyncIterator[World]:
    """Give a venue, an account and a plan for hosts."""
    async with a_world(seeded, postgres_dsn, home) as opened:
        yield opened
