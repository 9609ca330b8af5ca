"""The audit chain: every command once, in order, and no tampering goes unseen."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from storage.audit import Audit, AuditHead, NewEntry, append
from storage.database import Connection, Database

ENTRIES = [
    NewEntry("operator", "bot.create", "bot:aaaaaaaa", None, {"b": [1, {"x": "1.10"}], "a": None, "é": True}),
    NewEntry("operator", "bot.want_paused", "bot:aaaaaaaa", {"desired": "running"}, {"desired": "paused"}),
    NewEntry("system", "account.add", "account:paper", None, {"big": 2**63, "text": "ключ"}),
]


@pytest.fixture
async def audit(database: Database) -> Audit:
    """Give an empty chain."""
    await _behind_its_back(database, "DELETE FROM audit; UPDATE audit_head SET seq = 0, hash = ''")
    return Audit(database)


async def _append(database: Database, entries: Sequence[NewEntry]) -> AuditHead:
    async with database.transaction() as connection:
        return await append(connection, entries)


async def _behind_its_back(database: Database, sql: str) -> None:
    """Do what an administrator with full rights could do."""
    async with database.transaction() as connection:
        await connection.execute(f"SET LOCAL session_replication_role = replica; {sql}")


async def test_an_untouched_chain_is_intact(audit: Audit, database: Database) -> None:
    for _ in range(3):
        head = await _append(database, ENTRIES)
    report = await audit.verify(head)
    assert report.is_intact
    assert (report.rows, report.head) == (9, head)


async def test_an_empty_chain_is_intact(audit: Audit) -> None:
    assert (await audit.verify()).is_intact


async def test_an_empty_group_changes_nothing(audit: Audit, database: Database) -> None:
    head = await _append(database, ENTRIES)
    assert await _append(database, []) == head


async def test_an_entry_vanishes_with_the_change_it_records(audit: Audit, database: Database) -> None:
    async def failing() -> None:
        async with database.transaction() as connection:
            await append(connection, ENTRIES)
            raise KeyError("the change failed")

    with pytest.raises(KeyError):
        await failing()
    assert (await audit.head()).seq == 0


async def test_appenders_at_once_make_one_chain(audit: Audit, database: Database) -> None:
    await asyncio.gather(*(_append(database, ENTRIES) for _ in range(20)))
    report = await audit.verify()
    assert report.is_intact
    assert report.rows == 60


@pytest.mark.parametrize(
    "sql", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "TRUNCATE audit", "DELETE FROM audit_head"]
)
async def test_the_database_refuses_to_change_the_record(audit: Audit, database: Database, sql: str) -> None:
    await _append(database, ENTRIES)

    async def change(connection: Connection) -> None:
        await connection.execute(sql)

    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await database.repeat(change)


@pytest.mark.parametrize(
    ("tampering", "broken_at"),
    [
        ("UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 2", 2),
        ("UPDATE audit SET actor = 'nobody' WHERE seq = 2", 2),
        ("UPDATE audit SET command = 'bot.want_running' WHERE seq = 2", 2),
        ("UPDATE audit SET target = 'bot:bbbbbbbb' WHERE seq = 2", 2),
        ("""UPDATE audit SET before = '{"desired": "paused"}' WHERE seq = 2""", 2),
        ("UPDATE audit SET after = NULL WHERE seq = 2", 2),
        ("UPDATE audit SET hash = sha256(hash) WHERE seq = 2", 2),
        ("UPDATE audit SET prev_hash = sha256(prev_hash) WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq = 6", 6),
        ("UPDATE audit SET seq = 7 WHERE seq = 6", 6),
        ("UPDATE audit SET seq = seq + 10 WHERE seq IN (2, 3); UPDATE audit SET seq = 15 - seq WHERE seq > 10", 2),
        ("UPDATE audit_head SET hash = sha256(hash)", 6),
    ],
)
async def test_tampering_is_found_where_it_begins(
    audit: Audit, database: Database, tampering: str, broken_at: int
) -> None:
    await _append(database, ENTRIES)
    await _append(database, ENTRIES)
    await _behind_its_back(database, tampering)
    report = await audit.verify()
    assert report.broken_at == broken_at
    assert report.reason


async def test_cutting_off_the_end_and_its_head_is_found_by_the_anchor(audit: Audit, database: Database) -> None:
    shorter = await _append(database, ENTRIES)
    anchor = await _append(database, ENTRIES)
    await _behind_its_back(database, "DELETE FROM audit WHERE seq > 3")
    async with database.transaction() as connection:
        await connection.execute("UPDATE audit_head SET seq = $1, hash = $2", shorter.seq, shorter.hash)
    assert (await audit.verify()).is_intact
    assert (await audit.verify(anchor)).broken_at == 4


async def test_a_rewritten_history_is_found_by_the_anchor(audit: Audit, database: Database) -> None:
    anchor = await _append(database, ENTRIES)
    await _behind_its_back(database, "DELETE FROM audit; UPDATE audit_head SET seq = 0, hash = ''")
    await _append(database, list(reversed(ENTRIES)))
    await _append(database, ENTRIES)
    assert (await audit.verify()).is_intact
    assert (await audit.verify(anchor)).broken_at == anchor.seq


async def test_floats_are_refused(audit: Audit, database: Database) -> None:
    with pytest.raises(TypeError, match="no floats"):
        await _append(database, [NewEntry("a", "c", "t", after={"price": [1.5]})])
    assert (await audit.head()).seq == 0


async def test_entries_are_listed_newest_first_by_target(audit: Audit, database: Database) -> None:
    for _ in range(4):
        await _append(database, ENTRIES)
    first = await audit.page(target="bot:aaaaaaaa", limit=5)
    rest = await audit.page(target="bot:aaaaaaaa", limit=5, cursor=first.next_cursor)
    seqs = [row.seq for row in first.items + rest.items]
    assert seqs == [11, 10, 8, 7, 5, 4, 2, 1]
    assert rest.next_cursor is None
