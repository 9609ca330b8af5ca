"""Folders for whole installations."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that PostgreSQL's own account may pass through, which pytest's are not."""
    path = Path(tempfile.mkdtemp(prefix="trellis-test-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)
