"""The same decisions made with pybit, as its documentation shows: react in the callback, place the order there.

The decisions come from a table, which is less work than our machine, its risk checks and its journal do.
"""

import re
import sys
from typing import Any

import msgspec
from pybit.unified_trading import HTTP, WebSocket, WebSocketTrading

from benchmarks.looping.script import Decision, Part, plain


class PybitClient:
    """Listens on pybit's sockets, and orders over its trade socket or over HTTP."""

    def __init__(self, part: Part, over_http: bool) -> None:
        self._part = part
        keys = {"api_key": part.key, "api_secret": part.secret}
        self._http = HTTP(**keys)
        self._http.endpoint = f"http://{part.address}"
        self._trade = None
        if not over_http:
            self._trade = self._socket(WebSocketTrading)(testnet=False, recv_window=5_000, referral_id="", **keys)
        self._private = self._socket(WebSocket)(testnet=False, channel_type="private", **keys)
        self._public = self._socket(WebSocket)(testnet=False, channel_type="spot")
        self._private.execution_stream(self._on_executions)
        self._public.trade_stream(symbol=part.spot, callback=self._on_trades)

    def open(self) -> None:
        """Place the first order of the fill loop."""
        assert self._part.opening is not None
        self._place("linear", self._part.linear, self._part.opening)

    def _on_executions(self, message: dict[str, Any]) -> None:
        for row in message["data"]:
            decision = self._part.on_fill.get(f"{row['side']} {plain(row['execPrice'])}")
            if decision is not None:
                self._place("linear", self._part.linear, decision)

    def _on_trades(self, message: dict[str, Any]) -> None:
        for row in message["data"]:
            decision = self._part.on_tick.get(plain(row["p"]))
            if decision is not None:
                self._place("spot", self._part.spot, decision)

    def _place(self, category: str, symbol: str, decision: Decision) -> None:
        order = {
            "category": category,
            "symbol": symbol,
            "side": decision.side,
            "orderType": "Limit",
            "qty": decision.quantity,
            "price": decision.price,
            "timeInForce": "PostOnly",
        }
        if self._trade is None:
            self._http.place_order(**order)
        else:
            self._trade.place_order(_ignore, _ignore, **order)

    def _socket(self, kind: type) -> Any:
        address = f"ws://{self._part.address}"

        class Local(kind):  # type: ignore[misc]
            def _connect(self, url: str) -> None:
                super()._connect(re.sub(r"^wss?://[^/]+", address, url))

        return Local


def _ignore(message: dict[str, Any]) -> None:
    """Take an answer: whether the order arrived is the venue's to say."""


def main() -> None:
    """React until the input ends."""
    part = msgspec.json.decode(sys.stdin.readline(), type=Part)
    client = PybitClient(part, over_http=sys.argv[1] == "http")
    client.open()
    print("ready", flush=True)
    while sys.stdin.readline():
        print("ready", flush=True)


if __name__ == "__main__":
    main()
