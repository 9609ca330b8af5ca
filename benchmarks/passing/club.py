"""A club on its chain: one company that pays, many addresses that are paid, deals that are approved beforehand.

Offers, deals and approvals go through the doors that people use. Only the allow-list and the opening balances are
written directly, as if they had been there for long.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from actors.clock import now_ms
from adapters.chains.tron import addresses
from adapters.chains.tron.devnet.addresses import parse
from adapters.chains.tron.devnet.artifact import call_data
from adapters.chains.tron.devnet.chain import Rules
from adapters.chains.tron.devnet.devnet import Devnet, Funding, demo_account
from adapters.chains.tron.devnet.transactions import Call
from adapters.chains.tron.keys import HotWalletKey
from engine.errors import Refusal
from engine.ids import CompanyId, DealId, HotWalletId, Instant, MemberId, OfferId, WalletId
from engine.ledger import accounts, templates
from engine.money import Asset, AssetId, Network
from engine.payments.approval import PayoutFields
from engine.payments.payout import payout_of_deal
from engine.payments.velocity import PayoutPolicy
from engine.settlement.companies import Company, CompanyStatus, HotWallet, Member, Role
from engine.settlement.deals import AcceptOffer, Deal, Mode
from engine.settlement.offers import NewOffer, Offer, Side
from engine.settlement.tiers import Tier
from storage import assets, invariants, ledger, payouts
from storage.club_commands import Command
from storage.companies import Companies
from storage.database import Database
from storage.deals import Deals
from storage.deposits import Deposits
from storage.ledger import Ledger
from storage.offers import Offers
from storage.payout_decisions import Decisions

PAYER, HOT = CompanyId("co_payer"), HotWalletId("hw_payer")
TRADER, ANNA, BORIS = (MemberId(f"mb_{name}") for name in ("trader", "anna", "boris"))
"""Anna and Boris approve for the payer; the trader trades for everybody."""
USDT, TRX = AssetId("tron:USDT"), AssetId("tron:TRX")
PAYEES = 10
COIN = 1_000_000
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
ARMING_AT_ONCE = 4
LEAST_UNITS = 20 * COIN
TREASURY = "treasury"
HOT_SUN, HOT_UNITS = 1_000_000 * COIN, 5_000_000 * COIN


class Armed(msgspec.Struct, frozen=True):
    """A deal whose payout is approved and waits for the payer's transfer."""

    deal: DealId
    units: int
    to_address: str


