"""The engine's single writers as they live and die: one watcher of the chain, one signer for each hot wallet.

A life is what a process is: an object of the production class, connections, an open journal, a lease's epoch.
When it crashes all of that is gone, and what was written stays. Sometimes the old life goes on beside the new
one for a while, as Ray leaves processes running on a node that it has lost.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from actors.broadcast_journal import BroadcastJournal
from actors.chain_watcher import ChainWatcher, WatcherPolicy
from actors.payout_signer import PayoutSigner, Signer, SignerPolicy
from adapters.chains.direct import DirectTransport
from adapters.chains.rpc import NodePool
from adapters.chains.tron.keys import HotWalletKey
from adapters.chains.tron.payouts import TronPayouts
from benchmarks.simulating.club import FIRMS, Firm, secret
from benchmarks.simulating.faults import CutDatabase
from benchmarks.simulating.network import NODES
from engine.ids import Instant
from engine.money import Network
from engine.payments.payout import SigningRules
from storage.chain_cursor import watcher_lease
from storage.database import Database
from storage.leases import Lease, Leases
from storage.payout_memory import SignerRights

LEASE_MS = 3_600_000
EXPIRES_AFTER_MS = 60_000
POLICY = SignerPolicy(
    rules=SigningRules(rebroadcast_pause_ms=6_000, failures_max=50),
    expires_after_ms=EXPIRES_AFTER_MS,
    wait_pause_ms=3_000,
    # Nobody's patience is tested here, and the world's clock makes long steps.
    stuck_after_ms=24 * 3_600_000,
)


class Writer(Protocol):
    """What both actors are."""

    async def boot(self) -> None:
        """Begin."""
        ...

    async def turn(self) -> object:
        """Do one round."""
        ...


class Edges(msgspec.Struct, frozen=True):
    """What a life is given of the world around it."""

    house: Database
    """The world's own door to the database, which is never cut."""
    folder: Path
    clock: Callable[[], Instant]
    wire: DirectTransport
    database: Callable[[], CutDatabase]
    crash_points: Callable[[str], Callable[[str], None]]
    signed: Callable[[str], None]
    """Told the transaction's id whenever a key signs."""


class SealedKey:
    """A hot wallet's key as a device would hold it: it signs, and the world hears that it did."""

    def __init__(self, firm: Firm, signed: Callable[[str], None]) -> None:
        self._key = HotWalletKey(bytearray(secret(firm.hot_wallet)))
        self._signed = signed

    @property
    def address(self) -> str:
        """Give the wallet's address."""
        return self._key.address

    def sign(self, digest: bytes) -> bytes:
        """Sign 32 bytes."""
        self._signed(digest.hex())
        return self._key.sign(digest)

    def wipe(self) -> None:
        """Forget the key."""
        self._key.wipe()


class Life:
    """One life of one writer, from its lease to its end."""

    def __init__(self, name: str, database: CutDatabase, writer: Writer, end: Callable[[], None]) -> None:
        self.name = name
        self.writer = writer
        self.is_up = False
        self._database = database
        self._end = end

    async def turn(self) -> object:
        """Boot if that was not done, else do one round."""
        if not self.is_up:
            await self.writer.boot()
            self.is_up = True
        return await self.writer.turn()

    def tear(self) -> None:
        """End it as the kernel ends a process: sockets closed, files closed, memory gone."""
        self._database.tear()
        self._end()


async def begin_watcher(edges: Edges) -> Life:
    """Take the watcher's lease from whoever has it, and begin a life."""
    name = watcher_lease(Network.TRON)
    database, lease = await _begin(edges, name)
    chain = TronPayouts(_pool(edges), edges.clock)
    writer = ChainWatcher(
        Network.TRON,
        database,
        chain,
        lease,
        edges.clock,
        policy=WatcherPolicy(begin_at=0),
        crash_point=edges.crash_points("watcher"),
    )
    return Life("watcher", database, writer, lambda: None)


async def begin_signer(edges: Edges, firm: Firm) -> Life:
    """Take a signer's lease from whoever has it, and begin a life."""
    name = f"signer:{firm.hot_wallet}"
    database, lease = await _begin(edges, name)
    journal = _journal(edges.folder, firm)
    writer = PayoutSigner(
        Signer(SignerRights(firm.hot_wallet, name, lease.epoch), Network.TRON),
        database,
        TronPayouts(_pool(edges), edges.clock),
        SealedKey(firm, edges.signed),
        journal,
        edges.clock,
        POLICY,
        edges.crash_points("signer"),
    )
    return Life(firm.word, database, writer, journal.close)


def journals(folder: Path) -> list[BroadcastJournal]:
    """Give the journals that there are, closed."""
    return [_journal(folder, firm) for firm in FIRMS if _journal_file(folder, firm).exists()]


def _journal(folder: Path, firm: Firm) -> BroadcastJournal:
    return BroadcastJournal(_journal_file(folder, firm), firm.hot_wallet)


def _journal_file(folder: Path, firm: Firm) -> Path:
    return folder / f"{firm.hot_wallet}.journal"


async def _begin(edges: Edges, name: str) -> tuple[CutDatabase, Lease]:
    # Time has passed: whoever had the lease was silent for longer than it runs.
    async with edges.house.transaction() as connection:
        await connection.execute("UPDATE leases SET expires_at_ms = 0 WHERE name = $1", name)
    lease = await Leases(edges.house).acquire(name, f"life of {name}", LEASE_MS)
    assert lease is not None
    database = edges.database()
    await database.open()
    return database, lease


def _pool(edges: Edges) -> NodePool:
    return NodePool(Network.TRON, NODES, edges.wire, edges.clock, lambda kind, what: None)
