"""The engine in a process of its own, to be killed: `python -m benchmarks.simulating.engine_process` starts
lives.

Each line of standard input orders a life; it is forked from here, where everything is imported already, and dies
by its own hand (SIGKILL) when it passes the crash point that it was given, for the so-many-th time. Its number
is printed when it is born and again when it is gone. The production actors run under `LeasedWriter`, over HTTP.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped]  # it ships no types
import uvloop

from actors.broadcast_journal import BroadcastJournal
from actors.chain_watcher import ChainWatcher, WatcherPolicy
from actors.leased import LeasedWriter
from actors.payout_signer import PayoutSigner, Signer, SignerPolicy
from adapters.chains.http import HttpTransport, NodeAddress
from adapters.chains.rpc import NodePool
from adapters.chains.tron.keys import HotWalletKey
from adapters.chains.tron.payouts import TronPayouts
from benchmarks.simulating.club import FIRMS, Firm, secret
from engine.ids import Instant
from engine.money import Network
from engine.payments.payout import SigningRules
from storage.chain_cursor import watcher_lease
from storage.database import Database
from storage.leases import Lease
from storage.payout_memory import SignerRights

LEASE_MS = 1_000
"""Short: whoever comes after a kill waits for it."""
PAUSE_S = 0.15


class Orders(msgspec.Struct, frozen=True):
    """What a life is told. The world's clock runs `speed` times as fast as ours since `began_s`."""

    dsn: str
    journals: str
    nodes: dict[str, str]
    genesis_ms: int
    began_s: float
    speed: float
    owner: int
    """The process that ordered it: nobody else ends this life, so it ends with that one."""
    dies_at: str = ""
    passes: int = 1

    def clock(self) -> Instant:
        """Give the world's time."""
        return Instant(self.genesis_ms + int((time.time() - self.began_s) * self.speed * 1_000))


async def live(orders: Orders) -> None:
    """Run the watcher and every signer until the process is killed."""
    passed: Counter[str] = Counter()

    def crash_points(who: str) -> Callable[[str], None]:
        def at(name: str) -> None:
            place = f"{who}:{name}"
            passed[place] += 1
            if place == orders.dies_at and passed[place] >= orders.passes:
                os.kill(os.getpid(), signal.SIGKILL)

        return at

    transport = HttpTransport({name: NodeAddress(url) for name, url in orders.nodes.items()})
    async with Database(orders.dsn, pool_size=8, name="engine") as database, asyncio.TaskGroup() as group:
        writers = [_watcher(orders, database, transport, crash_points("watcher"))]
        writers += [_signer(orders, database, transport, firm, crash_points("signer")) for firm in FIRMS]
        for writer in writers:
            group.create_task(writer.run())
        group.create_task(_end_with(orders.owner))


async def _end_with(owner: int) -> None:
    while psutil.pid_exists(owner):  # noqa: ASYNC110  a process that ends tells nobody
        await asyncio.sleep(1.0)
    os.kill(os.getpid(), signal.SIGKILL)


def _chain(orders: Orders, transport: HttpTransport) -> TronPayouts:
    pool = NodePool(Network.TRON, list(orders.nodes), transport, orders.clock, lambda kind, what: None)
    return TronPayouts(pool, orders.clock)


def _watcher(
    orders: Orders, database: Database, transport: HttpTransport, crash_point: Callable[[str], None]
) -> LeasedWriter:
    async def make(lease: Lease) -> ChainWatcher:
        return ChainWatcher(
            Network.TRON,
            database,
            _chain(orders, transport),
            lease,
            orders.clock,
            policy=WatcherPolicy(begin_at=0),
            crash_point=crash_point,
        )

    return LeasedWriter(database, watcher_lease(Network.TRON), make, ttl_ms=LEASE_MS, pause_s=PAUSE_S)


def _signer(
    orders: Orders, database: Database, transport: HttpTransport, firm: Firm, crash_point: Callable[[str], None]
) -> LeasedWriter:
    name = f"signer:{firm.hot_wallet}"
    policy = SignerPolicy(rules=SigningRules(rebroadcast_pause_ms=6_000), expires_after_ms=60_000)

    async def make(lease: Lease) -> PayoutSigner:
        return PayoutSigner(
            Signer(SignerRights(firm.hot_wallet, name, lease.epoch), Network.TRON),
            database,
            _chain(orders, transport),
            HotWalletKey(bytearray(secret(firm.hot_wallet))),
            BroadcastJournal(Path(orders.journals) / f"{firm.hot_wallet}.journal", firm.hot_wallet),
            orders.clock,
            policy,
            crash_point,
        )

    return LeasedWriter(database, name, make, ttl_ms=LEASE_MS, pause_s=PAUSE_S)


def main() -> None:
    """Start lives as they are ordered, one at a time, and tell of each when it is born and when it is gone."""
    for line in sys.stdin.buffer:
        orders = msgspec.json.decode(line, type=Orders)
        child = os.fork()
        if child == 0:
            try:
                logging.basicConfig(level=logging.WARNING, filename=f"{orders.journals}/engine.log")
                uvloop.run(live(orders))
            except BaseException:
                logging.exception("engine.ended")
            finally:
                os._exit(1)
        print(child, flush=True)
        os.waitpid(child, 0)
        print(child, flush=True)


if __name__ == "__main__":
    main()
