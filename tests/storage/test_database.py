"""The door to PostgreSQL: what is lost, what is in doubt, and that nothing waits for ever."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from engine.errors import OutcomeUnknown, Retryable
from storage.database import Connection, Database
from storage.leases import Leases
from tests.storage.proxy import BreakingWire, Cut


@pytest.fixture(scope="module")
async def wire(postgres_dsn: str, database: Database) -> AsyncIterator[BreakingWire]:
    await database.rows("CREATE TABLE notes (word text PRIMARY KEY)")
    with tempfile.TemporaryDirectory() as folder:
        async with BreakingWire(postgres_dsn, Path(folder)) as opened:
            yield opened


@pytest.fixture(scope="module")
async def wired(wire: BreakingWire) -> AsyncIterator[Database]:
    async with Database(wire.dsn) as opened:
        yield opened


async def _note(connection: Connection, word: str) -> None:
    await connection.execute("INSERT INTO notes (word) VALUES ($1) ON CONFLICT DO NOTHING", word)


@pytest.mark.parametrize(("cut", "is_there"), [(Cut.BEFORE_COMMIT, False), (Cut.AFTER_COMMIT, True)])
async def test_a_commit_without_an_answer_is_in_doubt(
    database: Database, wire: BreakingWire, wired: Database, cut: Cut, is_there: bool
) -> None:
    wire.cuts.append(cut)
    with pytest.raises(OutcomeUnknown):
        async with wired.transaction() as connection:
            await _note(connection, cut.name)
    stored = await database.value("SELECT word FROM notes WHERE word = $1", cut.name)
    assert (stored == cut.name) is is_there


@pytest.mark.parametrize("cuts", [[Cut.BEFORE_COMMIT], [Cut.AFTER_COMMIT], [Cut.AFTER_COMMIT, Cut.BEFORE_COMMIT]])
async def test_work_in_doubt_is_repeated_until_it_is_definite(
    database: Database, wire: BreakingWire, wired: Database, cuts: list[Cut]
) -> None:
    word = f"repeated {cuts}"
    runs = []

    async def work(connection: Connection) -> str:
        runs.append(word)
        await _note(connection, word)
        return word

    wire.cuts.extend(cuts)
    assert await wired.repeat(work) == word
    assert len(runs) == len(cuts) + 1
    assert await database.value("SELECT count(*) FROM notes WHERE word = $1", word) == 1


async def test_a_session_lost_inside_a_transaction_did_nothing(database: Database, postgres_dsn: str) -> None:
    async with Database(postgres_dsn) as other:

        async def killed() -> None:
            async with other.transaction() as connection:
                await _note(connection, "never")
                pid = await connection.fetchval("SELECT pg_backend_pid()")
                await database.rows("SELECT pg_terminate_backend($1, 5000)", pid)
                await _note(connection, "never either")

        with pytest.raises(Retryable):
            await killed()
        assert await other.rows("SELECT * FROM notes WHERE word LIKE 'never%'") == []


async def test_an_exception_of_the_body_rolls_back_and_passes_through(database: Database) -> None:
    async def failing() -> None:
        async with database.transaction() as connection:
            await _note(connection, "rolled back")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await failing()
    assert await database.value("SELECT count(*) FROM notes WHERE word = 'rolled back'") == 0


async def test_a_mistake_in_sql_is_not_retried(database: Database) -> None:
    runs = []

    async def work(connection: Connection) -> None:
        runs.append(1)
        await connection.execute("SELECT nonsense")

    with pytest.raises(asyncpg.UndefinedColumnError):
        await database.repeat(work)
    assert runs == [1]


async def test_a_deadlock_is_retried(database: Database) -> None:
    await database.rows("INSERT INTO notes VALUES ('first'), ('second')")
    both_hold_one = asyncio.Barrier(2)
    first_run = {"a", "b"}

    async def cross(name: str, words: list[str]) -> None:
        async def work(connection: Connection) -> None:
            for word in words:
                await connection.execute("SELECT 1 FROM notes WHERE word = $1 FOR UPDATE", word)
                if name in first_run:
                    first_run.discard(name)
                    await both_hold_one.wait()

        await database.repeat(work)

    await asyncio.gather(cross("a", ["first", "second"]), cross("b", ["second", "first"]))


async def test_waiting_for_a_lock_has_a_limit(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.database.LOCK_LIMIT_S", 0.1)
    async with Database(postgres_dsn) as impatient, impatient.transaction() as holder:
        await holder.execute("LOCK TABLE leases")
        with pytest.raises(Retryable):
            async with impatient.transaction() as waiter:
                await waiter.execute("LOCK TABLE leases")


async def test_waiting_for_a_connection_has_a_limit(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.database.CONNECT_LIMIT_S", 0.1)
    async with Database(postgres_dsn, pool_size=1) as small, small.transaction():
        with pytest.raises(Retryable):
            await small.rows("SELECT 1", within_s=0)


async def test_a_statement_that_runs_too_long_is_cancelled(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.database.STATEMENT_LIMIT_S", 0.2)
    async with Database(postgres_dsn) as impatient:
        with pytest.raises(Retryable):
            await impatient.rows("SELECT pg_sleep(60)", within_s=0)


@pytest.mark.parametrize("is_between", ["statements", "preparing and executing"])
async def test_a_client_that_falls_silent_loses_its_locks_before_those_who_want_them_give_up(
    database: Database, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch, is_between: str
) -> None:
    monkeypatch.setattr("storage.database.IDLE_IN_TRANSACTION_LIMIT_S", 0.2)
    monkeypatch.setattr("storage.database.TRANSACTION_LIMIT_S", 0.4)

    async def lock(connection: Connection) -> None:
        await connection.execute("SELECT 1 FROM leases WHERE name = 'wanted' FOR UPDATE")

    await Leases(database).acquire("wanted", "anybody", 60_000)
    async with Database(postgres_dsn) as suspended, AsyncExitStack() as silence:
        connection = await silence.enter_async_context(suspended.transaction())
        await lock(connection)
        if is_between == "preparing and executing":
            # The server does not count this one as idle: it waits for the rest of a statement.
            await connection.prepare("SELECT $1::text")
        await database.repeat(lock)
        # Which of the two depends on whether the client has read yet that its session is over.
        with pytest.raises((Retryable, OutcomeUnknown)):
            await silence.aclose()


async def test_an_absent_server_is_retryable() -> None:
    started = time.monotonic()
    with pytest.raises(Retryable):
        await Database("postgresql://trellis@/trellis?host=/nonexistent").open()
    assert time.monotonic() - started < 10


async def test_json_and_amounts_survive_the_round_trip(database: Database) -> None:
    data = {"symbol": "BTCUSDT", "grids": [1, None, True, {"é": 2**62}]}
    amount = Decimal("123456789012345678901234567890.123456789012345678")
    row = await database.row("SELECT $1::jsonb AS data, $2::numeric AS amount", data, amount)
    assert row is not None
    assert (row["data"], row["amount"]) == (data, amount)


def test_a_password_does_not_show() -> None:
    assert "hunter2" not in repr(Database("postgresql://trellis:hunter2@db/trellis"))
