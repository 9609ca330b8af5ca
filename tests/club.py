"""A club for tests: companies with traders, addresses, funds and deposits, and short ways to trade."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType

import msgspec

from engine.errors import Refusal
from engine.ids import (
    CompanyId,
    DealId,
    HotWalletId,
    Instant,
    MemberId,
    OfferId,
    PairId,
    SettlementId,
    TrustSessionId,
    WalletId,
)
from engine.ledger import accounts, templates
from engine.ledger.postings import Transfer
from engine.money import Asset, AssetId, Network, UsdMicros
from engine.payments.payout import payout_of_settlement
from engine.settlement.companies import Company, CompanyStatus, HotWallet, Member, Role
from engine.settlement.deals import AcceptOffer, Deal, Mode
from engine.settlement.offers import NewOffer, Offer, Side
from engine.settlement.tiers import TIERS, Tier, Tiers
from engine.settlement.trust_pairs import TrustPair
from storage import assets, ledger, trust_sessions
from storage.club_commands import Command
from storage.companies import Companies
from storage.database import Connection, Database
from storage.deals import Deals
from storage.offers import Offers
from storage.payout_decisions import Decisions
from storage.payouts import Payouts
from storage.settlements import CloseReport, Settlements
from storage.trust_pairs import TrustPairs
from tests.chainless_signer import pay_out

USDT = Asset(AssetId("tron:USDT"), Network.TRON, "USDT", "T" + "U" * 33, 6, is_dollar=True)
USDC = Asset(AssetId("tron:USDC"), Network.TRON, "USDC", "T" + "C" * 33, 6, is_dollar=True)

DOLLAR = 1_000_000
MINUTE = 60_000
HOUR = 3_600_000
DAY = 24 * HOUR
NOON = Instant(1_763_812_800_000)
"""2025-11-22 12:00 UTC, a Saturday; 13:00 in Warsaw."""

_numbers = itertools.count(1)


def fresh(prefix: str) -> str:
    """Draw an id that no other test of this run has."""
    return f"{prefix}_{next(_numbers):05d}"


def command(actor: str, now: Instant, id: str | None = None) -> Command:
    """Make a command with an id of its own."""
    return Command(actor, id or fresh("cmd"), now)


class Club:
    """A club in a real database. Every company has one trader, one hot wallet and one active address per token.

    `address` makes addresses of names, `contracts` says where the tokens are: for tests with a chain.
    """

    def __init__(
        self,
        database: Database,
        tiers: Tiers = TIERS,
        address: Callable[[str], str] = lambda name: f"T{name[-33:]:>033}",
        contracts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.database = database
        self._address = address
        self._contracts = contracts
        self.now = NOON
        self.tiers = tiers
        self.companies = Companies(database)
        self.offers = Offers(database)
        self.deals = Deals(database, tiers)
        self.pairs = TrustPairs(database)
        self.settlements = Settlements(database)

    # ------------------------------------------------------------------ people and money

    async def company(self, tier: Tier = Tier.M, *, deposit: int = 0, funds: int = 0) -> CompanyId:
        """Let a company join, with its deposit and its free funds in whole USDT."""
        name = fresh("co")
        company, member = CompanyId(name), trader_of(CompanyId(name))
        await self.companies.create(
            Company(company, name.upper(), "Europe/Warsaw", tier, CompanyStatus.ACTIVE, self.now), "operator"
        )
        await self.companies.add_member(Member(member, f"trader of {name}", self.now))
        await self.companies.set_roles(company, member, [Role.TRADER, Role.APPROVER], "operator")
        admin = Member(admin_of(company), f"admin of {name}", self.now)
        await self.companies.add_member(admin)
        await self.companies.set_roles(company, admin.id, [Role.ADMIN], "operator")
        hot_wallet = hot_wallet_of(company)
        wallet = HotWallet(hot_wallet, Network.TRON, self._address(hot_wallet), company, self.now)
        await self.companies.add_hot_wallet(wallet, None, None, "operator")
        async with self.database.transaction() as connection:
            for asset in (USDT, USDC):
                contract = self._contracts.get(asset.symbol, asset.contract)
                await assets.put(connection, msgspec.structs.replace(asset, contract=contract))
                await _allow_to_pay(connection, asset.id)
        for asset in (USDT, USDC):
            await self.wallet(company, asset, wallet_of(company, asset))
        if deposit:
            await self.deposit(company, deposit)
        if funds:
            await self.funds(company, funds)
        return company

    async def wallet(
        self, company: CompanyId, asset: Asset, wallet: WalletId, active_from: Instant | None = NOON
    ) -> WalletId:
        """Add a row to a company's allow-list, proved before `active_from`; None: not proved at all."""
        async with self.database.transaction() as connection:
            await connection.execute(
                "INSERT INTO wallet (id, company_id, network, token, address, verified, verified_at_ms, "
                "active_from_ms, added_by, created_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                wallet,
                company,
                asset.network,
                asset.id,
                self._address(wallet),
                active_from is not None,
                None if active_from is None else active_from - DAY,
                active_from,
                trader_of(company),
                NOON - 2 * DAY,
            )
        return wallet

    async def revoke(self, wallet: WalletId) -> None:
        """Take an address out of its company's allow-list."""
        async with self.database.transaction() as connection:
            await connection.execute(
                "UPDATE wallet SET revoked_at_ms = $2, revoked_moment = nextval('club_moment') WHERE id = $1",
                wallet,
                self.now,
            )

    async def funds(self, company: CompanyId, coins: int, asset: Asset = USDT) -> None:
        """Let money come in that nothing was waiting for."""
        units = coins * 10**asset.decimals
        await self._post(
            templates.incoming_to_funds(hot_wallet_of(company), company, asset.id, units, fresh("in"), self.now)
        )

    async def deposit(self, company: CompanyId, coins: int, asset: Asset = USDT) -> None:
        """Let money come in and become deposit."""
        await self.funds(company, coins, asset)
        units = coins * 10**asset.decimals
        await self._post(templates.fund(company, asset.id, units, fresh("fund"), self.now))

    async def hold(self, company: CompanyId, coins: int) -> None:
        """Hold a part of a deposit."""
        await self._post(templates.hold_open(company, USDT.id, coins * DOLLAR, fresh("hold"), self.now))

    async def balance(self, account: accounts.Account) -> int:
        """Read what is available in an account."""
        async with self.database.transaction() as connection:
            return (await ledger.balances(connection, [account]))[account.code].available

    async def _post(self, transfers: Sequence[Transfer]) -> None:
        async with self.database.transaction() as connection:
            assert all(posted.ok for posted in await ledger.post(connection, transfers))

    # ------------------------------------------------------------------ trading

    async def offer(self, maker: CompanyId, coins: int, side: Side = Side.SELL, asset: Asset = USDT) -> Offer:
        """Make an offer that stands for a day."""
        made = await self.offers.make(
            new_offer(maker, coins * 10**asset.decimals, side, asset, Instant(self.now + DAY)),
            command(trader_of(maker), self.now),
        )
        assert isinstance(made, Offer), made
        return made

    async def accept(
        self,
        offer: Offer,
        taker: CompanyId,
        mode: Mode = Mode.PASS_THROUGH,
        wallet: WalletId | None = None,
        id: str | None = None,
    ) -> Deal | Refusal:
        """Accept an offer, naming the taker's own address where it is the one that is paid."""
        if wallet is None and offer.side is Side.SELL and mode is Mode.PASS_THROUGH:
            wallet = WalletId(f"wa_{taker}_{offer.token[-4:]}")
        asked = AcceptOffer(DealId(id or fresh("de")), offer.id, taker, trader_of(taker), mode, wallet)
        return await self.deals.accept(asked, command(trader_of(taker), self.now))

    async def deal(
        self, payer: CompanyId, payee: CompanyId, coins: int, mode: Mode = Mode.PASS_THROUGH, asset: Asset = USDT
    ) -> Deal:
        """Let one company sell to another."""
        made = await self.accept(await self.offer(payer, coins, asset=asset), payee, mode)
        assert isinstance(made, Deal), made
        return made

    async def refused(
        self, payer: CompanyId, payee: CompanyId, coins: int, mode: Mode = Mode.PASS_THROUGH
    ) -> Refusal:
        """Let one company try to sell to another, in vain."""
        answer = await self.accept(await self.offer(payer, coins), payee, mode)
        assert isinstance(answer, Refusal), answer
        return answer

    # ------------------------------------------------------------------ trust pairs

    async def pair(
        self,
        one: CompanyId,
        other: CompanyId,
        *,
        limit: int = 100_000,
        reserve_pct: int = 0,
        enable: bool = True,
        automatic_eod: bool = True,
    ) -> PairId:
        """Let two companies agree on a pair that is cut off at 17:00 in Warsaw, and both consent to it."""
        pair = TrustPair(
            PairId(fresh("tp")),
            min(one, other),
            max(one, other),
            UsdMicros(limit * DOLLAR),
            "17:00",
            "Europe/Warsaw",
            reserve_pct,
            automatic_eod,
            self.now,
        )
        assert await self.pairs.agree(pair, command("operator", self.now)) == pair
        await self.consent(pair)
        if enable:
            enabled = await self.pairs.enable(pair.id, command("operator", self.now))
            assert isinstance(enabled, TrustPair), enabled
        return pair.id

    async def consent(self, pair: TrustPair) -> None:
        """Let an admin of each company say yes to the terms of their pair."""
        for company in pair.companies:
            agreed = await self.pairs.consent(pair.terms, command(admin_of(company), self.now))
            assert isinstance(agreed, TrustPair), agreed

    async def open(self, session: TrustSessionId) -> None:
        """Open a pair's day that no deal has opened."""
        async with self.database.transaction() as connection:
            await trust_sessions.open_day(connection, session, self.now)

    async def close(self, *sessions: TrustSessionId) -> CloseReport:
        """Close sessions by hand."""
        report = await self.settlements.close(sessions, command("operator", self.now))
        assert isinstance(report, CloseReport), report
        return report

    async def paid(self, settlement: SettlementId) -> None:
        """Let the payout of a settlement be approved and confirmed, as people and its signer would."""
        payout = await Payouts(self.database).get(payout_of_settlement(settlement))
        assert payout is not None
        says = command(trader_of(payout.company_id), self.now)
        assert await Decisions(self.database).approve(payout.fields, payout.company_id, says) is None
        await pay_out(self.database, payout.hot_wallet_id, payout.id, self.now)


