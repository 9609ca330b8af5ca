"""The way of an order to the venue: at once while the limit allows, in a bounded queue otherwise.

It decides when and over which line a request goes (trade socket, or REST while there is none), and turns every
answer, and every lack of one, into a fact for the bot. A request that never left is kept and sent later; one that
left and was not answered is never sent again from here.
"""

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from adapters.exchanges.background import Background
from adapters.exchanges.bybit.clock import VenueClock
from adapters.exchanges.bybit.codec import InstrumentCodec
from adapters.exchanges.bybit.errors import AMBIGUOUS, CLOCK, OK, OVERLOADED, RATE_LIMITED, reject_reason
from adapters.exchanges.bybit.rest import NotSent, RestClient
from adapters.exchanges.bybit.trade_socket import TradeSocket
from adapters.exchanges.bybit.wire import ItemResults, OrderAck, TradeReply, decode_ack
from adapters.exchanges.rate_limit import AccountLimits, Bucket
from adapters.exchanges.routing import Route, local_now_ms
from engine.errors import OutcomeUnknown, RejectReason, VenueError
from engine.ids import LinkId, VenueOrderId
from engine.trading.instrument import Market
from engine.trading.orders import (
    CancelOrder,
    CancelRefused,
    OrderAccepted,
    OrderFact,
    OrderInDoubt,
    OrderRejected,
    PlaceOrder,
)

log = logging.getLogger(__name__)

ORDERS_PER_S = {Market.SPOT: 20, Market.LINEAR: 10}
"""Sources disagree about linear (10 or 20); the lower one, until a header says more."""
BATCH_MAX = {Market.SPOT: 10, Market.LINEAR: 20}
QUEUE_MAX = 5_000
_ATTEMPTS_MAX = 3
_numbers = itertools.count()
_REST_PAUSE_S = 0.5
_FORGET_SENT_MS = 120_000
_LOOK_AGAIN_S = 0.25


class Entry(msgspec.Struct, eq=False):
    """One effect of one bot on its way.

    It is written once, when it is asked for; stamped and signed each time it is sent.
    """

    number: int
    """Keeps the order in which effects were asked for."""
    route: Route[InstrumentCodec]
    effect: PlaceOrder | CancelOrder
    text: str
    attempts: int = 0


def _entry(route: Route[InstrumentCodec], effect: PlaceOrder | CancelOrder) -> Entry:
    # mypy does not narrow by `type() is`, which costs less here than `isinstance`.
    text = route.codec.place(effect) if type(effect) is PlaceOrder else route.codec.cancel(effect)  # type: ignore[arg-type]
    return Entry(next(_numbers), route, effect, text)


class Request(msgspec.Struct, eq=False):
    """What goes out in one piece: one entry, or a batch of the same kind."""

    op: str
    lane: "Lane"
    entries: list[Entry]
    bucket: Bucket

    @property
    def is_batch(self) -> bool:
        """Tell whether the venue gets, and answers, a list."""
        return self.bucket is self.lane.batch

    def text(self) -> str:
        """Write the body."""
        if not self.is_batch:
            return self.entries[0].text
        # Inside a batch the category stands once, outside.
        category = f'{{"category":"{self.lane.market.value}",'
        orders = ",".join("{" + entry.text.removeprefix(category) for entry in self.entries)
        return f'{category}"request":[{orders}]}}'


