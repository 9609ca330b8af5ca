"""The operator's door under `/paper`: accounts, faults, funding, a look into the books. Unsigned, loopback only.

What it does is exactly what the Python object offers; it exists for drills and reconciliation from other
processes. Bind the venue to an address that strangers reach, and this door is open to them.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from engine.trading.instrument import FeeRates, Market, amount_text

from .codes import Refused
from .events import MarketTrade
from .model import Account
from .rows import Rows
from .sessions import encode
from .venue import Venue

Drop = Callable[[str], int]
Restart = Callable[[float], Awaitable[None]]
StopFeeds = Callable[[], None]


class NewAccount(msgspec.Struct):
    """Body of `POST /paper/accounts`."""

    key: str
    secret: str
    balances: dict[str, str] = {}
    fees: dict[Market, FeeRates] = {}
    name: str = ""


class Deposit(msgspec.Struct):
    """Body of `POST /paper/deposit`."""

    key: str
    coin: str
    amount: str


class FaultOrder(msgspec.Struct):
    """Body of `POST /paper/faults`: what, how often, on which operation."""

    kind: str
    count: int = 1
    operation: str = "order.create"
    code: int = 0
    accepted: bool = False
    delay_s: float = 0.0
    sockets: str = "all"
    offset_ms: int = 0


class FundingNow(msgspec.Struct):
    """Body of `POST /paper/funding`."""

    symbol: str


class InjectedTrade(msgspec.Struct):
    """Body of `POST /paper/trade`: one public trade, by price and quantity of the base coin."""

    category: Market
    symbol: str
    price: str
    qty: str
    side: str
    """The taker's side, "Buy" or "Sell"."""


class Admin:
    """Serves `/paper/*`."""

    def __init__(self, venue: Venue, rows: Rows, drop: Drop, restart: Restart, stop_feeds: StopFeeds) -> None:
        self._venue = venue
        self._rows = rows
        self._drop = drop
        self._restart = restart
        self._stop_feeds = stop_feeds

    def routes(self) -> list[web.RouteDef]:
        """Give the routes."""
        return [
            web.get("/paper/status", self._status),
            web.post("/paper/accounts", self._create_account),
            web.post("/paper/deposit", self._deposit),
            web.get("/paper/accounts/{key}", self._show_account),
            web.get("/paper/orders", self._open_orders),
            web.get("/paper/till", self._till),
            web.post("/paper/faults", self._order_fault),
            web.post("/paper/funding", self._funding),
            web.post("/paper/trade", self._inject_trade),
        ]

    async def _status(self, request: web.Request) -> web.Response:
        accounts = self._venue.records.accounts.values()
        return _json(
            {
                "feed": self._venue.board.feed_name,
                "time": self._venue.now_ms(),
                "accounts": len(self._venue.records.accounts),
                "openOrders": sum(len(account.open) for account in accounts),
            }
        )

    async def _create_account(self, request: web.Request) -> web.Response:
        """Open an account; saying it again with the same key and secret finds the one that is there."""
        wanted = await _read(request, NewAccount)
        known = self._venue.records.by_key.get(wanted.key)
        if known is not None and known.wallet.secret != wanted.secret:
            raise web.HTTPConflict(text="the key is taken with another secret")
        account = known or self._venue.create_account(
            wanted.key, wanted.secret, wanted.balances, wanted.fees, wanted.name
        )
        return _json({"uid": account.uid, "created": known is None})

    async def _deposit(self, request: web.Request) -> web.Response:
        wanted = await _read(request, Deposit)
        account = self._account(wanted.key)
        try:
            self._venue.deposit(account, wanted.coin, wanted.amount)
        except (Refused, ValueError, ArithmeticError) as error:
            raise web.HTTPUnprocessableEntity(text=str(error)) from error
        return _json({"coin": wanted.coin, "balance": amount_text(account.coin(wanted.coin))})

    async def _show_account(self, request: web.Request) -> web.Response:
        """Dump an account for reconciliation: every balance, lock, open order and position, without paging."""
        account = self._account(request.match_info["key"])
        return _json(
            {
                "uid": account.uid,
                "balances": _amounts(account.wallet.coins),
                "locked": _amounts(account.locked),
                "openOrders": [self._rows.order(order) for order in account.open.values()],
                "positions": [self._rows.position(account, each) for each in account.positions.values()],
                "linkIds": len(account.by_link),
                "executions": [self._rows.execution(each) for each in account.executions],
            }
        )

    async def _open_orders(self, request: web.Request) -> web.Response:
        """List the open orders of every account, by its key: one moment of the whole book."""
        accounts = self._venue.records.accounts.values()
        orders = {each.wallet.key: [self._rows.order(order) for order in each.open.values()] for each in accounts}
        return _json(orders)

    async def _till(self, request: web.Request) -> web.Response:
        till = self._venue.records.till
        return _json(
            {
                "deposits": _amounts(till.deposits),
                "fees": _amounts(till.fees),
                "outside": _amounts(till.outside),
            }
        )

    async def _order_fault(self, request: web.Request) -> web.Response:
        wanted = await _read(request, FaultOrder)
        faults = self._venue.faults
        match wanted.kind:
            case "lose_answer":
                faults.lose_answers(wanted.count, wanted.operation)
            case "delay_answer":
                faults.delay_answers(wanted.delay_s, wanted.count, wanted.operation)
            case "refuse":
                faults.refuse(wanted.code, wanted.count, wanted.operation, wanted.accepted)
            case "miss_messages":
                faults.miss_messages(wanted.count)
            case "clock":
                faults.set_clock_offset(wanted.offset_ms)
            case "drop":
                return _json({"dropped": self._drop(wanted.sockets)})
            case "restart":
                await self._restart(wanted.delay_s)
            case "stop_feeds":
                self._stop_feeds()
            case "clear":
                faults.clear()
            case _:
                raise web.HTTPUnprocessableEntity(text=f"no fault is called {wanted.kind}")
        return _json({"ordered": wanted.kind})

    async def _funding(self, request: web.Request) -> web.Response:
        wanted = await _read(request, FundingNow)
        try:
            self._venue.settle_funding(Market.LINEAR, wanted.symbol)
        except Refused as refused:
            raise web.HTTPUnprocessableEntity(text=refused.message) from refused
        return _json({"symbol": wanted.symbol})

    async def _inject_trade(self, request: web.Request) -> web.Response:
        wanted = await _read(request, InjectedTrade)
        listing = self._venue.listings.get((wanted.category, wanted.symbol))
        if listing is None:
            raise web.HTTPNotFound(text="not listed")
        try:
            ticks = listing.instrument.ticks(wanted.price)
            size = listing.instrument.lots(wanted.qty) * listing.size_per_lot
        except (ValueError, ArithmeticError) as error:
            raise web.HTTPUnprocessableEntity(text=str(error)) from error
        trade = MarketTrade(self._venue.now_ms(), ticks, size, wanted.side == "Buy")
        self._venue.on_market(listing.instrument, trade)
        return _json({"symbol": wanted.symbol})

    def _account(self, key: str) -> Account:
        account = self._venue.records.by_key.get(key)
        if account is None:
            raise web.HTTPNotFound(text="no account has this key")
        return account


async def _read(request: web.Request, kind: Any) -> Any:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise web.HTTPUnprocessableEntity(text=str(error)) from error


def _amounts(units: dict[str, int]) -> dict[str, str]:
    return {coin: amount_text(amount) for coin, amount in sorted(units.items())}


def _json(data: Any) -> web.Response:
    return web.Response(body=encode(data), content_type="application/json")
