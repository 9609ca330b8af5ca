"""Exchange accounts: connect one, look at it, check its key again, remove it.

A key is asked about at its venue before anything of it is kept. One that can withdraw is refused: bots need no
such right, and whoever stole the database and the sealing key together could otherwise empty the account. What is
kept is sealed; nothing here returns a key or writes one to a log.
"""

import hashlib
from base64 import b32encode
from collections.abc import Sequence
from typing import Annotated

import msgspec

from actors import wiring
from actors.clock import now_ms
from actors.venues import UnknownAccount, Venues
from adapters.secrets.keys import ApiKey
from engine.errors import Refusal, Rejected, RejectReason
from engine.ids import AccountId, UserId
from engine.ports import KeyPermissions
from engine.trading.instrument import Market
from engine.trading.market import Balance
from storage.accounts import AccountRow, Accounts, Environment, NewAccount
from storage.database import Database

HINT_LENGTH = 4
PAPER_LABEL = "Paper trading"


class ConnectableExchange(msgspec.Struct, frozen=True):
    """An exchange that an account can be at."""

    exchange: str
    title: str
    environments: list[Environment]
    needs_passphrase: bool
    markets: list[Market]


class Connect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account to be connected. The paper exchange needs no key."""

    environment: Environment
    exchange: Annotated[str, msgspec.Meta(max_length=20)] = wiring.PAPER_EXCHANGE
    label: Annotated[str, msgspec.Meta(max_length=60)] = ""
    """What the screens call it; empty: named after the exchange."""
    key: Annotated[str, msgspec.Meta(max_length=200)] = ""
    secret: Annotated[str, msgspec.Meta(max_length=500)] = ""
    passphrase: Annotated[str, msgspec.Meta(max_length=200)] = ""
    """Some exchanges give a third word."""

    def __repr__(self) -> str:
        return f"Connect({self.exchange!r}, {self.environment!r}, key=***)"


class AccountView(msgspec.Struct, frozen=True):
    """An account with the number of its bots."""

    row: AccountRow
    bots: int


class AccountDesk:
    """The door to exchange accounts."""

    def __init__(self, database: Database, plan: "wiring.Plan", venues: Venues) -> None:
        self._accounts = Accounts(database)
        self._database = database
        self._plan = plan
        self._venues = venues

    def exchanges(self) -> list[ConnectableExchange]:
        """List what can be connected. Our own paper venue is a world of Bybit, whose language it speaks."""
        found = []
        for each in wiring.exchanges():
            worlds = {world.value for world in each.environments}
            environments = [world for world in Environment if world.value in worlds]
            if each.name == wiring.PAPER_EXCHANGE and self._plan.paper_port:
                environments.insert(0, Environment.PAPER)
            markets = sorted(each.markets, reverse=True)
            found.append(ConnectableExchange(each.name, each.title, environments, each.needs_passphrase, markets))
        return found

    async def views(self, owner: UserId | None) -> list[AccountView]:
        """List an owner's accounts in use (None: everybody's), oldest first."""
        rows = await self._accounts.of_owner(owner)
        bots = await self._accounts.count_bots([row.id for row in rows])
        return [AccountView(row, bots.get(row.id, 0)) for row in rows]

    async def view(self, account: AccountId) -> AccountView:
        """Give one account in use; raise `UnknownAccount` for any other."""
        row = await self._venues.account(account)
        return AccountView(row, (await self._accounts.count_bots([account])).get(account, 0))

    async def connect(
        self, actor: str, owner: UserId, asked: Connect, command_id: str
    ) -> AccountView | list[Refusal]:
        """Connect an account, or say what must change. The same command id gives the same account.

        Raises `AlreadyExistsDifferently` for the same command id with another key.
        """
        refusals = self._refuse(asked)
        if refusals:
            return refusals
        if asked.environment is Environment.PAPER:
            return await self._connect_paper(actor, owner, asked.label)
        key = ApiKey(asked.key, asked.secret, asked.passphrase)
        permissions = await _permissions(asked, key)
        refusals = permissions if isinstance(permissions, list) else check_permissions(permissions)
        if isinstance(permissions, list) or refusals:
            return refusals
        account = AccountId(word_of(owner, f"account {command_id}"))
        new = NewAccount(
            account,
            owner,
            asked.exchange,
            asked.environment,
            asked.label.strip() or f"{self._known()[asked.exchange].title} {asked.environment}",
            sealed_key=wiring.seal_key(self._plan, account, owner, key),
            key_hint=asked.key[-HINT_LENGTH:],
            permissions=permissions,
            checked_at_ms=now_ms(),
        )
        await self._accounts.add(new, actor)
        return await self.view(account)

    async def _connect_paper(self, actor: str, owner: UserId, label: str) -> AccountView:
        """Give the owner's paper account, opening it with paper money at the first time."""
        for row in await self._accounts.of_owner(owner):
            if row.environment is Environment.PAPER:
                return await self.view(row.id)
        # The same word for whoever asks at the same moment: they get one account, not two.
        removed = await self._accounts.count_retired(owner, Environment.PAPER)
        account = AccountId(word_of(owner, f"paper account {removed + 1}"))
        new = NewAccount(account, owner, wiring.PAPER_EXCHANGE, Environment.PAPER, label.strip() or PAPER_LABEL)
        await self._venues.trading(await self._accounts.add(new, actor))
        return await self.view(account)

    async def check(self, actor: str, account: AccountId) -> AccountView:
        """Ask the venue again what an account's key may do, and write it down."""
        row = await self._venues.account(account)
        permissions = await (await self._venues.trading(row)).permissions()
        await self._accounts.note_check(account, permissions, now_ms(), actor)
        return await self.view(account)

    async def remove(self, actor: str, account: AccountId) -> None:
        """Take an account out of use and forget its key; raise `AccountInUse` while a bot of it has not ended."""
        try:
            await self._accounts.retire(account, actor)
        except KeyError:
            raise UnknownAccount(account) from None
        await self._venues.forget(account)

    async def balances(self, account: AccountId, market: Market) -> Sequence[Balance]:
        """Give every balance, that is not zero, of the wallet that pays for a market, by asset."""
        row = await self._venues.account(account)
        found = await (await self._venues.trading(row)).balances(market)
        return [found[asset] for asset in sorted(found)]

    def _known(self) -> dict[str, ConnectableExchange]:
        return {each.exchange: each for each in self.exchanges()}

    def _refuse(self, asked: Connect) -> list[Refusal]:
        """Say what is missing before any venue is asked."""
        found = self._known().get(asked.exchange)
        if found is None:
            known = ", ".join(self._known())
            return [Refusal("unknown_exchange", "exchange", f"{asked.exchange!r} cannot be connected", known)]
        if asked.environment not in found.environments:
            there = ", ".join(found.environments)
            message = f"{found.title} has no {asked.environment} environment here"
            return [Refusal("unknown_environment", "environment", message, there)]
        needed = {"key": asked.key, "secret": asked.secret}
        if found.needs_passphrase:
            needed["passphrase"] = asked.passphrase
        if asked.environment is Environment.PAPER:
            return [
                Refusal("key_unused", name, "the paper exchange needs no key", "leave it out")
                for name, given in needed.items()
                if given
            ]
        return [
            Refusal(f"{name}_missing", name, f"a connection to {found.title} needs the {name}")
            for name, given in needed.items()
            if not given
        ]


