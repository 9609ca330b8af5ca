"""The venue's public WebSockets `/v5/public/{spot,linear,inverse,option}`: subscriptions, answers and delivery.

What is said on a topic is the channels' business. Here: who hears it, in what envelope commands are answered, and
that one slow reader never holds up the market nor the memory.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import msgspec
from aiohttp import WSMsgType, web

from engine.trading.instrument import Instrument, Market
from engine.trading.orders import Side

from .channels import Channel, LiquidationChannel, open_channel
from .events import MarketEvent
from .market import MarketBoard, MarketState

ANSWER_DELAY_S = 0.005
"""Subscriptions are answered this much later, as over a real network. pybit sends before it registers its
callbacks, and dies of an answer that is faster than that."""

QUEUE_MESSAGES = 4_096
"""A client that is this many messages behind is cut off; it will reconnect and get a snapshot."""

IDLE_S = 600
"""A client that sends nothing (no ping either) for this long is closed, as the venue does."""

SPOT_ARGS = 10
ARGS_CHARACTERS = 21_000
"""What one request may name: ten topics on spot, so much text elsewhere."""

_encode = msgspec.json.Encoder().encode


class _Command(msgspec.Struct):
    op: str = ""
    req_id: Any = ""
    args: list[str] = []


_decode = msgspec.json.Decoder(_Command).decode


class PublicStream:
    """Serves the public topics of every market on the board."""

    def __init__(self, board: MarketBoard, now_ms: Callable[[], int]) -> None:
        self._board = board
        self._now_ms = now_ms
        self._channels: dict[tuple[Market, str], dict[str, Channel]] = {}
        """By market and symbol, then by topic; only those with subscribers."""
        self._clients: set[_Client] = set()

    def routes(self) -> list[web.RouteDef]:
        """Give the routes of the four public sockets."""
        return [
            web.get(f"/v5/public/{category}", self._endpoint(category))
            for category in ("spot", "linear", "inverse", "option")
        ]

    def publish(self, instrument: Instrument, state: MarketState, event: MarketEvent) -> None:
        """Tell the subscribers of an event that `state` has just taken in. Never waits."""
        channels = self._channels.get((instrument.market, instrument.symbol))
        if channels:
            for channel in channels.values():
                channel.note(event)

    def publish_liquidation(self, instrument: Instrument, at_ms: int, side: Side, ticks: int, size: int) -> None:
        """Tell the subscribers that this venue closed an account's position by force."""
        channels = self._channels.get((instrument.market, instrument.symbol), {})
        channel = channels.get(f"allLiquidation.{instrument.symbol}")
        if isinstance(channel, LiquidationChannel):
            channel.liquidated(at_ms, side, ticks, size)

    def drop_clients(self) -> int:
        """Cut every connection without a closing handshake, as a failing network does; tell how many."""
        clients = tuple(self._clients)
        for client in clients:
            client.cut_off()
        return len(clients)

    async def close(self) -> None:
        """Close every connection and stop every timer."""
        await asyncio.gather(*(client.close() for client in tuple(self._clients)))
        for channels in self._channels.values():
            for channel in channels.values():
                channel.close()
        self._channels.clear()

    def _endpoint(self, category: str) -> Callable[[web.Request], Any]:
        market = {each.value: each for each in Market}.get(category)

        async def connect(request: web.Request) -> web.WebSocketResponse:
            # Deflating every message would cost more than the loopback saves.
            socket = web.WebSocketResponse(compress=False)
            await socket.prepare(request)
            client = _Client(socket, request.transport)
            self._clients.add(client)
            sender = asyncio.create_task(client.deliver())
            try:
                await self._serve(client, socket, market)
            finally:
                self._clients.discard(client)
                for topic in tuple(client.topics):
                    self._leave(client, market, topic)
                sender.cancel()
                with suppress(asyncio.CancelledError):
                    await sender
            return socket

        return connect

    async def _serve(self, client: "_Client", socket: web.WebSocketResponse, market: Market | None) -> None:
        while True:
            try:
                message = await socket.receive(timeout=IDLE_S)
            except TimeoutError:
                await socket.close()
                return
            if message.type is not WSMsgType.TEXT:
                if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                    return
                continue
            try:
                command = _decode(message.data)
            except msgspec.DecodeError:
                client.answer(_Command(), "error:invalid message")
                continue
            await self._execute(client, market, command)

    async def _execute(self, client: "_Client", market: Market | None, command: _Command) -> None:
        match command.op:
            case "ping":
                client.answer(command, ok="pong")
            case "subscribe":
                await asyncio.sleep(ANSWER_DELAY_S)
                self._subscribe(client, market, command)
            case "unsubscribe":
                await asyncio.sleep(ANSWER_DELAY_S)
                for topic in command.args:
                    self._leave(client, market, topic)
                client.answer(command)
            case _:
                client.answer(command, "error:invalid op")

    def _subscribe(self, client: "_Client", market: Market | None, command: _Command) -> None:
        """Answer, then send each topic's opening: a client never hears a change before its snapshot."""
        if not command.args:
            return client.answer(command, "error:args is empty")
        if market is Market.SPOT and len(command.args) > SPOT_ARGS:
            return client.answer(command, f"args size >{SPOT_ARGS}")
        if sum(map(len, command.args)) > ARGS_CHARACTERS:
            return client.answer(command, "error:args is too long")
        joined: list[Channel] = []
        for topic in command.args:
            if topic in client.topics:
                return client.answer(command, f"error:already subscribed,topic:{topic}")
            channel = self._channel(market, topic)
            if channel is None:
                return client.answer(command, f"error:handler not found,topic:{topic}")
            joined.append(channel)
        client.answer(command, ok="subscribe")
        for channel in joined:
            self._join(client, market, channel)
        return None

    def _channel(self, market: Market | None, topic: str) -> Channel | None:
        """Find or make a topic's channel; it is kept only once somebody joins it."""
        symbol = topic.rpartition(".")[2]
        state = None if market is None else self._board.find(market, symbol)
        if market is None or state is None:
            return None
        known = self._channels.get((market, symbol), {}).get(topic)
        return known or open_channel(topic, state, self._now_ms)

    def _join(self, client: "_Client", market: Market | None, channel: Channel) -> None:
        if market is None or channel.topic in client.topics:
            return
        key = market, channel.topic.rpartition(".")[2]
        # Two topics of one request may name the same channel.
        channel = self._channels.setdefault(key, {}).setdefault(channel.topic, channel)
        client.topics.add(channel.topic)
        opening = channel.opening()
        if opening is not None:
            client.send(opening)
        channel.subscribers.add(client)

    def _leave(self, client: "_Client", market: Market | None, topic: str) -> None:
        if market is None or topic not in client.topics:
            return
        client.topics.discard(topic)
        key = market, topic.rpartition(".")[2]
        channel = self._channels.get(key, {}).get(topic)
        if channel is None:
            return
        channel.subscribers.discard(client)
        if not channel.subscribers:
            channel.close()
            del self._channels[key][topic]


