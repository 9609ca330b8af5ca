"""What the trading tests share: markets that move as told, an account at the desk, and a raw signed client."""

import asyncio
import hashlib
import hmac
import itertools
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from adapters.exchanges.paper.catalogue import Listing, listings
from adapters.exchanges.paper.events import SIZE_SCALE, BookChange, Level, MarketTrade
from adapters.exchanges.paper.limits import UNLIMITED
from adapters.exchanges.paper.model import Account, Order
from adapters.exchanges.paper.requests import CreateOrder
from adapters.exchanges.paper.server import Address, PaperVenue
from adapters.exchanges.paper.venue import Venue
from engine.trading.instrument import Instrument

LISTED: tuple[Listing, ...] = listings(["BTCUSDT", "ETHUSDT"])
SPOT, ETH_SPOT, LINEAR, ETH_LINEAR = (listing.instrument for listing in LISTED)
COIN = SIZE_SCALE
RICH = {"USDT": "1000000", "BTC": "100"}

_numbers = itertools.count(1)


def now_ms() -> int:
    """Give the wall clock."""
    return time.time_ns() // 1_000_000


class Market:
    """One market of a venue, moved by hand. Prices are text, sizes whole 10**-8."""

    def __init__(self, venue: Venue, instrument: Instrument) -> None:
        self.instrument = instrument
        self._venue = venue

    def ticks(self, price: str) -> int:
        """Count the ticks of a price."""
        return self.instrument.ticks(price)

    def book(self, bids: Iterable[Level] = (), asks: Iterable[Level] = (), snapshot: bool = False) -> None:
        """Change the book by ticks and sizes."""
        self._venue.on_market(self.instrument, BookChange(now_ms(), snapshot, tuple(bids), tuple(asks)))

    def bid(self, price: str, size: int) -> None:
        """Set one bid level."""
        self.book(bids=[(self.ticks(price), size)])

    def ask(self, price: str, size: int) -> None:
        """Set one ask level."""
        self.book(asks=[(self.ticks(price), size)])

    def trade(self, price: str, size: int, buyer_is_taker: bool) -> None:
        """Print a public trade."""
        self._venue.on_market(self.instrument, MarketTrade(now_ms(), self.ticks(price), size, buyer_is_taker))

    def open(self, price: str, levels: int = 50, size: int = COIN, gap: int = 10) -> None:
        """Put a book of `levels` a side around a price, `gap` ticks apart, and a first print."""
        middle = self.ticks(price)
        steps = range(1, levels + 1)
        self.book(
            [(middle - gap * step, size) for step in steps],
            [(middle + gap * step, size) for step in steps],
            snapshot=True,
        )
        self.trade(price, size, buyer_is_taker=True)


class Trader:
    """An account at the desk, without any socket between."""

    def __init__(self, venue: Venue, balances: dict[str, str] | None = None, **more: Any) -> None:
        self.venue = venue
        name = f"trader{next(_numbers)}"
        self.account: Account = venue.create_account(name, f"secret of {name}", balances or RICH, **more)

    def place(self, instrument: Instrument, side: str, qty: str, price: str | None = None, **more: Any) -> Order:
        """Place an order; without a price at the market."""
        request = CreateOrder(
            category=instrument.market.value,
            symbol=instrument.symbol,
            side=side,
            order_type="Limit" if price else "Market",
            qty=qty,
            price=price,
            **more,
        )
        order = self.venue.desk.place(self.account, request)
        self.venue.records.commit()
        return order

    def buy(self, instrument: Instrument, qty: str, price: str | None = None, **more: Any) -> Order:
        """Buy."""
        return self.place(instrument, "Buy", qty, price, **more)

    def sell(self, instrument: Instrument, qty: str, price: str | None = None, **more: Any) -> Order:
        """Sell."""
        return self.place(instrument, "Sell", qty, price, **more)


