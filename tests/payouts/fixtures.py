"""A club and a chain of its own for each test. Asked for with `pytest_plugins`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.database import Database
from tests.payouts.world import World


@pytest.fixture
async def world(own_database: Database, tmp_path: Path) -> AsyncIterator[World]:
    """Give a club in which payouts need no approval; at the end its books must hold."""
    opened = await World(own_database, tmp_path).open()
    yield opened
    await opened.check()
