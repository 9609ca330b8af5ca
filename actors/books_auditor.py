"""Asks whether the books still hold: every invariant at each boot and every five minutes.

One that does not hold means that our own code, a hand or the disk has done what must not be: everything goes into
safe mode, and a person looks. It never corrects anything.
"""

import logging
from collections.abc import Callable

from engine.ids import Instant
from engine.payments.alarms import AlarmKind, Severity
from engine.payments.freeze import Scope
from engine.payments.payout import ENGINE
from storage import alarms, freezes, invariants
from storage.database import Connection, Database
from storage.invariants import Breach
from storage.leases import Lease, guard

log = logging.getLogger(__name__)

AUDITOR_LEASE = "auditor"
CHECK_EVERY_MS = 5 * 60_000
_SHOWN = 300


class BooksAuditor:
    """Plain: whoever runs it (`actors.leased`) holds the lease. A call that fails may be made again."""

    def __init__(self, database: Database, lease: Lease, clock: Callable[[], Instant]) -> None:
        self._database = database
        self._lease = lease
        self._clock = clock
        self._check_due_ms = 0

    async def boot(self) -> None:
        """Let the books be checked with the first turn."""
        self._check_due_ms = 0

    async def turn(self) -> bool:
        """Check the books when it is time."""
        now = self._clock()
        if now >= self._check_due_ms:
            await self._tell(await invariants.check(self._database))
            self._check_due_ms = now + CHECK_EVERY_MS
        return False

    def stop(self) -> None:
        """Let go of nothing."""

    async def _tell(self, breaches: list[Breach]) -> None:
        async def write(connection: Connection) -> None:
            now = self._clock()
            await guard(connection, self._lease.name, self._lease.epoch)
            for breach in breaches:
                name = breach.invariant.name
                log.error("books.broken invariant=%s", name)
                detail = str(breach)[:_SHOWN]
                await alarms.raise_alarm(connection, AlarmKind.INVARIANT_BROKEN, name, Severity.SEV1, detail, now)
                why = f"{name} does not hold"
                await freezes.enter(connection, Scope.GLOBAL, "", why, ENGINE, now, is_safe_mode=True)
            broken = {breach.invariant.name for breach in breaches}
            for invariant in invariants.INVARIANTS:
                if invariant.name not in broken:
                    await alarms.clear_alarm(connection, AlarmKind.INVARIANT_BROKEN, invariant.name, now)

        await self._database.repeat(write)
