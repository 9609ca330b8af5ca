"""Compares books and chain of one network's addresses, one after another, at one block each.

A balance belongs to a block only if the final head was the same before and after it was asked for; else it is
asked for again. The watcher may be a few blocks behind that head, so a reading waits until its block is taken.
"""

import asyncio
import logging
from collections.abc import Callable

from engine.ids import HotWalletId, Instant
from engine.money import Asset, AssetId, Network
from engine.payments.ports import ChainReader
from engine.payments.reconcile import Finding, in_words, judge
from engine.payments.sighting import WatchedWallet, WatchList
from storage.database import Database
from storage.incoming import Incoming
from storage.leases import Lease
from storage.reconciliation import Reading, Reconciliation

log = logging.getLogger(__name__)

EVERY_MS = 5 * 60_000
"""How often each address is looked at."""
AGAIN_MS = 10_000
"""When a doubt is looked at again."""
PATIENCE_MS = 120_000
"""How long a reading waits for the watcher to take its block."""
_TRIES = 3


class Reconciler:
    """The reconciler of one network. Plain: whoever runs it (`actors.leased`) holds the lease and calls it.

    A call that fails has left nothing behind but what was found before it failed: call again.
    """

    def __init__(
        self,
        network: Network,
        database: Database,
        reader: ChainReader,
        lease: Lease,
        clock: Callable[[], Instant],
        every_ms: int = EVERY_MS,
    ) -> None:
        self._reader = reader
        self._epoch = lease.epoch
        self._network = network
        self._clock = clock
        self._every_ms = every_ms
        self._books = Reconciliation(database, network)
        self._incoming = Incoming(database)
        self._waiting: dict[HotWalletId, tuple[Reading, Instant]] = {}
        """Readings whose block the watcher has not taken yet, and when they were made."""
        self._due_ms: dict[HotWalletId, int] = {}
        self._doubts: set[tuple[HotWalletId, AssetId]] = set()
        """What did not agree at the last look."""

    async def boot(self) -> None:
        """Begin with every address due."""

    def stop(self) -> None:
        """Let go: there is nothing that only one life may hold."""

    async def turn(self) -> bool:
        """Look at the address that is due longest. True: another one is due."""
        watched = await self._incoming.watch_list(self._network)
        if watched.coin is not None:
            await self._books.book_waiting_fees(self._epoch, watched.coin, self._clock())
        for reading, read_ms in tuple(self._waiting.values()):
            await self._compare(reading, read_ms)
        due = self._due(watched)
        if due:
            await self._look(due[0], watched)
        return len(due) > 1

    def _due(self, watched: WatchList) -> list[WatchedWallet]:
        now = self._clock()
        due = [
            wallet
            for wallet in watched.wallets.values()
            if wallet.id not in self._waiting and self._due_ms.get(wallet.id, 0) <= now
        ]
        return sorted(due, key=lambda wallet: (self._due_ms.get(wallet.id, 0), wallet.id))

    async def _look(self, wallet: WatchedWallet, watched: WatchList) -> None:
        reading = await self._read(wallet, list(watched.assets.values()))
        if reading is None:
            self._due_ms[wallet.id] = self._clock() + AGAIN_MS
        else:
            read_ms = self._clock()
            self._waiting[wallet.id] = reading, read_ms
            await self._compare(reading, read_ms)

    async def _read(self, wallet: WatchedWallet, listed: list[Asset]) -> Reading | None:
        """Read all balances of an address at one final block; None when the head would not stand still."""
        for _ in range(_TRIES):
            before = await self._reader.final_head()
            units = await asyncio.gather(
                *(self._reader.balance(wallet.address, asset.contract) for asset in listed)
            )
            if await self._reader.final_head() == before:
                return Reading(
                    wallet.id, before, {asset.id: held for asset, held in zip(listed, units, strict=True)}
                )
        return None

    async def _compare(self, reading: Reading, read_ms: Instant) -> None:
        wallet = reading.hot_wallet
        positions = await self._books.positions(reading)
        if positions is None:
            # Not taken yet. If it never is, the chain has turned into another one: read again.
            if self._clock() - read_ms > PATIENCE_MS:
                del self._waiting[wallet]
            return
        findings = {each.asset: judge(each, (wallet, each.asset) in self._doubts) for each in positions}
        await self._books.keep(self._epoch, positions, findings, self._clock())
        for each in positions:
            self._doubts.discard((wallet, each.asset))
            if findings[each.asset] is not Finding.AGREES:
                self._doubts.add((wallet, each.asset))
                log.error("reconciliation.%s wallet=%s %s", findings[each.asset], wallet, in_words(each))
        del self._waiting[wallet]
        doubtful = Finding.DOUBTFUL in findings.values()
        self._due_ms[wallet] = self._clock() + (AGAIN_MS if doubtful else self._every_ms)
