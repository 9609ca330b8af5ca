"""The same decisions on our own stack without the bot: aiohttp, uvloop and msgspec, and a table.

What lies between this and our real bot is the price of deciding, checking, limiting and journalling; what lies
between this and the floor is the price of WebSockets in Python.
"""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import msgspec
import uvloop

from actors.clock import now_ms
from adapters.exchanges.bybit.signing import Signer
from adapters.exchanges.bybit.wire import ExecutionPush, decode_private, decode_trades
from adapters.secrets.keys import ApiKey
from benchmarks.looping.script import Decision, Part, plain
from benchmarks.looping.streams import standard_input

AUTH_TTL_MS = 60_000
Socket = aiohttp.ClientWebSocketResponse[bool]


class BareClient:
    """Three sockets and two tables."""

    def __init__(self, part: Part, http: aiohttp.ClientSession) -> None:
        self._part = part
        self._http = http
        self._signer = Signer(ApiKey(part.key, part.secret), 5_000)
        self._trade: Socket
        self._count = 0

    async def run(self, reader: asyncio.StreamReader) -> None:
        """React until the input ends."""
        self._trade = await self._connect("trade", signed=True)
        private = await self._connect("private", signed=True)
        public = await self._connect("public/spot", signed=False)
        await private.send_str('{"op":"subscribe","args":["execution"]}')
        await public.send_str(f'{{"op":"subscribe","args":["publicTrade.{self._part.spot}"]}}')
        for socket in (private, public):
            await socket.receive()
        reading = [
            asyncio.create_task(_read(private, self._on_private)),
            asyncio.create_task(_read(public, self._on_trades)),
            asyncio.create_task(_read(self._trade, _ignore)),
        ]
        assert self._part.opening is not None
        await self._place("linear", self._part.linear, self._part.opening)
        print("ready", flush=True)
        while await reader.readline():
            print("ready", flush=True)
        for task in reading:
            task.cancel()

    async def _connect(self, door: str, signed: bool) -> Socket:
        socket = await self._http.ws_connect(f"ws://{self._part.address}/v5/{door}", decode_text=False)
        if signed:
            args = self._signer.socket_args(now_ms() + AUTH_TTL_MS)
            await socket.send_str(f'{{"op":"auth","args":{args}}}')
            await socket.receive()
        return socket

    async def _on_private(self, message: bytes) -> None:
        push = decode_private(message)
        if type(push) is ExecutionPush:
            for row in push.data:
                decision = self._part.on_fill.get(f"{row.side} {plain(row.exec_price)}")
                if decision is not None:
                    await self._place("linear", self._part.linear, decision)

    async def _on_trades(self, message: bytes) -> None:
        for row in decode_trades(message).data:
            decision = self._part.on_tick.get(plain(row.price))
            if decision is not None:
                await self._place("spot", self._part.spot, decision)

    async def _place(self, category: str, symbol: str, decision: Decision) -> None:
        self._count += 1
        await self._trade.send_str(
            f'{{"reqId":"bare{self._count}","header":{{"X-BAPI-TIMESTAMP":"{now_ms()}"}},"op":"order.create",'
            f'"args":[{{"category":"{category}","symbol":"{symbol}","side":"{decision.side}","orderType":"Limit",'
            f'"qty":"{decision.quantity}","price":"{decision.price}","timeInForce":"PostOnly"}}]}}'
        )


async def _read(socket: Socket, received: Callable[[bytes], Awaitable[None]]) -> None:
    while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
        await received(message.data)


async def _ignore(message: bytes) -> None:
    """Take an answer: whether the order arrived is the venue's to say."""


async def main() -> None:
    """Read the part, then react."""
    reader = await standard_input()
    part = msgspec.json.decode(await reader.readline(), type=Part)
    async with aiohttp.ClientSession() as http:
        await BareClient(part, http).run(reader)


if __name__ == "__main__":
    uvloop.run(main())