class SignedClient:
    """The least client that speaks the venue's private API, to say exactly what is sent."""

    def __init__(self, session: aiohttp.ClientSession, address: Address, key: str, secret: str) -> None:
        self.session = session
        self.address = address
        self.key = key
        self._secret = secret.encode()

    def sign(self, payload: str) -> str:
        """Sign a text."""
        return hmac.new(self._secret, payload.encode(), hashlib.sha256).hexdigest()

    def headers(self, payload: str, at_ms: int | None = None, window: int = 5000) -> dict[str, str]:
        """Give the headers that sign a payload."""
        stamp = str(now_ms() if at_ms is None else at_ms)
        return {
            "X-BAPI-API-KEY": self.key,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": str(window),
            "X-BAPI-SIGN": self.sign(f"{stamp}{self.key}{window}{payload}"),
            "Content-Type": "application/json",
        }

    async def get(self, path: str, query: str = "", **signing: Any) -> dict[str, Any]:
        """Ask, with the query exactly as given."""
        url = URL(f"{self.address.http}{path}?{query}", encoded=True)
        async with self.session.get(url, headers=self.headers(query, **signing)) as response:
            return await response.json()

    async def post(self, path: str, body: dict[str, Any], **signing: Any) -> dict[str, Any]:
        """Command."""
        raw = msgspec.json.encode(body).decode()
        async with self.session.post(
            self.address.http + path, data=raw, headers=self.headers(raw, **signing)
        ) as response:
            return await response.json()

    async def order(self, instrument: Instrument, side: str, qty: str, price: str, **more: Any) -> dict[str, Any]:
        """Place a limit order over HTTP."""
        return await self.post("/v5/order/create", order_body(instrument, side, qty, price, **more))

    @asynccontextmanager
    async def private(self, *topics: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open the private socket and subscribe."""
        async with self.session.ws_connect(self.address.ws + "/v5/private") as socket:
            await self.authenticate(socket)
            await socket.send_json({"op": "subscribe", "args": list(topics)})
            assert (await socket.receive_json(timeout=5))["success"] is True
            yield socket

    @asynccontextmanager
    async def trade(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open the trade socket."""
        async with self.session.ws_connect(self.address.ws + "/v5/trade") as socket:
            await self.authenticate(socket)
            yield socket

    async def authenticate(self, socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
        """Sign in on a socket."""
        expires = now_ms() + 10_000
        await socket.send_json({"op": "auth", "args": [self.key, expires, self.sign(f"GET/realtime{expires}")]})
        return await socket.receive_json(timeout=5)


def order_body(instrument: Instrument, side: str, qty: str, price: str, **more: Any) -> dict[str, Any]:
    """Give the body of a limit order."""
    return {
        "category": instrument.market.value,
        "symbol": instrument.symbol,
        "side": side,
        "orderType": "Limit",
        "qty": qty,
        "price": price,
        **more,
    }


def trade_command(operation: str, arguments: dict[str, Any], request_id: str = "") -> dict[str, Any]:
    """Give a command of the trade socket."""
    header = {"X-BAPI-TIMESTAMP": str(now_ms()), "X-BAPI-RECV-WINDOW": "5000"}
    return {"reqId": request_id or f"r{next(_numbers)}", "op": operation, "header": header, "args": [arguments]}


async def hear(socket: aiohttp.ClientWebSocketResponse, topic: str, timeout_s: float = 5) -> list[dict[str, Any]]:
    """Wait for the next message of a topic; give its rows."""
    async with asyncio.timeout(timeout_s):
        while True:
            message = await socket.receive_json()
            if message.get("topic") == topic:
                return message["data"]


async def silence(socket: aiohttp.ClientWebSocketResponse, wait_s: float = 0.15) -> None:
    """Fail if anything arrives within a moment."""
    try:
        message = await socket.receive(timeout=wait_s)
    except TimeoutError:
        return
    raise AssertionError(f"unexpected {message}")


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[PaperVenue]:
    """Run a venue with open markets and no rate limits, unless told otherwise."""
    venue = PaperVenue(LISTED, **{"limits": UNLIMITED, "answer_delay_s": 0.0, **options})
    await venue.start()
    open_markets(venue.core)
    try:
        yield venue
    finally:
        await venue.stop()


def open_markets(core: Venue) -> None:
    """Open every market around a round price."""
    for instrument, price in ((SPOT, "60000"), (LINEAR, "60000"), (ETH_SPOT, "3000"), (ETH_LINEAR, "3000")):
        Market(core, instrument).open(price)
