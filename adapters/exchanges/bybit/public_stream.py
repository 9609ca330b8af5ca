"""The public trades of one market: one line for all instruments, each trade to everyone who asked for it."""

import asyncio
import logging
from collections.abc import Iterable

import msgspec

from adapters.exchanges.bybit.codec import InstrumentCodec
from adapters.exchanges.bybit.socket import PING_S, STALE_S, Connection, VenueSocket
from adapters.exchanges.bybit.wire import decode_control, decode_trades
from engine.ids import Instant
from engine.ports import TradeSink
from engine.trading.instrument import Instrument
from engine.trading.market import PublicTrade

log = logging.getLogger(__name__)

_TOPICS_PER_REQUEST = 10


class _Topic:
    """One instrument's trades and who wants them."""

    def __init__(self, instrument: Instrument) -> None:
        self.codec = InstrumentCodec(instrument)
        self.sinks: list[TradeSink] = []
        self.subscribed = asyncio.Event()


class PublicStream(VenueSocket):
    """Subscribes what is watched, again after each reconnect."""

    def __init__(
        self,
        url: str,
        ping_s: float = PING_S,
        stale_s: float = STALE_S,
    ) -> None:
        super().__init__("bybit.public", url, ping_s, stale_s)
        self._topics: dict[str, _Topic] = {}
        self._asked: set[str] = set()

    async def add(self, instrument: Instrument, sink: TradeSink, wait_s: float) -> None:
        """Feed the trades of `instrument` into `sink`; wait a while for the venue to confirm."""
        name = _topic(instrument)
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = _Topic(instrument)
            if self._connection is not None:
                self._ask(self._connection, "subscribe", [name])
        topic.sinks.append(sink)
        try:
            async with asyncio.timeout(wait_s):
                await topic.subscribed.wait()
        except TimeoutError:
            # The stream goes on trying; the caller asked for "through any number of reconnects".
            log.warning("bybit.not_subscribed topic=%s", name)

    async def remove(self, instrument: Instrument, sink: TradeSink) -> None:
        """Stop feeding `sink`; unsubscribe when it was the last."""
        name = _topic(instrument)
        topic = self._topics.get(name)
        if topic is None or sink not in topic.sinks:
            return
        topic.sinks.remove(sink)
        if not topic.sinks:
            del self._topics[name]
            if self._connection is not None:
                self._ask(self._connection, "unsubscribe", [name])

    async def greet(self, connection: Connection) -> None:
        """Subscribe everything that is watched. The confirmations arrive among the data."""
        self._asked = set(self._topics)
        self._ask(connection, "subscribe", self._asked)

    def went_up(self) -> None:
        """Subscribe what was added while we greeted."""
        if self._connection is not None:
            self._ask(self._connection, "subscribe", self._topics.keys() - self._asked)

    def received(self, message: bytes) -> None:
        """Hand the trades of one message to all who watch them, in their order."""
        try:
            push = decode_trades(message)
        except msgspec.MsgspecError as error:
            log.error("bybit.unreadable what=public error=%s", error)
            return
        topic = self._topics.get(push.topic)
        if topic is None:
            if not push.topic and decode_control(message).op == "subscribe":
                self._confirm(message)
            return
        topic.subscribed.set()
        for row in push.data:
            try:
                ticks = topic.codec.ticks.count(row.price)
            except ValueError:
                continue  # Off the grid: not a price that an order of ours could meet.
            trade = PublicTrade(Instant(row.at_ms), ticks, row.side == "Buy")
            for sink in tuple(topic.sinks):
                try:
                    sink(trade)
                except Exception:
                    # One bot's mistake must not end the line that others listen to.
                    log.exception("bybit.trade_sink_failed topic=%s", push.topic)

    def _confirm(self, message: bytes) -> None:
        if not decode_control(message).success:
            log.error("bybit.subscribe_refused reason=%s", decode_control(message).ret_msg)
            return
        # The confirmation does not name the topics; requests are answered in order.
        for topic in self._topics.values():
            topic.subscribed.set()

    def _ask(self, connection: Connection, op: str, topics: Iterable[str]) -> None:
        names = list(topics)
        for start in range(0, len(names), _TOPICS_PER_REQUEST):
            args = '","'.join(names[start : start + _TOPICS_PER_REQUEST])
            connection.send(f'{{"op":"{op}","args":["{args}"]}}'.encode())


def _topic(instrument: Instrument) -> str:
    return f"publicTrade.{instrument.symbol}"