class Lane:
    """The queues of one kind of effect in one market, with the venue's limits for single requests and batches.

    The venue counts the orders in a batch, not the requests, and counts them apart from single ones.
    """

    def __init__(self, kind: str, market: Market, limits: AccountLimits) -> None:
        self.kind = kind
        self.market = market
        self.waiting: deque[Entry] = deque()
        self._single_op, self._batch_op = f"order.{kind}", f"order.{kind}-batch"
        per_s = ORDERS_PER_S[market]
        self._single = limits.bucket((market, kind), per_s)
        self.batch = limits.bucket((market, kind, "batch"), per_s)

    def next_request(self, now_s: float, held: frozenset[str]) -> Request | None:
        """Take from the queue what may go now, passing over the bots in `held`; None if nothing may."""
        ready = len(self.waiting)
        if held:
            ready = sum(entry.route.prefix not in held for entry in self.waiting)
        if not ready:
            return None
        if ready > 1 and (room := self.batch.available(now_s)) > 1:
            count = min(ready, room, BATCH_MAX[self.market])
            return self._take(count, self._batch_op, self.batch, now_s, held)
        if self._single.available(now_s):
            return self._take(1, self._single_op, self._single, now_s, held)
        if self.batch.available(now_s):
            return self._take(1, self._batch_op, self.batch, now_s, held)
        return None

    def single_request(self, entry: Entry, now_s: float) -> Request | None:
        """Make a request of one entry that has not been queued; None if none may go now."""
        return Request(self._single_op, self, [entry], self._single) if self._single.take(now_s) else None

    def wait_s(self, now_s: float) -> float:
        """Tell how long until something may go."""
        return min(self._single.wait_s(now_s), self.batch.wait_s(now_s))

    def close_until(self, until_s: float) -> None:
        """Let nothing go before `until_s`."""
        self._single.close_until(until_s)
        self.batch.close_until(until_s)

    def _take(self, count: int, op: str, bucket: Bucket, now_s: float, held: frozenset[str]) -> Request:
        bucket.take(now_s, count)
        taken: list[Entry] = []
        passed_over: list[Entry] = []
        while len(taken) < count:
            entry = self.waiting.popleft()
            (passed_over if entry.route.prefix in held else taken).append(entry)
        self.waiting.extendleft(reversed(passed_over))
        return Request(op, self, taken, bucket)


