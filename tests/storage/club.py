"""A club as rows (a payer with a hot wallet, a payee with an active address, their deals), and made-up blocks."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from engine.ids import CompanyId, DealId, HotWalletId, Instant, TxId, WalletId
from engine.ledger import accounts
from engine.ledger.accounts import Account
from engine.money import Asset, AssetId, Network
from engine.payments.chain import Block, BlockRef, Receipt, TokenTransfer
from engine.payments.sighting import Sighting, WatchList, sift
from storage import assets, ledger
from storage.chain_cursor import ChainCursor, watcher_lease
from storage.database import Connection, Database
from storage.embedded import EmbeddedPostgres
from storage.incoming import Incoming, Taken
from storage.incoming_reversal import Reversals, RolledBack
from storage.invariants import check
from storage.leases import Lease, Leases
from tests.databases import migrated_copy

START = Instant(1_800_000_000_000)
BLOCK_MS = 3_000

USDT = Asset(AssetId("tron:USDT"), Network.TRON, "USDT", "TContractOfUsdt", 6, True)
USDC = Asset(AssetId("tron:USDC"), Network.TRON, "USDC", "TContractOfUsdc", 6, True)
TRX = Asset(AssetId("tron:TRX"), Network.TRON, "TRX", "", 6)

PAYER, PAYEE = CompanyId("co_payer"), CompanyId("co_payee")
HOT, PAYEES_HOT = HotWalletId("hw_payer"), HotWalletId("hw_payee")
HOT_ADDRESS, PAYEES_HOT_ADDRESS = "THotOfPayer", "THotOfPayee"
WALLET, ADDRESS = WalletId("wa_payee"), "TWalletOfPayee"
OWN_WALLET, OWN_ADDRESS = WalletId("wa_payer"), "TWalletOfPayer"
NEW_WALLET, NEW_ADDRESS, CHALLENGE = WalletId("wa_new"), "TNewOfPayer", 34_567

USDT_BOOK = accounts.wallet(HOT, USDT.id)
COIN_BOOK = accounts.wallet(HOT, TRX.id)


class Chain:
    """Made-up final blocks. Another `fork` of the same height is another block."""

    def __init__(self, number: int = 100, fork: str = "a") -> None:
        self.fork = fork
        self.blocks: list[Block] = [
            Block(BlockRef(number, _id(number, fork), _id(number - 1, fork), _time(number)))
        ]

    @property
    def head(self) -> BlockRef:
        return self.blocks[-1].ref

    def make(self, *transfers: TokenTransfer, receipts: Sequence[Receipt] = ()) -> Block:
        below = self.head
        number = below.number + 1
        ref = BlockRef(number, _id(number, self.fork), below.id, _time(number))
        self.blocks.append(Block(ref, transfers, tuple(receipts)))
        return self.blocks[-1]

    def forked(self, depth: int, fork: str = "b") -> "Chain":
        """Give a chain that shares all blocks but the newest `depth`."""
        other = Chain(fork=fork)
        other.blocks = self.blocks[: len(self.blocks) - depth]
        return other


def pays(
    units: int,
    tx: int = 1,
    *,
    contract: str = USDT.contract,
    sender: str = "TAnybody",
    recipient: str = HOT_ADDRESS,
    log_index: int = 0,
) -> TokenTransfer:
    return TokenTransfer(tx_id(tx), log_index, contract, sender, recipient, units)


def tx_id(tx: int) -> TxId:
    return TxId(f"{tx:064x}")


class Club:
    """The rows, and a watcher's calls on them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.incoming = Incoming(database)
        self.reversals = Reversals(database)
        self.chain = Chain()
        self.lease: Lease
        self.watched: WatchList

    async def open(self, *, approvals: int = 0) -> None:
        """Fill an empty database and begin reading at the chain's head."""
        async with self.database.transaction() as connection:
            await _fill(connection, approvals)
        taken = await Leases(self.database).acquire(watcher_lease(Network.TRON), "tests", 600_000)
        assert taken is not None
        self.lease = taken
        self.watched = await self.incoming.watch_list(Network.TRON)
        await self.incoming.begin(Network.TRON, self.lease.epoch, self.chain.head)

    async def deals(self, *units: int, token: Asset = USDT, deadline_ms: int = START + 10**9) -> list[DealId]:
        """Open pass-through deals, oldest first."""
        async with self.database.transaction() as connection:
            before: int = await connection.fetchval("SELECT count(*) FROM deal")
            names = [f"{before + n + 1:05}" for n in range(len(units))]
            await connection.executemany(
                "INSERT INTO offer (id, company_id, side, network, token, amount_token, price, status, "
                "expires_at_ms, created_by, created_at_ms) "
                "VALUES ($1, $2, 'sell', 'tron', $3, $4, 1, 'accepted', $5, 'mb_one', $5)",
                [
                    (f"of_{name}", PAYER, token.id, amount, START)
                    for name, amount in zip(names, units, strict=True)
                ],
            )
            await connection.executemany(
                """
                INSERT INTO deal (id, offer_id, maker_company_id, taker_company_id, payer_company_id,
                                  payee_company_id, mode, network, token, amount_token, exposure_usd, headroom_usd,
                                  wallet_id, hot_wallet_id, status, deadline_ms, accepted_by, created_at_ms)
                VALUES ($1, $2, $3, $4, $3, $4, 'pass_through', 'tron', $5, $6, 1, 1, $7, $8, 'awaiting_incoming',
                        $9, 'mb_one', $10)
                """,
                [
                    (f"de_{name}", f"of_{name}", PAYER, PAYEE, token.id, amount, WALLET, HOT, deadline_ms, START)
                    for name, amount in zip(names, units, strict=True)
                ],
            )
        return [DealId(f"de_{name}") for name in names]

    async def take(self, *blocks: Block, crash_at: str = "") -> Taken:
        """Take blocks, dying at a crash point if one is named."""

        def crash_point(name: str) -> None:
            if name == crash_at:
                raise Crashed(name)

        return await self.incoming.take(
            self.watched, self.lease.epoch, self.sift(*blocks), Instant(START + 1_000_000), crash_point
        )

    async def roll_back_to(self, block: BlockRef) -> RolledBack:
        return await self.reversals.roll_back_to(Network.TRON, self.lease.epoch, block, Instant(START + 2_000_000))

    async def settle_waiting(self) -> int:
        return await self.reversals.settle_waiting(Network.TRON, self.lease.epoch, Instant(START + 3_000_000))

    def sift(self, *blocks: Block) -> list[Sighting]:
        return [sift(block, self.watched) for block in blocks]

    async def cursor(self) -> BlockRef:
        found = await ChainCursor(self.database, Network.TRON).at()
        assert found is not None
        return found

    async def units(self, account: Account) -> int:
        async with self.database.transaction() as connection:
            return (await ledger.balances(connection, [account]))[account.code].units

    async def value(self, sql: str, *arguments: object) -> object:
        return await self.database.value(sql, *arguments)

    async def fingerprint(self) -> dict[str, object]:
        """Give everything that taking a block may change."""
        tables = (
            *("incoming_tx", "outgoing_tx", "chain_fee", "chain_cursor", "chain_block", "deal", "payout"),
            *("payout_task", "ledger_transfer", "ledger_account", "outbox", "audit", "wallet", "alarm"),
        )
        return {
            table: [tuple(row) for row in await self.database.rows(f"SELECT * FROM {table} AS t ORDER BY t::text")]
            for table in tables
        }


