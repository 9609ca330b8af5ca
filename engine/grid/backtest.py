"""A grid bot over a price path: the same machine as live, against orders that fill when the price touches them.

Assumptions, named with every result: an order fills in full at its own price when the path reaches it (no queue,
no partial fills), market orders fill at the path's price, grid orders pay the maker fee and market orders the
taker fee, and inside a bar the path is open-low-high-close if the bar rose, else open-high-low-close. A run ends
early when the bot stops, or when everything invested is lost.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from engine.grid import accounting
from engine.grid.config import GridConfig
from engine.grid.machine import step
from engine.grid.messages import GridEffect, GridMessage, PriceMoved, Resync, Resynced, Start, TripClosed, Woke
from engine.grid.state import BotStatus, GridState, new_state
from engine.ids import BotId, ExecutionId, Instant, LinkId, VenueOrderId
from engine.trading.instrument import FeeRates, Instrument
from engine.trading.market import Candle
from engine.trading.orders import (
    CancelOrder,
    Execution,
    LookUpOrder,
    OrderAbsent,
    OrderKind,
    OrderReport,
    OrderStatus,
    PlaceOrder,
    Side,
)


class BacktestResult(msgspec.Struct, frozen=True):
    """What the bot did over the path. Amounts in quote-coin units."""

    path: str
    start_ms: Instant
    end_ms: Instant
    status: BotStatus
    trips: int
    trades: int
    grid_profit_units: int
    fee_units: int
    total_units: int
    drawdown_units: int


BAR_PATH = "close >= open: O-L-H-C, else O-H-L-C"


def run(config: GridConfig, instrument: Instrument, fees: FeeRates, candles: Sequence[Candle]) -> BacktestResult:
    """Run one bot over bars; raise ValueError without bars."""
    if not candles:
        raise ValueError("a backtest needs at least one candle")
    touch = TouchMarket(config, instrument, fees)
    touch.start(candles[0].open, candles[0].start_ms)
    end_ms = candles[0].start_ms
    for candle in candles:
        end_ms = candle.start_ms
        for ticks in bar_path(candle):
            touch.move_to(ticks, candle.start_ms)
        if touch.state.status is BotStatus.STOPPED or touch.has_lost_everything():
            break
    state = touch.state
    return BacktestResult(
        path=BAR_PATH,
        start_ms=candles[0].start_ms,
        end_ms=end_ms,
        status=state.status,
        trips=state.ledger.trips,
        trades=state.ledger.trades,
        grid_profit_units=state.ledger.grid_profit_units,
        fee_units=state.ledger.fee_units,
        total_units=accounting.total_units(state, touch.ticks),
        drawdown_units=state.ledger.drawdown_units,
    )


def bar_path(candle: Candle) -> tuple[int, int, int, int]:
    """Give the four prices of a bar in the order in which the path visits them."""
    if candle.close >= candle.open:
        return candle.open, candle.low, candle.high, candle.close
    return candle.open, candle.high, candle.low, candle.close


class TouchMarket:
    """A market for one bot in which a resting order fills in full when the price reaches it."""

    def __init__(self, config: GridConfig, instrument: Instrument, fees: FeeRates) -> None:
        self.state: GridState = new_state(BotId("backtest"), config, instrument, fees)
        self.ticks = 0
        self.trips: list[TripClosed] = []
        self._fees = fees
        self._now = Instant(0)
        self._buys: dict[LinkId, PlaceOrder] = {}
        self._sells: dict[LinkId, PlaceOrder] = {}
        self._executions = 0
        self._waiting: deque[GridMessage] = deque()
        """Messages for the bot; the first one is being taken in."""

    def start(self, ticks: int, now: Instant) -> None:
        """Start the bot at a price."""
        self.ticks, self._now = ticks, now
        self._tell(Start(ticks))

    def has_lost_everything(self) -> bool:
        """Tell whether the investment is gone: no venue would let the bot trade on."""
        sizing = self.state.sizing
        return sizing is not None and accounting.total_units(self.state, self.ticks) <= -sizing.investment_units

    def move_to(self, ticks: int, now: Instant) -> None:
        """Move the price in a straight line, filling every order on the way in the order of the path."""
        self._now = now
        if self.state.wake_ms and self.state.wake_ms <= now:
            self._tell(Woke())
        while True:
            touched = self._next_touched(ticks)
            concern = self._next_concern(ticks)
            if touched is not None and (concern is None or not self._comes_first(concern, touched.ticks)):
                self.ticks = touched.ticks
                self._fill(touched, touched.ticks, is_maker=True)
            elif concern is not None and concern != self.ticks:
                self.ticks = concern
                self._tell(PriceMoved(concern))
            else:
                break
        self.ticks = ticks
        if ticks <= self.state.watch_low or ticks >= self.state.watch_high:
            self._tell(PriceMoved(ticks))

    def _comes_first(self, ticks: int, other: int) -> bool:
        return abs(ticks - self.ticks) < abs(other - self.ticks)

    def _next_touched(self, target: int) -> PlaceOrder | None:
        if target <= self.ticks:
            best = max(self._buys.values(), key=lambda order: order.ticks, default=None)
            return best if best is not None and best.ticks >= target else None
        best = min(self._sells.values(), key=lambda order: order.ticks, default=None)
        return best if best is not None and best.ticks <= target else None

    def _next_concern(self, target: int) -> int | None:
        low, high = self.state.watch_low, self.state.watch_high
        if target < self.ticks and target <= low < self.ticks:
            return low
        if target > self.ticks and self.ticks < high <= target:
            return high
        return None

    def _tell(self, message: GridMessage) -> None:
        """Step the bot, and then with whatever its orders lead to, until nothing follows any more."""
        # A queue, not a recursion: a position larger than the venue's market orders is bought in very many parts.
        self._waiting.append(message)
        if len(self._waiting) > 1:
            return
        while self._waiting:
            self._carry_out(step(self.state, self._waiting[0], self._now))
            self._waiting.popleft()

    def _carry_out(self, effects: Iterable[GridEffect]) -> None:
        for effect in effects:
            match effect:
                case PlaceOrder(kind=OrderKind.MARKET):
                    self._fill(effect, self.ticks, is_maker=False)
                case PlaceOrder(side=Side.BUY):
                    self._buys[effect.link_id] = effect
                case PlaceOrder():
                    self._sells[effect.link_id] = effect
                case CancelOrder(link_id=link):
                    self._cancel(link)
                case LookUpOrder(link_id=link):
                    self._look_up(link)
                case Resync():
                    listed = [*self._buys.values(), *self._sells.values()]
                    reports = tuple(self._report(order, OrderStatus.OPEN) for order in listed)
                    self._tell(Resynced(reports, self.ticks, self._now))
                case TripClosed():
                    self.trips.append(effect)
                case _:
                    pass

    def _fill(self, order: PlaceOrder, ticks: int, *, is_maker: bool) -> None:
        self._buys.pop(order.link_id, None)
        self._sells.pop(order.link_id, None)
        self._executions += 1
        instrument = self.state.instrument
        rate = self._fees.maker if is_maker else self._fees.taker
        in_base = self.state.is_spot and order.side is Side.BUY
        paid_on = order.lots * instrument.units_per_lot if in_base else instrument.value(ticks, order.lots)
        self._tell(
            Execution(
                exec_id=ExecutionId(str(self._executions)),
                link_id=order.link_id,
                venue_id=VenueOrderId(order.link_id),
                side=order.side,
                ticks=ticks,
                lots=order.lots,
                order_lots=order.lots,
                fee_units=int(Decimal(paid_on) * rate),
                fee_asset=instrument.base if in_base else instrument.quote,
                is_maker=is_maker,
                at_ms=self._now,
            )
        )

    def _cancel(self, link: LinkId) -> None:
        order = self._buys.pop(link, None) or self._sells.pop(link, None)
        if order is not None:
            self._tell(self._report(order, OrderStatus.CANCELLED))

    def _look_up(self, link: LinkId) -> None:
        order = self._buys.get(link) or self._sells.get(link)
        self._tell(self._report(order, OrderStatus.OPEN) if order else OrderAbsent(link))

    def _report(self, order: PlaceOrder, status: OrderStatus) -> OrderReport:
        return OrderReport(
            link_id=order.link_id,
            venue_id=VenueOrderId(order.link_id),
            side=order.side,
            ticks=order.ticks,
            lots=order.lots,
            status=status,
            filled_lots=0,
        )
