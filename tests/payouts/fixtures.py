"""A club and a chain of its own for each test. Asked for with `pytest_plugins`."""

from pathlib import Path

import pytest

from storage.database import Database
from tests.payouts.world import World


@pytest.fixture
async def world(own_database: Database, tmp_path: Path) -> World:
    """Give a club in which payouts need no approval."""
    return await World(own_database, tmp_path).open()
