"""Emergency stops that the database does not know yet, kept in a file until it does.

An emergency stop acts at once, database or not. So that no restart puts the orders back, the wish is written to
a file first, and into the bots' rows (with its audit entry) as soon as the database answers.
"""

import asyncio
import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path

import msgspec

from actors.clock import now_ms
from actors.home import Home
from engine.errors import VenueError
from engine.ids import BotId, Instant
from storage.bots import Bots, DesiredState

log = logging.getLogger(__name__)

RETRY_PAUSE_S = 0.5


class Emergency(msgspec.Struct, frozen=True):
    """One emergency stop: of one bot, or (None) of all."""

    actor: str
    bot: BotId | None
    at_ms: Instant


class EmergencyList:
    """The folder with the emergency stops that are not recorded yet: a file for each.

    Several processes may add and record at the same time; recording one twice is harmless.
    """

    def __init__(self, home: Path) -> None:
        self._folder = Home(home).path / "emergencies"

    def read(self) -> list[Emergency]:
        """Give what is not recorded yet, oldest first."""
        return [emergency for _, emergency in self._files()]

    def add(self, actor: str, bot: BotId | None) -> None:
        """Keep a wish before it is carried out."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        now = now_ms()
        draft = self._folder / f"{now}-{secrets.token_hex(4)}.new"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(Emergency(actor, bot, now)))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(draft.with_suffix(".json"))

    async def record_all(self, bots: Bots) -> None:
        """Write every kept wish into the bots' rows, waiting for the database as long as it takes."""
        # Again until none is left: one that comes while the others are written finds this already under way.
        while self.read():
            try:
                await self.record(bots)
            except VenueError as error:
                log.warning("emergency.waits_for_database error=%s", error)
                await asyncio.sleep(RETRY_PAUSE_S)

    async def record(self, bots: Bots) -> None:
        """Write every kept wish into the bots' rows; raise `VenueError` if the database is away."""
        for path, emergency in self._files():
            await self._record(bots, emergency)
            path.unlink(missing_ok=True)

    async def _record(self, bots: Bots, emergency: Emergency) -> None:
        if emergency.bot is not None:
            chosen = [emergency.bot]
        else:
            rows = await bots.needing_a_process()
            chosen = [row.id for row in rows if row.created_at_ms <= emergency.at_ms]
        for bot in chosen:
            try:
                await bots.set_desired(bot, DesiredState.EMERGENCY_STOPPED, emergency.actor)
            except KeyError:
                log.warning("emergency.unknown_bot bot=%s", bot)

    def _files(self) -> list[tuple[Path, Emergency]]:
        found = []
        for path in sorted(self._folder.glob("*.json")):
            # Another process may have recorded it between the listing and the reading.
            with suppress(FileNotFoundError):
                found.append((path, msgspec.json.decode(path.read_bytes(), type=Emergency)))
        return found
