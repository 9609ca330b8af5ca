"""What the dialect venues share: the doors of another exchange in front of a PaperVenue's own books.

A dialect translates requests, answers and stream messages, nothing else: matching, money and fills are the
PaperVenue's. Faults are ordered at the PaperVenue's switchboard and committed here, at the doors that clients use.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from aiohttp import WSMsgType, web

from adapters.exchanges.paper.catalogue import Listing
from adapters.exchanges.paper.codes import REDUCE_ONLY, REFUSALS, Refused
from adapters.exchanges.paper.events import MarketEvent, MarketTrade
from adapters.exchanges.paper.faults import FaultKind
from adapters.exchanges.paper.market import MarketState, TapeEntry
from adapters.exchanges.paper.model import Account, Execution, Order, Status, TimeInForce
from adapters.exchanges.paper.records import Changes
from adapters.exchanges.paper.requests import CancelOrder, CreateOrder
from adapters.exchanges.paper.server import PaperVenue
from adapters.exchanges.paper.settings import Settings
from adapters.secrets.keys import ApiKey
from engine.trading.instrument import Instrument, Market, amount_text

encode = msgspec.json.Encoder().encode
Row = dict[str, Any]

WOULD_TAKE = "would_take"
"""The meaning of a refused post-only order at venues that refuse it in their answer."""
BAD_SIGNATURE = "bad_signature"
NO_SUCH_SYMBOL = "no_such_symbol"
PARAMETER = "parameter"


class No(Exception):
    """A refusal given at the doors; `meaning` is one of the words above, or a field of `Refusals`."""

    def __init__(self, meaning: str, message: str) -> None:
        super().__init__(message)
        self.meaning = meaning


class Ask:
    """One request: its parameters wherever they came from, and the account that signed it."""

    def __init__(self, request: web.Request, body: bytes) -> None:
        self.request = request
        self.body = body
        self.method = request.method
        self.path = request.path
        self.raw_query = request.raw_path.partition("?")[2]
        self.params: dict[str, Any] = dict(request.query)
        is_json = body[:1] in (b"{", b"[")
        self.json: Any = msgspec.json.decode(body) if is_json else dict(parse_qsl(body.decode()))
        if isinstance(self.json, dict):
            self.params |= self.json
        self.account: Account

    def text(self, name: str) -> str:
        """Give a parameter as text, empty if it is not there."""
        value = self.params.get(name)
        return "" if value is None else str(value)

    def number(self, name: str, default: int) -> int:
        """Give a whole number."""
        return int(self.text(name) or default)

    def path_part(self, name: str) -> str:
        """Give a variable part of the path."""
        return self.request.match_info[name]


class Route(msgspec.Struct, frozen=True):
    """One address. An `operation` names what faults may be ordered for, as the PaperVenue calls it."""

    method: str
    path: str
    handler: Callable[[Ask], Any]
    signed: bool = True
    operation: str = ""


class Line:
    """One client's WebSocket: what it has subscribed, and a queue, so that sending never waits."""

    def __init__(self, kind: str, request: web.Request, socket: web.WebSocketResponse) -> None:
        self.kind = kind
        self.query = dict(request.query)
        self.path = request.path
        self.topics: set[str] = set()
        self.account: Account | None = None
        self._socket = socket
        self._transport = request.transport
        self._queue: asyncio.Queue[tuple[bytes, WSMsgType]] = asyncio.Queue()

    def send(self, message: Any) -> None:
        """Queue text, bytes as a binary frame, or anything else as JSON."""
        if isinstance(message, bytes):
            self._queue.put_nowait((message, WSMsgType.BINARY))
        else:
            text = message.encode() if isinstance(message, str) else encode(message)
            self._queue.put_nowait((text, WSMsgType.TEXT))

    def cut_off(self) -> None:
        """Drop the connection without a closing handshake, as a failing network does."""
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()

    async def deliver(self) -> None:
        """Send the queue as it fills, until cancelled or cut off."""
        with suppress(ConnectionError):
            while True:
                await self._socket.send_frame(*await self._queue.get())


class Step(NamedTuple):
    """One step of an order's life: its beginning, a fill, or an end that leaves a rest unfilled."""

    filled_lots: int
    """What was filled after this step."""
    fill: Execution | None = None
    is_end: bool = False


