"""What a signer has signed, in a file outside the database: the memory that a restored database does not have.

One line per signed attempt, written and synced to the disk after the database has it and before any node sees
it. So a line that the database does not know means that the database has forgotten: it was restored to an earlier
time. The file is its owner's alone, only ever grows, and each line carries a checksum and the hash of the one
before it. A tail that was torn by a power cut is cut off: it was not synced, so its bytes have not left. Damage
anywhere else is refused.
"""

import fcntl
import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.errors import Retryable
from engine.ids import HotWalletId, TxId
from engine.payments.chain import PayoutIntent, SignedPayout

_SEPARATOR = b" "


class JournalDamaged(Exception):
    """The file is not the one that was written. Nobody may sign on such a memory; a person must look."""


class DatabaseSeen(msgspec.Struct, frozen=True, tag="database"):
    """The database that the lines from here on were written beside."""

    sequence: int
    previous: str
    batch: int
    hot_wallet: HotWalletId
    system: str
    """PostgreSQL's system identifier: which cluster."""
    timeline: int
    """Grows with each point-in-time restore."""


class AttemptLine(msgspec.Struct, frozen=True, tag="attempt"):
    """Signed bytes with all that was intended. `batch` is the sequence of the first line synced with it."""

    sequence: int
    previous: str
    batch: int
    intent: PayoutIntent
    signed: SignedPayout

    @property
    def tx_id(self) -> TxId:
        """Give the transaction's id."""
        return self.signed.tx_id


Line = DatabaseSeen | AttemptLine

_decoder = msgspec.json.Decoder(Line)


class BroadcastJournal:
    """One hot wallet's file. One writer: the holder of the signer's lease."""

    def __init__(self, path: Path, hot_wallet: HotWalletId) -> None:
        self._path = path
        self._hot_wallet = hot_wallet
        self._descriptor: int | None = None
        self._count = 0
        self._head = ""
        self._known: dict[TxId, None] = {}
        self._database: DatabaseSeen | None = None

    def open(self) -> None:
        """Read the file, cutting a torn tail off, and keep it open for adding. Makes it where there is none.

        Raises `JournalDamaged` for anything else than what was written, `Retryable` while another process has it.
        """
        self.close()
        is_new = not self._path.exists()
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # One writer: the line that a process writes after it has lost its lease must not meet the next one's.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise Retryable(f"another process still holds {self._path.name}") from None
        if is_new:
            _sync_folder(self._path.parent)
        lines = self._repair()
        self._count, self._head, self._known, self._database = 0, "", {}, None
        self._take_in(lines)

    def close(self) -> None:
        """Close the file. Twice is harmless."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    @property
    def database(self) -> DatabaseSeen | None:
        """Give the database that was last written beside; None for a new file."""
        return self._database

    def knows(self, tx_id: TxId) -> bool:
        """Tell whether there is a line of this transaction."""
        return tx_id in self._known

    @property
    def newest(self) -> TxId | None:
        """Give the transaction of the last attempt's line."""
        return next(reversed(self._known), None)

    def attempts(self) -> list[AttemptLine]:
        """Read every signed attempt, oldest first."""
        return [line for line in _read(self._path.read_bytes())[0] if isinstance(line, AttemptLine)]

    def note_database(self, system: str, timeline: int) -> None:
        """Write down which database stands beside the file from now on, and sync it."""
        sequence = self._count + 1
        self._add([DatabaseSeen(sequence, self._head, sequence, self._hot_wallet, system, timeline)])

    def append(self, signed: Sequence[tuple[PayoutIntent, SignedPayout]]) -> None:
        """Write signed attempts and sync them once. When this returns, they may be shown to nodes; not before."""
        batch, head = self._count + 1, self._head
        lines: list[Line] = []
        for sequence, (intent, payout) in enumerate(signed, batch):
            lines.append(AttemptLine(sequence, head, batch, intent, payout))
            head = _hash(_encode(lines[-1]))
        self._add(lines)

    def _add(self, lines: Sequence[Line]) -> None:
        if self._descriptor is None:
            raise RuntimeError("the journal is not open")
        content = b"".join(map(_encode, lines))
        try:
            written = os.write(self._descriptor, content)
            if written != len(content):
                raise OSError(f"only {written} of {len(content)} bytes were written")
            os.fsync(self._descriptor)
        except OSError:
            # A full or a broken disk. What is on it now is only known by reading it again, so open it again.
            self.close()
            raise
        self._take_in(lines)

    def _take_in(self, lines: Sequence[Line]) -> None:
        for line in lines:
            match line:
                case AttemptLine(tx_id=tx_id):
                    self._known[tx_id] = None
                case DatabaseSeen():
                    self._database = line
        if lines:
            self._count, self._head = lines[-1].sequence, _hash(_encode(lines[-1]))

    def _repair(self) -> list[Line]:
        assert self._descriptor is not None
        content = self._path.read_bytes()
        lines, kept = _read(content)
        if any(isinstance(line, DatabaseSeen) and line.hot_wallet != self._hot_wallet for line in lines):
            raise JournalDamaged(f"{self._path.name} is the journal of another wallet")
        if kept < len(content):
            os.ftruncate(self._descriptor, kept)
            os.fsync(self._descriptor)
        return lines


def _encode(line: Line) -> bytes:
    content = msgspec.json.encode(line)
    return content + _SEPARATOR + b"%08x" % zlib.crc32(content) + b"\n"


def _hash(encoded: bytes) -> str:
    return hashlib.sha256(encoded).hexdigest()[:32]


def _read(content: bytes) -> tuple[list[Line], int]:
    """Give the good lines and how many bytes they fill; raise `JournalDamaged` unless the rest is a torn tail."""
    lines: list[Line] = []
    head, kept = "", 0
    pieces = content.splitlines(keepends=True)
    for position, piece in enumerate(pieces):
        line = _decode(piece)
        if line is None or line.previous != head or line.sequence != len(lines) + 1:
            _require_torn(pieces[position:], len(lines) + 1)
            break
        lines.append(line)
        head, kept = _hash(piece), kept + len(piece)
    return lines, kept


def _decode(piece: bytes) -> Line | None:
    content, _, checksum = piece.rstrip(b"\n").rpartition(_SEPARATOR)
    if not piece.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(content):
        return None
    try:
        line: Line = _decoder.decode(content)
    except msgspec.MsgspecError:
        return None
    return line


def _require_torn(pieces: list[bytes], first_bad: int) -> None:
    # A power cut may write a later part of the last batch and lose an earlier one. What is whole behind the damage
    # must then be of the same batch; a line of a later batch was written after this one was synced.
    for line in map(_decode, pieces):
        if line is not None and line.batch > first_bad:
            raise JournalDamaged(
                f"line {first_bad} is damaged, but line {line.sequence} behind it was synced later"
            )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
