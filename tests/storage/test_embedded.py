"""The embedded server: killed, left behind, fought over, and in awkward places, it starts and loses nothing."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]
import pytest

from engine.errors import Retryable
from storage import embedded
from storage.bots import Bots, NewBot
from storage.database import Connection, Database, DatabaseRefused
from storage.embedded import (
    SOCKET_NAME,
    SOCKET_PATH_BYTES_MAX,
    SUPERUSER,
    EmbeddedPostgres,
    EmbeddedPostgresError,
)
from storage.journal import Journal, JournalBatch
from storage.leases import Leases, bot_lease
from storage.migrate import migrate
from storage.seed import OPERATOR, PAPER_ACCOUNT, seed
from storage.system_account import as_user, file_owner, let_pass, let_read, make_private_dir
from tests.factories import new_bot_id
from tests.storage.conftest import CONFIG, entries

OWNER_PROGRAM = """
import asyncio, sys
from pathlib import Path
from storage.embedded import EmbeddedPostgres
async def main():
    server = EmbeddedPostgres(Path(sys.argv[1]))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def initialised() -> Iterator[Path]:
    """Make one stopped cluster that the tests copy: initdb is the slow part."""
    home = Path(tempfile.mkdtemp(prefix="trellis-test-"))
    asyncio.run(_start_and_stop(home))
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
async def server(initialised: Path) -> AsyncIterator[EmbeddedPostgres]:
    """Give a started server of the test's own, which it may kill."""
    with _copy_of(initialised) as home:
        one = EmbeddedPostgres(home)
        await one.start()
        try:
            yield one
        finally:
            await one.stop()


async def _start_and_stop(home: Path) -> None:
    async with EmbeddedPostgres(home):
        pass


@contextmanager
def _copy_of(initialised: Path, parent: Path | None = None) -> Iterator[Path]:
    top = Path(tempfile.mkdtemp(prefix="trellis-test-"))
    home = top if parent is None else top / parent
    home.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", f"{initialised}/cluster", str(home)], check=True)
    try:
        yield home
    finally:
        shutil.rmtree(top, ignore_errors=True)


