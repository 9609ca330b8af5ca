"""A PaperVenue whose market moves only when a test says so, and a bot that remembers what it hears."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from adapters.exchanges.ccxt_unified.profiles import PROFILES, to_venue_id
from adapters.exchanges.paper.catalogue import listings
from adapters.exchanges.paper.events import SIZE_SCALE, BookChange, MarketTrade
from adapters.exchanges.paper.limits import Limits
from adapters.exchanges.paper.model import Account, Order
from adapters.exchanges.paper.requests import CreateOrder
from adapters.exchanges.paper.server import PaperVenue
from adapters.secrets.keys import ApiKey
from engine.errors import RejectReason
from engine.ids import Instant, LinkId
from engine.ports import MarketDataPort, TradingPort
from engine.trading.instrument import Instrument, Market
from engine.trading.orders import (
    CancelOrder,
    Execution,
    LookUpOrder,
    OrderAccepted,
    OrderFact,
    OrderKind,
    OrderRejected,
    OrderReport,
    OrderStatus,
    PlaceOrder,
    Side,
)
from tests.adapters.dialects.base import Dialect

F = TypeVar("F")
PRICE = 60_000
KEY = ApiKey("suite-key-0123456789", "suite-secret-0123456789", "suite-passphrase")
BALANCES = {"USDT": "10000000", "BTC": "100"}
WAIT_S = 10.0
_bots = itertools.count(1)


class House:
    """One venue, perhaps behind another exchange's dialect, and the two ports of one adapter looking at it."""

    def __init__(self, venue: PaperVenue, dialect: Dialect | None = None) -> None:
        self.venue = venue
        self.dialect = dialect
        self.market_data: MarketDataPort
        self.trading: TradingPort

    @property
    def address(self) -> str:
        """Give the HTTP address that the adapter speaks to."""
        return self.venue.address.http if self.dialect is None else self.dialect.address

    def symbol(self, market: Market) -> str:
        """Spell BTCUSDT as the exchange does."""
        instrument = self._own(market)
        return instrument.symbol if self.dialect is None else self.dialect.symbol(instrument)

    def listed(self, market: Market) -> Instrument:
        """Give BTCUSDT as the venue itself lists it."""
        return msgspec.structs.replace(self._own(market), symbol=self.symbol(market))

    def _own(self, market: Market) -> Instrument:
        """Give BTCUSDT as the PaperVenue's books know it, whatever it is called outside."""
        return listings(["BTCUSDT"], market)[0].instrument

    def link_text(self, link_id: str) -> str:
        """Spell an order id, or the beginning of one, as the adapter sends it."""
        return link_id if self.dialect is None else to_venue_id(PROFILES[self.dialect.exchange], link_id)

    def drop_sockets(self, which: str) -> None:
        """Cut the `public` or the `private` sockets."""
        (self.venue if self.dialect is None else self.dialect).drop_sockets(which)

    def open_market(self, instrument: Instrument) -> None:
        """Put twenty levels on each side of the usual price."""
        middle = instrument.ticks(str(PRICE))
        bids = tuple((middle - step * 10, 5 * SIZE_SCALE) for step in range(1, 21))
        asks = tuple((middle + step * 10, 5 * SIZE_SCALE) for step in range(1, 21))
        self.venue.on_market(self._own(instrument.market), BookChange(now_ms(), True, bids, asks))
        self.trade(instrument, middle, 1)

    def trade(self, instrument: Instrument, ticks: int, size: int = 50 * SIZE_SCALE, buy: bool = False) -> None:
        """Print a public trade; sellers hit the bids unless `buy`."""
        self.venue.on_market(self._own(instrument.market), MarketTrade(now_ms(), ticks, size, buy))

    @property
    def account(self) -> Account:
        """Give the account as the venue's books have it."""
        return self.venue.core.records.by_key[KEY.key]

    def order(self, link_id: LinkId) -> Order:
        """Give an order as the venue's books have it."""
        return self.account.by_id[self.account.by_link[self.link_text(link_id)]]

    def place(self, instrument: Instrument, orders: Sequence[PlaceOrder]) -> None:
        """Place limit orders at the venue's own desk, past all limits; no answer is heard."""
        core = self.venue.core
        for order in orders:
            request = CreateOrder(
                category=instrument.market.value,
                symbol=self._own(instrument.market).symbol,
                side=order.side.value.capitalize(),
                order_type="Limit",
                qty=instrument.quantity_text(order.lots),
                price=instrument.price_text(order.ticks),
                order_link_id=self.link_text(order.link_id),
            )
            core.desk.place(self.account, request)
        core.records.commit()

    def end_orders(self, link_prefix: str) -> None:
        """Cancel one bot's orders at the venue's own desk, so that they take none of the next test's fills."""
        core = self.venue.core
        for order in tuple(self.account.open.values()):
            if order.link_id.startswith(self.link_text(link_prefix)):
                core.desk.end(self.account, order, "CancelByUser")
        core.records.commit()


