"""What the handlers work with: the desk for commands and live views, the database for history, the live stream.

It also decides, in this one place, whether a bot or an account exists for whoever asks.
"""

import asyncio
import logging

import msgspec

from actors.club_wiring import ClubEngine
from actors.desk import BotDesk
from actors.messages import ComponentHealth
from actors.venues import UnknownAccount
from actors.views import UnknownBot
from api.access.context import Seals, Site
from api.access.limits import RequestLimits
from api.access.people import People
from api.club import Club
from api.guard import Guard
from api.live import LiveStream, Screen
from api.metrics import Meters
from api.problems import ApiProblem, Kind
from engine.access.principals import Principal, may_reach
from engine.errors import VenueError
from engine.ids import AccountId, BotId, Instant, UserId
from storage.accounts import AccountRow, Accounts
from storage.actions import Actions
from storage.bots import Bots
from storage.database import Database
from storage.executions import Executions
from storage.metrics import Metrics
from storage.orders import Orders
from storage.trades import Trades

log = logging.getLogger(__name__)

EMERGENCY_LOOK_S = 2.0
"""So long an emergency waits for the database before it acts on what is remembered."""


class Programme(msgspec.Struct, frozen=True):
    """What every screen says about the running program."""

    version: str
    environment: str
    feed: str
    placement: str
    address: str
    started_ms: Instant


def assemble(
    desk: BotDesk,
    database: Database,
    programme: Programme,
    *,
    token: str,
    hosts: tuple[str, ...],
    seals: Seals,
    site: Site | None = None,
    limits: RequestLimits | None = None,
    proxies: tuple[str, ...] = (),
    club: ClubEngine | None = None,
) -> "Services":
    """Put together what one API server works with."""
    people = People(database, seals, site or Site(programme.address))
    guard = Guard(token, hosts, people.sign_in, people.site, limits, proxies)
    companies = None if club is None else Club(database, club.desk, club.demo)
    return Services(desk, database, programme, people, guard, companies)


class Services:
    """One per API server."""

    def __init__(
        self,
        desk: BotDesk,
        database: Database,
        programme: Programme,
        people: People,
        guard: Guard,
        club: Club | None,
    ) -> None:
        self.desk = desk
        self.database = database
        self.programme = programme
        self.people = people
        self.guard = guard
        self.orders = Orders(database)
        self.executions = Executions(database)
        self.actions = Actions(database)
        self.metrics = Metrics(database)
        self.trades = Trades(database)
        self.bots = Bots(database)
        self.accounts = Accounts(database)
        self.stream = LiveStream(desk, database)
        self.meters = Meters()
        self.openapi = b""
        self._club = club
        self._owners: dict[BotId, UserId] = {}

    @property
    def club(self) -> Club:
        """Give the club; where companies do not settle, say how they could."""
        if self._club is None:
            raise ApiProblem(Kind.CONFLICT, "the club is off here: set TRELLIS_CLUB", code="club_off")
        return self._club

    @property
    def has_club(self) -> bool:
        """Tell whether companies settle here."""
        return self._club is not None

    async def components(self) -> list[ComponentHealth]:
        """Say how every part is."""
        parts = list(await self.desk.health())
        return parts if self._club is None else parts + await self._club.desk.health()

    # ------------------------------------------------------------------ whose is it

    async def check_reach(self, principal: Principal, name: str, value: str) -> None:
        """Refuse what a path names if it belongs to somebody else, in the words for what nobody has."""
        match name:
            case "bot":
                await self.check_bot(principal, BotId(value))
            case "account":
                try:
                    await self.owned_account(principal, AccountId(value))
                except UnknownAccount:
                    raise ApiProblem(Kind.NOT_FOUND, f"there is no account {value}") from None
            case "wallet" | "deal" | "payout" | "pair":
                await self.club.check_reach(principal, name, value)
            case _:
                pass  # The handlers of sessions and people look among their own; the rest is for the whole club.

    async def check_bot(self, principal: Principal, bot: BotId) -> None:
        """Raise `UnknownBot` for a bot of somebody else's. An operator's bot may still turn out not to exist."""
        # Without a look at the database: an operator's emergency stop must work while it is away.
        if not principal.is_operator and not may_reach(principal, await self._owner_of(bot)):
            raise UnknownBot(bot)

    async def owned_account(self, principal: Principal, account: AccountId) -> AccountRow:
        """Give an account in use that exists for whoever asks; raise `UnknownAccount` otherwise."""
        row = await self.accounts.get(account)
        if row is None or row.retired_at_ms is not None or not may_reach(principal, row.owner):
            raise UnknownAccount(account)
        return row

    def owner_filter(self, principal: Principal, asked: str | None) -> UserId | None:
        """Say whose things a list shows: an operator chooses (None: everybody's), a user sees their own."""
        if principal.is_operator:
            return UserId(asked) if asked else None
        if asked not in (None, "", principal.user):
            raise ApiProblem(Kind.FORBIDDEN, "you see what is yours")
        return principal.user

    def screen(self, principal: Principal) -> Screen:
        """Say what the live stream shows to whoever asks, and for how long."""

        async def sees(bot: BotId) -> bool:
            return principal.is_operator or may_reach(principal, await self._owner_of(bot))

        async def goes_on() -> bool:
            return principal.session is None or await self.people.sessions.is_open(principal.session)

        return Screen(principal.actor, self.owner_filter(principal, None), sees, goes_on)

    async def bots_of(self, owner: UserId) -> list[BotId]:
        """List an owner's bots that must run somewhere; while the database is away, all that we remember."""
        try:
            async with asyncio.timeout(EMERGENCY_LOOK_S):
                return [row.id for row in await self.bots.needing_a_process(owner=owner)]
        except (VenueError, TimeoutError) as error:
            log.warning("services.bots_from_memory owner=%s error=%s", owner, error)
            return [bot for bot, known in self._owners.items() if known == owner]

    async def _owner_of(self, bot: BotId) -> UserId | None:
        # A bot never changes hands, so what was read once holds, also while the database is away.
        if bot not in self._owners:
            async with asyncio.timeout(EMERGENCY_LOOK_S):
                row = await self.bots.get(bot)
            if row is None:
                return None
            self._owners[bot] = row.owner
        return self._owners[bot]
