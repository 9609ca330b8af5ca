"""The private WebSocket `/v5/private`: what happened to an account, pushed once to each of its subscribers.

`order` carries all categories, `order.spot` and `order.linear` one each; a connection that has both hears each
fact under the general name only. Facts come from the records' commits, executions before the order they changed.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

import msgspec

from engine.trading.instrument import Market

from .codes import Refused
from .model import Account, Position
from .records import Changes
from .rows import Row, Rows
from .sessions import KeyRing, Session, SessionDoor, encode
from .venue import Venue

FAMILIES = ("order", "execution", "execution.fast", "position", "wallet", "greeks")
CATEGORISED = frozenset({"order", "execution", "execution.fast", "position"})
PROTECTION = {"dcp.future": Market.LINEAR, "dcp.spot": Market.SPOT, "dcp.option": None}
"""Topics of disconnect protection, and the orders each protects."""

TOPICS = frozenset(
    {*FAMILIES, *PROTECTION, *(f"{family}.{market.value}" for family in CATEGORISED for market in Market)}
)


class _Command(msgspec.Struct):
    op: str = ""
    req_id: Any = None
    args: list[Any] = []


_decode = msgspec.json.Decoder(_Command).decode


class PrivateStream:
    """Serves `/v5/private`. `answer_delay_s` holds answers back for clients that listen too late (pybit)."""

    def __init__(self, venue: Venue, rows: Rows, keys: KeyRing, answer_delay_s: float) -> None:
        self.door = SessionDoor("/v5/private", self._on_text, self._on_end)
        self._venue = venue
        self._rows = rows
        self._keys = keys
        self._delay_s = answer_delay_s
        self._by_account: dict[int, set[Session]] = {}
        self._protection: dict[int, asyncio.TimerHandle] = {}
        self.protection_windows: dict[tuple[int, Market], int] = {}
        """Seconds of disconnect protection that an account asked for, by market."""
        venue.records.listeners.append(self._publish)

    def write_position(self, account: Account, position: Position) -> Row:
        """Write a position as the stream does."""
        return self._rows.position(account, position)

    # ------------------------------------------------------------------ what a client says

    async def _on_text(self, session: Session, text: str) -> None:
        try:
            command = _decode(text)
        except msgspec.DecodeError:
            self._answer(session, _Command(), "error:invalid message")
            return
        match command.op:
            case "ping":
                self._pong(session, command)
            case "auth":
                self._authenticate(session, command)
            case "subscribe" | "unsubscribe" if session.account is None:
                self._answer(session, command, "Request not authorized")
            case "subscribe":
                self._subscribe(session, command)
            case "unsubscribe":
                session.topics.difference_update(map(str, command.args))
                self._answer(session, command)
            case _:
                self._answer(session, command, "error:invalid op")

    def _authenticate(self, session: Session, command: _Command) -> None:
        try:
            account = self._keys.verify_socket(command.args, self._venue.now_ms())
        except Refused as refused:
            self._answer(session, command, refused.message)
            return
        session.account = account
        self._by_account.setdefault(account.uid, set()).add(session)
        self._answer(session, command)

    def _subscribe(self, session: Session, command: _Command) -> None:
        topics = [str(each) for each in command.args]
        unknown = [topic for topic in topics if topic not in TOPICS]
        if unknown or not topics:
            self._answer(session, command, f"error:handler not found,topic:{','.join(unknown)}")
            return
        session.topics.update(topics)
        if session.account is not None and any(topic in PROTECTION for topic in topics):
            self._call_off_protection(session.account.uid)
        self._answer(session, command)

    def _pong(self, session: Session, command: _Command) -> None:
        pong: Row = {"op": "pong", "args": [str(self._venue.now_ms())], "conn_id": session.connection_id}
        if command.req_id is not None:
            pong["req_id"] = command.req_id
        session.send(encode(pong))

    def _answer(self, session: Session, command: _Command, error: str = "") -> None:
        answer: Row = {
            "success": not error,
            "ret_msg": error,
            "op": command.op,
            "conn_id": session.connection_id,
        }
        if command.req_id is not None:
            answer["req_id"] = command.req_id
        session.send_later(encode(answer), self._delay_s)

    def _on_end(self, session: Session) -> None:
        if session.account is None:
            return
        uid = session.account.uid
        others = self._by_account.get(uid, set())
        others.discard(session)
        watched = session.topics & PROTECTION.keys()
        if watched and not any(other.topics & PROTECTION.keys() for other in others):
            self._start_protection(session.account, watched)

    # ------------------------------------------------------------------ disconnect protection

    def _start_protection(self, account: Account, topics: Iterable[str]) -> None:
        """Cancel the protected orders when the last watching socket stays away for the account's window."""
        markets = [market for topic in topics if (market := PROTECTION[topic]) is not None]
        windows = {market: self.protection_windows.get((account.uid, market), 0) for market in markets}
        chosen = {market: window for market, window in windows.items() if window}
        if not chosen:
            return

        def cancel() -> None:
            for market in chosen:
                self._venue.desk.cancel_all(account, market, cancel_type="CancelByDCP")
            self._venue.records.commit()

        loop = asyncio.get_running_loop()
        self._protection[account.uid] = loop.call_later(min(chosen.values()), cancel)

    def _call_off_protection(self, uid: int) -> None:
        timer = self._protection.pop(uid, None)
        if timer is not None:
            timer.cancel()

    # ------------------------------------------------------------------ what the venue says

    def _publish(self, account: Account, changes: Changes) -> None:
        sessions = self._by_account.get(account.uid)
        if not sessions:
            return
        rows = self._rows
        if changes.executions:
            self._push(sessions, "execution", changes.executions, rows.execution)
            trades = [each for each in changes.executions if each.exec_type == "Trade"]
            self._push(sessions, "execution.fast", trades, rows.fast_execution)
        if changes.orders:
            self._push(sessions, "order", changes.orders.values(), rows.order)
        if changes.positions:
            self._push(sessions, "position", changes.positions.values(), lambda each: rows.position(account, each))
        if changes.wallet:
            self._push(sessions, "wallet", [account], rows.wallet)

    def _push(
        self, sessions: set[Session], family: str, facts: Iterable[Any], write: Callable[[Any], Row]
    ) -> None:
        """Write each fact once and send it to the sessions under the topic that each subscribed."""
        listeners: dict[str, list[Session]] = {}
        for session in sessions:
            for topic in _topics_of(session, family):
                listeners.setdefault(topic, []).append(session)
        if not listeners:
            return
        written = [write(fact) for fact in facts]
        for topic, hearing in listeners.items():
            category = topic.removeprefix(family).removeprefix(".")
            data = [row for row in written if not category or row["category"] == category]
            if not data or self._venue.faults.swallow():
                continue
            message: Row = {"id": uuid4().hex, "topic": topic, "creationTime": self._venue.now_ms(), "data": data}
            encoded = encode(message)
            for session in hearing:
                session.send(encoded)


def _topics_of(session: Session, family: str) -> list[str]:
    if family in session.topics:
        return [family]
    if family not in CATEGORISED:
        return []
    return [topic for market in Market if (topic := f"{family}.{market.value}") in session.topics]
