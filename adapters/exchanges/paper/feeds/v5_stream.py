"""One public V5 WebSocket read as market events: trades and book of some instruments, through any reconnect.

It mirrors what the other venue says, on our ticks. After each reconnect the subscription brings a snapshot, so the
book never goes on from a stale picture; trades missed in between are gone, as they are for everybody.
"""

from collections.abc import Iterable

import msgspec

from adapters.exchanges.bybit.socket import Connection, GreetingRefused, VenueSocket
from engine.trading.instrument import Instrument, Market

from ..events import BookChange, Level, MarketTrade
from .base import MarketSink
from .foreign_book import ForeignBook
from .rounding import TickGrid, price_units, size_units

BOOK_DEPTH = 50
STALE_S = 20.0
PING_S = 8.0
_ARGS_PER_REQUEST = 10


class _TradeRow(msgspec.Struct):
    T: int
    S: str
    v: str
    p: str


class _BookRow(msgspec.Struct):
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _Push(msgspec.Struct):
    topic: str = ""
    type: str = ""
    ts: int = 0
    cts: int = 0
    data: msgspec.Raw = msgspec.Raw(b"null")
    success: bool | None = None
    ret_msg: str = ""
    op: str = ""


_decode = msgspec.json.Decoder(_Push).decode
_decode_trades = msgspec.json.Decoder(list[_TradeRow]).decode
_decode_book = msgspec.json.Decoder(_BookRow).decode


class V5MarketSocket(VenueSocket):
    """Mirrors the instruments of one market kind into a sink."""

    def __init__(
        self,
        address: str,
        market: Market,
        instruments: Iterable[Instrument],
        sink: MarketSink,
        stale_s: float = STALE_S,
    ) -> None:
        super().__init__(f"market.{market}", f"{address}/v5/public/{market}", PING_S, stale_s)
        self._sink = sink
        self._mirrors = {instrument.symbol: _Mirror(instrument) for instrument in instruments}

    async def greet(self, connection: Connection) -> None:
        """Subscribe to book and trades of every instrument."""
        topics = [
            topic
            for symbol in self._mirrors
            for topic in (f"orderbook.{BOOK_DEPTH}.{symbol}", f"publicTrade.{symbol}")
        ]
        for begin in range(0, len(topics), _ARGS_PER_REQUEST):
            args = topics[begin : begin + _ARGS_PER_REQUEST]
            connection.send(msgspec.json.encode({"op": "subscribe", "args": args}))
            await self._confirmed(connection)

    def received(self, message: bytes) -> None:
        """Turn a push into events."""
        self._take(_decode(message))

    async def _confirmed(self, connection: Connection) -> None:
        """Wait for the answer; the first pushes may come before it and count already."""
        while True:
            push = _decode(await connection.receive())
            if push.op == "subscribe":
                if push.success is False:
                    raise GreetingRefused(push.ret_msg)
                return
            self._take(push)

    def _take(self, push: _Push) -> None:
        kind, _, rest = push.topic.partition(".")
        mirror = self._mirrors.get(rest.rpartition(".")[2])
        if mirror is None:
            return
        if kind == "publicTrade":
            for row in _decode_trades(push.data):
                self._sink(mirror.instrument, mirror.trade(row))
        elif kind == "orderbook":
            change = mirror.book(_decode_book(push.data), push.cts or push.ts, snapshot=push.type == "snapshot")
            if change is not None:
                self._sink(mirror.instrument, change)


class _Mirror:
    """One instrument of the other venue, on our ticks."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._grid = TickGrid(instrument)
        self._book = ForeignBook(instrument)

    def trade(self, row: _TradeRow) -> MarketTrade:
        return MarketTrade(row.T, self._grid.nearest(price_units(row.p)), size_units(row.v), row.S == "Buy")

    def book(self, row: _BookRow, at_ms: int, *, snapshot: bool) -> BookChange | None:
        if snapshot:
            self._book.clear()
        self._book.put(_levels(row.b), _levels(row.a))
        return self._book.take_change(at_ms, snapshot=snapshot)


def _levels(rows: list[tuple[str, str]]) -> list[Level]:
    return [(price_units(price), size_units(size)) for price, size in rows]