def new_offer(maker: CompanyId, units: int, side: Side, asset: Asset, expires_at_ms: Instant) -> NewOffer:
    """Make an offer with an id of its own."""
    return NewOffer(
        OfferId(fresh("of")),
        maker,
        side,
        asset.network,
        asset.id,
        units,
        Decimal("1.01"),
        expires_at_ms,
        trader_of(maker),
        wallet_of(maker, asset) if side is Side.BUY else None,
    )


def trader_of(company: CompanyId) -> MemberId:
    """Name a company's trader."""
    return MemberId(f"mb_{company}")


def admin_of(company: CompanyId) -> MemberId:
    """Name a company's admin."""
    return MemberId(f"mb_{company}_admin")


def hot_wallet_of(company: CompanyId) -> HotWalletId:
    """Name a company's hot wallet."""
    return HotWalletId(f"hw_{company}")


def wallet_of(company: CompanyId, asset: Asset = USDT) -> WalletId:
    """Name a company's own active address."""
    return WalletId(f"wa_{company}_{asset.symbol}")


async def _allow_to_pay(connection: Connection, asset: AssetId) -> None:
    await connection.execute(
        "INSERT INTO payout_policy (token, cap_token, approvals, window_ms, window_token, changed_at_ms) "
        "VALUES ($1, $2, 1, $3, $4, $5) ON CONFLICT DO NOTHING",
        asset,
        200_000 * DOLLAR,
        DAY,
        10_000_000 * DOLLAR,
        NOON,
    )
