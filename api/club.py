"""The club behind the API: for which companies somebody acts, and what of the club exists for whom.

It decides nothing about deals or money; commands are the repositories' (`storage.offers`, `storage.deals` …). What
belongs to companies that somebody is no member of does not exist for them.
"""

from collections.abc import Callable, Set
from decimal import Decimal
from typing import TypeVar

import msgspec

from actors.clock import now_ms
from actors.club_demo import ClubDemo
from actors.club_desk import ClubDesk
from api.club_resources import Balance, HotWalletView
from api.problems import ApiProblem, FieldProblem, Kind, refused
from engine.access.principals import Principal, Via
from engine.errors import Refusal
from engine.ids import CompanyId, DealId, Instant, MemberId, PairId, PayoutId, WalletId
from engine.ledger import accounts
from engine.money import Asset, AssetId, Network, coins, units
from engine.payments.payout import Purpose
from engine.payments.request import NewPayout
from engine.settlement.companies import Role
from engine.settlement.deals import Deal
from storage import assets, companies, ledger, payouts
from storage.address_book import AddressBook
from storage.alarms import Alarms
from storage.club_commands import Command, Refusals, once
from storage.companies import Companies
from storage.corrections import Corrections
from storage.database import Connection, Database
from storage.deals import Deals
from storage.deposits import Deposits
from storage.freezes import Freezes
from storage.incoming import Incoming
from storage.ledger import Ledger
from storage.offers import Offers
from storage.payout_decisions import Decisions
from storage.payouts import PayoutRow, Payouts
from storage.settlements import Settlements
from storage.suspense import Suspense
from storage.trust_pairs import TrustPairs
from storage.trust_sessions import TrustSessions

Answer = TypeVar("Answer")


class Acting(msgspec.Struct, frozen=True):
    """Somebody with the companies they act for."""

    name: str
    """Who the audit names."""
    roles: dict[CompanyId, list[Role]]
    sees_all: bool
    """Operators see every company; they act for those they are members of."""

    @property
    def member(self) -> MemberId:
        """Give the member's id; the name where an operator is no member."""
        return MemberId(self.name)

    def sees(self, *companies: str) -> bool:
        """Tell whether something of these companies exists for them."""
        return self.sees_all or any(company in self.roles for company in companies)

    def require(self, company: CompanyId, roles: Set[Role]) -> None:
        """Refuse whoever has none of these roles at a company."""
        if not roles & set(self.roles.get(company, ())):
            words = " or ".join(sorted(roles))
            raise ApiProblem(Kind.FORBIDDEN, f"only {words} of {company} may do this")


