"""What the engine's shells ask of the outside world. Adapters fulfil these; `actors/wiring.py` chooses them.

Errors: every call of a venue raises only `Retryable`, `Rejected` or `OutcomeUnknown` (`engine.errors`).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from engine.ids import Instant, LinkId
from engine.trading.instrument import FeeRates, Instrument, Market
from engine.trading.market import Balance, Book, Candle, Position, PublicTrade, Ticker
from engine.trading.orders import (
    CancelOrder,
    Execution,
    FundingCharged,
    LookUpOrder,
    OrderFact,
    OrderReport,
    PlaceOrder,
)

OrderSink = Callable[[OrderFact, Instant], None]
"""Receives each fact of one bot's orders with the local time of its arrival. An adapter may let a fill overtake
what arrives with it. Not a coroutine: what follows from a fact is sent before the next one is handed over."""

GapSink = Callable[[], Awaitable[None]]
"""Called when facts may have been missed (a private socket was away and is subscribed again)."""

TradeSink = Callable[[PublicTrade], None]
"""Receives each public trade of one instrument."""


MayPlace = Callable[[], bool]
"""Asked right before each placement leaves: whether the bot may still act. Cancels are right in any process."""


def always() -> bool:
    """Let every placement leave."""
    return True


class KeyPermissions(msgspec.Struct, frozen=True):
    """What an API key may do. A key that can withdraw is refused at the door."""

    can_trade_spot: bool
    can_trade_linear: bool
    can_withdraw: bool
    read_only: bool
    bound_to_ip: bool
    expires_at_ms: Instant | None


class MarketDataPort(Protocol):
    """Public data of one venue. Needs no credentials."""

    async def instrument(self, symbol: str, market: Market) -> Instrument:
        """Give the instrument and its filters; `Rejected(NOT_FOUND)` if it is not listed."""
        ...

    async def instruments(self, market: Market) -> Sequence[Instrument]:
        """List every instrument that trades now."""
        ...

    async def ticker(self, instrument: Instrument) -> Ticker:
        """Give the price now."""
        ...

    async def book(self, instrument: Instrument, depth: int) -> Book:
        """Give up to `depth` levels of each side."""
        ...

    async def candles(
        self, instrument: Instrument, interval_min: int, start_ms: Instant, end_ms: Instant
    ) -> Sequence[Candle]:
        """Give the bars that start in [start_ms, end_ms), oldest first, paging as the venue needs."""
        ...

    async def watch_trades(self, instrument: Instrument, sink: TradeSink) -> None:
        """Feed public trades into `sink` until `unwatch_trades`, through any number of reconnects."""
        ...

    async def unwatch_trades(self, instrument: Instrument, sink: TradeSink) -> None:
        """Stop feeding `sink`."""
        ...

    async def close(self) -> None:
        """Close every socket."""
        ...


class TradingPort(Protocol):
    """One account at one venue.

    `submit` is the hot path: it sends at once if the rate bucket allows, queues otherwise (bounded, nearest
    first as given), never raises for the venue's sake and never waits for an answer. Every answer, and every
    lack of one, comes to the bot's sink as an `OrderFact`:

    * `PlaceOrder`  → `OrderAccepted`, `OrderRejected` or `OrderInDoubt`; then `OrderReport`s and `Execution`s.
      A request that never left (no socket, closed bucket) is retried by the adapter, not reported as a doubt.
    * `CancelOrder` → an `OrderReport` (cancelled) from the stream, or `CancelRefused`.
    * `LookUpOrder` → `OrderReport` or `OrderAbsent`, retried until the venue answers.
    """

    async def connect(self) -> None:
        """Open the sockets, measure the clock offset, subscribe. Return when private facts flow."""
        ...

    async def close(self) -> None:
        """Close the sockets. Queued requests that have not left are dropped."""
        ...

    def attach(
        self,
        link_prefix: str,
        instrument: Instrument,
        on_fact: OrderSink,
        on_gap: GapSink,
        may_place: MayPlace = always,
    ) -> None:
        """Route the facts of orders whose link id starts with `link_prefix` to one bot.

        A placement that waited in a queue is dropped in silence if `may_place` says no when its turn comes.
        """
        ...

    def detach(self, link_prefix: str) -> None:
        """Stop routing to that bot, and drop its queued requests."""
        ...

    def submit(self, instrument: Instrument, effects: Sequence[PlaceOrder | CancelOrder | LookUpOrder]) -> None:
        """Carry out effects in the given order, batched where the venue allows."""
        ...

    async def open_orders(self, instrument: Instrument, link_prefix: str) -> Sequence[OrderReport]:
        """List every open order of ours whose link id starts with `link_prefix`."""
        ...

    async def executions(
        self, instrument: Instrument, link_prefix: str, since_ms: Instant
    ) -> Sequence[Execution | FundingCharged]:
        """Page every execution since `since_ms` of ours (and every funding payment), oldest first."""
        ...

    async def find_order(self, instrument: Instrument, link_id: LinkId) -> OrderReport | None:
        """Look an order up among the open ones and in history; None is a definite "never seen"."""
        ...

    async def fee_rates(self, instrument: Instrument) -> FeeRates:
        """Give this account's maker and taker rates."""
        ...

    async def balances(self, market: Market) -> dict[str, Balance]:
        """Give every non-zero balance of the wallet that pays for a market, by asset.

        Most venues have one wallet for all markets; at Binance futures have their own.
        """
        ...

    async def position(self, instrument: Instrument) -> Position:
        """Give the open position in a linear instrument; zero lots if none."""
        ...

    async def prepare(self, instrument: Instrument, leverage: int) -> None:
        """Bring a linear instrument to one-way mode and `leverage`; asking for what already holds is fine."""
        ...

    async def permissions(self) -> KeyPermissions:
        """Tell what the key may do."""
        ...

    def health(self) -> dict[str, int]:
        """Tell, per socket, the milliseconds since its last message (`private`, `trade`), -1 when down."""
        ...
