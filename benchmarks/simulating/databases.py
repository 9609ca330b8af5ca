"""A PostgreSQL server for a worker of a simulation, and databases that are copied in milliseconds.

The server waits for no disk: a simulated crash tears connections, not the machine, and `kills` has servers of its
own where durability is what is tested.
"""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate

TEMPLATE = "simulation_template"
COPY, KEPT = "simulation", "simulation_kept"
MEMORY = "/dev/shm"  # noqa: S108  a simulation's databases and journals, not secrets
ROOM_BYTES_MIN = 4 * 2**30
_IN_A_HURRY = (
    "fsync = off",
    "synchronous_commit = off",
    "full_page_writes = off",
    "autovacuum = off",
    "plan_cache_mode = force_generic_plan",
)


@asynccontextmanager
async def server(furnish: Callable[[Database], Awaitable[None]], core: int) -> AsyncIterator[str]:
    """Run a server on a core, with a migrated and furnished template on it; give the dsn of its own database."""
    with TemporaryDirectory(prefix="trellis-simulate-", dir=memory(), ignore_cleanup_errors=True) as folder:
        async with _running(Path(folder), furnish, core) as dsn:
            yield dsn


def keep_on(core: int, pid: int = 0) -> None:
    """Keep a process, and whatever it starts from now on, on one core; 0 is this process.

    A world and its server wait for each other at every statement: on two cores most of that is waking up.
    """
    if hasattr(os, "sched_setaffinity"):  # Not every system can.
        os.sched_setaffinity(pid, {core})


def memory() -> str | None:
    """Name a folder that lies in memory, where the system has one with room; copies are made there at once."""
    has_room = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES_MIN
    return MEMORY if has_room else None


@asynccontextmanager
async def _running(folder: Path, furnish: Callable[[Database], Awaitable[None]], core: int) -> AsyncIterator[str]:
    async with EmbeddedPostgres(folder) as postgres:
        assert postgres.pid is not None
        keep_on(core, postgres.pid)
        admin = await asyncpg.connect(postgres.dsn)
        try:
            for setting in _IN_A_HURRY:
                await admin.execute(f"ALTER SYSTEM SET {setting}")
            await admin.execute("SELECT pg_reload_conf()")
            await admin.execute(f"CREATE DATABASE {TEMPLATE}")
        finally:
            await admin.close()
        async with Database(named(postgres.dsn, TEMPLATE), pool_size=2, name="template") as template:
            await migrate(template)
            await furnish(template)
        yield postgres.dsn


def named(dsn: str, database: str) -> str:
    """Give the address of another database of the same server."""
    return dsn.replace("@/trellis?", f"@/{database}?")


class Copies:
    """Makes, takes away and brings back the database of one case."""

    def __init__(self, admin: "asyncpg.Connection[asyncpg.Record]", dsn: str) -> None:
        self._admin = admin
        self.dsn = named(dsn, COPY)

    @classmethod
    @asynccontextmanager
    async def on(cls, dsn: str) -> AsyncIterator["Copies"]:
        """Open a connection to the worker's server."""
        admin = await asyncpg.connect(dsn)
        try:
            yield cls(admin, dsn)
            await cls(admin, dsn).clear()
        finally:
            await admin.close()

    async def fresh(self) -> None:
        """Begin anew from the template."""
        await self._copy(TEMPLATE, COPY)

    async def keep(self) -> None:
        """Take the copy that `bring_back` brings back. Nobody may be connected."""
        await self._copy(COPY, KEPT)

    async def bring_back(self) -> None:
        """Restore the copy: whatever was committed since `keep` has never been. Nobody may be connected."""
        await self._copy(KEPT, COPY)

    async def clear(self) -> None:
        """Take both away."""
        for name in (COPY, KEPT):
            await self._admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    async def _copy(self, source: str, target: str) -> None:
        await self._admin.execute(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)")
        # Copying files beats writing them through the log, as long as nobody waits for the disk.
        await self._admin.execute(f"CREATE DATABASE {target} TEMPLATE {source} STRATEGY FILE_COPY")
