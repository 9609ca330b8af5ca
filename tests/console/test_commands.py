"""The console without a running program: help, numbers, keys, recordings, and what it says when nothing runs."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.exchanges.paper.catalogue import listings
from adapters.exchanges.paper.feeds.model import ModelFeed
from adapters.exchanges.paper.feeds.recorder import read_events, read_header
from adapters.exchanges.paper.server import PaperVenue
from adapters.secrets import sealed
from api.console.numbers import aligned, duration, percent, plain
from tests.console.program import ROOT, trellis

SECRET = "s3cr3t-of-the-exchange"
PHRASE = "correct horse battery"


def test_help_names_every_command_and_imports_nothing_heavy(tmp_path: Path) -> None:
    answer = trellis(tmp_path, "--help")
    assert answer.returncode == 0
    for command in ("up", "status", "bots", "migrate", "record", "keys"):
        assert f"  {command} " in answer.stdout
    code = (
        "import sys, trellis\n"
        "try: trellis.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'ray', 'aiohttp', 'asyncpg', 'rich', 'msgspec'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "command",
    [
        "up",
        "status",
        "migrate",
        "record",
        "bots list",
        "bots show",
        "bots watch",
        "bots create",
        "bots preview",
        "bots start",
        "bots stop",
        "bots emergency-stop",
        "keys seal",
        "keys check",
    ],
)
def test_every_command_has_examples(tmp_path: Path, command: str) -> None:
    answer = trellis(tmp_path, *command.split(), "--help")
    assert answer.returncode == 0
    assert "Examples:" in answer.stdout


@pytest.mark.parametrize("command", ["status", "bots list", "bots show aaaaaaaa", "bots emergency-stop --all"])
def test_when_nothing_runs_the_console_says_how_to_start(tmp_path: Path, command: str) -> None:
    answer = trellis(tmp_path, *command.split())
    assert answer.returncode == 3
    assert "Trellis is not running: start it with `make run`" in answer.stderr


def test_settings_that_do_not_hold_stop_the_start_with_every_reason(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TRELLIS_FEED=x\nTRELLIS_PLACEMNT=dedicated\n")
    answer = trellis(tmp_path, "up")
    assert answer.returncode == 2
    assert "TRELLIS_FEED: 'x' is not a feed. Allowed: auto, live, model" in answer.stderr
    assert "TRELLIS_PLACEMNT: is not a setting. Allowed: TRELLIS_PLACEMENT" in answer.stderr


def test_an_amount_that_is_no_number_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    grid = ["--upper", "2", "--grids", "2", "--amount", "1"]
    answer = trellis(tmp_path, "bots", "create", "BTCUSDT", "--lower", "NaN", *grid)
    assert answer.returncode == 2
    assert "'NaN' is not a number" in answer.stderr


# ---------------------------------------------------------------------- keys


def test_keys_of_the_environment_are_sealed_and_never_shown(tmp_path: Path) -> None:
    environ = {
        "TRELLIS_KEY_MAIN": "abc",
        "TRELLIS_KEY_MAIN_SECRET": SECRET,
        "TRELLIS_SEALED_KEYS_PASSPHRASE": PHRASE,
    }
    answer = trellis(tmp_path, "keys", "seal", "bybit.sealed", **environ)
    assert answer.returncode == 0
    assert SECRET not in answer.stdout + answer.stderr
    assert PHRASE not in answer.stdout + answer.stderr
    assert trellis(tmp_path, "keys", "seal", **environ).returncode == 0
    for file in ("bybit.sealed", "keys.sealed"):
        opened = sealed.open(tmp_path / file, PHRASE)
        assert {name: key.secret for name, key in opened.items()} == {"main": SECRET}


def test_a_sealed_file_is_opened_with_its_passphrase_only(tmp_path: Path) -> None:
    sealed.seal(tmp_path / "keys", {}, PHRASE)
    environ = {
        "TRELLIS_BYBIT_ENVIRONMENT": "testnet",
        "TRELLIS_SEALED_KEYS": str(tmp_path / "keys"),
        "TRELLIS_SEALED_KEYS_PASSPHRASE": "another passphrase",
    }
    answer = trellis(tmp_path, "keys", "check", **environ)
    assert answer.returncode == 2
    assert "wrong passphrase" in answer.stderr


# ---------------------------------------------------------------------- record


async def test_a_venues_stream_is_recorded_to_one_file_per_market(tmp_path: Path) -> None:
    chosen = listings(["BTCUSDT"])
    venue = PaperVenue(chosen, [ModelFeed([each.instrument for each in chosen], 3)], tmp_path / "venue")
    address = await venue.start("127.0.0.1", 0)
    try:
        arguments = (
            "record",
            "BTCUSDT",
            "--venue",
            address.http,
            "--seconds",
            "4",
            "--folder",
            str(tmp_path / "out"),
        )
        answer = await asyncio.to_thread(trellis, tmp_path, *arguments)
    finally:
        await venue.stop()
    assert answer.returncode == 0, answer.stderr
    files = sorted((tmp_path / "out").iterdir())
    assert [read_header(file).market.value for file in files] == ["linear", "spot"]
    assert all(sum(1 for _ in read_events(file)) > 10 for file in files)
    assert len(answer.stdout.splitlines()) == 2


def test_a_pair_that_is_not_listed_cannot_be_recorded(tmp_path: Path) -> None:
    answer = trellis(tmp_path, "record", "NOPEUSDT")
    assert answer.returncode == 2
    assert "NOPEUSDT: not in the catalogue. Known: " in answer.stderr


# ---------------------------------------------------------------------- migrate


def test_migrate_brings_an_embedded_database_up_to_date_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    first, second = trellis(home, "migrate"), trellis(home, "migrate")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("applied 0001 users")
    assert second.stdout == "The database is up to date.\n"


# ---------------------------------------------------------------------- numbers


def test_numbers_are_exact_and_their_points_stand_below_each_other() -> None:
    texts = aligned(["1234.500000000000000000", "-0.000000000000000001", "0E-18", "7", None], signed=True)
    assert [text.strip() for text in texts] == ["+1,234.5", "-0.000000000000000001", "0", "+7", "–"]
    width = max(map(len, texts))
    points = {text.rjust(width).find(".") for text in texts if "." in text}
    assert len(points) == 1


@pytest.mark.parametrize(
    ("value", "text"), [("0.0015", "+0.15 %"), ("-0.00000003", "-0.000003 %"), ("0E-8", "+0.00 %")]
)
def test_a_small_share_is_not_rounded_to_nothing(value: str, text: str) -> None:
    assert percent(value) == text


@pytest.mark.parametrize(("ms", "text"), [(0, "0 s"), (61_000, "1 min 1 s"), (90_000_000, "1 d 1 h"), (-5, "0 s")])
def test_a_span_is_told_in_its_two_largest_units(ms: int, text: str) -> None:
    assert duration(ms) == text


def test_an_amount_keeps_every_digit() -> None:
    assert plain("40657.302000000000000001") == "40,657.302000000000000001"
