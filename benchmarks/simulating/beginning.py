"""How every run begins: the club's rows, its money on the chain and in the books, and the chain at the same
height.

The books learn of the money as they would in life: the production watcher reads the first blocks. That is done
once, in the template; a worker makes the same blocks again, which costs nothing, and copies the template.
"""

from actors.chain_watcher import ChainWatcher, WatcherPolicy
from adapters.chains.direct import DirectTransport
from adapters.chains.rpc import NodePool
from adapters.chains.tron.payouts import TronPayouts
from benchmarks.simulating import club
from benchmarks.simulating.club import DEPOSIT, FIRMS, PAIRS, TRX, USDT
from benchmarks.simulating.network import NODES, SOLID_LAG, SUN, Network, Time, address
from engine.errors import Refusal
from engine.ids import Instant, PairId
from engine.ledger import templates
from engine.money import Network as Chain
from storage import ledger
from storage.chain_cursor import watcher_lease
from storage.club_commands import Command
from storage.database import Connection, Database
from storage.leases import Leases
from storage.trust_pairs import TrustPairs

FIRST_BLOCKS = SOLID_LAG + 2
LEASE_MS = 60_000


def network_at_the_beginning() -> Network:
    """Make the chain as it is when a run begins."""
    network = Network(Time())
    network.produce(FIRST_BLOCKS)
    return network


async def furnish(database: Database) -> None:
    """Fill a migrated database with the club as it is when a run begins."""
    await furnish_with(database, network_at_the_beginning())


async def furnish_with(database: Database, network: Network) -> None:
    """Fill a migrated database with the club, whose money is on this chain."""
    await club.write(database, address, network.contracts)
    async with database.transaction() as connection:
        for firm in FIRMS:
            await _post(connection, templates.owner_put_in(firm.hot_wallet, TRX, SUN, firm.word, network.time()))
    await _read_the_chain(database, network)
    async with database.transaction() as connection:
        for firm in FIRMS:
            await _post(connection, templates.fund(firm.id, USDT, DEPOSIT, firm.word, network.time()))
    for one, other in PAIRS:
        await _enable(TrustPairs(database), PairId(f"tp_{one}_{other}"), network.time())


async def _enable(pairs: TrustPairs, pair: PairId, now: Instant) -> None:
    terms = await pairs.get(pair)
    assert terms is not None
    admins = [firm.trader for firm in FIRMS if firm.id in terms.companies]
    answers = [await pairs.consent(terms.terms, Command(admin, f"consent {pair}", now)) for admin in admins]
    answers.append(await pairs.enable(pair, Command("operator", f"enable {pair}", now)))
    assert not any(isinstance(answer, Refusal) for answer in answers), answers


async def _read_the_chain(database: Database, network: Network) -> None:
    leases = Leases(database)
    lease = await leases.acquire(watcher_lease(Chain.TRON), "the beginning", LEASE_MS)
    assert lease is not None
    pool = NodePool(Chain.TRON, NODES, DirectTransport(network.devnet), network.time, lambda *_: None)
    chain = TronPayouts(pool, network.time)
    watcher = ChainWatcher(Chain.TRON, database, chain, lease, network.time, policy=WatcherPolicy(begin_at=0))
    await watcher.boot()
    while await watcher.turn():
        pass
    # Whoever watches next would wait for the rest of the minute.
    await leases.release(lease)


async def _post(connection: Connection, transfers: list[ledger.Transfer]) -> None:
    for answer in await ledger.post(connection, transfers):
        assert answer.ok, answer
