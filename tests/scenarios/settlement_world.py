"""A club on a devnet with everything that lies between the payer's transfer and the payee's: no Ray, no sockets.

The payout desk's world (real PostgreSQL, devnet, signer, clock of the test's), with a watcher, deals made through
the club's own doors, and a payer that pays from an address of its own.
"""

from decimal import Decimal
from pathlib import Path

from coincurve import PrivateKey

from actors.chain_watcher import ChainWatcher, WatcherPolicy
from actors.node_troubles import NodeTroubles
from actors.payout_signer import PayoutSigner
from actors.reconciler import Reconciler
from adapters.chains.tron.devnet.addresses import parse
from adapters.chains.tron.devnet.artifact import call_data
from adapters.chains.tron.devnet.devnet import Devnet, Funding
from adapters.chains.tron.devnet.transactions import Call, Transfer
from engine.ids import DealId, Instant, MemberId, OfferId, WalletId
from engine.ledger import templates
from engine.money import Network
from engine.payments.incoming import MatchingPolicy
from engine.settlement.deals import AcceptOffer, Deal, Mode
from engine.settlement.offers import NewOffer, Offer, Side
from storage import ledger
from storage.chain_cursor import ChainCursor, watcher_lease
from storage.database import Database
from storage.deals import Deals
from storage.incoming import Incoming
from storage.leases import Leases
from storage.offers import Offers
from storage.reconciliation import ReconciledRow, Reconciliation, reconciler_lease
from tests.payouts.world import ANNA, COIN, HOT, PAYEE, PAYER, TRX, USDT, VERA, WALLET, World, address, secret

OWN_WALLET = WalletId("wa_payer")
DEPOSIT = 100_000 * COIN


