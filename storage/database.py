"""The door to PostgreSQL: one pool, bounded waits, and errors sorted by what the caller may do next.

It decides what counts as a lost connection and when work may be repeated. It holds no SQL of any business word.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy

from engine.errors import OutcomeUnknown, Retryable

T = TypeVar("T")
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
"""A connection inside a transaction; never kept beyond it."""

SERVER_MIN = 17
CONNECT_LIMIT_S = 5.0
STATEMENT_LIMIT_S = 6.0
ANSWER_GRACE_S = 5.0
"""How much longer we wait than the server works: its definite "cancelled" is worth more than our silence."""
LOCK_LIMIT_S = 5.0
IDLE_IN_TRANSACTION_LIMIT_S = 4.0
"""A process that is suspended in the middle of a transaction holds its locks for so long, and with them whoever
wants to take its lease over."""
TRANSACTION_LIMIT_S = 8.0
"""The same for one that is suspended between preparing a statement and executing it: the server takes it for a
busy client that will send the rest any moment, and no other limit ends it. Shorter than `REPEAT_LIMIT_S`, so that
whoever repeats gets the locks. PostgreSQL has this limit since version 17."""
CLOSE_LIMIT_S = 5.0
REPEAT_LIMIT_S = 10.0

# The server undid the work and says so: the same work may be done again.
_UNDONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutdown, crash, cancelled statement, starting up
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.TransactionRollbackError,  # deadlock, serialisation failure
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
)

# Around a commit these do not say whether it happened: a server that is told to stop may say so after committing.
_IN_DOUBT = (
    TimeoutError,
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InternalServerError,
)


# The server answers, and will not have us as we come: trying again changes nothing.
_REFUSED = (
    asyncpg.ClientConfigurationError,  # an option of the address that asyncpg does not know
    asyncpg.InvalidAuthorizationSpecificationError,  # unknown user, wrong password
    asyncpg.InvalidCatalogNameError,  # unknown database
    asyncpg.InsufficientPrivilegeError,
)


class DatabaseRefused(Exception):
    """The database exists, but not under this address for this user; the message says what it said."""


class Database:
    """A pool of connections to one database. Open it once per process; it is not for sharing between loops."""

    def __init__(self, dsn: str, *, pool_size: int = 4, name: str = "trellis") -> None:
        self._dsn = dsn
        self._pool_size = pool_size
        self._name = name
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    def __repr__(self) -> str:
        return f"Database({self._name!r}, dsn=***)"

    async def open(self) -> None:
        """Open the pool. Raises `Retryable` when the server does not answer, `DatabaseRefused` when it says no."""
        try:
            await self._open()
        except _REFUSED as error:
            raise DatabaseRefused(f"PostgreSQL refuses the connection: {error}. Check DATABASE_URL") from error
        except asyncpg.UndefinedObjectError as error:
            raise DatabaseRefused(
                f"PostgreSQL {SERVER_MIN} or newer is needed; this says: {error}. Upgrade it or unset DATABASE_URL"
            ) from error

    async def _open(self) -> None:
        with sorted_errors():
            # No floor: during an outage the pool would try to refill itself and log every failure.
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=0,
                max_size=self._pool_size,
                max_inactive_connection_lifetime=300.0,
                timeout=CONNECT_LIMIT_S,
                command_timeout=STATEMENT_LIMIT_S + ANSWER_GRACE_S,
                init=_set_codecs,
                reset=_leave_as_it_is,
                server_settings=self._server_settings(),
            )
        try:
            await self.ping()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the pool, waiting a bounded time for work in progress. Twice is harmless."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), CLOSE_LIMIT_S)
        except TimeoutError:
            pool.terminate()

    async def __aenter__(self) -> "Database":
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ------------------------------------------------------------------ work

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Do everything inside or nothing.

        `Retryable`: nothing happened. `OutcomeUnknown`: the connection broke during the commit, so the work may
        or may not be there. Any other exception of the body rolls back and passes through.
        """
        async with self._connection() as connection:
            transaction = connection.transaction()
            with sorted_errors():
                await transaction.start()
                try:
                    yield connection
                except BaseException:
                    await _roll_back(connection, transaction)
                    raise
            await _commit(connection, transaction)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """Read several times, each as of its own moment, as in a transaction, without a transaction's two trips.

        `Retryable` when the connection is lost. Not for writing: each statement would be committed by itself.
        """
        async with self._connection() as connection:
            with sorted_errors():
                yield connection

    async def repeat(self, work: Callable[[Connection], Awaitable[T]], *, within_s: float = REPEAT_LIMIT_S) -> T:
        """Run `work` in a transaction, again and again while the outcome is not definite.

        Only for work that is harmless when done twice. No attempt begins after `within_s`; then the last error
        passes through.
        """
        deadline = time.monotonic() + within_s
        for pause_s in _pauses():
            try:
                async with self.transaction() as connection:
                    return await work(connection)
            except (Retryable, OutcomeUnknown):
                if time.monotonic() + pause_s > deadline:
                    raise
            await asyncio.sleep(pause_s)
        raise AssertionError("unreachable: the pauses never end")

    async def rows(self, sql: str, *arguments: Any, within_s: float = REPEAT_LIMIT_S) -> list[asyncpg.Record]:
        """Read rows, again after a lost connection."""

        async def read(connection: Connection) -> list[asyncpg.Record]:
            return await connection.fetch(sql, *arguments)

        return await self._read(read, within_s)

    async def row(self, sql: str, *arguments: Any, within_s: float = REPEAT_LIMIT_S) -> asyncpg.Record | None:
        """Read one row or None, again after a lost connection."""
        found = await self.rows(sql, *arguments, within_s=within_s)
        return found[0] if found else None

    async def value(self, sql: str, *arguments: Any, within_s: float = REPEAT_LIMIT_S) -> Any:
        """Read the first column of the first row, or None."""
        found = await self.row(sql, *arguments, within_s=within_s)
        return found[0] if found else None

    async def notify(self, channel: str, payload: str) -> None:
        """Wake up the listeners of a channel, in a transaction of its own; `Retryable` when that is impossible."""
        async with self._connection() as connection:
            with sorted_errors():
                await connection.execute("SELECT pg_notify($1, $2)", channel, payload)

    async def ping(self) -> float:
        """Measure one round trip in milliseconds; raise `Retryable` when there is none."""
        started = time.perf_counter()
        await self.rows("SELECT 1", within_s=0.0)
        return (time.perf_counter() - started) * 1000

    async def dedicated(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Open a connection outside the pool, for listening or a session lock. The caller closes it."""
        with sorted_errors():
            return await asyncpg.connect(
                self._dsn,
                timeout=CONNECT_LIMIT_S,
                command_timeout=STATEMENT_LIMIT_S + ANSWER_GRACE_S,
                server_settings=self._server_settings(),
            )

    async def _read(self, work: Callable[[Connection], Awaitable[T]], within_s: float) -> T:
        deadline = time.monotonic() + within_s
        for pause_s in _pauses():
            try:
                async with self.reading() as connection:
                    return await work(connection)
            except Retryable:
                if time.monotonic() + pause_s > deadline:
                    raise
            await asyncio.sleep(pause_s)
        raise AssertionError("unreachable: the pauses never end")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._pool is None:
            raise RuntimeError("the database is not open")
        with sorted_errors():
            connection = await self._pool.acquire(timeout=CONNECT_LIMIT_S)
        try:
            yield connection
        except (Retryable, OutcomeUnknown):
            # Its state is not to be trusted any more, and a new one costs two milliseconds.
            with _forgiving():
                connection.terminate()
            raise
        finally:
            with _forgiving():
                await self._pool.release(connection, timeout=CLOSE_LIMIT_S)

    def _server_settings(self) -> dict[str, str]:
        # Limits on the server's side too: a client that hangs or is unplugged must not hold locks.
        return {
            "application_name": self._name,
            "statement_timeout": _ms(STATEMENT_LIMIT_S),
            "lock_timeout": _ms(LOCK_LIMIT_S),
            "idle_in_transaction_session_timeout": _ms(IDLE_IN_TRANSACTION_LIMIT_S),
            "transaction_timeout": _ms(TRANSACTION_LIMIT_S),
            "timezone": "UTC",
            # Our statements are short: compiling one costs a hundred milliseconds and saves none.
            "jit": "off",
        }


async def _commit(connection: Connection, transaction: Any) -> None:
    if _is_gone(connection):
        raise Retryable("the database connection was gone before the commit was sent")
    try:
        await transaction.commit()
    except _IN_DOUBT as error:
        raise OutcomeUnknown(f"the commit got no definite answer: {_words(error)}") from error
    except _UNDONE as error:
        raise Retryable(f"the commit was refused: {_words(error)}") from error


async def _roll_back(connection: Connection, transaction: Any) -> None:
    if not _is_gone(connection):
        with _forgiving():
            await transaction.rollback()


def _is_gone(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True  # The pool has taken it back already, as it does when the socket closes.


@contextmanager
def sorted_errors() -> Iterator[None]:
    """Turn whatever means "the connection or the work was lost" into `Retryable`; let bugs pass as they are."""
    try:
        yield
    except _UNDONE as error:
        raise Retryable(f"database: {_words(error)}") from error
    except (TimeoutError, OSError) as error:
        raise Retryable(f"the database does not answer: {_words(error)}") from error
    except asyncpg.InternalClientError as error:
        # A connection that breaks at an awkward moment confuses asyncpg's own state machine.
        raise Retryable(f"the database connection is broken: {_words(error)}") from error
    except asyncpg.InterfaceError as error:
        if not _is_loss(error):
            raise
        raise Retryable(f"the database connection is gone: {_words(error)}") from error


@contextmanager
def _forgiving() -> Iterator[None]:
    # Tidying up after a connection that is already gone; the error that matters is on its way.
    with suppress(
        asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError
    ):
        yield


def _is_loss(error: asyncpg.InterfaceError) -> bool:
    # asyncpg raises the same class for a lost connection and for a wrong argument; only the words differ.
    text = str(error)
    return not isinstance(error, ValueError) and ("clos" in text or "released back to the pool" in text)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".strip()


def _pauses() -> Iterator[float]:
    pause_s = 0.02
    while True:
        yield pause_s * random.uniform(0.5, 1.5)  # noqa: S311  spreads retries, guards nothing
        pause_s = min(pause_s * 2, 1.0)


def _ms(seconds: float) -> str:
    return str(int(seconds * 1000))


async def _leave_as_it_is(_connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Skip the pool's own clean-up, two round trips per use: our work leaves no session state behind."""


async def _set_codecs(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    # Binary jsonb is one version byte and the text; Structs and Decimals (as strings) are welcome.
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + msgspec.json.encode(value),
        decoder=lambda data: msgspec.json.decode(memoryview(data)[1:]),
    )


def transpose(rows: Iterable[msgspec.Struct]) -> list[list[Any]]:
    """Turn rows into the column arrays that `unnest` takes, in the order of the Struct's fields."""
    return [list(column) for column in zip(*map(msgspec.structs.astuple, rows), strict=True)]
