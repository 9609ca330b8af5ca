"""The dependency rule as a test: a folder imports only the folders listed for it, and in actors only the wiring
names concrete exchanges."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT = {
    "engine": set(),
    "adapters": {"engine"},
    "storage": {"engine"},
    "actors": {"engine", "adapters", "storage"},
    "api": {"engine", "storage", "actors"},
    "bots": {"engine", "storage", "actors"},
    "benchmarks": {"engine", "adapters", "storage", "actors", "api"},
}

ENGINE_LIBRARIES = {"msgspec"}

MAY_KNOW_DATES = {
    "engine/settlement/calendar.py": "time zones need the types of datetime; none of its clocks is asked",
}

MAY_NAME_A_CHAIN = {
    "actors/tron_devnet.py": "the actor around the demo's TRON, which is a product of its own",
    "actors/devnet_cli.py": "the command that runs a devnet by itself",
}

MAY_NAME_AN_EXCHANGE = {
    "actors/wiring.py": "the one place that chooses",
    "actors/paper_venue.py": "the actor around the paper venue itself, which is a product of its own",
    "actors/cli.py": "commands about one exchange: check a key, record its stream",
}


def modules_imported(path: Path) -> Iterator[str]:
    """Give the full name of every module that a file imports, at its top or deep inside."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            yield ".".join((*package, *((node.module,) if node.module else ())))


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_only_the_folders_below_it(folder: str) -> None:
    for path in python_files(folder):
        ours = {name.split(".")[0] for name in modules_imported(path)} & MAY_IMPORT.keys() - {folder}
        assert ours <= MAY_IMPORT[folder], f"{path.relative_to(ROOT)} reaches out to {ours - MAY_IMPORT[folder]}"


def test_nothing_imports_the_tests_or_the_console() -> None:
    for folder in MAY_IMPORT:
        for path in python_files(folder):
            outside = {name.split(".")[0] for name in modules_imported(path)} & {"tests", "trellis"}
            assert not outside, f"{path.relative_to(ROOT)} imports {outside}"


def test_the_engine_needs_only_the_standard_library_and_msgspec() -> None:
    for path in python_files("engine"):
        names = {name.split(".")[0] for name in modules_imported(path)}
        outside = names - sys.stdlib_module_names - ENGINE_LIBRARIES - {"engine"}
        assert not outside, f"{path.relative_to(ROOT)} imports {outside}"


def test_the_engine_has_no_clock_no_randomness_and_no_input_or_output() -> None:
    """A module that could read them is not imported, so no rule can depend on them."""
    forbidden = {"time", "random", "secrets", "asyncio", "socket", "os", "io", "logging", "threading", "datetime"}
    for path in python_files("engine"):
        used = {name.split(".")[0] for name in modules_imported(path)} & forbidden
        if path.relative_to(ROOT).as_posix() in MAY_KNOW_DATES:
            assert not {"now", "today", "utcnow"} & {
                node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
            }
            used -= {"datetime"}
        assert not used, f"{path.relative_to(ROOT)} imports {used}"


def test_only_the_wiring_knows_concrete_exchanges() -> None:
    for path in python_files("actors"):
        if path.relative_to(ROOT).as_posix() in MAY_NAME_AN_EXCHANGE:
            continue
        named = {name for name in modules_imported(path) if name.startswith("adapters.exchanges")}
        assert not named, f"{path.relative_to(ROOT)} names {named}: ask for a port, and choose in actors/wiring.py"


def test_only_the_registry_knows_concrete_chains() -> None:
    for path in python_files("actors"):
        if path.relative_to(ROOT).as_posix() in MAY_NAME_A_CHAIN:
            continue
        named = {name for name in modules_imported(path) if name.startswith("adapters.chains.tron")}
        assert not named, (
            f"{path.relative_to(ROOT)} names {named}: ask for a port, adapters/chains/registry.py opens it"
        )
