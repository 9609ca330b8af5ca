"""The account's own stream: orders and executions as they happen, each to the bot it belongs to.

From the bytes of an execution to the bot's `step` there is one typed decode and nothing else: no queue, no task.
Orders' own reports lead to no new order as a rule, so they let executions and prices pass (see `later`).
"""

import logging
from typing import assert_never

import msgspec

from adapters.exchanges.background import Background
from adapters.exchanges.bybit.clock import VenueClock
from adapters.exchanges.bybit.codec import InstrumentCodec
from adapters.exchanges.bybit.later import Later
from adapters.exchanges.bybit.signing import Signer
from adapters.exchanges.bybit.socket import Connection, GreetingRefused, VenueSocket
from adapters.exchanges.bybit.wire import (
    Control,
    ExecutionPush,
    ExecutionRow,
    OrderPush,
    OrderRow,
    decode_control,
    decode_private,
)
from adapters.exchanges.routing import Routes, local_now_ms
from engine.ids import Instant

log = logging.getLogger(__name__)

_SUBSCRIBE = b'{"op":"subscribe","args":["order","execution"]}'
_ORDER_TOPIC, _HEAD_BYTES = b'"topic":"order"', 128


class PrivateStream(VenueSocket):
    """Delivers orders and executions. After each return of the line it tells all bots of the gap."""

    def __init__(
        self,
        url: str,
        signer: Signer,
        clock: VenueClock,
        routes: Routes[InstrumentCodec],
        background: Background,
        later: Later,
        ping_s: float,
        stale_s: float,
    ) -> None:
        super().__init__("bybit.private", url, ping_s, stale_s)
        self._signer = signer
        self._clock = clock
        self._routes = routes
        self._background = background
        self._later = later
        self._was_up = False

    async def greet(self, connection: Connection) -> None:
        """Authenticate, subscribe, and wait until the venue has confirmed both."""
        connection.send(self._signer.auth_command(self._clock.now_ms()))
        await self._confirmed(connection, "auth")
        connection.send(_SUBSCRIBE)
        await self._confirmed(connection, "subscribe")

    def went_up(self) -> None:
        """Tell the bots, unless this is the first time: then nothing can have been missed."""
        if self._was_up:
            self._routes.gap(self._background)
        self._was_up = True

    def received(self, message: bytes) -> None:
        """Deliver the facts of one message, in their order; those about orders in a moment."""
        if message.find(_ORDER_TOPIC, 0, _HEAD_BYTES) >= 0:
            self._later.put(self._deliver, message)
        else:
            self._deliver(message, local_now_ms())

    def went_down(self) -> None:
        """Deliver what has arrived before anybody reads what was missed."""
        self._later.settle()

    def _deliver(self, message: bytes, at_ms: Instant) -> None:
        try:
            push = decode_private(message)
        except msgspec.MsgspecError as error:
            self._undecodable(message, error)
            return
        if type(push) is ExecutionPush:
            for execution in push.data:
                self._execution(execution, at_ms)
        elif type(push) is OrderPush:
            for order in push.data:
                self._order(order, at_ms)
        else:
            assert_never(push)

    def _execution(self, row: ExecutionRow, at_ms: Instant) -> None:
        if row.exec_type == "Funding":
            self._funding(row, at_ms)
            return
        route = self._routes.of(row.order_link_id)
        if route is None or route.instrument.symbol != row.symbol:
            return
        try:
            fact = route.codec.execution(row)
        except (ValueError, KeyError) as error:
            self._unreadable(row.exec_id, error)
            return
        if fact is not None:
            route.deliver(fact, at_ms)

    def _funding(self, row: ExecutionRow, at_ms: Instant) -> None:
        # A funding payment names no order: it concerns every bot on that contract.
        for route in self._routes:
            if route.instrument.symbol == row.symbol and route.instrument.funding_interval_min:
                fact = route.codec.execution(row)
                if fact is not None:
                    route.deliver(fact, at_ms)

    def _order(self, row: OrderRow, at_ms: Instant) -> None:
        route = self._routes.of(row.order_link_id)
        if route is None or route.instrument.symbol != row.symbol:
            return
        try:
            fact = route.codec.report(row)
        except (ValueError, KeyError) as error:
            self._unreadable(row.order_id, error)
            return
        route.deliver(fact, at_ms)

    def _undecodable(self, message: bytes, error: Exception) -> None:
        try:
            control = decode_control(message)
        except msgspec.MsgspecError:
            control = Control()
        if control.op:
            return  # A pong, or an answer to a greeting.
        self._unreadable("message", error)

    def _unreadable(self, what: str, error: Exception) -> None:
        """Treat what cannot be read as missed: the bots fetch it again, where a failure is loud."""
        log.error("bybit.unreadable what=%s error=%s", what, error)
        self._routes.gap(self._background)

    async def _confirmed(self, connection: Connection, op: str) -> None:
        while True:
            message = await connection.receive()
            try:
                control = decode_control(message)
            except msgspec.MsgspecError:
                continue
            if control.op == op:
                if not control.success:
                    raise GreetingRefused(f"{op}: {control.ret_msg}")
                return
            if not control.op:
                self.received(message)  # Facts may overtake the confirmation.