class Crashed(BaseException):
    """The process died here."""


async def _fill(connection: Connection, approvals: int) -> None:
    for asset in (USDT, USDC, TRX):
        await assets.put(connection, asset)
    await connection.execute(
        "INSERT INTO company (id, name, tz, tier, created_at_ms) "
        "SELECT id, id, 'Europe/Berlin', 'M', $1 FROM unnest($2::text[]) AS new (id)",
        START,
        [PAYER, PAYEE],
    )
    await connection.execute("INSERT INTO member (id, name, created_at_ms) VALUES ('mb_one', 'One', $1)", START)
    await connection.executemany(
        "INSERT INTO hot_wallet (id, network, address, company_id, created_at_ms) VALUES ($1, 'tron', $2, $3, $4)",
        [(HOT, HOT_ADDRESS, PAYER, START), (PAYEES_HOT, PAYEES_HOT_ADDRESS, PAYEE, START)],
    )
    await connection.executemany(
        """
        INSERT INTO wallet (id, company_id, network, token, address, verified, verified_at_ms, active_from_ms,
                            challenge_units, challenge_until_ms, added_by, created_at_ms)
        VALUES ($1, $2, 'tron', $3, $4, $5::bigint IS NOT NULL, $5, $5, $6, $7, 'mb_one', $8)
        """,
        [
            (WALLET, PAYEE, USDT.id, ADDRESS, START, None, None, START),
            (OWN_WALLET, PAYER, USDT.id, OWN_ADDRESS, START, None, None, START),
            (NEW_WALLET, PAYER, USDT.id, NEW_ADDRESS, None, CHALLENGE, START + 10**9, START),
        ],
    )
    await connection.execute(
        "INSERT INTO payout_policy (token, cap_token, approvals, window_ms, window_token, changed_at_ms) "
        "VALUES ($1, 200000000000, $2, 86400000, 1000000000000000, $3)",
        USDT.id,
        approvals,
        START,
    )


def _id(number: int, fork: str) -> str:
    return f"{number:016x}" + hashlib.sha256(f"{number}{fork}".encode()).hexdigest()[:48]


def _time(number: int) -> Instant:
    return Instant(START + number * BLOCK_MS)


@asynccontextmanager
async def fresh_club(server: EmbeddedPostgres, *, approvals: int = 0) -> AsyncIterator[Club]:
    """Give a club in a database of its own."""
    async with migrated_copy(server) as dsn, Database(dsn, pool_size=4, name="club") as database:
        club = Club(database)
        await club.open(approvals=approvals)
        yield club
        # Attempts are made up here; that payouts keep their laws is seen where a signer signs.
        assert [breach for breach in await check(database) if breach.invariant.name[0] in "IW"] == []
