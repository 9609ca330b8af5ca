"""The demo's club: four companies S, M, L and XL, two trust pairs, deposits, allow-lists, on worthless money.

It is set up through the doors that real companies use (admission, micro-transfers, deposits), so what it shows is
what they will see. Every start walks all steps again; what is there already stays as it is.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import msgspec

from actors.admission import Admission
from actors.clock import now_ms
from actors.plan import ChainPlan
from engine.errors import Refusal
from engine.ids import CompanyId, MemberId, PairId, TxId, WalletId
from engine.ledger import accounts
from engine.money import Asset, AssetId, Network, UsdMicros, units
from engine.payments.allowlist import AllowedWallet, AllowListPolicy, Standing, standing
from engine.payments.velocity import PayoutPolicy
from engine.settlement.companies import Company, CompanyStatus, HotWallet, Member, Role
from engine.settlement.tiers import Tier
from engine.settlement.trust_pairs import TrustPair
from storage.address_book import AddressBook, NewWallet
from storage.club_commands import Command
from storage.companies import Companies
from storage.database import Database
from storage.deposits import Deposits
from storage.ledger import Ledger
from storage.payout_decisions import Decisions
from storage.trust_pairs import TrustPairs

log = logging.getLogger(__name__)

ACTOR = "demo"
LOOK_EVERY_S = 0.5
STEP_LIMIT_S = 180.0
HOT_WALLET_TRX = 2_000
APPROVALS = 2
CAP_DOLLARS = 200_000
"""At most this in one transfer on TRON; what is more is split."""
DAY_MS = 86_400_000
DAY_DOLLARS = 5_000_000
COOLING_OFF_MS = 5_000
"""A real club waits a day."""
_DOLLAR = 1_000_000


class DemoCompany(msgspec.Struct, frozen=True):
    """A company of the demo: its word begins every id of its own."""

    word: str
    name: str
    tz: str
    tier: Tier
    deposit: int
    """In dollars."""

    @property
    def id(self) -> CompanyId:
        """Give the company's id."""
        return CompanyId(f"co_{self.word}")

    def member(self, word: str) -> MemberId:
        """Give a member's id."""
        return MemberId(f"mb_{self.word}{word}")


COMPANIES = (
    DemoCompany("aurora", "Aurora", "Europe/Warsaw", Tier.S, 10_000),
    DemoCompany("borealis", "Borealis", "Europe/Warsaw", Tier.M, 50_000),
    DemoCompany("cirrus", "Cirrus", "Asia/Dubai", Tier.L, 200_000),
    DemoCompany("dynamo", "Dynamo", "America/New_York", Tier.XL, 500_000),
)
PAIRS = (
    ("aurora", "borealis", 50_000, "18:00", "Europe/Warsaw"),
    ("cirrus", "dynamo", 500_000, "17:00", "Asia/Dubai"),
)
RESERVE_PCT = 5
MEMBERS: dict[str, tuple[Role, ...]] = {
    "admin": (Role.ADMIN,),
    "trader": (Role.TRADER,),
    "anna": (Role.APPROVER,),
    "boris": (Role.APPROVER,),
}


def owners() -> tuple[str, ...]:
    """Name those whose accounts the devnet begins with."""
    return tuple(company.word for company in COMPANIES)


class DemoFailed(Exception):
    """A step of the set-up did not happen; the message says which."""


