"""The venue's side of the order loop: plays a price or a fill to one client, and waits for the order it causes.

The venue is our PaperVenue without limits, in the benchmark's own process; the clients are in theirs, and all of
them reach it through the wire. What is measured lies between two stamps of the wire (see `wire`), so no two clocks
are ever compared, and the venue's own work is in nobody's figure.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from adapters.exchanges.paper.events import SIZE_SCALE, BookChange, MarketTrade
from adapters.exchanges.paper.limits import Limits
from adapters.exchanges.paper.model import Account, Order, Status
from adapters.exchanges.paper.records import Changes
from adapters.exchanges.paper.server import PaperVenue
from adapters.secrets.keys import ApiKey
from benchmarks.looping.script import BASE, STEP, TICK_CONFIG, Decision, Part, listing, plain
from benchmarks.looping.wire import Wire
from engine.trading.instrument import Instrument, Market

PLENTY = 100_000
LIMITS = Limits(spot_per_s=PLENTY, linear_per_s=PLENTY, query_per_s=PLENTY, ip_per_5s=0)
"""Limits that are stated and never met: without a stated one our adapter keeps to the documented ten a second."""
MONEY = {"USDT": "10000000"}
ORDER_LIMIT_S = 20.0
DEPTH = 20


class Reaction(msgspec.Struct, frozen=True):
    """What a client did about a stimulus."""

    cause: str
    """The price, or the side and price of the fill."""
    order: Decision
    took_ns: int
    """From the push to the arrival of the order."""


class Seat:
    """One client's account and its two markets."""

    def __init__(self, number: int, account: Account) -> None:
        symbol = symbol_of(number)
        self.account = account
        self.spot = listing(symbol, Market.SPOT)
        self.linear = listing(symbol, Market.LINEAR)
        self.level = 0
        """How many levels the spot market has risen since the tick grid was begun."""


