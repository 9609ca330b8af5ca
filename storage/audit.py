"""Who commanded what, when, and what it changed: an append-only chain of hashes over whole rows.

An entry is written in the transaction of the change it records, so there is no change without one. The database
refuses updates and deletes; `verify` detects what was done behind its back. Somebody with full access could
rewrite the whole chain and its head, so the head is also to be kept outside and handed to `verify`.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from engine.ids import Instant
from storage.database import Connection, Database, transpose
from storage.paging import Key, Page, read_page
from storage.rows import columns

_VERIFY_ROWS = 2000
_BY_SEQ = Key(("seq",), tuple[int])
_JSON = msgspec.json.Encoder(order="deterministic")


class NewEntry(msgspec.Struct, frozen=True):
    """A command to be recorded. `before` and `after` are plain data without floats and without secrets."""

    actor: str
    command: str
    target: str
    before: Any = None
    after: Any = None


class AuditRow(msgspec.Struct, frozen=True):
    """A recorded command and its place in the chain."""

    seq: int
    at_ms: Instant
    actor: str
    command: str
    target: str
    before: Any
    after: Any
    prev_hash: bytes
    hash: bytes


class AuditHead(msgspec.Struct, frozen=True):
    """The end of the chain: to be kept where the database's administrator cannot write."""

    seq: int
    hash: bytes


class AuditReport(msgspec.Struct, frozen=True):
    """The answer of `verify`. `broken_at` is the first sequence number that does not hold, with the reason."""

    rows: int
    head: AuditHead
    broken_at: int | None = None
    reason: str = ""

    @property
    def is_intact(self) -> bool:
        """Tell whether the whole chain holds."""
        return self.broken_at is None


async def append(connection: Connection, entries: Sequence[NewEntry]) -> AuditHead:
    """Add entries to the end of the chain, in the caller's transaction, and return the new end.

    Appenders take turns until they commit, so call it last in a transaction. One lock and one statement per batch.
    """
    end = await connection.fetchrow("SELECT seq, hash, now_ms() AS at_ms FROM audit_head FOR UPDATE")
    assert end is not None
    head = AuditHead(end["seq"], end["hash"])
    rows = []
    for entry in entries:
        row = _chained(head, end["at_ms"], entry)
        rows.append(row)
        head = AuditHead(row.seq, row.hash)
    if not rows:
        return head
    await connection.execute(
        """
        INSERT INTO audit (seq, at_ms, actor, command, target, before, after, prev_hash, hash)
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[],
                             $6::jsonb[], $7::jsonb[], $8::bytea[], $9::bytea[])
        """,
        *transpose(rows),
    )
    await connection.execute("UPDATE audit_head SET seq = $1, hash = $2", head.seq, head.hash)
    return head


class Audit:
    """The record of commands, for reading and checking."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def head(self) -> AuditHead:
        """Give the end of the chain, to be anchored outside."""
        record = await self._database.row("SELECT seq, hash FROM audit_head")
        assert record is not None
        return AuditHead(record["seq"], record["hash"])

    async def page(
        self, *, target: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> Page[AuditRow]:
        """List entries, newest first, of one target or of all."""
        select = f"SELECT {columns(AuditRow)} FROM audit"
        return await read_page(self._database, select, {"target = {}": target}, _BY_SEQ, AuditRow, cursor, limit)

    async def verify(self, anchor: AuditHead | None = None) -> AuditReport:
        """Recompute the whole chain; with `anchor`, also check that it still contains that head."""
        at, checked, stored_head = AuditHead(0, b""), 0, await self.head()
        while at.seq < stored_head.seq:
            records = await self._database.rows(
                f"SELECT {columns(AuditRow)} FROM audit WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3",
                at.seq,
                stored_head.seq,
                _VERIFY_ROWS,
            )
            for record in records:
                reason = _fault(at, record)
                if reason:
                    return AuditReport(checked, at, at.seq + 1, reason)
                at, checked = AuditHead(record["seq"], record["hash"]), checked + 1
                if anchor is not None and at.seq == anchor.seq and at.hash != anchor.hash:
                    return AuditReport(checked, at, at.seq, "differs from the anchor: the chain was rewritten")
            if not records:
                return AuditReport(checked, at, at.seq + 1, "entries are missing at the end")
        if at.hash != stored_head.hash:
            return AuditReport(checked, at, at.seq, "the stored head does not match the last entry")
        if anchor is not None and anchor.seq > at.seq:
            return AuditReport(checked, at, at.seq + 1, "the chain is shorter than the anchor")
        return AuditReport(checked, at)


def _chained(head: AuditHead, at_ms: Instant, entry: NewEntry) -> AuditRow:
    before, after = _plain(entry.before), _plain(entry.after)
    facts = (head.seq + 1, at_ms, entry.actor, entry.command, entry.target, before, after)
    return AuditRow(*facts, prev_hash=head.hash, hash=_hash(head.hash, facts))


def _fault(before: AuditHead, record: asyncpg.Record) -> str:
    if record["seq"] != before.seq + 1:
        return "an entry is missing"
    if record["prev_hash"] != before.hash:
        return "the entry does not follow the one before it"
    facts = tuple(record[name] for name in ("seq", "at_ms", "actor", "command", "target", "before", "after"))
    return "" if record["hash"] == _hash(before.hash, facts) else "the entry was changed"


def _hash(prev_hash: bytes, facts: tuple[Any, ...]) -> bytes:
    return hashlib.sha256(prev_hash + _JSON.encode(facts)).digest()


def _plain(value: Any) -> Any:
    """Bring data to the form in which jsonb gives it back, or the hash could not be computed again."""
    plain = msgspec.json.decode(_JSON.encode(value))
    _refuse_floats(plain)
    return plain


def _refuse_floats(value: Any) -> None:
    # jsonb keeps numbers as decimals: 1e2 comes back as 100, and the bytes differ.
    match value:
        case float():
            raise TypeError("an audit entry holds no floats: write amounts as decimal strings")
        case dict():
            for item in value.values():
                _refuse_floats(item)
        case list():
            for item in value:
                _refuse_floats(item)