class ClubDemo:
    """Sets the demo's club up, and pays in for its companies from their own accounts on the devnet."""

    def __init__(self, database: Database, admission: Admission, chain: ChainPlan, devnet: Any) -> None:
        self._database = database
        self._admission = admission
        self._assets = {asset.symbol: asset for asset in chain.assets}
        self._devnet = devnet
        self._companies = Companies(database)
        self._book = AddressBook(database, AllowListPolicy(cooling_off_ms=COOLING_OFF_MS))
        self._ledger = Ledger(database)
        self.progress = "not begun"
        """What the set-up does now, for the screens; `ready` when it is done."""

    async def set_up(self) -> None:
        """Do whatever is missing. Raises `DemoFailed` when a step does not happen in its time."""
        await self._policies()
        for company in COMPANIES:
            self.progress = f"{company.name} joins"
            await self._admit(company)
        self.progress = "addresses are proved by micro-transfers"
        await asyncio.gather(*(self._prove_addresses(company) for company in COMPANIES))
        self.progress = "companies pay in and put up their deposits"
        await asyncio.gather(*(self._deposit(company) for company in COMPANIES))
        self.progress = "trust pairs are enabled"
        for pair in PAIRS:
            await self._pair(*pair)
        self.progress = "ready"

    async def pay_in(self, company: CompanyId, asset: Asset, amount: Decimal) -> TxId:
        """Transfer from a company's own account to its address at the platform; give the transaction's id."""
        wallet = await self._hot_wallet(company)
        word = company.removeprefix("co_")
        return TxId(await self._devnet.pay.remote(word, wallet.address, asset.symbol, units(asset, amount)))

    # ------------------------------------------------------------------ steps

    async def _policies(self) -> None:
        decisions = Decisions(self._database)
        for asset in self._assets.values():
            if asset.is_dollar:
                policy = PayoutPolicy(asset.id, CAP_DOLLARS * _DOLLAR, APPROVALS, DAY_MS, DAY_DOLLARS * _DOLLAR)
                await decisions.set_policy(policy, _command("policy", asset.id))

    async def _admit(self, company: DemoCompany) -> None:
        row = Company(company.id, company.name, company.tz, company.tier, CompanyStatus.ACTIVE, now_ms())
        await self._admission.admit(row, ACTOR)
        for word, roles in MEMBERS.items():
            member = company.member(word)
            await self._companies.add_member(Member(member, f"{word.title()} of {company.name}", now_ms()))
            if await self._companies.roles(member) != {company.id: list(roles)}:
                await self._companies.set_roles(company.id, member, roles, ACTOR)
        wallet = await self._hot_wallet(company.id)
        await self._devnet.fuel.remote(wallet.address, HOT_WALLET_TRX)

    async def _prove_addresses(self, company: DemoCompany) -> None:
        for asset in self._assets.values():
            if asset.is_dollar:
                await self._prove_address(company, asset)

    async def _prove_address(self, company: DemoCompany, asset: Asset) -> None:
        wallet = WalletId(f"wa_{company.word}{asset.symbol.lower()}")
        row = await self._wallet(company.id, wallet)
        if row is None:
            address = await self._devnet.account_of.remote(company.word)
            new = NewWallet(wallet, company.id, Network.TRON, asset.id, address, f"Treasury of {company.name}")
            command = Command(company.member("admin"), f"demo:{wallet}", now_ms())
            row = _must(await self._book.add(new, now_ms(), command))
        if standing(row, now_ms()) is Standing.CHALLENGED:
            # Paid again by a start that follows one which died here: then it is free money of the company's.
            hot_wallet = await self._hot_wallet(company.id)
            await self._devnet.pay.remote(company.word, hot_wallet.address, asset.symbol, row.challenge_units)

        async def is_active() -> bool:
            row = await self._wallet(company.id, wallet)
            return row is not None and standing(row, now_ms()) is Standing.ACTIVE

        await self._until(is_active, f"{wallet} is proved")

    async def _wallet(self, company: CompanyId, wallet: WalletId) -> AllowedWallet | None:
        return next((row for row in await self._book.of_company(company) if row.id == wallet), None)

    async def _deposit(self, company: DemoCompany) -> None:
        asset = self._assets["USDT"]
        wanted = company.deposit * _DOLLAR
        have = await self._ledger.balance(accounts.deposit(company.id, asset.id))
        reserved = await self._ledger.balance(accounts.reserve(company.id, asset.id))
        if have.units + reserved.units >= wanted:
            return
        funds = accounts.funds(company.id, asset.id)
        if (await self._ledger.balance(funds)).available < wanted:
            await self.pay_in(company.id, asset, Decimal(company.deposit * 2))
            await self._until(lambda: self._has(company.id, asset.id, wanted), f"{company.name} has paid in")
        command = Command(company.member("admin"), f"demo:deposit:{company.id}", now_ms())
        _must(await Deposits(self._database).fund(company.id, asset.id, wanted, command))

    async def _has(self, company: CompanyId, asset: AssetId, amount: int) -> bool:
        return (await self._ledger.balance(accounts.funds(company, asset))).available >= amount

    async def _pair(self, one: str, other: str, limit: int, cut_off: str, tz: str) -> None:
        pairs = TrustPairs(self._database)
        pair = PairId(f"tp_{one}{other}")
        if await pairs.get(pair) is None:
            first, second = sorted((CompanyId(f"co_{one}"), CompanyId(f"co_{other}")))
            terms = TrustPair(
                pair, first, second, UsdMicros(limit * _DOLLAR), cut_off, tz, RESERVE_PCT, True, now_ms()
            )
            _must(await pairs.agree(terms, _command("pair", pair)))
            for word in (one, other):
                admin = MemberId(f"mb_{word}admin")
                _must(await pairs.consent(terms.terms, Command(admin, f"demo:consent:{pair}", now_ms())))
            _must(await pairs.enable(pair, _command("enable", pair)))

    # ------------------------------------------------------------------ shared

    async def _hot_wallet(self, company: CompanyId) -> HotWallet:
        for wallet in await self._companies.hot_wallets(Network.TRON):
            if wallet.company_id == company:
                return wallet
        raise DemoFailed(f"{company} has no address on TRON")

    async def _until(self, happened: Callable[[], Awaitable[bool]], what: str) -> None:
        try:
            async with asyncio.timeout(STEP_LIMIT_S):
                while not await happened():  # noqa: ASYNC110  it happens in other processes, by way of a chain
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise DemoFailed(f"the demo waits in vain: {what}") from None


def _command(what: str, about: str) -> Command:
    return Command(ACTOR, f"demo:{what}:{about}", now_ms())


def _must(answer: Any) -> Any:
    if isinstance(answer, Refusal):
        raise DemoFailed(f"{answer.message} ({answer.code})")
    return answer
