"""The trade WebSocket: the quickest way to place and cancel, and the one map of what is on its way there.

Every request that was written is in the map until its answer comes. When the line dies, or an answer is late,
whoever asked is told that the outcome is unknown: nothing is resent from here.
"""

import logging
import secrets
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from adapters.exchanges.bybit.clock import VenueClock
from adapters.exchanges.bybit.errors import RESTARTING
from adapters.exchanges.bybit.later import Later
from adapters.exchanges.bybit.signing import Signer
from adapters.exchanges.bybit.socket import Connection, GreetingRefused, VenueSocket
from adapters.exchanges.bybit.wire import TradeReply, decode_trade_reply
from engine.ids import Instant

R = TypeVar("R")
log = logging.getLogger(__name__)

_FORGET_S = 60.0


class InFlight(msgspec.Struct, Generic[R], eq=False):
    """One written request. `overdue` once its owner has been told that the answer is late."""

    request: R
    sent_s: float
    overdue: bool = False


class TradeSocket(VenueSocket, Generic[R]):
    """Carries requests of type `R`; answers and losses go to the two callbacks."""

    def __init__(
        self,
        url: str,
        signer: Signer,
        clock: VenueClock,
        on_reply: Callable[[R, TradeReply], None],
        on_lost: Callable[[R, str], None],
        on_up: Callable[[], None],
        later: Later,
        ping_s: float,
        stale_s: float,
        deadline_s: float,
    ) -> None:
        super().__init__("bybit.trade", url, ping_s, stale_s)
        self._signer = signer
        self._clock = clock
        self._on_reply, self._on_lost, self._on_up = on_reply, on_lost, on_up
        self._later = later
        self._deadline_s = deadline_s
        self._in_flight: dict[str, InFlight[R]] = {}
        self._header = f'"header":{{"X-BAPI-RECV-WINDOW":"{signer.recv_window_ms}","X-BAPI-TIMESTAMP":"'
        # Request ids must not repeat within a session of the venue's, which may outlive our line.
        self._id_head, self._count = secrets.token_hex(4), 0

    @property
    def is_open(self) -> bool:
        """Tell whether a request written now would leave."""
        return self._connection is not None and not self._connection.closed

    def send(self, op: str, args: str, request: R) -> None:
        """Write a request, stamped now. Its outcome comes through the callbacks, whatever happens."""
        connection = self._connection
        assert connection is not None, "ask is_open first"
        self._count += 1
        request_id = f"{self._id_head}{self._count:x}"
        frame = f'{{"reqId":"{request_id}",{self._header}{self._clock.now_ms()}"}},"op":"{op}","args":[{args}]}}'
        self._in_flight[request_id] = InFlight(request, time.monotonic())
        # It may be written to a line that is breaking: then it is lost with the line, and reported so.
        connection.send(frame.encode())

    async def greet(self, connection: Connection) -> None:
        """Authenticate: once per line, so that orders need no signature of their own."""
        connection.send(self._signer.auth_command(self._clock.now_ms()))
        while (reply := decode_trade_reply(await connection.receive())).op != "auth":
            pass
        if reply.ret_code != 0:
            raise GreetingRefused(f"auth: {reply.ret_msg} ({reply.ret_code})")

    def went_up(self) -> None:
        """Let waiting requests go."""
        self._on_up()

    def received(self, message: bytes) -> None:
        """Match an answer with its request, in a moment."""
        self._later.put(self._answered, message)

    def _answered(self, message: bytes, at_ms: Instant) -> None:
        try:
            reply = decode_trade_reply(message)
        except msgspec.MsgspecError as error:
            log.error("bybit.unreadable what=trade_reply error=%s", error)
            return  # Its request becomes overdue, and is looked up.
        in_flight = self._in_flight.pop(reply.req_id, None)
        if in_flight is not None:
            self._on_reply(in_flight.request, reply)
        if reply.ret_code == RESTARTING:
            self.drop()

    def went_down(self) -> None:
        """Give up on everything that was on its way and has not been answered."""
        self._later.settle()
        lost = [entry.request for entry in self._in_flight.values() if not entry.overdue]
        self._in_flight.clear()
        for request in lost:
            self._on_lost(request, "the line broke before the answer")

    def give_up_overdue(self) -> None:
        """Report requests whose answer is late. They stay in the map: a late answer is still an answer."""
        due_s = time.monotonic() - self._deadline_s
        overdue = []
        for request_id, entry in list(self._in_flight.items()):  # oldest first
            if entry.sent_s > due_s:
                break
            if not entry.overdue:
                entry.overdue = True
                overdue.append(entry.request)
            elif entry.sent_s < due_s - _FORGET_S:
                del self._in_flight[request_id]
        for request in overdue:
            self._on_lost(request, "no answer in time")
