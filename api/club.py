"""The club behind the API: for which companies somebody acts, and what of the club exists for whom.

It decides nothing about deals or money; commands are the repositories' (`storage.offers`, `storage.deals` …). What
belongs to companies that somebody is no member of does not exist for them.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import NoReturn

import msgspec

from actors.clock import now_ms
from api.problems import ApiProblem, FieldProblem, Kind, refused
from engine.access.principals import Principal, Via
from engine.errors import Refusal
from engine.ids import CompanyId, Instant, MemberId
from engine.money import Asset, AssetId, coins, units
from engine.settlement.companies import Role
from storage import assets
from storage.club_commands import Command, Refusals
from storage.companies import Companies
from storage.database import Database


class Acting(msgspec.Struct, frozen=True):
    """Somebody with the companies they act for. Operators see every company; they act for those they are members of."""

    name: str
    """Who the audit names."""
    roles: dict[CompanyId, list[Role]]
    sees_all: bool

    @property
    def member(self) -> MemberId:
        """Give the member's id; the name where an operator is no member."""
        return MemberId(self.name)

    @property
    def companies(self) -> list[CompanyId]:
        """Give the companies that one acts for."""
        return sorted(self.roles)

    def sees(self, *companies: str) -> bool:
        """Tell whether something of these companies exists for them."""
        return self.sees_all or any(company in self.roles for company in companies)


class Club:
    """The club of one API server. `is_demo`: its money is worth nothing, so the installation's token may act for members."""

    def __init__(self, database: Database, *, is_demo: bool, clock: Callable[[], Instant] = now_ms) -> None:
        self.database = database
        self.is_demo = is_demo
        self.companies = Companies(database)
        self.refusals = Refusals(database)
        self._clock = clock
        self._assets: dict[AssetId, Asset] = {}

    # ------------------------------------------------------------------ who acts

    async def acting(self, principal: Principal, as_member: str = "") -> Acting:
        """Say for which companies somebody acts. Acting as somebody else is for the demo's console only."""
        if as_member:
            if not (self.is_demo and principal.via is Via.TOKEN):
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

    def now(self) -> Instant:
        """Give the time."""
        return self._clock()

    # ------------------------------------------------------------------ amounts

    async def asset(self, name: str) -> Asset:
        """Find a listed asset; a wrong one is answered with what is listed."""
        if name not in self._assets:
            async with self.database.transaction() as connection:
                self._assets = await assets.listed(connection)
        found = self._assets.get(AssetId(name))
        if found is None:
            _refuse("token", f"{name} is not listed", ", ".join(sorted(self._assets)) or "none yet")
        return found

    async def to_coins(self, asset: str, amount_units: int) -> Decimal:
        """Give base units in coins."""
        return coins(await self.asset(asset), amount_units)

    async def to_units(self, asset: str, amount: Decimal, field: str = "amount") -> int:
        """Give coins in base units, or refuse more decimals than the asset has."""
        try:
            return units(await self.asset(asset), amount)
        except ValueError as error:
            _refuse(field, str(error))


def answered(answer: "msgspec.Struct | Refusal | object") -> object:
    """Give what a command answered; a refusal of our rules becomes the problem that says so."""
    if isinstance(answer, Refusal):
        raise refused([answer])
    return answer


def _refuse(field: str, detail: str, allowed: str = "") -> NoReturn:
    raise ApiProblem(Kind.REFUSED, detail, [FieldProblem(detail, f"#/{field}", allowed=allowed)])
