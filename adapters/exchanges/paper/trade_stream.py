"""The trade WebSocket `/v5/trade`: order operations after one `auth`, answered with limits in a header block.

The command is carried out while its message is being read; only the answer may be held back, for clients that
register their callback after sending (pybit), or by a fault.
"""

from typing import Any
from uuid import uuid4

import msgspec

from .codes import Code, Refused
from .faults import FaultKind
from .model import Account
from .operations import Answer, OrderOperations
from .rows import Row
from .sessions import KeyRing, Session, SessionDoor, encode
from .signing import check_time
from .venue import Venue

OPERATIONS = frozenset(
    {
        "order.create",
        "order.amend",
        "order.cancel",
        "order.create-batch",
        "order.amend-batch",
        "order.cancel-batch",
    }
)
REQUEST_ID_CHARACTERS = 36
REQUEST_IDS_KEPT = 10_000


class _Command(msgspec.Struct, rename={"request_id": "reqId"}):
    op: str = ""
    request_id: str = ""
    header: dict[str, Any] = {}
    args: list[msgspec.Raw] = []


_decode = msgspec.json.Decoder(_Command, strict=False).decode
_decode_argument = msgspec.json.Decoder(str | int).decode


class TradeStream:
    """Serves `/v5/trade`."""

    def __init__(self, venue: Venue, operations: OrderOperations, keys: KeyRing, answer_delay_s: float) -> None:
        self.door = SessionDoor("/v5/trade", self._on_text)
        self._venue = venue
        self._operations = operations
        self._keys = keys
        self._delay_s = answer_delay_s

    async def _on_text(self, session: Session, text: str) -> None:
        try:
            command = _decode(text)
        except msgspec.DecodeError as error:
            self._answer(session, _Command(), Answer(Code.PARAMETER, f"params error: {error}"))
            return
        match command.op:
            case "ping":
                self._pong(session, command)
            case "auth":
                self._authenticate(session, command)
            case operation if operation in OPERATIONS:
                self._order(session, command)
            case _:
                self._answer(session, command, Answer(Code.BAD_OPERATION, "op type is not found"))

    def _authenticate(self, session: Session, command: _Command) -> None:
        answer: Row = {"retCode": 0, "retMsg": "OK", "op": "auth", "connId": session.connection_id}
        try:
            if session.account is not None:
                raise Refused(Code.ALREADY_AUTHENTICATED, "Repeat auth")
            arguments: list[str | int] = [_decode_argument(raw) for raw in command.args]
            session.account = self._keys.verify_socket(arguments, self._venue.now_ms())
        except (Refused, msgspec.ValidationError) as error:
            answer["retCode"] = error.code if isinstance(error, Refused) else int(Code.PARAMETER)
            answer["retMsg"] = str(error)
        session.send_later(encode(answer), self._delay_s)

    def _pong(self, session: Session, command: _Command) -> None:
        pong: Row = {
            "retCode": 0,
            "retMsg": "OK",
            "op": "pong",
            "data": [str(self._venue.now_ms())],
            "connId": session.connection_id,
        }
        if command.request_id:
            pong["reqId"] = command.request_id
        session.send(encode(pong))

    def _order(self, session: Session, command: _Command) -> None:
        try:
            account = self._check(session, command)
        except Refused as refused:
            self._answer(session, command, Answer(refused.code, refused.message))
            return
        fault = self._venue.faults.take(command.op)
        if fault is not None and fault.kind is FaultKind.REFUSE and not fault.accepted:
            self._answer(session, command, _refusal(fault.code))
            return
        answer = self._operations.execute(account, command.op, command.args[0])
        delay_s = self._delay_s
        if fault is not None:
            if fault.kind is FaultKind.LOSE_ANSWER:
                return
            if fault.kind is FaultKind.REFUSE:
                answer = _refusal(fault.code)
            delay_s += fault.delay_s
        self._answer(session, command, answer, delay_s)

    def _check(self, session: Session, command: _Command) -> Account:
        if session.account is None:
            raise Refused(Code.BAD_KEY, "Request not authorized: auth first")
        if not command.args:
            raise Refused(Code.PARAMETER, "params error: args is empty")
        header = command.header
        check_time(
            str(header.get("X-BAPI-TIMESTAMP", "")),
            str(header.get("X-BAPI-RECV-WINDOW", "")),
            self._venue.now_ms(),
        )
        self._remember(session, command.request_id)
        return session.account

    def _remember(self, session: Session, request_id: str) -> None:
        if not request_id:
            return
        if len(request_id) > REQUEST_ID_CHARACTERS or request_id in session.request_ids:
            raise Refused(Code.DUPLICATE_REQUEST_ID, "Duplicate reqId")
        if len(session.request_ids) >= REQUEST_IDS_KEPT:
            session.request_ids.clear()
        session.request_ids.add(request_id)

    def _answer(self, session: Session, command: _Command, answer: Answer, delay_s: float | None = None) -> None:
        header = answer.allowance.headers() if answer.allowance is not None else {}
        header["Traceid"] = uuid4().hex
        header["Timenow"] = str(self._venue.now_ms())
        message: Row = {
            "retCode": int(answer.code),
            "retMsg": answer.message,
            "op": command.op,
            "data": answer.result,
            "retExtInfo": answer.ext,
            "header": header,
            "connId": session.connection_id,
        }
        if command.request_id:
            message["reqId"] = command.request_id
        session.send_later(encode(message), self._delay_s if delay_s is None else delay_s)


def _refusal(code: int) -> Answer:
    if code == 429:
        return Answer(10429, "System level frequency protection")
    return Answer(code, "Server error" if code == Code.SERVER_ERROR else "Too many visits!")