class SettlementWorld(World):
    """Verbs for a pass-through deal, from the offer to the books."""

    def __init__(self, database: Database, folder: Path) -> None:
        super().__init__(database, folder)
        self.outside = address("payer outside")
        """Where the payer pays from."""
        self.treasury = address("treasury")
        """Where the operator keeps money of its own."""
        self.devnet = Devnet(
            lambda: self.now,
            funding={
                self.hot_address: Funding(sun=100_000 * COIN),
                self.payee_address: Funding(sun=10 * COIN, tokens={"USDT": COIN}),
                self.outside: Funding(sun=100_000 * COIN, tokens={"USDT": 1_000_000 * COIN}),
                self.treasury: Funding(sun=100_000 * COIN, tokens={"USDT": 1_000_000 * COIN}),
            },
        )
        self.produce(25)
        self.watcher: ChainWatcher
        self.signer_: PayoutSigner
        self.reconciler: Reconciler

    async def begin(self, *, approvals: int = 0) -> "SettlementWorld":
        """Open the club, give the payer its limits, and start the watcher and the signer."""
        await self.open(approvals=approvals)
        async with self.database.transaction() as connection:
            await connection.execute(
                "INSERT INTO company_member (company_id, member_id, role) VALUES ($1, $2, 'TRADER')", PAYEE, VERA
            )
            await connection.execute(
                """
                INSERT INTO wallet (id, company_id, network, token, address, verified, verified_at_ms,
                                    active_from_ms, added_by, created_at_ms)
                VALUES ($1, $2, 'tron', $3, $4, true, 0, 0, $5, 0)
                """,
                OWN_WALLET,
                PAYER,
                USDT,
                self.outside,
                ANNA,
            )
            await ledger.post(
                connection, templates.adjustment(PAYER, USDT, DEPOSIT, "deposit in another bank", self.now)
            )
        self.watcher = await self.new_watcher()
        self.signer_ = await self.signer()
        self.reconciler = await self.new_reconciler()
        return self

    async def new_reconciler(self) -> Reconciler:
        """Take the lease and boot a reconciler that looks at every address in every turn."""
        lease = await Leases(self.database).acquire(reconciler_lease(Network.TRON), "reconciler", 600_000)
        assert lease is not None
        return Reconciler(Network.TRON, self.database, self.chain(), lease, lambda: self.now, every_ms=3_000)

    async def reconciled(self) -> list[ReconciledRow]:
        """Compare books and chain now, and give what was found."""
        await self.reconciler.turn()
        return await Reconciliation(self.database, Network.TRON).newest()

    async def new_watcher(self, holder: str = "watcher", policy: WatcherPolicy | None = None) -> ChainWatcher:
        """Take the network's lease and boot a watcher."""
        lease = await Leases(self.database).acquire(watcher_lease(Network.TRON), holder, 600_000)
        assert lease is not None
        troubles = NodeTroubles(Network.TRON, self.database, lambda: self.now)
        incoming = Incoming(self.database, MatchingPolicy(treasury=frozenset({self.treasury})))
        watcher = ChainWatcher(
            Network.TRON, self.database, self.chain(), lease, lambda: self.now, incoming, troubles, policy
        )
        await watcher.boot()
        return watcher

    async def deal(self, units: int) -> Deal:
        """Let the payer offer, and the payee accept with its own wallet."""
        number = next(self._numbers)
        offer = await Offers(self.database).make(
            NewOffer(
                id=OfferId(f"of_{number}"),
                company_id=PAYER,
                side=Side.SELL,
                network=Network.TRON,
                token=USDT,
                amount_token=units,
                price=Decimal(1),
                expires_at_ms=Instant(self.now + 3_600_000),
                created_by=ANNA,
            ),
            self.says(ANNA),
        )
        assert isinstance(offer, Offer), offer
        asked = AcceptOffer(DealId(f"de_{number}"), offer.id, PAYEE, MemberId(VERA), Mode.PASS_THROUGH, WALLET)
        deal = await Deals(self.database).accept(asked, self.says(VERA))
        assert isinstance(deal, Deal), deal
        return deal

    def pay_in(self, units: int, contract: str | None = None, who: str = "payer outside") -> str:
        """Let somebody transfer to the payer's address at the platform; give the transaction's id."""
        data = call_data("transfer(address,uint256)", parse(self.hot_address), units)
        token = contract or self.devnet.tokens["USDT"]
        return self._push(Call(parse(address(who)), parse(token), data), who)

    def steal(self, units: int) -> str:
        """Let somebody who has the hot wallet's key send its coin away."""
        return self._push(Transfer(parse(self.hot_address), parse(self.outside), units), "hot")

    def steal_token(self, units: int) -> str:
        """Let somebody who has the hot wallet's key send its USDT away."""
        data = call_data("transfer(address,uint256)", parse(self.outside), units)
        return self._push(Call(parse(self.hot_address), parse(self.devnet.tokens["USDT"]), data), "hot")

    def _push(self, contract: Call | Transfer, who: str) -> str:
        transaction = self.devnet.sign(contract, PrivateKey(bytes(secret(who))))
        self.devnet.chain.push(transaction)
        return transaction.id

    async def go_on(self, rounds: int = 12, blocks: int = 5) -> None:
        """Let blocks pass, the watcher read them and the signer pay."""
        for _ in range(rounds):
            self.produce(blocks)
            while await self.watcher.turn():
                pass
            await self.signer_.turn()

    async def cursor_number(self) -> int:
        found = await ChainCursor(self.database, Network.TRON).at()
        assert found is not None
        return found.number

    async def status(self, deal: Deal) -> str:
        found = await Deals(self.database).get(deal.id)
        assert found is not None
        return found.status

    async def books(self) -> dict[str, int]:
        """Give what the books say the address holds."""
        return {asset: (await self.balance(f"wallet:{HOT}:{asset}"))[0] for asset in (USDT, TRX)}

    def chain_says(self) -> dict[str, int]:
        """Give what the address holds at the newest final block."""
        return {
            USDT: self.devnet.token_balance("USDT", self.hot_address, solid=True),
            TRX: self.devnet.trx_balance(self.hot_address, solid=True),
        }