class _Client:
    """One connection with its queue; `send` never waits and never lets the queue grow without end."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.BaseTransport | None) -> None:
        self.topics: set[str] = set()
        self._socket = socket
        self._transport = transport
        self._connection_id = str(uuid4())
        self._queue: deque[bytes] = deque()
        self._filled = asyncio.Event()

    def send(self, message: bytes) -> None:
        """Queue a message, or cut the client off if it reads too slowly."""
        if len(self._queue) >= QUEUE_MESSAGES:
            self.cut_off()
            return
        self._queue.append(message)
        self._filled.set()

    def answer(self, command: _Command, error: str = "", ok: str = "") -> None:
        """Answer a command in the envelope of the public sockets."""
        self.send(
            _encode(
                {
                    "success": not error,
                    "ret_msg": error or ok,
                    "conn_id": self._connection_id,
                    "req_id": command.req_id,
                    "op": command.op,
                }
            )
        )

    def cut_off(self) -> None:
        """Drop the connection at once: a polite close would wait behind the very queue that is stuck."""
        self._queue.clear()
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()

    async def close(self) -> None:
        """Close the connection politely, within a second."""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(1):
                await self._socket.close(code=1001, message=b"going away")

    async def deliver(self) -> None:
        """Send the queue as it fills, until cancelled or cut off."""
        with suppress(ConnectionError):
            while True:
                await self._filled.wait()
                self._filled.clear()
                while self._queue:
                    await self._socket.send_frame(self._queue.popleft(), WSMsgType.TEXT)
