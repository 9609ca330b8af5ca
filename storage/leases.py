"""Single writers: a lease has one holder at a time, and a fencing epoch that grows whenever the holder changes.

The database's clock decides who holds what. A write under a lease names its epoch, and is refused by the database
when another epoch is current or the lease has run out: even when nobody has taken over yet, because whoever
looks at an expired lease may already be acting on it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import asyncpg
import msgspec

from engine.errors import OutcomeUnknown, Retryable
from engine.ids import BotId
from storage.database import Connection, Database

log = logging.getLogger(__name__)


def _elapsed_s() -> float:
    # Not `monotonic`: that one stands still while a laptop or a virtual machine sleeps, and the lease does not.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class StaleEpoch(Exception):
    """A write was refused: its lease is over, or belongs to somebody else. Stop acting at once."""


class Lease(msgspec.Struct, frozen=True):
    """The right to write under `name`, as long as it is renewed. `epoch` goes with every write."""

    name: str
    holder: str
    epoch: int
    ttl_ms: int


def bot_lease(bot: BotId) -> str:
    """Name the lease that a bot's journal is written under."""
    return f"bot:{bot}"


class Leases:
    """Take, renew and give back leases.

    `holder` must be unique to one life of one process (a random id): a process that asks again after a lost
    answer gets the epoch it already has, and nobody else ever does.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def acquire(self, name: str, holder: str, ttl_ms: int) -> Lease | None:
        """Take the lease if it is free, expired or already ours; None when another holder has it."""

        async def take(connection: Connection) -> int | None:
            epoch: int | None = await connection.fetchval(
                """
                INSERT INTO leases AS held (name, holder, epoch, expires_at_ms)
                VALUES ($1, $2, 1, now_ms() + $3)
                ON CONFLICT (name) DO UPDATE SET
                    holder = excluded.holder,
                    epoch = CASE WHEN held.holder = excluded.holder AND held.expires_at_ms > now_ms()
                                 THEN held.epoch ELSE held.epoch + 1 END,
                    expires_at_ms = now_ms() + $3
                WHERE held.holder = excluded.holder OR held.expires_at_ms <= now_ms()
                RETURNING epoch
                """,
                name,
                holder,
                ttl_ms,
            )
            return epoch

        try:
            epoch = await self._database.repeat(take)
        except asyncpg.UniqueViolationError:
            # Two took a new name at once and met at the index of (name, epoch), which ON CONFLICT does not watch.
            # The name is there now, so this cannot happen again.
            epoch = await self._database.repeat(take)
        return None if epoch is None else Lease(name, holder, epoch, ttl_ms)

    async def renew(self, lease: Lease) -> bool:
        """Extend a lease that still runs. False means it is lost for good: take it anew or stop.

        One attempt, no repeats, so it may raise `Retryable` or `OutcomeUnknown`: the caller counts the time
        that is left.
        """
        async with self._database.transaction() as connection:
            done = await connection.execute(
                "UPDATE leases SET expires_at_ms = now_ms() + $3 "
                "WHERE name = $1 AND epoch = $2 AND holder = $4 AND expires_at_ms > now_ms()",
                lease.name,
                lease.epoch,
                lease.ttl_ms,
                lease.holder,
            )
        return bool(done == "UPDATE 1")

    async def release(self, lease: Lease) -> None:
        """Let the lease run out now, so that the next holder need not wait. Twice is harmless."""

        async def let_go(connection: Connection) -> None:
            await connection.execute(
                "UPDATE leases SET expires_at_ms = now_ms() "
                "WHERE name = $1 AND epoch = $2 AND expires_at_ms > now_ms()",
                lease.name,
                lease.epoch,
            )

        await self._database.repeat(let_go)


async def guard(connection: Connection, name: str, epoch: int) -> None:
    """Refuse the transaction unless `epoch` is current and running; hold takeovers back until it ends.

    Call it first in the transaction. The row lock makes a takeover wait for this transaction's commit, so no
    write can land after the next holder has begun; a renewal does not wait.
    """
    current = await connection.fetchval(
        "SELECT epoch FROM leases WHERE name = $1 AND epoch = $2 AND expires_at_ms > now_ms() FOR KEY SHARE",
        name,
        epoch,
    )
    if current is None:
        raise StaleEpoch(f"epoch {epoch} of {name} is over")


class LeaseKeeper:
    """Renews a lease in time, and knows without the database how long it surely still runs.

    The local count starts before each renewal is sent, so it ends before the database's: a holder that obeys
    `is_safe` has stopped acting by the time another one can begin, even when the database is out of reach.
    """

    def __init__(self, leases: Leases, lease: Lease, taken_at: float) -> None:
        self._leases = leases
        self.lease = lease
        self._safe_until = taken_at + lease.ttl_ms / 1000

    @classmethod
    async def take(cls, leases: Leases, name: str, holder: str, ttl_ms: int) -> "LeaseKeeper | None":
        """Acquire the lease, or return None when another holder has it."""
        asked_at = _elapsed_s()
        lease = await leases.acquire(name, holder, ttl_ms)
        return None if lease is None else cls(leases, lease, asked_at)

    @property
    def is_safe(self) -> bool:
        """Tell whether acting under the lease is still safe, by the local clock."""
        return _elapsed_s() < self._safe_until

    @property
    def left_s(self) -> float:
        """Give the seconds that the lease surely still runs."""
        return max(0.0, self._safe_until - _elapsed_s())

    async def keep(self, on_lost: Callable[[], Awaitable[None]]) -> None:
        """Renew three times per lifetime until cancelled; call `on_lost` once and return when it is over."""
        pause_s = self.lease.ttl_ms / 3000
        while self.is_safe:
            await asyncio.sleep(min(pause_s, self.left_s))
            asked_at = _elapsed_s()
            try:
                # A renewal that takes longer than the lease runs is no renewal.
                async with asyncio.timeout(self.left_s):
                    renewed = await self._leases.renew(self.lease)
            except (Retryable, OutcomeUnknown, TimeoutError):
                log.warning("lease.renewal_failed name=%s left_s=%.1f", self.lease.name, self.left_s)
                await asyncio.sleep(min(0.2, self.left_s))
                continue
            if not renewed:
                break
            self._safe_until = asked_at + self.lease.ttl_ms / 1000
        self._safe_until = 0.0
        log.error("lease.lost name=%s epoch=%s", self.lease.name, self.lease.epoch)
        await on_lost()