class Club:
    """The rows, the chain, and verbs for both. `addresses_count` addresses are paid, spread over ten companies."""

    def __init__(self, database: Database, addresses_count: int) -> None:
        self.database = database
        self._secret = hashlib.sha256(b"pass through").digest()
        self.hot_address = HotWalletKey(bytearray(self._secret)).address
        self._treasury, self._treasury_key = demo_account("pass through", TREASURY)
        self._payees = {
            WalletId(f"wa_{number:04}"): (
                CompanyId(f"co_payee{number % PAYEES}"),
                demo_account("pass through", f"payee {number}")[0],
            )
            for number in range(addresses_count)
        }
        self._chain_ms = now_ms() // 3_000 * 3_000 - HOUR_MS
        self.devnet = Devnet(
            lambda: self._chain_ms,
            Rules(genesis_ms=self._chain_ms),
            funding={
                self.hot_address: Funding(sun=HOT_SUN, tokens={"USDT": HOT_UNITS}),
                self._treasury: Funding(sun=10**14, energy_limit=10**14, tokens={"USDT": 10**15}),
                **{address: Funding(sun=COIN, tokens={"USDT": 1}) for _, address in self._payees.values()},
            },
        )
        self._count = 0
        self.produce(self.devnet.rules.solid_lag + 2)

    def key(self) -> HotWalletKey:
        """Open the hot wallet's key."""
        return HotWalletKey(bytearray(self._secret))

    # ------------------------------------------------------------------ the club

    async def open(self) -> None:
        """Fill an empty database."""
        companies = Companies(self.database)
        now = now_ms()
        for word in (TRADER, ANNA, BORIS):
            await companies.add_member(Member(word, word, now))
        for company in [PAYER, *sorted({company for company, _ in self._payees.values()})]:
            row = Company(company, company, "Europe/Warsaw", Tier.XL, CompanyStatus.ACTIVE, now)
            await companies.create(row, "operator")
            await companies.set_roles(company, TRADER, [Role.TRADER], "operator")
        for approver in (ANNA, BORIS):
            await companies.set_roles(PAYER, approver, [Role.APPROVER], "operator")
        hot = HotWallet(HOT, Network.TRON, self.hot_address, PAYER, now)
        await companies.add_hot_wallet(hot, None, None, "operator")
        await self._open_books(now)
        command = Command(TRADER, "deposit", now)
        assert isinstance(await Deposits(self.database).fund(PAYER, USDT, HOT_UNITS // 2, command), str)

    async def _open_books(self, now: Instant) -> None:
        async with self.database.transaction() as connection:
            contract = self.devnet.tokens["USDT"]
            await assets.put(connection, Asset(USDT, Network.TRON, "USDT", contract, 6, is_dollar=True))
            await assets.put(connection, Asset(TRX, Network.TRON, "TRX", "", 6))
            await connection.executemany(
                "INSERT INTO wallet (id, company_id, network, token, address, verified, verified_at_ms, "
                "active_from_ms, added_by, created_at_ms) VALUES ($1, $2, 'tron', $3, $4, true, $5, $5, $6, $5)",
                [
                    (wallet, company, USDT, address, now - DAY_MS, TRADER)
                    for wallet, (company, address) in self._payees.items()
                ],
            )
            policy = PayoutPolicy(USDT, 200_000 * COIN, 2, DAY_MS, HOT_UNITS)
            await payouts.put_policy(connection, policy, now)
            opening = [
                *templates.owner_put_in(HOT, TRX, HOT_SUN, "opening", now),
                *templates.incoming_to_funds(HOT, PAYER, USDT, HOT_UNITS, "opening", now),
            ]
            assert all(posted.ok for posted in await ledger.post(connection, opening))

    async def arm(self, count: int) -> list[Armed]:
        """Make deals that the payer is to pay, each of an amount of its own, and approve their payouts twice."""
        first, self._count = self._count + 1, self._count + count
        numbers = iter(range(first, first + count))

        async def arm_rest() -> list[Armed]:
            return [await self._arm_one(number) for number in numbers]

        groups = await asyncio.gather(*(arm_rest() for _ in range(ARMING_AT_ONCE)))
        return [one for group in groups for one in group]

    async def _arm_one(self, number: int) -> Armed:
        now = now_ms()
        wallet, (payee, address) = list(self._payees.items())[number % len(self._payees)]
        units = LEAST_UNITS + number
        new = NewOffer(
            OfferId(f"of_{number:05}"),
            PAYER,
            Side.SELL,
            Network.TRON,
            USDT,
            units,
            Decimal(1),
            Instant(now + HOUR_MS),
            TRADER,
        )
        offer = await Offers(self.database).make(new, Command(TRADER, f"offer {number}", now))
        assert isinstance(offer, Offer), offer
        asked = AcceptOffer(DealId(f"de_{number:05}"), offer.id, payee, TRADER, Mode.PASS_THROUGH, wallet)
        deal = await Deals(self.database).accept(asked, Command(TRADER, f"deal {number}", now))
        assert isinstance(deal, Deal), deal
        fields = PayoutFields(payout_of_deal(deal.id), Network.TRON, USDT, units, address)
        for approver in (ANNA, BORIS):
            command = Command(approver, f"approve {number}", now)
            refused = await Decisions(self.database).approve(fields, PAYER, command)
            assert not isinstance(refused, Refusal), refused
        return Armed(deal.id, units, address)

    # ------------------------------------------------------------------ the chain

    def produce(self, blocks: int = 1) -> None:
        """Make blocks, three seconds apart on the chain's own clock."""
        for _ in range(blocks):
            self._chain_ms += self.devnet.rules.block_ms
            self.devnet.produce()

    def pay_in(self, armed: Sequence[Armed]) -> int:
        """Let the payer transfer for each deal, all in one block; give the block's number."""
        treasury, contract = parse(self._treasury), parse(self.devnet.tokens["USDT"])
        for one in armed:
            data = call_data("transfer(address,uint256)", parse(self.hot_address), one.units)
            self.devnet.chain.push(self.devnet.sign(Call(treasury, contract, data), self._treasury_key))
        self.produce()
        assert len(self.devnet.head.included) == len(armed), "not all transfers are in the block"
        return self.devnet.head.number

    # ------------------------------------------------------------------ what has become of it

    async def unpaid(self, armed: Sequence[Armed]) -> int:
        """Count the deals that are not settled yet."""
        count: int = await self.database.value(
            "SELECT count(*) FROM deal WHERE id = ANY ($1) AND status <> 'settled'", [one.deal for one in armed]
        )
        return count

    async def differences(self, armed: Sequence[Armed]) -> list[str]:
        """Say in words what is not exactly as it must be: chain, payouts, books. Empty: all is right."""
        return [*self._on_chain(armed), *await self._in_payouts(armed), *await self._in_books()]

    def _on_chain(self, armed: Sequence[Armed]) -> list[str]:
        wanted = Counter((one.to_address, one.units) for one in armed)
        units = {one.units for one in armed}
        moved: Counter[tuple[str, int]] = Counter()
        for block in self.devnet.chain.blocks:
            for log in (log for included in block.included for log in included.logs):
                sender, recipient = (addresses.text(topic[-20:]) for topic in log.topics[1:3])
                if sender == self.hot_address and int.from_bytes(log.data) in units:
                    moved[recipient, int.from_bytes(log.data)] += 1
        missing, too_many = wanted - moved, moved - wanted
        return [f"the chain lacks {missing[key]} of {key}" for key in missing] + [
            f"the chain has {too_many[key]} too many of {key}" for key in too_many
        ]

    async def _in_payouts(self, armed: Sequence[Armed]) -> list[str]:
        records = await self.database.rows(
            """
            SELECT purpose_id, amount_token, to_address,
                   (SELECT array_agg(state) FROM payout_task WHERE payout_id = payout.id) AS states
            FROM payout WHERE purpose_id = ANY ($1)
            """,
            [one.deal for one in armed],
        )
        found = Counter(
            (record["purpose_id"], int(record["amount_token"]), record["to_address"], tuple(record["states"]))
            for record in records
        )
        wanted = Counter((one.deal, one.units, one.to_address, ("confirmed",)) for one in armed)
        return [f"payouts differ: {key}" for key in (wanted - found) + (found - wanted)]

    async def _in_books(self) -> list[str]:
        """Compare the books with the chain, and see that nothing is left in between."""
        book = Ledger(self.database)
        said = []
        for asset, units in (
            (USDT, self.devnet.token_balance("USDT", self.hot_address, solid=True)),
            (TRX, self.devnet.trx_balance(self.hot_address, solid=True)),
        ):
            balance = await book.balance(accounts.wallet(HOT, asset))
            if (balance.units, balance.held) != (units, 0):
                said.append(f"the books have {balance} of {asset}, the chain {units}")
        for prefix in ("clearing:", "suspense:", "tolerance:"):
            said += [f"{row.code} has {row.balance}" for row in await book.accounts(prefix) if row.balance]
        said += [f"invariant {breach}" for breach in await invariants.check(self.database)]
        alarms = await self.database.rows("SELECT kind, detail FROM alarm WHERE cleared_at_ms IS NULL")
        return said + [f"alarm {row['kind']}: {row['detail']}" for row in alarms]
