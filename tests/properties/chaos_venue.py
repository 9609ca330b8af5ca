"""A small adversarial venue: it takes requests and tells the truth late, twice, in pieces and out of order.

It keeps its own books (orders, executions), so that a test can compare what the machine believes with what is
so. It never lies: every answer is one that a real venue could give. What it leaves to its caller is the time, and
what happens next.
"""

from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from random import Random

import msgspec

from engine.errors import RejectReason
from engine.grid.orders import OrderName, parse_link_id
from engine.ids import ExecutionId, Instant, LinkId, VenueOrderId
from engine.trading.instrument import AMOUNT_SCALE, FeeRates, Instrument, Market
from engine.trading.orders import (
    CancelOrder,
    CancelRefused,
    Execution,
    FundingCharged,
    LookUpOrder,
    OrderAbsent,
    OrderAccepted,
    OrderEffect,
    OrderFact,
    OrderInDoubt,
    OrderKind,
    OrderRejected,
    OrderReport,
    OrderStatus,
    PlaceOrder,
    Side,
)

REFUSALS = tuple(
    reason
    for reason in RejectReason
    # These three are the venue's answers to what it really finds; permission ends a bot, so it is rare.
    if reason not in (RejectReason.DUPLICATE_LINK_ID, RejectReason.WOULD_TAKE_LIQUIDITY, RejectReason.PERMISSION)
)


class VenueOrder(msgspec.Struct):
    """One order in the venue's books."""

    wanted: PlaceOrder
    venue_id: VenueOrderId
    status: OrderStatus = OrderStatus.OPEN
    filled: int = 0
    reason: RejectReason | None = None

    @property
    def left(self) -> int:
        return self.wanted.lots - self.filled


class Odds(msgspec.Struct, frozen=True):
    """How often things go wrong, in percent."""

    lost: int = 6
    answer_lost: int = 6
    refused: int = 5
    no_permission: int = 0
    rejected_later: int = 3
    cancel_refused: int = 8
    market_cut: int = 25
    repeated: int = 12


CALM = Odds(lost=0, answer_lost=0, refused=0, rejected_later=0, cancel_refused=0, market_cut=0, repeated=0)


