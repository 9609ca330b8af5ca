"""`trellis audit` as a person runs it: all is well, something is not, an end was cut off."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from engine.ids import CompanyId, HotWalletId, Instant
from engine.ledger import templates
from engine.money import AssetId
from storage import ledger
from storage.database import Database
from tests.console.program import trellis


@pytest.fixture
async def books(database: Database) -> AsyncIterator[Database]:
    """Give a ledger with something in it, and put it back as it was."""
    async with database.transaction() as connection:
        await ledger.post(
            connection,
            templates.incoming_to_funds(
                HotWalletId("hw_a"), CompanyId("co_a"), AssetId("tron:USDT"), 5, "tx", Instant(1)
            ),
        )
    yield database
    await _behind_its_back(database, "UPDATE ledger_account SET balance = 5")


async def _behind_its_back(database: Database, sql: str) -> None:
    async with database.transaction() as connection:
        await connection.execute(f"SET LOCAL session_replication_role = replica; {sql}")


async def test_books_that_hold_end_with_the_heads_of_both_chains(
    books: Database, postgres_dsn: str, tmp_path: Path
) -> None:
    answer = await asyncio.to_thread(trellis, tmp_path, "audit", DATABASE_URL=postgres_dsn)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "I1 balance is its postings" in answer.stdout
    head = re.search(r"head of postings: (1:[0-9a-f]{64})", answer.stdout)
    assert head is not None
    again = await asyncio.to_thread(
        trellis, tmp_path, "audit", "--ledger-head", head[1], DATABASE_URL=postgres_dsn
    )
    assert again.returncode == 0


async def test_a_changed_balance_and_a_head_that_is_not_there_are_named(
    books: Database, postgres_dsn: str, tmp_path: Path
) -> None:
    await _behind_its_back(books, "UPDATE ledger_account SET balance = 6 WHERE code = 'funds:co_a:tron:USDT'")
    answer = await asyncio.to_thread(
        trellis, tmp_path, "audit", "--ledger-head", f"2:{'0' * 64}", DATABASE_URL=postgres_dsn
    )
    assert answer.returncode == 1
    assert "funds:co_a:tron:USDT" in answer.stdout
    assert "shorter" in answer.stdout


async def test_the_end_of_a_chain_that_is_no_head_is_refused(tmp_path: Path) -> None:
    answer = await asyncio.to_thread(trellis, tmp_path, "audit", "--audit-head", "twelve")
    assert answer.returncode == 2
    assert "'twelve' is not like" in answer.stderr


async def test_the_tables_of_the_books_refuse_what_would_unmake_them(books: Database) -> None:
    for sql in ("UPDATE ledger_transfer SET units = 1", "DELETE FROM ledger_batch", "TRUNCATE ledger_account"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            async with books.transaction() as connection:
                await connection.execute(sql)