class Club:
    """The club of one API server, and what its routes work with."""

    def __init__(
        self,
        database: Database,
        desk: ClubDesk,
        demo: ClubDemo | None = None,
        clock: Callable[[], Instant] = now_ms,
    ) -> None:
        self.database = database
        self.desk = desk
        self.demo = demo
        self.companies = Companies(database)
        self.wallets = AddressBook(database)
        self.offers = Offers(database)
        self.deals = Deals(database)
        self.pairs = TrustPairs(database)
        self.sessions = TrustSessions(database)
        self.settlements = Settlements(database)
        self.payouts = Payouts(database)
        self.decisions = Decisions(database)
        self.incoming = Incoming(database)
        self.suspense = Suspense(database)
        self.deposits = Deposits(database)
        self.ledger = Ledger(database)
        self.freezes = Freezes(database)
        self.corrections = Corrections(database)
        self.alarms = Alarms(database)
        self.refusals = Refusals(database)
        self._clock = clock
        self._assets: dict[AssetId, Asset] = {}

    def now(self) -> Instant:
        """Give the time."""
        return self._clock()

    # ------------------------------------------------------------------ who acts

    async def acting(self, principal: Principal, as_member: str = "") -> Acting:
        """Say for which companies somebody acts. Acting as somebody else is for the demo's console only."""
        if as_member:
            # Where money is real nobody may stand in for a member: two approvals would come from one hand.
            if not (self.desk.plan.is_demo and principal.via is Via.TOKEN):
                raise ApiProblem(
                    Kind.FORBIDDEN, "members act for themselves; only the demo's console acts for them"
                )
            return Acting(as_member, await self.companies.roles(MemberId(as_member)), sees_all=False)
        member = await self.companies.member_of(principal.user)
        roles = {} if member is None else await self.companies.roles(member.id)
        name = principal.actor if member is None else member.id
        return Acting(name, roles, sees_all=principal.is_operator)

    async def command(self, principal: Principal, command_id: str, as_member: str = "") -> tuple[Acting, Command]:
        """Name who asks, and the wish that is to be carried out once."""
        acting = await self.acting(principal, as_member)
        return acting, Command(acting.name, command_id, self._clock())

    async def check_reach(self, principal: Principal, name: str, value: str) -> None:
        """Refuse what a path names if it is of companies that somebody does not act for, as what nobody has."""
        companies = await self._companies_of(name, value)
        # A payout can be approved before it exists: whose it will be is checked with the approval.
        if companies and not (await self.acting(principal)).sees(*companies):
            raise ApiProblem(Kind.NOT_FOUND, f"there is no {name} {value}")

    async def _companies_of(self, name: str, value: str) -> tuple[str, ...]:
        match name:
            case "wallet":
                company = await self.wallets.owner_of(WalletId(value))
                return () if company is None else (company,)
            case "deal":
                deal = await self.deals.get(DealId(value))
                return () if deal is None else (deal.payer_company_id, deal.payee_company_id)
            case "payout":
                payout = await self.payouts.get(PayoutId(value))
                return () if payout is None else (payout.company_id, payout.payee_id)
            case _:
                pair = await self.pairs.get(PairId(value))
                return () if pair is None else pair.companies

    def one_company(self, acting: Acting, asked: str) -> CompanyId | None:
        """Say whose things a list shows: one company that they act for; an operator may ask for all (None)."""
        if asked and acting.sees(asked):
            return CompanyId(asked)
        if asked:
            raise ApiProblem(Kind.FORBIDDEN, f"you do not act for {asked}")
        if acting.sees_all:
            return None
        if len(acting.roles) == 1:
            return next(iter(acting.roles))
        own = ", ".join(sorted(acting.roles)) or "you act for none"
        raise _refused("company", "say for which of your companies", own)

    # ------------------------------------------------------------------ amounts and addresses

    async def asset(self, name: str) -> Asset:
        """Find a listed asset; a wrong one is answered with what is listed."""
        if name not in self._assets:
            async with self.database.transaction() as connection:
                self._assets = await assets.listed(connection)
        found = self._assets.get(AssetId(name))
        if found is None:
            raise _refused("token", f"{name} is not listed", ", ".join(sorted(self._assets)))
        return found

    async def to_coins(self, asset: str, amount_units: int) -> Decimal:
        """Give base units in coins."""
        return coins(await self.asset(asset), amount_units)

    async def to_units(self, asset: str, amount: Decimal) -> int:
        """Give coins in base units, or refuse more decimals than the asset has."""
        try:
            return units(await self.asset(asset), amount)
        except ValueError as error:
            raise _refused("amount", str(error)) from None

    def address(self, network: Network, text: str) -> str:
        """Give an address of a network as it was written, or refuse what is none."""
        try:
            self.desk.check_address(network, text)
        except ValueError as error:
            raise _refused("address", str(error)) from None
        return text

    # ------------------------------------------------------------------ companies

    async def hot_wallets(self, company: CompanyId) -> list[HotWalletView]:
        """List where a company pays in."""
        return [
            HotWalletView(wallet.id, wallet.network, wallet.address)
            for plan in self.desk.plan.networks
            for wallet in await self.companies.hot_wallets(plan.network)
            if wallet.company_id == company
        ]

    async def balances(self, company: CompanyId) -> list[Balance]:
        """Give a company's money at the platform, in each asset that the club trades."""
        async with self.database.transaction() as connection:
            listed = [asset for asset in (await assets.listed(connection)).values() if asset.is_dollar]
            found = await ledger.balances(
                connection,
                [
                    account(company, asset.id)
                    for asset in listed
                    for account in (accounts.funds, accounts.deposit, accounts.reserve)
                ],
            )
        return [
            Balance(
                asset=asset.id,
                funds=coins(asset, found[accounts.funds(company, asset.id).code].available),
                deposit=coins(asset, found[accounts.deposit(company, asset.id).code].available),
                held=coins(asset, found[accounts.deposit(company, asset.id).code].held),
                reserve=coins(asset, found[accounts.reserve(company, asset.id).code].units),
            )
            for asset in listed
        ]

    async def pay_to(self, deal: Deal) -> str:
        """Give the address where the payer of a deal pays in; empty for netting."""
        for wallet in await self.hot_wallets(deal.payer_company_id):
            if wallet.id == deal.hot_wallet_id:
                return wallet.address
        return ""

    # ------------------------------------------------------------------ withdrawals

    async def withdraw(
        self, company: CompanyId, asset: Asset, amount_units: int, wallet: WalletId, word: str, command: Command
    ) -> PayoutRow | Refusal:
        """Ask for a payout of free funds, once under the command's id."""
        payout = PayoutId(f"po_{word}")
        content = {"company": company, "asset": asset.id, "units": str(amount_units), "wallet": wallet}

        async def work(connection: Connection) -> Refusal | PayoutId:
            await ledger.take_turn(connection)

            async def ask() -> Refusal | PayoutId:
                destination = await connection.fetchval("SELECT address FROM wallet WHERE id = $1", wallet)
                source = await companies.hot_wallet(connection, company, asset.network)
                if destination is None or source is None:
                    return Refusal("not_allowed", "wallet", f"{wallet} is not in the list of {company}")
                new = NewPayout(
                    id=payout,
                    company_id=company,
                    payee_id=company,
                    purpose=Purpose.WITHDRAWAL,
                    purpose_id=word,
                    network=asset.network,
                    token=asset.id,
                    units=amount_units,
                    to_address=destination,
                    wallet_id=wallet,
                    hot_wallet_id=source.id,
                    initiator=command.actor,
                    at_ms=command.at_ms,
                )
                return (await payouts.request(connection, [new]))[0]

            async def again() -> PayoutId:
                return payout

            return await once(connection, command, "payout.withdraw", f"payout:{payout}", content, ask, again)

        asked = await self.database.repeat(work)
        if isinstance(asked, Refusal):
            return asked
        row = await self.payouts.get(payout)
        assert row is not None
        return row


def answered(answer: Answer | Refusal, kind: type[Answer]) -> Answer:
    """Give what a command answered; a refusal of our rules becomes the problem that says so."""
    if isinstance(answer, Refusal):
        raise refused([answer])
    assert isinstance(answer, kind)
    return answer


def _refused(field: str, detail: str, allowed: str = "") -> ApiProblem:
    return ApiProblem(Kind.REFUSED, detail, [FieldProblem(detail, f"#/{field}", allowed=allowed)])
