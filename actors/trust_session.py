"""One day of a trust pair: opened when it begins, closed when the pair's clock has passed the cut-off.

A plain class that works in turns under the lease `session:<id>` (`actors.leased`); every turn reads how things
stand and may be repeated. A pair whose days are closed by hand is only opened. What a close does is decided and
written in `storage.settlements`, in one transaction under this lease.
"""

from collections.abc import Callable

from engine.errors import Refusal
from engine.ids import Instant, TrustSessionId
from engine.payments.payout import ENGINE
from engine.settlement.trust_pairs import SessionStatus
from storage import settlements, trust_sessions
from storage.database import Connection, Database
from storage.leases import Lease, guard
from storage.settlements import CloseReport


def session_lease(session: TrustSessionId) -> str:
    """Name the lease under which a day is closed automatically."""
    return f"session:{session}"


class TrustSession:
    """Opens and closes one day of a pair."""

    def __init__(
        self, database: Database, session: TrustSessionId, lease: Lease, clock: Callable[[], Instant]
    ) -> None:
        self._database = database
        self._session = session
        self._lease = lease
        self._clock = clock

    async def boot(self) -> None:
        """Open the day, unless it is there. Raises KeyError for a day of an unknown pair."""

        async def work(connection: Connection) -> None:
            await guard(connection, self._lease.name, self._lease.epoch)
            await trust_sessions.open_day(connection, self._session, self._clock())

        await self._database.repeat(work)

    async def turn(self) -> bool:
        """Close the day if it is due, with all others that are: they may compete for one company's money.

        True while the day is due and not closed: an older day of its pair had to be closed first.
        """
        return await self._database.repeat(self._close_if_due)

    def stop(self) -> None:
        """Let go of nothing: all that it knows is in the database."""

    async def _close_if_due(self, connection: Connection) -> bool:
        await guard(connection, self._lease.name, self._lease.epoch)
        now = self._clock()
        if not await trust_sessions.is_due(connection, self._session, now):
            return False
        due = await trust_sessions.due(connection, now)
        answer: CloseReport | Refusal = await settlements.close(connection, due, now, ENGINE)
        # `due` names the oldest day of each pair: none of them waits for another.
        assert isinstance(answer, CloseReport)
        session = await trust_sessions.get(connection, self._session)
        return session is not None and session.status is SessionStatus.OPEN
