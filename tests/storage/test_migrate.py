"""Migrations: forward only, once each, and never on a history that is not ours."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.migrate import MIGRATIONS, MigrationRefused, migrate, read_migrations


@pytest.fixture
async def empty(postgres_server: EmbeddedPostgres) -> AsyncIterator[Database]:
    """Give a database without a single table."""
    async with Database(postgres_server.dsn, pool_size=1) as admin:
        await admin.rows("CREATE DATABASE empty")
        try:
            async with Database(postgres_server.dsn.replace("@/trellis?", "@/empty?")) as opened:
                yield opened
        finally:
            await admin.rows("DROP DATABASE empty WITH (FORCE)")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (n int);")
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE second (n int);")
    return tmp_path


async def test_every_step_is_applied_once(empty: Database) -> None:
    assert [step.version for step in await migrate(empty)] == [step.version for step in read_migrations()]
    assert await migrate(empty) == []


async def test_two_programs_that_start_together_take_turns(empty: Database) -> None:
    done = await asyncio.gather(*(migrate(empty) for _ in range(4)))
    assert sorted(len(steps) for steps in done) == [0, 0, 0, len(read_migrations())]


async def test_a_new_step_goes_on_where_the_last_one_ended(empty: Database, folder: Path) -> None:
    await migrate(empty, folder)
    (folder / "0003_third.sql").write_text("ALTER TABLE second ADD COLUMN m int;")
    assert [step.word for step in await migrate(empty, folder)] == ["third"]


async def test_an_edited_step_is_refused(empty: Database, folder: Path) -> None:
    await migrate(empty, folder)
    (folder / "0001_first.sql").write_text("CREATE TABLE first (n bigint);")
    with pytest.raises(MigrationRefused, match=r"step 1 \(first\) differs"):
        await migrate(empty, folder)


async def test_other_line_ends_are_not_an_edit(empty: Database, folder: Path) -> None:
    (folder / "0001_first.sql").write_bytes(b"CREATE TABLE first (\n  n int\n);\n")
    await migrate(empty, folder)
    (folder / "0001_first.sql").write_bytes(b"CREATE TABLE first (\r\n  n int\r\n);\r\n")
    assert await migrate(empty, folder) == []


async def test_a_database_of_a_newer_program_is_refused(empty: Database, folder: Path) -> None:
    await migrate(empty, folder)
    (folder / "0002_second.sql").unlink()
    with pytest.raises(MigrationRefused, match="newer than this program"):
        await migrate(empty, folder)


async def test_a_step_that_fails_leaves_nothing_of_itself(empty: Database, folder: Path) -> None:
    (folder / "0002_second.sql").write_text("CREATE TABLE second (n int); SELECT nonsense;")
    with pytest.raises(asyncpg.UndefinedColumnError):
        await migrate(empty, folder)
    assert await empty.value("SELECT to_regclass('second')") is None
    (folder / "0002_second.sql").write_text("CREATE TABLE second (n int);")
    assert [step.word for step in await migrate(empty, folder)] == ["second"]


@pytest.mark.parametrize("name", ["0004_fourth.sql", "0002_twice.sql", "third.sql"])
def test_a_wrong_number_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("SELECT 1;")
    with pytest.raises(MigrationRefused):
        read_migrations(folder)


def test_each_step_is_small() -> None:
    for path in MIGRATIONS.glob("*.sql"):
        text = path.read_text()
        # A function cannot be cut: a step that is nothing else may be as long as it is.
        is_one_function = text.count("CREATE ") == text.count("CREATE FUNCTION ") == 1
        assert len(text.splitlines()) <= 80 or is_one_function, path.name