class Stage:
    """The venue and the seats of all clients. `start` once, `stop` once."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        symbols = [symbol_of(number) for number in range(len(keys))]
        self._venue = PaperVenue(
            [listing(symbol, market) for symbol in symbols for market in Market], (), limits=LIMITS
        )
        self.seats = [
            Seat(number, self._venue.create_account(key.key, key.secret, MONEY)) for number, key in enumerate(keys)
        ]
        self._keys = keys
        self._wire: Wire
        self._waiting: tuple[int, Market, asyncio.Future[Order]] | None = None

    @property
    def port(self) -> int:
        """Give the port at which clients reach the venue."""
        return self._wire.port

    async def start(self) -> None:
        """Open the doors and the markets."""
        self._venue.core.records.listeners.insert(0, self._on_changes)
        address = await self._venue.start()
        self._wire = await asyncio.to_thread(Wire, address.port)
        for seat in self.seats:
            self._open_market(seat.spot.instrument, 300 * STEP)
            self._open_market(seat.linear.instrument, 2 * STEP)
            self.lower_spot(seat)
            self._print(seat.linear.instrument, BASE * 10 - 5 * 10)

    async def stop(self) -> None:
        """Close the doors."""
        await self._venue.stop()
        await asyncio.to_thread(self._wire.close)

    def part(self, number: int) -> Part:
        """Write what a client must know to take its seat."""
        key, seat = self._keys[number], self.seats[number]
        return Part(
            address=f"127.0.0.1:{self.port}",
            key=key.key,
            secret=key.secret,
            spot=seat.spot.instrument.symbol,
            linear=seat.linear.instrument.symbol,
        )

    # ------------------------------------------------------------------ stimuli

    async def fill(self, seat: Seat) -> Reaction:
        """Fill the client's order of the fill loop, and see the next one arrive."""
        resting = self._resting(seat)
        instrument = seat.linear.instrument
        size = resting.lots * seat.linear.size_per_lot
        cause = f"{'Buy' if resting.buy else 'Sell'} {plain(instrument.price_text(resting.ticks))}"
        order = await self._order_after(seat, instrument, resting.ticks, size, not resting.buy)
        return self._reaction(cause, instrument, order, self._wire.execution_ns)

    async def tick(self, seat: Seat) -> Reaction:
        """Raise the client's spot market by a level, and see its order arrive."""
        instrument = seat.spot.instrument
        ticks = instrument.ticks(str(BASE + STEP * seat.level))
        seat.level += 1
        cause = plain(instrument.price_text(ticks))
        order = await self._order_after(seat, instrument, ticks, SIZE_SCALE // 1_000, True)
        return self._reaction(cause, instrument, order, self._wire.trade_ns)

    def lower_spot(self, seat: Seat) -> None:
        """Bring the spot market back to where the tick grid begins."""
        seat.level = 0
        self._print(seat.spot.instrument, seat.spot.instrument.ticks(str(BASE - STEP // 2)))

    async def spot_is_armed(self, seat: Seat) -> None:
        """Wait until the orders with which our tick grid begins have all arrived."""
        async with asyncio.timeout(ORDER_LIMIT_S):
            while self._open_spot(seat) != TICK_CONFIG["live_orders"]:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def fill_is_armed(self, seat: Seat) -> None:
        """Wait until a client's first order of the fill loop has arrived."""
        async with asyncio.timeout(ORDER_LIMIT_S):
            while self._find_resting(seat) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    def clear_spot(self, seat: Seat) -> None:
        """End what a peer left in the spot market; our own bot clears up by itself."""
        self._venue.core.desk.cancel_all(seat.account, Market.SPOT, seat.spot.instrument.symbol)
        self._venue.core.records.commit()

    # ------------------------------------------------------------------ inside

    async def _order_after(
        self, seat: Seat, instrument: Instrument, ticks: int, size: int, buyer_is_taker: bool
    ) -> Order:
        arrival: asyncio.Future[Order] = asyncio.get_running_loop().create_future()
        self._waiting = seat.account.uid, instrument.market, arrival
        self._print(instrument, ticks, size, buyer_is_taker)
        async with asyncio.timeout(ORDER_LIMIT_S):
            return await arrival

    def _reaction(self, cause: str, instrument: Instrument, order: Order, pushed_ns: int) -> Reaction:
        decision = Decision(
            "Buy" if order.buy else "Sell",
            plain(instrument.price_text(order.ticks)),
            plain(instrument.quantity_text(order.lots)),
        )
        return Reaction(cause, decision, self._wire.order_ns - pushed_ns)

    def _on_changes(self, account: Account, changes: Changes) -> None:
        """Hear of every command that the venue has carried out; the first new order ends the wait."""
        if self._waiting is None:
            return
        uid, market, arrival = self._waiting
        if account.uid != uid:
            return
        for order in changes.orders.values():
            if order.market is market and order.status is Status.NEW and not order.filled_lots:
                self._waiting = None
                arrival.set_result(order)
                return

    def _resting(self, seat: Seat) -> Order:
        order = self._find_resting(seat)
        if order is None:
            raise RuntimeError("the client has no order in its fill loop")
        return order

    def _find_resting(self, seat: Seat) -> Order | None:
        levels = {(True, BASE - STEP), (False, BASE)}
        instrument = seat.linear.instrument
        for order in seat.account.open.values():
            if order.market is Market.LINEAR and (order.buy, int(instrument.price(order.ticks))) in levels:
                return order
        return None

    def _open_spot(self, seat: Seat) -> int:
        return sum(order.market is Market.SPOT for order in seat.account.open.values())

    def _print(self, instrument: Instrument, ticks: int, size: int = 1_000, buyer_is_taker: bool = True) -> None:
        self._venue.on_market(instrument, MarketTrade(self._venue.core.now_ms(), ticks, size, buyer_is_taker))

    def _open_market(self, instrument: Instrument, distance: int) -> None:
        """Put a book so far from the price that only the benchmark's own prints meet the orders."""
        middle, step = instrument.ticks(str(BASE)), instrument.ticks("10")
        away = instrument.ticks(str(distance))
        bids = tuple((middle - away - step * depth, SIZE_SCALE) for depth in range(DEPTH))
        asks = tuple((middle + away + step * depth, SIZE_SCALE) for depth in range(DEPTH))
        self._venue.on_market(instrument, BookChange(self._venue.core.now_ms(), True, bids, asks))


def symbol_of(number: int) -> str:
    """Name the markets of a seat."""
    return f"BTC{chr(ord('A') + number)}USDT"
