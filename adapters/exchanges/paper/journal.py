"""The venue's journal: one line of JSON per command, appended before anyone hears of the command.

A line reaches the operating system in one write, so it survives the death of the process (kill -9); a torn last
line belonged to a command that was never answered and is dropped. Power loss is not covered: a paper venue does
not wait for the disk. At boot, and when it has grown far beyond what it says, the journal is compacted into a
snapshot of the same format; while the venue is at work this happens in slices, one with each command.

A later version of a record replaces an earlier one. So a snapshot may be written while the records change, as
long as the lines appended meanwhile follow it.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from .model import Record

FILE_NAME = "venue.journal"
LOCK_NAME = "venue.lock"
RECORDS_PER_SLICE = 500
"""How much of a snapshot one command writes beside its own line: about a millisecond."""

GROWTH_BYTES = 64 * 2**20
"""How much is appended to a snapshot, at least, before the next one is made; as much as it has itself, if more."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[Record])


class Journal:
    """An append-only file of records, readable by its owner only: it holds the paper accounts' secrets."""

    def __init__(self, state_dir: Path) -> None:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = state_dir / FILE_NAME
        self._file: int | None = None
        self._lock: int | None = _lock(state_dir / LOCK_NAME)
        self._snapshot: _Snapshot | None = None
        self._snapshot_bytes = 0
        self._appended_bytes = 0

    @property
    def is_overgrown(self) -> bool:
        """Tell whether it is time for a new snapshot."""
        return self._snapshot is None and self._appended_bytes > max(GROWTH_BYTES, self._snapshot_bytes)

    def read(self) -> Iterator[Record]:
        """Give the records of the last life, oldest first."""
        if not self._path.exists():
            return
        with self._path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    return
                yield from _decoder.decode(line)

    def start(self, records: Iterable[Record]) -> None:
        """Replace the file by a snapshot, whole and now, and append from then on."""
        self.compact(records)
        while self._snapshot is not None:
            self._continue(self._snapshot)

    def compact(self, records: Iterable[Record]) -> None:
        """Begin a snapshot, which the following appends write; the old file is used until the new is complete."""
        self._snapshot = _Snapshot(self._path.with_suffix(".new"), records)

    def append(self, records: list[Record]) -> None:
        """Write one command's records in one piece."""
        if self._file is None:
            raise RuntimeError("the journal is not open")
        line = _line(records)
        _write(self._file, line)
        self._appended_bytes += len(line)
        if self._snapshot is not None:
            self._snapshot.tail.append(line)
            self._continue(self._snapshot)

    def close(self) -> None:
        """Close the file and let another venue have the folder."""
        if self._snapshot is not None:
            self._snapshot.abandon()
            self._snapshot = None
        self._close_file()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _continue(self, snapshot: "_Snapshot") -> None:
        if snapshot.write_slice():
            return
        self._close_file()
        self._file, self._snapshot_bytes = snapshot.replace(self._path)
        self._snapshot, self._appended_bytes = None, 0

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


class _Snapshot:
    """A journal in the making, beside the one in use. `tail` are the lines that were appended meanwhile."""

    def __init__(self, path: Path, records: Iterable[Record]) -> None:
        self.tail: list[bytes] = []
        self._path = path
        self._records = iter(records)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._bytes = 0

    def write_slice(self) -> bool:
        """Write some more records; tell whether there were any."""
        records = list(islice(self._records, RECORDS_PER_SLICE))
        if records:
            self._write(_line(records))
        return bool(records)

    def replace(self, old: Path) -> tuple[int, int]:
        """Put the complete snapshot in the place of the old file; give it, open, and its size."""
        # Each slice has gone to the disk by itself, so that there is next to nothing left to wait for.
        self._write(b"".join(self.tail))
        self._path.replace(old)
        return self._file, self._bytes

    def abandon(self) -> None:
        """Throw away what was written."""
        os.close(self._file)
        self._path.unlink()

    def _write(self, line: bytes) -> None:
        _write(self._file, line)
        os.fdatasync(self._file)
        self._bytes += len(line)


def _lock(path: Path) -> int:
    """Claim a state folder; the system frees the claim when the process dies, however it dies."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise RuntimeError(f"another paper venue uses {path.parent}") from None
    return descriptor


def _line(records: list[Record]) -> bytes:
    return _encoder.encode(records) + b"\n"


def _write(descriptor: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
