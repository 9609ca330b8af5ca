"""Ends what nobody ended: offers, deals and holds whose time is over; and tells who is over a limit.

A plain class that works in turns under the lease `deadlines` (`actors.leased`), one per cluster. The end of a hold
frees money where it is; nothing else here touches the ledger.
"""

from collections.abc import Callable

from engine.ids import Instant
from engine.settlement.tiers import TIERS, Tiers
from storage import deals, exposures, ledger, offers
from storage.database import Connection, Database
from storage.leases import Lease, guard

DEADLINES_LEASE = "deadlines"


class Deadlines:
    """Looks after the times and the limits of the whole club."""

    def __init__(
        self, database: Database, lease: Lease, clock: Callable[[], Instant], tiers: Tiers = TIERS
    ) -> None:
        self._database = database
        self._lease = lease
        self._clock = clock
        self._tiers = tiers

    async def boot(self) -> None:
        """Find out nothing: every turn reads how things stand."""

    async def turn(self) -> bool:
        """End what is over, and raise or clear the alarms of companies over their limits. Never more at once."""
        await self._database.repeat(self._end)
        await self._database.repeat(self._watch)
        return False

    def stop(self) -> None:
        """Let go of nothing: all that it knows is in the database."""

    async def _end(self, connection: Connection) -> None:
        await guard(connection, self._lease.name, self._lease.epoch)
        await ledger.take_turn(connection)
        now = self._clock()
        await offers.expire(connection, now)
        await deals.expire(connection, now)
        await ledger.expire_holds(connection, now)

    async def _watch(self, connection: Connection) -> None:
        await guard(connection, self._lease.name, self._lease.epoch)
        await exposures.watch(connection, self._tiers, self._clock())
