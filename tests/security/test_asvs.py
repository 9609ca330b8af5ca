"""The security list is whole, and every test that it names exists."""

import ast
from pathlib import Path

import pytest

from tests.security.asvs import LINES, Line

ROOT = Path(__file__).parents[2]


def test_every_line_of_the_list_is_there_once() -> None:
    assert [line.number for line in LINES] == list(range(1, 53))
    ids = [each for line in LINES for each in line.ids]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("line", LINES, ids=lambda line: "+".join(line.ids))
def test_a_line_is_held_by_tests_that_exist_or_says_when_it_comes(line: Line) -> None:
    assert line.tests or line.later
    for test in line.tests:
        file, _, name = test.partition("::")
        assert name in _names_in(ROOT / file), test


def _names_in(path: Path) -> set[str]:
    """Give the names of a file's tests."""
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
