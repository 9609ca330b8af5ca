"""What the console says to mistakes: which thing is wrong and what to do, in a line and never in a traceback."""

import asyncio
import io
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from rich.console import Console

from adapters.secrets import sealed
from api.console.show import BotList
from storage.embedded import EmbeddedPostgres
from tests.console.program import trellis

KEY = {"TRELLIS_KEY_MAIN": "abc", "TRELLIS_KEY_MAIN_SECRET": "s3cr3t-of-the-exchange"}


@pytest.mark.parametrize("command", ["up", "migrate", "bots list", "keys seal"])
def test_a_home_that_is_no_folder_is_told_by_its_name(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").touch()
    answer = trellis(tmp_path, *command.split(), TRELLIS_HOME=str(tmp_path / "file"), **KEY)
    assert answer.returncode == 1
    assert f"Trellis cannot keep its state in {tmp_path / 'file'}: " in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_port_that_is_taken_is_known_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = trellis(tmp_path, "up", TRELLIS_API_PORT=str(port))
    assert answer.returncode == 1
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use. TRELLIS_API_PORT" in answer.stderr
    assert not (tmp_path / "postgres").exists()


def make_folder(path: Path) -> None:
    path.mkdir()


def write_latin(path: Path) -> None:
    path.write_bytes("PASSWORD=gr\xfc\xdfe".encode("latin-1"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(make_folder, ".env cannot be read: Is a directory"), (write_latin, ".env is not UTF-8 text")],
)
def test_a_dotenv_file_that_cannot_be_read_is_told(
    tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(tmp_path / ".env")
    answer = trellis(tmp_path, "status")
    assert answer.returncode == 2
    assert answer.stderr == words + "\n"


def test_a_sealed_file_that_does_not_open_is_known_before_anything_starts(tmp_path: Path) -> None:
    sealed.seal(tmp_path / "keys", {}, "correct horse battery")
    environ = {
        "TRELLIS_SEALED_KEYS": str(tmp_path / "keys"),
        "TRELLIS_SEALED_KEYS_PASSPHRASE": "another passphrase",
    }
    answer = trellis(tmp_path, "up", TRELLIS_BYBIT_ENVIRONMENT="testnet", **environ)
    assert answer.returncode == 2
    assert "TRELLIS_SEALED_KEYS: keys does not open: wrong passphrase" in answer.stderr
    assert not (tmp_path / "postgres").exists()


def test_keys_are_not_asked_for_when_their_file_cannot_be_written(tmp_path: Path) -> None:
    answer = trellis(tmp_path, "keys", "seal", "nowhere/keys.sealed")
    assert answer.returncode == 2
    assert answer.stderr == "nowhere is not a folder: make it first.\n"


# ---------------------------------------------------------------------- a database of one's own


async def test_a_database_that_does_not_exist_is_told_in_its_servers_words(
    tmp_path: Path, postgres_server: EmbeddedPostgres
) -> None:
    dsn = postgres_server.dsn.replace("/trellis?", "/nobody_made_me?")
    answer = await asyncio.to_thread(trellis, tmp_path, "migrate", DATABASE_URL=dsn)
    assert answer.returncode == 1
    assert 'refuses the connection: database "nobody_made_me" does not exist. Check DATABASE_URL' in answer.stderr
    assert "Traceback" not in answer.stderr


async def test_a_user_who_may_make_no_tables_is_told_what_is_missing(
    tmp_path: Path, postgres_server: EmbeddedPostgres
) -> None:
    connection = await asyncpg.connect(postgres_server.dsn)
    try:
        await connection.execute("CREATE ROLE guest LOGIN")
        dsn = postgres_server.dsn.replace("//trellis@", "//guest@")
        answer = await asyncio.to_thread(trellis, tmp_path, "migrate", DATABASE_URL=dsn)
        await connection.execute("DROP ROLE guest")
    finally:
        await connection.close()
    assert answer.returncode == 1
    assert "permission denied for schema public: make the user of DATABASE_URL the owner" in answer.stderr


def test_an_option_that_no_database_address_has_is_told(tmp_path: Path) -> None:
    answer = trellis(tmp_path, "migrate", DATABASE_URL="postgresql://me@127.0.0.1/x?sslmode=banana")
    assert answer.returncode == 1
    assert "`sslmode` parameter must be one of" in answer.stderr
    assert "Traceback" not in answer.stderr


# ---------------------------------------------------------------------- recording, listing


def test_a_recording_of_nothing_is_a_failure_and_leaves_no_file(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        address = f"http://127.0.0.1:{once.getsockname()[1]}"
    answer = trellis(tmp_path, "record", "BTCUSDT", "--venue", address, "--seconds", "0.5")
    assert answer.returncode == 1
    assert f"{address} told of no trade and no book in that time; nothing was recorded." in answer.stderr
    assert list((tmp_path / "recordings").iterdir()) == []


def test_a_venue_that_is_no_address_is_refused(tmp_path: Path) -> None:
    answer = trellis(tmp_path, "record", "BTCUSDT", "--venue", "nonsense")
    assert answer.returncode == 2
    assert "'nonsense' is not like http://127.0.0.1:8123" in answer.stderr


@pytest.mark.parametrize("width", [70, 80, 100, 120, 200])
def test_however_narrow_the_terminal_a_bots_id_and_total_are_whole(width: int) -> None:
    screen = io.StringIO()
    Console(width=width, file=screen).print(BotList({"items": [a_bot()]}))
    text = screen.getvalue()
    assert "u2ucfmpg" in text
    assert "-1.71286527258" in text
    assert "…" not in text


def a_bot() -> dict[str, Any]:
    """Make a bot as the API lists it."""
    return {
        "id": "u2ucfmpg",
        "name": "A name as long as people like to give",
        "config": {"symbol": "BTCUSDT", "direction": "spot", "grids": 18},
        "status": "running",
        "desired": "running",
        "live": True,
        "feed": "model: seed 7",
        "price": "61807.21",
        "open_orders": 18,
        "profit": {"grid_profit": "0", "floating": "0.80176199544", "total": "-1.71286527258", "roi": "-0.0003"},
    }
