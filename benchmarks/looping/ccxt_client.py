"""The same decisions made with ccxt.pro, as its documentation shows: watch, and place without waiting for answers.

It runs on uvloop, which ccxt does not ask for but profits from.
"""

import asyncio
import sys
from typing import Any

import ccxt.pro
import msgspec
import uvloop

from benchmarks.looping.script import Decision, Part, plain
from benchmarks.looping.streams import standard_input


class CcxtClient:
    """Watches trades and our own trades, and orders over the trade socket or over HTTP."""

    def __init__(self, part: Part, over_http: bool) -> None:
        self._part = part
        self._exchange = ccxt.pro.bybit({"apiKey": part.key, "secret": part.secret, **_urls(part.address)})
        self._create = self._exchange.create_order if over_http else self._exchange.create_order_ws
        self._answers: set[asyncio.Task[Any]] = set()
        self._spot = self._linear = ""

    async def run(self, reader: asyncio.StreamReader) -> None:
        """React until the input ends."""
        await self._exchange.load_markets()
        coin = self._part.spot.removesuffix("USDT")
        self._spot, self._linear = f"{coin}/USDT", f"{coin}/USDT:USDT"
        watching = [asyncio.create_task(self._watch_fills()), asyncio.create_task(self._watch_ticks())]
        await asyncio.sleep(1.0)  # ccxt subscribes on the first call and does not say when it has.
        assert self._part.opening is not None
        await self._create(*self._order(self._linear, self._part.opening))
        print("ready", flush=True)
        while await reader.readline():
            print("ready", flush=True)
        for task in watching:
            task.cancel()
        await self._exchange.close()

    async def _watch_fills(self) -> None:
        while True:
            for trade in await self._exchange.watch_my_trades(self._linear):
                row = trade["info"]
                decision = self._part.on_fill.get(f"{row['side']} {plain(row['execPrice'])}")
                if decision is not None:
                    self._place(self._linear, decision)

    async def _watch_ticks(self) -> None:
        while True:
            for trade in await self._exchange.watch_trades(self._spot):
                decision = self._part.on_tick.get(plain(trade["info"]["p"]))
                if decision is not None:
                    self._place(self._spot, decision)

    def _place(self, symbol: str, decision: Decision) -> None:
        answer = asyncio.create_task(self._create(*self._order(symbol, decision)))
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)

    def _order(self, symbol: str, decision: Decision) -> tuple[Any, ...]:
        side, price, quantity = decision.side.lower(), float(decision.price), float(decision.quantity)
        return symbol, "limit", side, quantity, price, {"timeInForce": "PO"}


def _urls(address: str) -> dict[str, Any]:
    http, ws = f"http://{address}", f"ws://{address}"
    private = {
        "spot": {"unified": f"{ws}/v5/private", "nonUnified": f"{ws}/v5/private"},
        "contract": f"{ws}/v5/private",
        "usdc": f"{ws}/v5/private",
        "trade": f"{ws}/v5/trade",
    }
    public = {kind: f"{ws}/v5/public/{kind}" for kind in ("spot", "linear", "inverse", "option")}
    rest = dict.fromkeys(("spot", "futures", "v2", "public", "private"), http)
    return {
        "urls": {"api": {**rest, "ws": {"public": public, "private": private}}},
        "enableRateLimit": False,
        "newUpdates": True,
    }


async def main() -> None:
    """Read the part, then react."""
    reader = await standard_input()
    part = msgspec.json.decode(await reader.readline(), type=Part)
    await CcxtClient(part, over_http=sys.argv[1] == "http").run(reader)


if __name__ == "__main__":
    uvloop.run(main())