class OrderEntry:
    """Carries placements and cancels of all bots of one account."""

    def __init__(
        self,
        rest: RestClient,
        clock: VenueClock,
        limits: AccountLimits,
        background: Background,
        on_doubtful_clock: Callable[[], Awaitable[None]],
    ) -> None:
        self.trade: TradeSocket[Request] | None = None
        self._rest = rest
        self._clock = clock
        self._limits = limits
        self._background = background
        self._measure_clock = on_doubtful_clock
        self._cancels = {market: Lane("cancel", market, limits) for market in Market}
        self._places = {market: Lane("create", market, limits) for market in Market}
        # Cancels first: getting out must not wait behind getting in.
        self._lanes = (*self._cancels.values(), *self._places.values())
        self._wake = asyncio.Event()
        self._rest_closed_until_s = 0.0
        self._open = False
        self._sent_ms: dict[LinkId, int] = {}

    # ------------------------------------------------------------------ in

    def submit(self, route: Route[InstrumentCodec], effects: Sequence[PlaceOrder | CancelOrder]) -> None:
        """Send what may be sent now, in this very call; leave the rest to the queue."""
        # Two placements, or two cancels, go out together. Anything else need not wait for company.
        together = len(effects) > 2 or (len(effects) == 2 and type(effects[0]) is type(effects[1]))
        market = route.instrument.market
        for effect in effects:
            lane = self._places[market] if type(effect) is PlaceOrder else self._cancels[market]
            entry = _entry(route, effect)
            if not together and self._send_at_once(lane, entry):
                continue
            if len(lane.waiting) >= QUEUE_MAX:
                self._turn_away(entry)
            else:
                lane.waiting.append(entry)
        if self._has_waiting():
            self._send_all()
            if self._has_waiting():
                self._wake.set()

    def open(self) -> None:
        """Let requests go out."""
        self._open = True
        self._background.start(self._drain(), "order_queue")
        self._background.start(self._sweep(), "order_deadlines")

    def close(self) -> None:
        """Drop everything that has not left."""
        self._open = False
        for lane in self._lanes:
            lane.waiting.clear()

    def wake(self) -> None:
        """Look at the queues again: a line has come up."""
        self._wake.set()

    def forget(self, route: Route[InstrumentCodec]) -> None:
        """Drop the queued requests of one bot."""
        for lane in self._lanes:
            lane.waiting = deque(entry for entry in lane.waiting if entry.route is not route)

    def sent_ms(self, link_id: LinkId) -> int | None:
        """Tell when (by the venue's clock) a placement was last sent; None if not lately, or not by us."""
        return self._sent_ms.get(link_id)

    # ------------------------------------------------------------------ out

    def _send_at_once(self, lane: Lane, entry: Entry) -> bool:
        """Send a request past the empty queues, if it may go now; say whether it went."""
        now_s, trade = time.monotonic(), self.trade
        if (
            trade is None
            or not trade.is_open
            or self._limits.halted_s(now_s)
            or self._has_waiting()
            or not self._open
        ):
            return False
        request = lane.single_request(entry, now_s)
        if request is None:
            return False
        self._send(request)
        return True

    def _send_all(self) -> None:
        while self._open and (request := self._next_request(time.monotonic())) is not None:
            self._send(request)

    def _has_waiting(self) -> bool:
        for lane in self._lanes:  # noqa: SIM110  a generator costs more than the question
            if lane.waiting:
                return True
        return False

    def _next_request(self, now_s: float) -> Request | None:
        for lane in self._lanes:
            if lane.waiting:
                if self._blocked_s(now_s):
                    return None
                # A bot's placements wait for its own cancels, which free the money for them.
                held = self._cancelling(lane.market) if lane.kind == "create" else frozenset()
                if (request := lane.next_request(now_s, held)) is not None:
                    return request
        return None

    def _cancelling(self, market: Market) -> frozenset[str]:
        cancels = self._cancels[market].waiting
        return frozenset(entry.route.prefix for entry in cancels) if cancels else frozenset()

    def _blocked_s(self, now_s: float) -> float:
        halted_s = self._limits.halted_s(now_s)
        if self.trade is not None and self.trade.is_open:
            return halted_s
        return max(0.0, halted_s, self._rest_closed_until_s - now_s)

    def _send(self, request: Request) -> None:
        placing = request.lane.kind == "create"
        if placing:
            # The queue outlives a bot's right to act: a process that was suspended wakes up right here.
            request.entries = [entry for entry in request.entries if entry.route.may_place()]
            if not request.entries:
                return
        sent_ms = self._clock.now_ms()
        for entry in request.entries:
            entry.attempts += 1
            if placing:
                self._sent_ms[entry.effect.link_id] = sent_ms
        args = request.text()
        if self.trade is not None and self.trade.is_open:
            self.trade.send(request.op, args, request)
        else:
            self._background.start(self._send_over_rest(request, args), "order_over_rest")

    async def _send_over_rest(self, request: Request, args: str) -> None:
        path = "/v5/" + request.op.replace(".", "/")
        try:
            reply = await self._rest.post(path, args, request.bucket)
        except NotSent as error:
            log.warning("bybit.not_sent op=%s reason=%s", request.op, error)
            self._rest_closed_until_s = time.monotonic() + _REST_PAUSE_S
            self._put_back(request.entries)
        except OutcomeUnknown as error:
            self.lost(request, str(error))
        else:
            ack = decode_ack(reply.result) if reply.ret_code == OK else None
            self._settle(request, reply.ret_code, reply.ret_msg, ack, reply.ret_ext_info)

    async def _drain(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._has_waiting():
                try:
                    self._send_all()
                except Exception:
                    log.exception("bybit.queue_failed")  # One bad request must not stop the queue.
                now_s = time.monotonic()
                waits_s = [self._blocked_s(now_s) or lane.wait_s(now_s) for lane in self._lanes if lane.waiting]
                # Never long: a line may come up meanwhile.
                await asyncio.sleep(min([_LOOK_AGAIN_S, *(max(wait_s, 0.001) for wait_s in waits_s)]))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_AGAIN_S)
            if self.trade is not None:
                self.trade.give_up_overdue()
            forget_ms = self._clock.now_ms() - _FORGET_SENT_MS
            while self._sent_ms and next(iter(self._sent_ms.values())) < forget_ms:
                del self._sent_ms[next(iter(self._sent_ms))]

    # ------------------------------------------------------------------ answers

    def answered(self, request: Request, reply: TradeReply) -> None:
        """Turn an answer of the trade socket into facts."""
        if (header := reply.header) is not None and header.limit:
            self._rest.obey(request.bucket, header.limit, header.remaining, header.reset_ms)
        if reply.ret_code != OK:
            self._rest.punish(reply.ret_code, reply.ret_msg, request.bucket)
        ack = reply.data if isinstance(reply.data, OrderAck) else None
        self._settle(request, reply.ret_code, reply.ret_msg, ack, reply.ret_ext_info)

    def lost(self, request: Request, text: str) -> None:
        """Report that a request went out and no answer came."""
        for entry in request.entries:
            self._doubt(entry, text)

    def _settle(
        self, request: Request, code: int, text: str, ack: OrderAck | None, items: ItemResults | None
    ) -> None:
        if code in OVERLOADED:
            request.lane.close_until(time.monotonic() + 1.0)
        entries = request.entries
        if code != OK or ack is None:
            for entry in entries:
                self._settle_one(entry, code, text, "")
        elif not request.is_batch:
            self._settle_one(entries[0], OK, text, ack.order_id)
        elif items is None or len(items.rows) != len(entries) or len(ack.rows) != len(entries):
            self.lost(request, "the answer does not tell the orders apart")
        else:
            for entry, item, row in zip(entries, items.rows, ack.rows, strict=True):
                self._settle_one(entry, item.code, item.msg, row.order_id)

    def _settle_one(self, entry: Entry, code: int, text: str, venue_id: str) -> None:
        link_id = entry.effect.link_id
        placing = type(entry.effect) is PlaceOrder
        if code == OK:
            # A cancel's acknowledgement promises nothing: the order's own report does.
            if placing:
                self._tell(entry, OrderAccepted(link_id, VenueOrderId(venue_id)))
        elif code == CLOCK and entry.attempts < _ATTEMPTS_MAX:
            self._background.start(self._again_by_right_clock(entry), "clock")
        elif code in RATE_LIMITED and not placing and entry.attempts < _ATTEMPTS_MAX:
            self._put_back([entry])  # Cancelling twice is harmless.
        elif code in AMBIGUOUS:
            self._doubt(entry, f"{text} ({code})")
        elif placing:
            self._tell(entry, OrderRejected(link_id, reject_reason(code, text), f"{text} ({code})"))
        else:
            self._tell(entry, CancelRefused(link_id, reject_reason(code, text), f"{text} ({code})"))

    async def _again_by_right_clock(self, entry: Entry) -> None:
        try:
            await self._measure_clock()
        except VenueError as error:
            log.warning("bybit.clock_unknown error=%s", error)
        self._put_back([entry])

    def _doubt(self, entry: Entry, text: str) -> None:
        link_id = entry.effect.link_id
        if type(entry.effect) is PlaceOrder:
            self._tell(entry, OrderInDoubt(link_id, text))
        else:
            self._tell(entry, CancelRefused(link_id, RejectReason.OTHER, text))

    def _turn_away(self, entry: Entry) -> None:
        effect, text = entry.effect, f"{QUEUE_MAX} requests wait already; this one was not sent"
        if type(effect) is PlaceOrder:
            self._tell(entry, OrderRejected(effect.link_id, RejectReason.TOO_MANY_ORDERS, text))
        else:
            self._tell(entry, CancelRefused(effect.link_id, RejectReason.OTHER, text))

    def _tell(self, entry: Entry, fact: OrderFact) -> None:
        entry.route.deliver(fact, local_now_ms())

    def _put_back(self, entries: list[Entry]) -> None:
        """Queue requests that did not take effect, each in its old place among the others."""
        for entry in entries:
            if entry.route.open:
                market = entry.route.instrument.market
                lane = self._places[market] if type(entry.effect) is PlaceOrder else self._cancels[market]
                lane.waiting.append(entry)
        for lane in self._lanes:
            lane.waiting = deque(sorted(lane.waiting, key=lambda entry: entry.number))
        self._wake.set()
