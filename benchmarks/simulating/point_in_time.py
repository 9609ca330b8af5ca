"""A real point-in-time restore: base backup, archived write-ahead log, and a new server that stops replaying
early.

What comes up afterwards is what an operator gets after `restore to T−60 min`: the same system, another timeline,
and no memory of anything committed later.
"""

import asyncio
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

from storage.embedded import EmbeddedPostgres, _binaries
from storage.system_account import as_user, file_owner, make_private_dir

BACKUP_LIMIT_S = 60.0
REPLAY_LIMIT_S = 60.0


class ArchivedPostgres:
    """A server that archives its log, and the server that is made of the archive."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._archive = folder / "archive"
        self.server = EmbeddedPostgres(folder / "before")
        self._restored = EmbeddedPostgres(folder / "after")

    async def start(self) -> str:
        """Start archiving; give the dsn."""
        self._folder.mkdir(parents=True, exist_ok=True)
        await self.server.start()
        make_private_dir(self._archive, file_owner())
        command = f"test ! -f {self._archive}/%f && cp %p {self._archive}/%f"
        await _execute(self.server.dsn, "ALTER SYSTEM SET archive_mode = on")
        await _execute(self.server.dsn, f"ALTER SYSTEM SET archive_command = '{command}'")
        await self.server.stop()
        return await self.server.start()

    async def base_backup(self) -> None:
        """Copy the running server's files, as a nightly backup does."""
        target = self._folder / "after"
        target.mkdir(mode=0o755)
        cluster = target / "cluster"
        make_private_dir(cluster, file_owner())
        where = parse_qs(urlsplit(self.server.dsn).query)["host"][0]
        await _run(
            "pg_basebackup", f"--pgdata={cluster}", f"--host={where}", "--username=trellis", "--checkpoint=fast"
        )

    async def name_this_point(self, name: str) -> None:
        """Name the present moment in the log, to come back to."""
        await _execute(self.server.dsn, f"SELECT pg_create_restore_point('{name}')")

    async def lose(self) -> None:
        """Archive what has been written, and kill the server: the machine is gone, the archive is not."""
        connection = await asyncpg.connect(self.server.dsn)
        try:
            last = await connection.fetchval("SELECT pg_walfile_name(pg_switch_wal())")
        finally:
            await connection.close()
        async with asyncio.timeout(BACKUP_LIMIT_S):
            while not (self._archive / last).exists():  # noqa: ASYNC110  another process makes the file
                await asyncio.sleep(0.02)
        assert self.server.pid is not None
        self.server._process.kill()  # type: ignore[union-attr]
        await self.server.stop()

    async def restore_to(self, name: str) -> str:
        """Replay the archive up to a named point and open the result; give its dsn."""
        cluster = self._folder / "after" / "cluster"
        with (cluster / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"restore_command = 'cp {self._archive}/%f %p'\n")
            settings.write(f"recovery_target_name = '{name}'\n")
            settings.write("recovery_target_action = 'promote'\n")
            settings.write("archive_mode = off\n")
        (cluster / "recovery.signal").touch()
        dsn = await self._restored.start()
        async with asyncio.timeout(REPLAY_LIMIT_S):
            while await _value(dsn, "SELECT pg_is_in_recovery()"):  # noqa: ASYNC110  another process decides
                await asyncio.sleep(0.02)
        return dsn

    async def stop(self) -> None:
        """End both servers."""
        await self.server.stop()
        await self._restored.stop()


async def _run(program: str, *arguments: str) -> None:
    command = [str(_binaries() / program), *arguments]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        **as_user(file_owner()),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=BACKUP_LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{program} failed: {done.stderr.strip()}")


async def _execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def _value(dsn: str, sql: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()