async def _query(dsn: str, sql: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_the_first_start_makes_a_database_that_only_we_can_reach(initialised: Path) -> None:
    with _copy_of(initialised) as home:
        async with EmbeddedPostgres(home) as server:
            assert await _query(server.dsn, "SELECT current_database()") == "trellis"
            assert await _query(server.dsn, "SHOW listen_addresses") == ""
            assert await _query(server.dsn, "SHOW fsync") == "on"
            folder = home / "socket"
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert stat.S_IMODE((folder / SOCKET_NAME).stat().st_mode) == 0o700


async def test_starting_twice_and_stopping_twice_is_harmless(server: EmbeddedPostgres) -> None:
    pid = server.pid
    assert await server.start() == server.dsn
    assert server.pid == pid
    await server.stop()
    await server.stop()
    assert server.pid is None


async def test_stopping_does_not_wait_for_open_transactions(server: EmbeddedPostgres) -> None:
    async with Database(server.dsn, name="left open") as database:
        with suppress(Retryable):
            async with database.transaction() as connection:
                await connection.execute("CREATE TABLE never (n int)")
                await asyncio.wait_for(server.stop(), 10)
    await server.start()
    assert await _query(server.dsn, "SELECT to_regclass('never')") is None


async def test_a_killed_server_starts_again_with_every_committed_row(server: EmbeddedPostgres) -> None:
    async with Database(server.dsn) as database:
        await database.rows("CREATE TABLE kept (n int)")
        await database.rows("INSERT INTO kept SELECT generate_series(1, 1000)")
        _kill(server)
        # At once: the dead process is still a zombie, and its children still leave.
        await server.start()
        assert await database.value("SELECT count(*) FROM kept") == 1000


async def test_five_kills_in_a_row_are_survived(server: EmbeddedPostgres) -> None:
    for _ in range(5):
        _kill(server)
        await server.start()
        assert await _query(server.dsn, "SELECT 1") == 1


async def test_a_server_that_dies_is_started_again_by_its_keeper(server: EmbeddedPostgres) -> None:
    keeper = asyncio.create_task(server.keep_running(look_every_s=0.05))
    try:
        async with Database(server.dsn) as database:
            _kill(server)
            assert await database.value("SELECT 42", within_s=20) == 42
    finally:
        keeper.cancel()


async def test_the_keeper_tries_again_after_a_start_that_failed(server: EmbeddedPostgres) -> None:
    settings = server._home / "cluster" / "postgresql.conf"
    kept = settings.read_text()
    keeper = asyncio.create_task(server.keep_running(look_every_s=0.05))
    try:
        async with Database(server.dsn) as database:
            settings.write_text(kept + "nonsense = 1\n")
            _kill(server)
            await asyncio.sleep(0.5)
            with pytest.raises(Retryable):
                await database.value("SELECT 42", within_s=0)
            settings.write_text(kept)
            assert await database.value("SELECT 42", within_s=20) == 42
    finally:
        keeper.cancel()


async def test_the_keeper_leaves_a_stopped_server_alone(server: EmbeddedPostgres) -> None:
    keeper = asyncio.create_task(server.keep_running(look_every_s=0.01))
    await server.stop()
    await asyncio.sleep(0.3)
    keeper.cancel()
    assert server.pid is None


async def test_a_journal_goes_on_through_kills_of_the_server(server: EmbeddedPostgres) -> None:
    keeper = asyncio.create_task(server.keep_running(look_every_s=0.05))
    try:
        async with Database(server.dsn) as database:
            await migrate(database)
            await seed(database)
            bot = new_bot_id()
            await Bots(database).create(NewBot(bot, OPERATOR, PAPER_ACCOUNT, "grid", CONFIG), "test")
            lease = await Leases(database).acquire(bot_lease(bot), "holder", 600_000)
            assert lease is not None
            for last in range(10, 310, 10):
                if last % 100 == 50:
                    # The keeper learns of its own restart a moment after the journal does.
                    while server.pid is None:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                    _kill(server)
                batch = JournalBatch(entries(last - 9, last))
                await Journal(database).append_batch(bot, lease.epoch, batch, within_s=20)
            assert (await Journal(database).load(bot)).tail == entries(1, 300)
    finally:
        keeper.cancel()


async def test_two_programs_on_one_folder_do_not_fight(server: EmbeddedPostgres) -> None:
    second = EmbeddedPostgres(server._home)
    with pytest.raises(EmbeddedPostgresError, match=f"another Trellis program .process {os.getpid()}."):
        await second.start()
    await second.stop()
    assert await _query(server.dsn, "SELECT 1") == 1


async def test_a_server_left_behind_by_a_killed_program_is_taken_over(initialised: Path) -> None:
    with _copy_of(initialised) as home:
        program = _start_owner_program(home)
        assert program.stdout is not None
        left_behind = int(program.stdout.readline())
        with pytest.raises(EmbeddedPostgresError, match=f"process {program.pid}"):
            await EmbeddedPostgres(home).start()

        program.kill()
        program.communicate()
        assert psutil.pid_exists(left_behind)
        async with EmbeddedPostgres(home) as server:
            assert server.pid != left_behind
            assert await _query(server.dsn, "SELECT 1") == 1
            assert not _is_alive(left_behind)


@pytest.mark.parametrize("kind", ["zombie", "stranger", "nobody"])
async def test_a_stale_pid_file_does_not_stop_the_start(initialised: Path, kind: str) -> None:
    stranger = _start_stranger("0" if kind == "zombie" else "60")
    try:
        if kind == "nobody":
            stranger.kill()
            stranger.wait()
        elif kind == "zombie":
            _until(lambda: psutil.Process(stranger.pid).status() == psutil.STATUS_ZOMBIE)
        with _copy_of(initialised) as home:
            (home / "cluster" / "postmaster.pid").write_text(
                f"{stranger.pid}\n{home / 'cluster'}\n1\n5432\n{home / 'socket'}\n\n\nready\n"
            )
            async with EmbeddedPostgres(home) as server:
                assert await _query(server.dsn, "SELECT 1") == 1
        if kind == "stranger":
            assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_stale_socket_does_not_stop_the_start(server: EmbeddedPostgres) -> None:
    socket = server._home / "socket" / SOCKET_NAME
    _kill(server)
    assert socket.exists()
    await server.start()
    assert await _query(server.dsn, "SELECT 1") == 1


async def test_a_folder_with_a_very_long_name_works(initialised: Path) -> None:
    deep = Path("/".join(["a-folder-with-a-rather-long-name"] * 5))
    with _copy_of(initialised, deep) as home:
        assert len(str(home / "socket" / SOCKET_NAME)) > SOCKET_PATH_BYTES_MAX
        async with EmbeddedPostgres(home) as server:
            assert await _query(server.dsn, "SELECT 1") == 1
            short = str(await _query(server.dsn, "SHOW unix_socket_directories"))
            assert _mode(short) == 0o700
        assert _mode(short) is None


async def test_a_folder_with_a_strange_name_works(initialised: Path) -> None:
    with _copy_of(initialised, Path("mit Leerzeichen & ü?%20#")) as home:
        async with EmbeddedPostgres(home) as server:
            assert await _query(server.dsn, "SELECT 1") == 1


async def test_an_interrupted_first_start_leaves_nothing_half_done(initialised: Path) -> None:
    with _copy_of(initialised) as home:
        (home / "cluster").rename(home / "cluster.new")
        (home / "cluster.new" / "PG_VERSION").unlink()
        async with EmbeddedPostgres(home) as server:
            assert await _query(server.dsn, "SELECT 1") == 1
        assert not (home / "cluster.new").exists()


async def test_files_of_another_version_are_refused_in_clear_words(initialised: Path) -> None:
    with _copy_of(initialised) as home:
        (home / "cluster" / "PG_VERSION").write_text("12\n")
        with pytest.raises(EmbeddedPostgresError, match="written by PostgreSQL 12"):
            await EmbeddedPostgres(home).start()


async def test_a_failed_start_shows_the_servers_own_words_and_frees_the_folder(initialised: Path) -> None:
    with _copy_of(initialised) as home:
        settings = home / "cluster" / "postgresql.conf"
        kept = settings.read_text()
        settings.write_text(kept + "nonsense = 1\n")
        with pytest.raises(EmbeddedPostgresError, match="nonsense"):
            await EmbeddedPostgres(home).start()
        settings.write_text(kept)
        await _start_and_stop(home)


async def test_a_folder_that_cannot_be_made_is_refused_in_clear_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedPostgresError, match="cannot run in"):
        await EmbeddedPostgres(tmp_path / "file" / "state").start()