async def _permissions(asked: Connect, key: ApiKey) -> KeyPermissions | list[Refusal]:
    try:
        return await wiring.key_permissions(asked.exchange, asked.environment, key)
    except Rejected as error:
        code = "key_refused" if error.reason is RejectReason.PERMISSION else "key_not_checked"
        message = f"{asked.exchange} ({asked.environment}) does not accept this key: {error}"
        allowed = "a key of this environment, copied whole, not expired, usable from this address"
        return [Refusal(code, "key", message, allowed)]


def check_permissions(permissions: KeyPermissions) -> list[Refusal]:
    """Say what a key's owner must change at the exchange before bots may trade with it."""
    if permissions.can_withdraw:
        return [
            Refusal(
                "key_can_withdraw",
                "key",
                "this key can withdraw money; bots never need that",
                "open the key at the exchange (API management), take the right to withdraw and to transfer away, "
                "leave only the right to trade, and check again",
            )
        ]
    if permissions.read_only or not (permissions.can_trade_spot or permissions.can_trade_linear):
        return [
            Refusal(
                "key_cannot_trade",
                "key",
                "this key may only read; bots could not place an order with it",
                "open the key at the exchange (API management), set it to read and write, and give it the right "
                "to trade spot or contracts",
            )
        ]
    return []


def word_of(owner: str, command_id: str) -> str:
    """Derive an id of eight letters from the command that creates a thing, so that it can be repeated."""
    digest = hashlib.sha256(f"{owner}\n{command_id}".encode()).digest()
    return b32encode(digest)[:8].decode().lower()
