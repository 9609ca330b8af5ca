"""The venue's journal: one line of JSON per command, appended before anyone hears of the command.

A line reaches the operating system in one write, so it survives the death of the process (kill -9); a torn last
line belonged to a command that was never answered and is dropped. Power loss is not covered: a paper venue does
not wait for the disk. At boot, and when it has grown far beyond what it says, the journal is compacted into a
snapshot of the same format.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from .model import Record

FILE_NAME = "venue.journal"
LOCK_NAME = "venue.lock"
RECORDS_PER_LINE = 500

GROWTH_BYTES = 256 * 2**20
"""How much is appended to a snapshot before the next one is made: writing one holds the venue up for a moment."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[Record])


class Journal:
    """An append-only file of records, readable by its owner only: it holds the paper accounts' secrets."""

    def __init__(self, state_dir: Path) -> None:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = state_dir / FILE_NAME
        self._file: int | None = None
        self._lock: int | None = _lock(state_dir / LOCK_NAME)
        self._appended = 0

    @property
    def is_overgrown(self) -> bool:
        """Tell whether it is time for a new snapshot."""
        return self._appended > GROWTH_BYTES

    def read(self) -> Iterator[Record]:
        """Give the records of the last life, oldest first."""
        if not self._path.exists():
            return
        with self._path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    return
                yield from _decoder.decode(line)

    def start(self, snapshot: Iterable[Record]) -> None:
        """Replace the file by a snapshot and append from now on; the old file stays until the new is complete."""
        fresh = self._path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            chunk: list[Record] = []
            for record in snapshot:
                chunk.append(record)
                if len(chunk) == RECORDS_PER_LINE:
                    _write(descriptor, chunk)
                    chunk = []
            _write(descriptor, chunk)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        fresh.replace(self._path)
        self._close_file()
        self._appended = 0
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)

    def append(self, records: list[Record]) -> None:
        """Write one command's records in one piece."""
        if self._file is None:
            raise RuntimeError("the journal is not open")
        self._appended += _write(self._file, records)

    def close(self) -> None:
        """Close the file and let another venue have the folder."""
        self._close_file()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _lock(path: Path) -> int:
    """Claim a state folder; the system frees the claim when the process dies, however it dies."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise RuntimeError(f"another paper venue uses {path.parent}") from None
    return descriptor


def _write(descriptor: int, records: list[Record]) -> int:
    line = _encoder.encode(records) + b"\n"
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    return len(line)
