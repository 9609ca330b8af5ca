"""The Ray actors of the club: one watcher per network, one signer per hot wallet, one session per pair and day.

Each is a plain single writer (`chain_watcher`, `payout_signer`, `trust_session`) under a lease, in a process of
its own. What a caller may rely on when a call fails: every call may be repeated, none moves money. An actor that
dies is replaced by an empty one; what it knew is in the database, and the next life reads it there.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from actors import chains, wiring
from actors.broadcast_journal import BroadcastJournal
from actors.chain_watcher import ChainWatcher
from actors.chains import OpenChain
from actors.clock import now_ms
from actors.home import Home
from actors.leased import LeasedWriter, Writer
from actors.messages import ClubReport, encode
from actors.node_troubles import NodeTroubles
from actors.payout_signer import PayoutSigner, Signer
from actors.reconciler import Reconciler
from actors.trust_session import TrustSession, session_lease
from engine.errors import VenueError
from engine.ids import CompanyId, HotWalletId, TrustSessionId
from engine.money import Network
from engine.payments.incoming import MatchingPolicy
from engine.settlement.companies import HotWallet
from storage.chain_cursor import watcher_lease
from storage.companies import Companies
from storage.database import Database
from storage.events import SIGNERS_CHANNEL
from storage.incoming import Incoming
from storage.leases import Lease
from storage.payout_memory import SignerRights, signer_lease
from storage.reconciliation import reconciler_lease

log = logging.getLogger(__name__)

POOL_SIZE = 4
OPEN_PAUSE_S = 1.0
SIGNER_PAUSE_S = 1.0
SESSION_PAUSE_S = 5.0
RECONCILER_PAUSE_S = 5.0


class ClubHost(ABC):
    """What the three have in common: a database, a writer under a lease, a report. `begin` once, `close` once."""

    def __init__(self, plan_data: bytes, subject: str) -> None:
        self._plan = wiring.decode_plan(plan_data)
        assert self._plan.club is not None
        self._club = self._plan.club
        self._subject = subject
        self._database = Database(self._plan.dsn, pool_size=POOL_SIZE, name=f"trellis {subject}")
        self._writers = self._leased()
        self._running: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Start working, as soon as the database answers and the lease is free. Twice is harmless."""
        if self._running is None:
            wiring.set_up_logging(self._plan.home, self._plan.log_level)
            self._running = asyncio.create_task(self._run())

    async def report(self) -> bytes:
        """Say how it is (a `ClubReport`)."""
        return encode(ClubReport([writer.report() for writer in self._writers], self._detail()))

    async def close(self) -> None:
        """Give the lease back and close everything."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
        await self._close_chain()
        await self._database.close()

    async def _run(self) -> None:
        while True:
            try:
                await self._database.open()
                break
            except VenueError as error:
                log.warning("club.no_database subject=%s error=%s", self._subject, error)
                await asyncio.sleep(OPEN_PAUSE_S)
        async with asyncio.TaskGroup() as group:
            for writer in self._writers:
                group.create_task(writer.run())

    def _lease(self, name: str, make: Callable[[Lease], Any], pause_s: float, channel: str = "") -> LeasedWriter:
        return LeasedWriter(
            self._database, name, make, ttl_ms=self._plan.lease_ttl_ms, pause_s=pause_s, channel=channel
        )

    @abstractmethod
    def _leased(self) -> list[LeasedWriter]:
        """Give the writers of this process."""

    def _detail(self) -> dict[str, Any]:
        return {}

    async def _close_chain(self) -> None:  # noqa: B027  a session asks no nodes
        """Close what asks nodes; most have nothing of the kind."""


class WatcherHost(ClubHost):
    """Runs the watcher and the reconciler of the network that it is named after: they ask the same nodes."""

    _watcher: ChainWatcher | None = None
    _chain: OpenChain | None = None

    def _leased(self) -> list[LeasedWriter]:
        self._network = Network(self._subject)
        pause_s = self._club.chain(self._network).block_ms / 3_000
        self._troubles = NodeTroubles(self._network, self._database, now_ms, self._node_health)
        return [
            self._lease(watcher_lease(self._network), self._watching, pause_s),
            self._lease(reconciler_lease(self._network), self._reconciling, RECONCILER_PAUSE_S),
        ]

    async def _watching(self, lease: Lease) -> Writer:
        treasury = frozenset(self._club.chain(self._network).treasury)
        self._watcher = ChainWatcher(
            self._network,
            self._database,
            self._open_chain().port,
            lease,
            now_ms,
            Incoming(self._database, MatchingPolicy(treasury=treasury)),
            self._troubles,
        )
        return self._watcher

    async def _reconciling(self, lease: Lease) -> Writer:
        return Reconciler(self._network, self._database, self._open_chain().port, lease, now_ms)

    def _open_chain(self) -> OpenChain:
        # One pool for both: what it has learned of its nodes outlives a writer.
        if self._chain is None:
            self._chain = OpenChain(self._club.chain(self._network), self._troubles.saw)
        return self._chain

    def _node_health(self) -> Any:
        return () if self._chain is None else self._chain.pool.health()

    def _detail(self) -> dict[str, Any]:
        if self._watcher is None:
            return {}
        nodes = msgspec.to_builtins(self._node_health())
        return {**msgspec.to_builtins(self._watcher.health()), "nodes": nodes}

    async def _close_chain(self) -> None:
        if self._chain is not None:
            await self._chain.close()
            self._chain = None


class SignerHost(ClubHost):
    """Runs the signer of the hot wallet that it is named after: the only process that opens its key."""

    _chain: OpenChain | None = None
    _wallet: HotWallet | None = None

    def _leased(self) -> list[LeasedWriter]:
        self._id = HotWalletId(self._subject)
        return [self._lease(signer_lease(self._id), self._make, SIGNER_PAUSE_S, SIGNERS_CHANNEL)]

    async def _make(self, lease: Lease) -> Writer:
        await self._close_chain()
        wallet = self._wallet = await Companies(self._database).wallet(self._id)
        plan = self._club.chain(wallet.network)
        # What its nodes do wrong is the watcher's to report: it asks the same ones all the time.
        chain = self._chain = OpenChain(plan, lambda kind, what: None)
        journals = Home(self._plan.home).journals
        journals.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SigningTurns(
            PayoutSigner(
                Signer(SignerRights(self._id, lease.name, lease.epoch), wallet.network),
                self._database,
                chain.port,
                await chains.open_key(self._plan, self._database, wallet),
                BroadcastJournal(journals / f"{self._id}.journal", self._id),
                now_ms,
            )
        )

    def _detail(self) -> dict[str, Any]:
        if self._wallet is None:
            return {}
        return {"address": self._wallet.address, "company": CompanyId(self._wallet.company_id)}

    async def _close_chain(self) -> None:
        if self._chain is not None:
            await self._chain.close()
            self._chain = None


class SigningTurns:
    """A signer's rounds as turns: one that did something is followed by the next at once."""

    def __init__(self, signer: PayoutSigner) -> None:
        self.boot = signer.boot
        self.stop = signer.stop
        self._signer = signer

    async def turn(self) -> bool:
        done = await self._signer.turn()
        return bool(done.signed or done.handed_over or done.confirmed or done.buried)


class SessionHost(ClubHost):
    """Runs one day of a trust pair."""

    def _leased(self) -> list[LeasedWriter]:
        self._id = TrustSessionId(self._subject)
        return [self._lease(session_lease(self._id), self._make, SESSION_PAUSE_S)]

    async def _make(self, lease: Lease) -> Writer:
        return TrustSession(self._database, self._id, lease, now_ms)