class ChaosVenue:
    """Requests in, facts out. `odds` may be changed at any time."""

    def __init__(self, random: Random, instrument: Instrument, fees: FeeRates, ticks: int, odds: Odds) -> None:
        self.random = random
        self.instrument = instrument
        self.fees = fees
        self.ticks = ticks
        self.odds = odds
        self.now = Instant(1_000_000)
        self.orders: dict[LinkId, VenueOrder] = {}
        self.executions: list[Execution | FundingCharged] = []
        self.requests: list[OrderEffect] = []
        self._acks: list[OrderFact] = []
        self._reports: dict[LinkId, deque[OrderFact]] = {}
        self._fills: dict[LinkId, deque[OrderFact]] = {}
        self._numbers = 0

    # ------------------------------------------------------------------ the bot's side

    def send(self, effects: Sequence[OrderEffect]) -> None:
        """Take requests onto the wire; they arrive in any order."""
        self.requests.extend(effects)

    def has_news(self) -> bool:
        """Tell whether any fact is on its way to the bot."""
        return bool(self._acks or self._reports or self._fills)

    def next_fact(self) -> OrderFact:
        """Give one fact: facts of one kind about one order keep their order, nothing else does."""
        queues = [*self._reports.items(), *self._fills.items()]
        pick = self.random.randrange(len(queues) + len(self._acks))
        if pick >= len(queues):
            return self._acks.pop(pick - len(queues))
        link, queue = queues[pick]
        fact = queue.popleft()
        if not queue:
            (self._reports if self._reports.get(link) is queue else self._fills).pop(link)
        if self._chance(self.odds.repeated):
            self._acks.append(fact)
        return fact

    def drop_private_facts(self) -> None:
        """Lose everything that is on its way: a socket broke, or the process died."""
        self._acks.clear()
        self._reports.clear()
        self._fills.clear()

    def open_orders(self) -> tuple[OrderReport, ...]:
        """List what rests now."""
        return tuple(self._report(order) for order in self.orders.values() if order.status is OrderStatus.OPEN)

    def live_places(self) -> list[tuple[int | str, Side]]:
        """Give (level, side) of each order that rests now."""
        names = [parse_link_id(report.link_id) for report in self.open_orders()]
        return [(name.level, name.side) for name in names if isinstance(name, OrderName)]

    # ------------------------------------------------------------------ requests

    def carry_out_one(self) -> None:
        """Let one request arrive, or be lost."""
        request = self.requests.pop(self.random.randrange(len(self.requests)))
        match request:
            case PlaceOrder(link_id=link):
                if self._chance(self.odds.lost):
                    self._acks.append(OrderInDoubt(link, "nothing came back"))
                else:
                    self._place(request)
            case CancelOrder(link_id=link):
                self._cancel(link)
            case LookUpOrder(link_id=link):
                self._look_up(request, link)

    def _place(self, wanted: PlaceOrder) -> None:
        link = wanted.link_id
        if link in self.orders:
            self._refuse(link, RejectReason.DUPLICATE_LINK_ID)
            return
        if self._chance(self.odds.no_permission):
            self._refuse(link, RejectReason.PERMISSION)
            return
        if self._chance(self.odds.refused):
            self._refuse(link, self.random.choice(REFUSALS))
            return
        self._numbers += 1
        order = self.orders[link] = VenueOrder(wanted, VenueOrderId(f"v{self._numbers}"))
        if self._chance(self.odds.answer_lost):
            self._acks.append(OrderInDoubt(link, "the answer was lost"))
        else:
            self._acks.append(OrderAccepted(link, order.venue_id))
        self._tell(order)
        self._match_on_arrival(order)

    def _match_on_arrival(self, order: VenueOrder) -> None:
        wanted = order.wanted
        if wanted.kind is OrderKind.MARKET:
            slippage = self.random.randrange(3)
            ticks = self.ticks + (slippage if wanted.side is Side.BUY else -slippage)
            cut = self._chance(self.odds.market_cut)
            self._fill(order, self.random.randrange(order.left) if cut else order.left, ticks, is_maker=False)
            if order.left:
                self._end(order, OrderStatus.CANCELLED, RejectReason.OTHER)
        elif self._crosses(wanted):
            if wanted.kind is OrderKind.POST_ONLY:
                self._end(order, OrderStatus.REJECTED, RejectReason.WOULD_TAKE_LIQUIDITY)
            else:
                self._fill(order, order.left, self.ticks, is_maker=False)
        elif self._chance(self.odds.rejected_later):
            # "Rejected" may carry fills: the rest of the order is what was rejected.
            self._fill(order, self.random.randrange(order.left), wanted.ticks, is_maker=True)
            self._end(order, OrderStatus.REJECTED, RejectReason.OTHER)

    def _crosses(self, wanted: PlaceOrder) -> bool:
        return wanted.ticks >= self.ticks if wanted.side is Side.BUY else wanted.ticks <= self.ticks

    def _cancel(self, link: LinkId) -> None:
        order = self.orders.get(link)
        if order is None:
            self._acks.append(CancelRefused(link, RejectReason.NOT_FOUND))
        elif order.status is not OrderStatus.OPEN:
            self._acks.append(CancelRefused(link, RejectReason.ALREADY_CLOSED))
        elif self._chance(self.odds.cancel_refused):
            self._acks.append(CancelRefused(link, RejectReason.OTHER, "no answer"))
            if self._chance(50):
                self._end(order, OrderStatus.CANCELLED, None)
        else:
            self._end(order, OrderStatus.CANCELLED, None)

    def _look_up(self, request: LookUpOrder, link: LinkId) -> None:
        order = self.orders.get(link)
        if order is not None:
            self._acks.append(self._report(order))
        elif any(isinstance(other, PlaceOrder) and other.link_id == link for other in self.requests):
            # The placement may still arrive, so "never seen" would not be definite: the adapter asks again.
            self.requests.append(request)
        else:
            self._acks.append(OrderAbsent(link))

    def _refuse(self, link: LinkId, reason: RejectReason) -> None:
        self._acks.append(OrderRejected(link, reason, "refused"))

    # ------------------------------------------------------------------ the market

    def move_to(self, ticks: int) -> None:
        """Trade at a price: orders that it passes fill whole, an order at it may fill in part."""
        self.ticks = max(1, ticks)
        for order in list(self.orders.values()):
            if order.status is not OrderStatus.OPEN or order.wanted.kind is OrderKind.MARKET:
                continue
            distance = order.wanted.ticks - self.ticks
            if (distance > 0) if order.wanted.side is Side.BUY else (distance < 0):
                self._fill(order, order.left, order.wanted.ticks, is_maker=True)
            elif distance == 0 and self._chance(60):
                self._fill(order, self.random.randrange(order.left + 1), order.wanted.ticks, is_maker=True)

    def cancel_by_itself(self) -> None:
        """End one resting order without being asked, whatever has been filled of it."""
        resting = [order for order in self.orders.values() if order.status is OrderStatus.OPEN]
        if resting:
            order = self.random.choice(resting)
            self._fill(order, self.random.randrange(order.left), order.wanted.ticks, is_maker=True)
            self._end(order, OrderStatus.CANCELLED, self.random.choice([RejectReason.OTHER, None]))

    def charge_funding(self) -> None:
        """Charge, or pay, funding."""
        amount = self.random.randrange(-5, 6) * AMOUNT_SCALE // 1000
        charge = FundingCharged(self._next_exec_id(), amount, self.now)
        self.executions.append(charge)
        self._acks.append(charge)

    def _fill(self, order: VenueOrder, lots: int, ticks: int, *, is_maker: bool) -> None:
        while lots:
            part = self.random.randint(1, lots)
            lots -= part
            order.filled += part
            execution = self._execution(order, part, ticks, is_maker=is_maker)
            self.executions.append(execution)
            self._fills.setdefault(order.wanted.link_id, deque()).append(execution)
            if not order.left:
                order.status = OrderStatus.FILLED
            self._tell(order)

    def _end(self, order: VenueOrder, status: OrderStatus, reason: RejectReason | None) -> None:
        order.status = status
        order.reason = reason
        self._tell(order)

    def _execution(self, order: VenueOrder, lots: int, ticks: int, *, is_maker: bool) -> Execution:
        in_base = self.instrument.market is Market.SPOT and order.wanted.side is Side.BUY
        paid_on = lots * self.instrument.units_per_lot if in_base else self.instrument.value(ticks, lots)
        return Execution(
            exec_id=self._next_exec_id(),
            link_id=order.wanted.link_id,
            venue_id=order.venue_id,
            side=order.wanted.side,
            ticks=ticks,
            lots=lots,
            order_lots=order.wanted.lots,
            fee_units=int(Decimal(paid_on) * (self.fees.maker if is_maker else self.fees.taker)),
            fee_asset=self.instrument.base if in_base else self.instrument.quote,
            is_maker=is_maker,
            at_ms=self.now,
        )

    def _tell(self, order: VenueOrder) -> None:
        self._reports.setdefault(order.wanted.link_id, deque()).append(self._report(order))

    def _report(self, order: VenueOrder) -> OrderReport:
        wanted = order.wanted
        return OrderReport(
            link_id=wanted.link_id,
            venue_id=order.venue_id,
            side=wanted.side,
            ticks=wanted.ticks,
            lots=wanted.lots,
            status=order.status,
            filled_lots=order.filled,
            reason=order.reason,
        )

    def _next_exec_id(self) -> ExecutionId:
        self._numbers += 1
        return ExecutionId(f"x{self._numbers}")

    def _chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent
