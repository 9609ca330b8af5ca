"""The same decisions on our own stack without the bot: picows, uvloop and msgspec, and a table.

What lies between this and our real bot is the price of deciding, checking, limiting and journalling; what lies
between this and the floor is the price of WebSockets in Python.
"""

import asyncio
from collections.abc import Callable

import msgspec
import uvloop

from actors.clock import now_ms
from adapters.exchanges.bybit.signing import Signer
from adapters.exchanges.bybit.socket import Connection, VenueSocket
from adapters.exchanges.bybit.wire import ExecutionPush, decode_private, decode_trades
from adapters.secrets.keys import ApiKey
from benchmarks.looping.script import Decision, Part, plain
from benchmarks.looping.streams import standard_input

AUTH_TTL_MS = 60_000
NEVER_S = 86_400.0
"""No pings: nothing here reads their answers."""


class Line(VenueSocket):
    """One socket: what it says first, and who hears what comes after."""

    def __init__(self, url: str, greetings: list[str], received: Callable[[bytes], None]) -> None:
        super().__init__(url, url, NEVER_S, NEVER_S)
        self._greetings = greetings
        self._received = received

    async def greet(self, connection: Connection) -> None:
        """Say the greetings, one after the other has been answered."""
        for greeting in self._greetings:
            connection.send(greeting.encode())
            await connection.receive()

    def received(self, message: bytes) -> None:
        """Pass a message on."""
        self._received(message)

    def send(self, text: str) -> None:
        """Write a message."""
        assert self._connection is not None
        self._connection.send(text.encode())


class BareClient:
    """Three sockets and two tables."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._signer = Signer(ApiKey(part.key, part.secret), 5_000)
        auth = f'{{"op":"auth","args":{self._signer.socket_args(now_ms() + AUTH_TTL_MS)}}}'
        doors, executions = f"ws://{part.address}/v5", '{"op":"subscribe","args":["execution"]}'
        trades = f'{{"op":"subscribe","args":["publicTrade.{part.spot}"]}}'
        self._trade = Line(f"{doors}/trade", [auth], _ignore)
        self._private = Line(f"{doors}/private", [auth, executions], self._on_private)
        self._public = Line(f"{doors}/public/spot", [trades], self._on_trades)
        self._count = 0

    async def run(self, reader: asyncio.StreamReader) -> None:
        """React until the input ends."""
        lines = self._trade, self._private, self._public
        running = [asyncio.create_task(line.run()) for line in lines]
        for line in lines:
            await line.up.wait()
        assert self._part.opening is not None
        self._place("linear", self._part.linear, self._part.opening)
        print("ready", flush=True)
        while await reader.readline():
            print("ready", flush=True)
        for task in running:
            task.cancel()

    def _on_private(self, message: bytes) -> None:
        push = decode_private(message)
        if type(push) is ExecutionPush:
            for row in push.data:
                decision = self._part.on_fill.get(f"{row.side} {plain(row.exec_price)}")
                if decision is not None:
                    self._place("linear", self._part.linear, decision)

    def _on_trades(self, message: bytes) -> None:
        for row in decode_trades(message).data:
            decision = self._part.on_tick.get(plain(row.price))
            if decision is not None:
                self._place("spot", self._part.spot, decision)

    def _place(self, category: str, symbol: str, decision: Decision) -> None:
        self._count += 1
        self._trade.send(
            f'{{"reqId":"bare{self._count}","header":{{"X-BAPI-TIMESTAMP":"{now_ms()}"}},"op":"order.create",'
            f'"args":[{{"category":"{category}","symbol":"{symbol}","side":"{decision.side}","orderType":"Limit",'
            f'"qty":"{decision.quantity}","price":"{decision.price}","timeInForce":"PostOnly"}}]}}'
        )


def _ignore(message: bytes) -> None:
    """Take an answer: whether the order arrived is the venue's to say."""


async def main() -> None:
    """Read the part, then react."""
    reader = await standard_input()
    await BareClient(msgspec.json.decode(await reader.readline(), type=Part)).run(reader)


if __name__ == "__main__":
    uvloop.run(main())