def test_programs_hidden_by_the_installers_umask_become_readable_but_not_writable(tmp_path: Path) -> None:
    program, library = tmp_path / "bin" / "postgres", tmp_path / "lib.so"
    program.parent.mkdir(mode=0o700)
    program.touch()
    program.chmod(0o700)
    library.touch()
    library.chmod(0o600)
    let_read(tmp_path)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (program.parent, program, library)]
    assert modes == [0o705, 0o705, 0o604]


async def test_an_interrupt_from_the_terminal_does_not_reach_the_server(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    assert os.getsid(server.pid) != os.getsid(0)


async def test_statements_do_not_reach_the_servers_log(server: EmbeddedPostgres) -> None:
    async def wrong(connection: Connection) -> None:
        await connection.execute("SELECT 'hunter2', no_such_column")

    async with Database(server.dsn) as database:
        with pytest.raises(asyncpg.UndefinedColumnError):
            await database.repeat(wrong)
    assert "hunter2" not in (server._home / "postgres.log").read_text()


def _start_owner_program(home: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OWNER_PROGRAM, str(home)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _start_stranger(seconds: str) -> subprocess.Popen[bytes]:
    # The process belongs to the server's own account: only then can PostgreSQL mistake it for a server.
    return subprocess.Popen(["sleep", seconds], **as_user(file_owner()))


def _kill(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)


def _is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def _mode(path: str) -> int | None:
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        return None


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def _an_old_server(home: Path) -> Iterator[Path]:
    # The package brings a PostgreSQL 16 too.
    programs = embedded._binaries().parents[1] / "pginstall" / "bin"
    owner, data, socket = file_owner(), home / "old", home / "socket"
    if owner is not None:
        let_pass(home)
        let_read(programs.parent)
    make_private_dir(socket, owner)
    make_private_dir(data, owner)
    made = [programs / "initdb", "-D", data, "-U", SUPERUSER, "--no-sync"]
    subprocess.run(made, check=True, cwd="/", **as_user(owner))
    started = [programs / "postgres", "-D", data, "-k", socket, "-c", "listen_addresses="]
    with subprocess.Popen(started, cwd="/", stderr=subprocess.DEVNULL, **as_user(owner)) as server:
        try:
            yield socket
        finally:
            server.terminate()


async def test_a_server_that_is_too_old_is_refused_in_words(initialised: Path) -> None:
    with _copy_of(initialised) as home, _an_old_server(home) as socket:
        old = Database(embedded._dsn(socket, "postgres"))
        with pytest.raises(DatabaseRefused, match="PostgreSQL 17 or newer is needed"):
            await _open_once_started(old)


async def _open_once_started(database: Database) -> None:
    for _ in range(200):
        with suppress(Retryable):
            return await database.open()
        await asyncio.sleep(0.1)
    return None
