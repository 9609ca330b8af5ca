"""The bot that most tests of the machine begin with."""

import pytest

from tests.unit.grid.desk import Desk, running


@pytest.fixture
def desk() -> Desk:
    """Run a spot grid of ten intervals."""
    return running()
