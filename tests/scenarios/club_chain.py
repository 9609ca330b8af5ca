"""A club on a chain of its own: the devnet's core without sockets, and a signer for each company's hot wallet."""

from collections.abc import Sequence
from pathlib import Path

from actors.broadcast_journal import BroadcastJournal
from actors.payout_signer import PayoutSigner, Signer
from adapters.chains.direct import DirectTransport
from adapters.chains.rpc import NodePool
from adapters.chains.tron import addresses
from adapters.chains.tron.devnet.devnet import Devnet
from adapters.chains.tron.keys import HotWalletKey
from adapters.chains.tron.payouts import TronPayouts
from engine.errors import Refusal
from engine.ids import CompanyId, Instant, PayoutId
from engine.ledger import templates
from engine.money import Asset, AssetId, Network
from storage import assets, ledger
from storage.database import Database
from storage.leases import Leases
from storage.payout_decisions import Decisions
from storage.payout_memory import SignerRights
from storage.payouts import PayoutRow, Payouts
from tests.club import DOLLAR, Club, command, hot_wallet_of, trader_of, wallet_of
from tests.payouts.world import address, secret


class ClubChain:
    """The chain, the club on it, and verbs for what the test lets happen."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._folder = folder
        self._signers: dict[CompanyId, PayoutSigner] = {}
        contracts: dict[str, str] = {}
        self.club = Club(database, address=address, contracts=contracts)
        self.devnet = Devnet(lambda: self.club.now)
        contracts.update(self.devnet.tokens)
        self._let_pass(25)

    async def company(self, *, deposit: int = 0, funds: int = 0) -> CompanyId:
        """Let a company join, its hot wallet holding on the chain what the books say."""
        company = await self.club.company(deposit=deposit, funds=funds)
        hot_wallet = hot_wallet_of(company)
        self.devnet.give_trx(address(hot_wallet), 10_000 * DOLLAR)
        self.devnet.give_token("USDT", address(hot_wallet), (deposit + funds) * DOLLAR)
        # An account begins to exist with its first coin; paying to one that does not would be another story.
        self.devnet.give_trx(address(wallet_of(company)), DOLLAR)
        async with self.club.database.transaction() as connection:
            trx = Asset(AssetId("tron:TRX"), Network.TRON, "TRX", "", 6)
            await assets.put(connection, trx)
            coin = templates.owner_put_in(hot_wallet, trx.id, 10_000 * DOLLAR, f"coin:{company}", self.club.now)
            await ledger.post(connection, coin)
        return company

    async def approve(self, payout: PayoutId, company: CompanyId) -> Refusal | None:
        """Let the payer's APPROVER say yes to what the payout says now."""
        fields = (await self.payout(payout)).fields
        said = command(trader_of(company), self.club.now)
        return await Decisions(self.club.database).approve(fields, company, said)

    async def run(self, companies: Sequence[CompanyId], rounds: int = 8) -> None:
        """Let the signers of companies do their rounds while blocks pass."""
        for _ in range(rounds):
            for company in companies:
                await (await self._signer(company)).turn()
            self._let_pass(5)

    async def payout(self, payout: PayoutId) -> PayoutRow:
        """Look at a payout."""
        row = await Payouts(self.club.database).get(payout)
        assert row is not None
        return row

    def received(self, wallet: str) -> list[int]:
        """List what the chain itself has moved to the address of that name, in whole coins."""
        moved = []
        for block in self.devnet.chain.blocks:
            for log in (log for included in block.included for log in included.logs):
                if addresses.text(log.topics[2][-20:]) == address(wallet):
                    moved.append(int.from_bytes(log.data) // DOLLAR)
        return moved

    def hot_address(self, company: CompanyId) -> str:
        """Give the address of a company's hot wallet."""
        return address(hot_wallet_of(company))

    def let_time_pass(self, length_ms: int) -> None:
        """Let time pass, and the blocks of its last minute."""
        self.club.now = Instant(self.club.now + length_ms)
        self._let_pass(20)

    async def _signer(self, company: CompanyId) -> PayoutSigner:
        if company not in self._signers:
            wallet = hot_wallet_of(company)
            lease = await Leases(self.club.database).acquire(f"signer:{wallet}", "test", 600_000)
            assert lease is not None
            wire = DirectTransport(self.devnet)
            pool = NodePool("tron", tuple(self.devnet.nodes), wire, lambda: self.club.now, lambda kind, what: None)
            self._signers[company] = PayoutSigner(
                Signer(SignerRights(wallet, lease.name, lease.epoch), Network.TRON),
                self.club.database,
                TronPayouts(pool, lambda: self.club.now),
                HotWalletKey(secret(wallet)),
                BroadcastJournal(self._folder / wallet, wallet),
                lambda: self.club.now,
            )
            await self._signers[company].boot()
        return self._signers[company]

    def _let_pass(self, blocks: int) -> None:
        for _ in range(blocks):
            self.club.now = Instant(self.club.now + self.devnet.rules.block_ms)
            self.devnet.produce()
