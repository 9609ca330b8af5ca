"""The folder where one installation keeps its state, and who is running on it.

It decides the names of the files in it, that only their owner reads them, and that one program at a time runs on
one folder. What the database or the venue keep inside is theirs to know.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

DEFAULT_HOME = "~/.local/state/trellis"


class AlreadyRunning(Exception):
    """Another program runs on this folder; the message says which."""


class UnusableHome(Exception):
    """The folder, or a file in it, cannot serve; the message says why and what to do."""


class RunningProgram(msgspec.Struct, frozen=True):
    """What a running program tells the console: where its API listens, and its process id."""

    pid: int
    address: str


class Home:
    """The state folder of one installation."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.postgres = self.path / "postgres"
        self.venue = self.path / "venue"
        self.recordings = self.path / "recordings"
        self.journals = self.path / "journals"
        self.devnet = self.path / "devnet"
        self.sealing_keys = self.path / "sealing.keys"
        self.log = self.path / "trellis.log"
        self._lock = self.path / "running.lock"
        self._lock_fd: int | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Home":
        """Find the folder that an environment names."""
        return cls(Path(environ.get("TRELLIS_HOME") or DEFAULT_HOME))

    def create(self) -> None:
        """Make the folder, closed to everybody else's listing and reading."""
        with self._used():
            # Walking through stays possible when we are root: PostgreSQL then runs under an account of its own.
            self.path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)

    def token(self, name: str) -> str:
        """Read the random word `name`.token that guards one door, drawing it at the first call."""
        self.create()
        path = self.path / f"{name}.token"
        draft = path.with_suffix(f".{secrets.token_hex(4)}")
        if known := self.known_token(name):
            return known
        with self._used():
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
            # A link, not a rename: when two programs draw at once, both must end with the same word.
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
            return _read_private(path)

    def known_token(self, name: str) -> str | None:
        """Read a token that a running program has drawn; None if there is none."""
        with self._used(), suppress(FileNotFoundError):
            return _read_private(self.path / f"{name}.token")
        return None

    # ------------------------------------------------------------------ who runs here

    def claim(self) -> None:
        """Become the one program that runs here, until `release` or the end of the process."""
        self.create()
        with self._used():
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        # Someone who asks `running` holds the lock for a moment; whoever runs holds it for good.
        for pause_s in (0.05, 0.2, None):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if pause_s is None:
                    os.close(descriptor)
                    raise AlreadyRunning(self._who_runs()) from None
                time.sleep(pause_s)
        self._lock_fd = descriptor
        self._write_lock(RunningProgram(os.getpid(), ""))

    def announce(self, address: str) -> None:
        """Tell the console where our API listens."""
        self._write_lock(RunningProgram(os.getpid(), address))

    def release(self) -> None:
        """Let another program run here. Twice is harmless."""
        if self._lock_fd is not None:
            os.ftruncate(self._lock_fd, 0)
            os.close(self._lock_fd)
            self._lock_fd = None

    def running(self) -> RunningProgram | None:
        """Give the program that runs here now, or None."""
        descriptor = None
        with self._used(), suppress(FileNotFoundError):
            descriptor = os.open(self._lock, os.O_RDWR)
        if descriptor is None:
            return None
        with os.fdopen(descriptor, "rb") as file:
            try:
                # The kernel drops the lock with its holder, however that ended; the content alone proves nothing.
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return _decoded(file.read())
            return None

    @contextmanager
    def _used(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnusableHome(
                f"Trellis cannot keep its state in {self.path}: {error.strerror or error}. "
                "TRELLIS_HOME names another folder"
            ) from error

    def _write_lock(self, program: RunningProgram) -> None:
        assert self._lock_fd is not None
        content = msgspec.json.encode(program)
        os.pwrite(self._lock_fd, content, 0)
        os.ftruncate(self._lock_fd, len(content))

    def _who_runs(self) -> str:
        program = _decoded(self._lock.read_bytes())
        who = f" (process {program.pid})" if program else ""
        where = f" and answers at {program.address}" if program and program.address else ""
        return (
            f"Trellis already runs on {self.path}{who}{where}. "
            "Stop it with Ctrl-C in its terminal, or choose another folder with TRELLIS_HOME"
        )


def _decoded(content: bytes) -> RunningProgram | None:
    try:
        return msgspec.json.decode(content, type=RunningProgram)
    except msgspec.MsgspecError:
        return None


def _read_private(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY)
    with os.fdopen(descriptor) as file:
        status = os.fstat(descriptor)
        if status.st_mode & 0o077 or status.st_uid != os.geteuid():
            raise UnusableHome(f"{path} must belong to you alone: chmod 600 it, or remove it for a new one")
        return file.read().strip()
