"""The venue's public WebSockets `/v5/public/{spot,linear,inverse,option}`: subscriptions, answers and delivery.

What is said on a topic is the channels' business, and how it reaches a client the sessions'. Here: who hears it,
and in what envelope commands are answered.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from engine.trading.instrument import Instrument, Market
from engine.trading.orders import Side

from .channels import Channel, LiquidationChannel, open_channel
from .events import MarketEvent
from .market import MarketBoard, MarketState
from .sessions import Session, SessionDoor, encode

ANSWER_DELAY_S = 0.005
"""Subscriptions are answered this much later, as over a real network. pybit sends before it registers its
callbacks, and dies of an answer that is faster than that."""

SPOT_ARGS = 10
ARGS_CHARACTERS = 21_000
"""What one request may name: ten topics on spot, so much text elsewhere."""

MARKETS = {"spot": Market.SPOT, "linear": Market.LINEAR, "inverse": None, "option": None}
"""The categories that have a socket, and what is traded there."""


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
        self.doors = [
            SessionDoor(f"/v5/public/{category}", partial(self._on_text, market), partial(self._on_end, market))
            for category, market in MARKETS.items()
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

    def close(self) -> None:
        """Stop every timer."""
        for channels in self._channels.values():
            for channel in channels.values():
                channel.close()
        self._channels.clear()

    async def _on_text(self, market: Market | None, session: Session, text: str) -> None:
        try:
            command = _decode(text)
        except msgspec.DecodeError:
            _answer(session, _Command(), "error:invalid message")
            return
        match command.op:
            case "ping":
                _answer(session, command, ok="pong")
            case "subscribe":
                await asyncio.sleep(ANSWER_DELAY_S)
                self._subscribe(session, market, command)
            case "unsubscribe":
                await asyncio.sleep(ANSWER_DELAY_S)
                for topic in command.args:
                    self._leave(session, market, topic)
                _answer(session, command)
            case _:
                _answer(session, command, "error:invalid op")

    def _on_end(self, market: Market | None, session: Session) -> None:
        for topic in tuple(session.topics):
            self._leave(session, market, topic)

    def _subscribe(self, session: Session, market: Market | None, command: _Command) -> None:
        """Answer, then send each topic's opening: a client never hears a change before its snapshot."""
        if not command.args:
            return _answer(session, command, "error:args is empty")
        if market is Market.SPOT and len(command.args) > SPOT_ARGS:
            return _answer(session, command, f"args size >{SPOT_ARGS}")
        if sum(map(len, command.args)) > ARGS_CHARACTERS:
            return _answer(session, command, "error:args is too long")
        joined: list[Channel] = []
        for topic in command.args:
            if topic in session.topics:
                return _answer(session, command, f"error:already subscribed,topic:{topic}")
            channel = self._channel(market, topic)
            if channel is None:
                return _answer(session, command, f"error:handler not found,topic:{topic}")
            joined.append(channel)
        _answer(session, command, ok="subscribe")
        for channel in joined:
            self._join(session, market, channel)
        return None

    def _channel(self, market: Market | None, topic: str) -> Channel | None:
        """Find or make a topic's channel; it is kept only once somebody joins it."""
        symbol = topic.rpartition(".")[2]
        state = None if market is None else self._board.find(market, symbol)
        if market is None or state is None:
            return None
        known = self._channels.get((market, symbol), {}).get(topic)
        return known or open_channel(topic, state, self._now_ms)

    def _join(self, session: Session, market: Market | None, channel: Channel) -> None:
        if market is None or channel.topic in session.topics:
            return
        key = market, channel.topic.rpartition(".")[2]
        # Two topics of one request may name the same channel.
        channel = self._channels.setdefault(key, {}).setdefault(channel.topic, channel)
        session.topics.add(channel.topic)
        opening = channel.opening()
        if opening is not None:
            session.send(opening)
        channel.subscribers.add(session)

    def _leave(self, session: Session, market: Market | None, topic: str) -> None:
        if market is None or topic not in session.topics:
            return
        session.topics.discard(topic)
        key = market, topic.rpartition(".")[2]
        channel = self._channels.get(key, {}).get(topic)
        if channel is None:
            return
        channel.subscribers.discard(session)
        if not channel.subscribers:
            channel.close()
            del self._channels[key][topic]


def _answer(session: Session, command: _Command, error: str = "", ok: str = "") -> None:
    answer = {
        "success": not error,
        "ret_msg": error or ok,
        "conn_id": session.connection_id,
        "req_id": command.req_id,
        "op": command.op,
    }
    session.send(encode(answer))
