"""Emergency stops that the database does not know yet, kept in a file until it does.

An emergency stop acts at once, database or not. So that no restart puts the orders back, the wish is written to
a file first, and into the bots' rows (with its audit entry) as soon as the database answers.
"""

import asyncio
import logging
import os
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
    """The file with the emergency stops that are not recorded yet."""

    def __init__(self, home: Path) -> None:
        self._path = Home(home).path / "emergency.json"

    def read(self) -> list[Emergency]:
        """Give what is not recorded yet."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[Emergency])
        except FileNotFoundError:
            return []

    def add(self, actor: str, bot: BotId | None) -> None:
        """Keep a wish before it is carried out."""
        self._write([*self.read(), Emergency(actor, bot, now_ms())])

    async def record_all(self, bots: Bots) -> None:
        """Write every kept wish into the bots' rows, waiting for the database as long as it takes."""
        while emergencies := self.read():
            try:
                await self._record(bots, emergencies[0])
            except VenueError as error:
                log.warning("emergency.waits_for_database error=%s", error)
                await asyncio.sleep(RETRY_PAUSE_S)
            else:
                self._write(self.read()[1:])

    async def _record(self, bots: Bots, emergency: Emergency) -> None:
        if emergency.bot is not None:
            chosen = [emergency.bot]
        else:
            chosen = [row.id for row in await bots.needing_a_process()]
        for bot in chosen:
            try:
                await bots.set_desired(bot, DesiredState.EMERGENCY_STOPPED, emergency.actor)
            except KeyError:
                log.warning("emergency.unknown_bot bot=%s", bot)

    def _write(self, emergencies: list[Emergency]) -> None:
        if not emergencies:
            self._path.unlink(missing_ok=True)
            return
        draft = self._path.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(emergencies))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
