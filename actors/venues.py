"""The desk's own connections to venues: public data once per venue, the private side once per account.

Bots have connections of their own in their hosts; these serve the people who look. Whoever asks for an account
that is being connected waits for that one attempt, and nobody waits for an attempt on another account.
"""

import asyncio
import logging
from contextlib import suppress

from actors import wiring
from engine.errors import VenueError
from engine.ids import AccountId
from engine.ports import MarketDataPort, TradingPort
from storage.accounts import AccountRow, Accounts
from storage.database import Database

log = logging.getLogger(__name__)


class UnknownAccount(LookupError):
    """No exchange account has this id."""


class Venues:
    """One per desk."""

    def __init__(self, database: Database, plan: "wiring.Plan") -> None:
        self._database = database
        self._plan = plan
        self._accounts = Accounts(database)
        self._markets: dict[str, MarketDataPort] = {}
        self._trading: dict[AccountId, asyncio.Task[TradingPort]] = {}

    async def account(self, account: AccountId) -> AccountRow:
        """Give an account in use; raise `UnknownAccount` for any other."""
        row = await self._accounts.get(account)
        if row is None or row.retired_at_ms is not None:
            raise UnknownAccount(account)
        return row

    def market(self, account: AccountRow) -> MarketDataPort:
        """Give the public side of an account's venue."""
        venue = f"{account.exchange}:{account.environment}"
        if venue not in self._markets:
            self._markets[venue] = wiring.market_port(self._plan, account)
        return self._markets[venue]

    async def trading(self, account: AccountRow) -> TradingPort:
        """Give an account's private side, connecting it first if need be; raises what connecting raises."""
        connecting = self._trading.get(account.id)
        if connecting is None or (connecting.done() and (connecting.cancelled() or connecting.exception())):
            work = wiring.connected_trading_port(self._plan, account, self._database)
            connecting = asyncio.create_task(work, name=f"connect {account.id}")
            self._trading[account.id] = connecting
        return await asyncio.shield(connecting)

    async def forget(self, account: AccountId) -> None:
        """Close an account's private side: it is out of use."""
        connecting = self._trading.pop(account, None)
        if connecting is not None:
            await _close(connecting)

    async def close(self) -> None:
        """Close every connection."""
        for connecting in self._trading.values():
            await _close(connecting)
        for market in self._markets.values():
            await market.close()
        self._trading.clear()
        self._markets.clear()


async def _close(connecting: "asyncio.Task[TradingPort]") -> None:
    connecting.cancel()
    with suppress(asyncio.CancelledError, VenueError):
        await (await connecting).close()