class Bot:
    """What a bot's sink hears, with waiting for what must come."""

    def __init__(self, house: House, instrument: Instrument) -> None:
        self.house, self.instrument = house, instrument
        self.prefix = f"tg-bot{next(_bots):05d}_"
        self.facts: list[OrderFact] = []
        self.gaps = 0
        self._generation = itertools.count(1)

    def on_fact(self, fact: OrderFact, at_ms: Instant) -> None:
        """Remember a fact."""
        assert abs(at_ms - now_ms()) < 5_000
        self.facts.append(fact)

    async def on_gap(self) -> None:
        """Remember that something may have been missed."""
        self.gaps += 1

    def link_id(self) -> LinkId:
        """Name the next order."""
        return LinkId(f"{self.prefix}1_{next(self._generation)}_b")

    def order(
        self,
        below: int = 1_000,
        lots: int | None = None,
        kind: OrderKind = OrderKind.LIMIT,
        side: Side = Side.BUY,
        link_id: LinkId | None = None,
    ) -> PlaceOrder:
        """Write an order `below` ticks away from the middle, to its own side."""
        middle = self.instrument.ticks(str(PRICE))
        ticks = middle - below if side is Side.BUY else middle + below
        return PlaceOrder(
            link_id or self.link_id(),
            side,
            kind,
            0 if kind is OrderKind.MARKET else ticks,
            lots or self.lots("0.01"),
        )

    def lots(self, quantity: str) -> int:
        """Count lots of the base coin."""
        return self.instrument.lots(quantity)

    async def submit(self, *effects: PlaceOrder | CancelOrder | LookUpOrder) -> None:
        """Send effects through the port."""
        self.house.trading.submit(self.instrument, effects)

    async def rest(self, order: PlaceOrder) -> OrderReport:
        """Place an order and wait until the venue reports it open."""
        await self.submit(order)
        return await self.report(order.link_id, OrderStatus.OPEN)

    def of(self, link_id: LinkId, kind: type[F]) -> list[F]:
        """List the facts of one kind about one order."""
        return [fact for fact in self.facts if isinstance(fact, kind) and fact.link_id == link_id]  # type: ignore[attr-defined]

    async def heard(self, link_id: LinkId, kind: type[F]) -> F:
        """Wait for a fact about an order."""
        await eventually(
            lambda: bool(self.of(link_id, kind)), lambda: f"{kind.__name__} of {link_id}; heard {self.facts}"
        )
        return self.of(link_id, kind)[0]

    async def answered(self, link_id: LinkId) -> OrderAccepted | OrderRejected:
        """Wait for the venue's yes or no to an order."""

        def answers() -> Sequence[OrderAccepted | OrderRejected]:
            return [*self.of(link_id, OrderAccepted), *self.of(link_id, OrderRejected)]

        await eventually(lambda: bool(answers()), lambda: f"an answer to {link_id}; heard {self.facts}")
        return answers()[0]

    async def rejected(self, link_id: LinkId) -> RejectReason | None:
        """Wait until an order is refused, by the answer or by the matching engine; give the reason."""

        def reasons() -> list[RejectReason | None]:
            ended = [report for report in self.of(link_id, OrderReport) if report.status is OrderStatus.REJECTED]
            return [fact.reason for fact in (*self.of(link_id, OrderRejected), *ended)]

        await eventually(lambda: bool(reasons()), lambda: f"a refusal of {link_id}; heard {self.facts}")
        return reasons()[0]

    async def report(self, link_id: LinkId, status: OrderStatus) -> OrderReport:
        """Wait for a report with this status."""

        def found() -> Sequence[OrderReport]:
            return [report for report in self.of(link_id, OrderReport) if report.status is status]

        await eventually(lambda: bool(found()), lambda: f"{status} of {link_id}; heard {self.facts}")
        return found()[0]

    async def executed(self, link_id: LinkId, lots: int) -> list[Execution]:
        """Wait until executions of an order add up."""

        def complete() -> bool:
            return sum(execution.lots for execution in self.of(link_id, Execution)) == lots

        await eventually(complete, lambda: f"{lots} lots of {link_id}; heard {len(self.facts)}: {self.facts}")
        return self.of(link_id, Execution)


def now_ms() -> int:
    """Read the clock."""
    return time.time_ns() // 1_000_000


async def eventually(condition: Callable[[], bool], what: str | Callable[[], str], wait_s: float = WAIT_S) -> None:
    """Wait until something holds; fail, saying what was awaited, after the limit."""
    deadline = time.monotonic() + wait_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {wait_s} s: {what if isinstance(what, str) else what()}")
        await asyncio.sleep(0.005)


@asynccontextmanager
async def open_house(
    limits: Limits | None = None, state_dir: Path | None = None, dialect: type[Dialect] | None = None
) -> AsyncIterator[House]:
    """Run a venue with two open BTCUSDT markets and one funded account; clients may be spoken to in a dialect."""
    # Everything comes from 127.0.0.1: the limit per address would meet the tests together.
    venue = PaperVenue(listings(["BTCUSDT", "ETHUSDT"]), (), state_dir, limits or Limits(ip_per_5s=0))
    venue.create_account(KEY.key, KEY.secret, BALANCES)
    await venue.start()
    house = House(venue, None if dialect is None else dialect(venue, KEY))
    for market in Market:
        house.open_market(house.listed(market))
    if house.dialect is not None:
        await house.dialect.start()
    try:
        yield house
    finally:
        if house.dialect is not None:
            await house.dialect.stop()
        await venue.stop()


@asynccontextmanager
async def attached(house: House, instrument: Instrument) -> AsyncIterator[Bot]:
    """Attach a bot of its own name; afterwards detach it and cancel what it left."""
    bot = Bot(house, instrument)
    house.trading.attach(bot.prefix, instrument, bot.on_fact, bot.on_gap)
    try:
        yield bot
    finally:
        house.venue.faults.clear()
        house.trading.detach(bot.prefix)
        house.end_orders(bot.prefix)