class Dialect(ABC):
    """One exchange's REST and WebSocket, spoken over a PaperVenue's books."""

    exchange: ClassVar[str]
    """ccxt's name for it."""
    doors: ClassVar[Mapping[str, str]]
    """The paths of its WebSockets, each `public` or `private`."""

    def __init__(self, venue: PaperVenue, api_key: ApiKey) -> None:
        self.core = venue.core
        self.api_key = api_key
        self.unknown: list[str] = []
        """Addresses that were asked and do not exist here: each is a gap in the dialect, or a client's mistake."""
        self.address = ""
        self.lines: set[Line] = set()
        self.settings = Settings(venue.core, venue.private_stream)
        self._order_ids: dict[int, str] = {}
        self._born: set[int] = set()
        """Numbers of the orders that the command being told has made."""
        self._runner: web.AppRunner | None = None
        self.core.records.listeners.append(self._on_changes)
        self.core.market_listeners.append(self._on_market)

    # ------------------------------------------------------------------ what a dialect says

    @abstractmethod
    def routes(self) -> Iterable[Route]:
        """List the REST addresses."""

    @abstractmethod
    def authenticate(self, ask: Ask) -> Account:
        """Give the account that signed a request, or refuse."""

    @abstractmethod
    def refusal(self, ask: Ask, meaning: str, message: str) -> web.Response:
        """Say no as this exchange does; `meaning` is a field of `Refusals` or a word of this module."""

    @abstractmethod
    def server_error(self) -> web.Response:
        """Say that something broke, as this exchange does: the client cannot know what became of its request."""

    @abstractmethod
    def on_message(self, line: Line, text: str) -> None:
        """Hear what a client says on its WebSocket."""

    @abstractmethod
    def on_trade(self, state: MarketState, entry: TapeEntry) -> None:
        """Tell the public streams of a trade."""

    @abstractmethod
    def on_changes(self, account: Account, changes: Changes) -> None:
        """Tell the private streams what happened to an account."""

    def symbol(self, instrument: Instrument) -> str:
        """Spell an instrument as the exchange does."""
        return instrument.symbol

    def reply(self, answer: Any) -> web.Response:
        """Wrap an answer in the exchange's envelope, if it has one."""
        return json_response(answer)

    def on_open(self, line: Line) -> None:  # noqa: B027  most exchanges say nothing
        """Greet a client."""

    # ------------------------------------------------------------------ the books, asked

    def listings(self, market: Market) -> list[Listing]:
        """List the instruments of a market."""
        return [listing for (kind, _), listing in self.core.listings.items() if kind is market]

    def find(self, market: Market, symbol: str) -> Listing:
        """Find an instrument by the exchange's own spelling, or refuse."""
        for listing in self.listings(market):
            if self.symbol(listing.instrument) == symbol:
                return listing
        raise No(NO_SUCH_SYMBOL, f"no such symbol: {symbol}")

    def listing_of(self, record: Order | Execution) -> Listing:
        """Find the instrument of an order or an execution."""
        return self.core.listings[record.market, record.symbol]

    def open_orders(self, account: Account, listing: Listing) -> list[Order]:
        """List the open orders in one instrument, oldest first."""
        chosen = (order for order in account.open.values() if key_of(order) == listing.key)
        return sorted(chosen, key=lambda order: order.seq)

    def order(self, account: Account, listing: Listing, link_id: str, number: str = "") -> Order:
        """Find an order by the client's id, or by its number; refuse if it was never seen."""
        if link_id:
            order_id = account.by_link.get(link_id, "")
        else:
            order_id = self._order_ids.get(int(number), "") if number.isdecimal() else ""
        found = account.by_id.get(order_id)
        if found is None or key_of(found) != listing.key:
            raise No("no_such_order", "no such order")
        return found

    def executions(self, account: Account, listing: Listing, start_ms: int, end_ms: int) -> list[Execution]:
        """List the trades of an account in one instrument and span, oldest first."""
        return [
            each
            for each in account.executions
            if key_of(each) == listing.key and each.exec_type == "Trade" and start_ms <= each.at_ms <= end_ms
        ]

    def free_text(self, account: Account, coin: str) -> str:
        """Write what an account can still commit of a coin."""
        return amount_text(max(0, self.core.clearing.free(account, coin)))

    # ------------------------------------------------------------------ the books, changed

    def place(self, account: Account, request: CreateOrder, *, refuse_takers: bool) -> Order:
        """Place an order.

        With `refuse_takers` a post-only order that would take is refused at once and leaves no trace; without,
        it exists and is rejected by the matching engine.
        """
        desk = self.core.desk
        order = desk.check(account, request)
        matcher = desk.matchers[order.market, order.symbol]
        is_post_only = order.time_in_force is TimeInForce.POST_ONLY
        if refuse_takers and is_post_only and matcher.would_take(order.buy, order.ticks):
            raise No(WOULD_TAKE, "the post-only order would take liquidity")
        desk.accept(account, order)
        return order

    def cancel(self, account: Account, order: Order) -> Order:
        """Cancel an open order, or refuse."""
        request = CancelOrder(order.market.value, order.symbol, order.order_id)
        return self.core.desk.cancel(account, request)

    # ------------------------------------------------------------------ what happened

    def steps(self, order: Order, changes: Changes) -> list[Step]:
        """List what a command did to an order, step by step: the exchanges push a message for each."""
        fills = [each for each in changes.executions if each.order_id == order.order_id]
        filled = order.filled_lots - sum(fill.lots for fill in fills)
        taken = [Step(filled := filled + fill.lots, fill) for fill in fills]
        was_open = order.seq in self._born and order.status is not Status.REJECTED
        is_cut = not order.is_open and order.status is not Status.FILLED
        return [*([Step(0)] if was_open else []), *taken, *([Step(filled, is_end=True)] if is_cut else [])]

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Open the doors on a free port."""
        app = web.Application()
        for route in self.routes():
            app.router.add_route(route.method, route.path, self._answering(route))
        for path, kind in self.doors.items():
            app.router.add_get(path, self._listening(kind))
        app.router.add_route("*", "/{path:.*}", self._no_such_path)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close the doors."""
        self.drop_sockets("all")
        if self._runner is not None:
            await self._runner.cleanup()

    def drop_sockets(self, which: str) -> None:
        """Fault: cut the `public` or the `private` sockets, or `all`."""
        for line in tuple(self.lines):
            if which in (line.kind, "all"):
                line.cut_off()

    def listeners(self, kind: str, topic: str) -> Sequence[Line]:
        """List the clients that subscribed a topic."""
        return [line for line in self.lines if line.kind == kind and topic in line.topics]

    # ------------------------------------------------------------------ inside

    def _answering(self, route: Route) -> Callable[[web.Request], Any]:
        async def answer(request: web.Request) -> web.StreamResponse:
            ask = Ask(request, await request.read())
            try:
                if route.signed:
                    ask.account = self.authenticate(ask)
            except No as no:
                return self.refusal(ask, no.meaning, str(no))
            fault = self.core.faults.take(route.operation) if route.operation else None
            if fault is not None and fault.kind is FaultKind.REFUSE and not fault.accepted:
                return self.server_error()
            response = self._carry_out(route, ask)
            if fault is None:
                return response
            if fault.kind is FaultKind.REFUSE:
                return self.server_error()
            if fault.kind is FaultKind.LOSE_ANSWER and request.transport is not None:
                request.transport.close()
            await asyncio.sleep(fault.delay_s)
            return response

        return answer

    def _carry_out(self, route: Route, ask: Ask) -> web.Response:
        try:
            answer = route.handler(ask)
            return answer if isinstance(answer, web.Response) else self.reply(answer)
        except No as no:
            return self.refusal(ask, no.meaning, str(no))
        except Refused as refused:
            return self.refusal(ask, _MEANINGS.get(refused.code, PARAMETER), refused.message)
        finally:
            self.core.records.commit()

    def _listening(self, kind: str) -> Callable[[web.Request], Any]:
        async def listen(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse(compress=False)
            await socket.prepare(request)
            line = Line(kind, request, socket)
            self.lines.add(line)
            self.on_open(line)
            sender = asyncio.create_task(line.deliver())
            try:
                async for message in socket:
                    if message.type is WSMsgType.TEXT:
                        self.on_message(line, message.data)
            finally:
                self.lines.discard(line)
                sender.cancel()
                with suppress(asyncio.CancelledError):
                    await sender
            return socket

        return listen

    async def _no_such_path(self, request: web.Request) -> web.Response:
        self.unknown.append(f"{request.method} {request.path_qs}")
        return web.Response(status=404, text="not found")

    def _on_market(self, instrument: Instrument, state: MarketState, event: MarketEvent) -> None:
        if isinstance(event, MarketTrade):
            self.on_trade(state, state.tape[-1])

    def _on_changes(self, account: Account, changes: Changes) -> None:
        numbers = {order.seq: order.order_id for order in changes.orders.values()}
        self._born = numbers.keys() - self._order_ids.keys()
        self._order_ids.update(numbers)
        self.on_changes(account, changes)


def key_of(record: Order | Execution) -> tuple[Market, str]:
    """Name the instrument of an order or an execution."""
    return record.market, record.symbol


def json_response(answer: Any, status: int = 200) -> web.Response:
    """Write JSON."""
    return web.Response(body=encode(answer), status=status, content_type="application/json")


_MEANINGS = {
    code: meaning
    for refusals in REFUSALS.values()
    for meaning in refusals.__struct_fields__
    if (code := int(getattr(refusals, meaning))) > 100_000
} | {REDUCE_ONLY: "reduce_only"}
"""What the PaperVenue's numbers mean; its general number for a bad parameter says nothing in particular."""
