"""How to add an exchange: copy this file, fill the rows, run the shared suite.

1. Does ccxt reach it? Then it needs no class: add a row to `ccxt_unified.profiles.PROFILES`, and one to
   `registry.EXCHANGES`. Fill the row from the exchange's documentation, not from hope: what it cannot do is None.
2. Is it worth a faster adapter of its own? Then copy this file to `adapters/exchanges/<name>/` and split it as
   `bybit/` is split: `wire` (typed messages), `codec` (text and whole numbers), `errors` (codes to our three),
   `rest`, the sockets, `order_entry`, `queries`. `routing`, `rate_limit` and `background` are there to be used.
3. Make `tests/adapters/test_suite_<name>.py` inherit `tests.adapters.suite.ExchangeSuite`, with a `house` that
   connects both ports to a simulated venue. It passes, or the exchange is not added.

| promise | what breaks when it is not kept |
| --- | --- |
| only `Retryable`, `Rejected`, `OutcomeUnknown` leave a method | a bot dies of somebody else's exception |
| a placement without a definite answer is `OrderInDoubt`, and is never sent again | the same order twice |
| "absent" is said only after the order's receive window is over | the same order twice, a second later |
| facts of one bot arrive one by one, in order | a fill is counted before the order exists |
| after each reconnect `on_gap`, once subscribed again | a fill is never seen, the grid stands still |
| lists are paged to the end | orders of a large grid are taken for gone |
| prices and quantities never pass through a float | an order off the tick grid, refused for ever |
| stamped and signed at sending, after the limiter | a backlog of requests that are all too old |
"""

from collections.abc import Sequence

from adapters.secrets.keys import ApiKey
from engine.errors import Rejected, RejectReason
from engine.ids import Instant, LinkId
from engine.ports import GapSink, KeyPermissions, MayPlace, OrderSink, TradeSink, always
from engine.trading.instrument import FeeRates, Instrument, Market
from engine.trading.market import Balance, Book, Candle, Position, Ticker
from engine.trading.orders import CancelOrder, Execution, FundingCharged, LookUpOrder, OrderReport, PlaceOrder


def _not_supported(what: str) -> Rejected:
    """Say a gap aloud: a row that an exchange cannot fill raises this, with the reason."""
    return Rejected(RejectReason.OTHER, f"this exchange does not offer {what}", "NotSupported")


class TemplateMarketData:
    """The public side. All rows are required."""

    async def instrument(self, symbol: str, market: Market) -> Instrument:
        """Required. `Rejected(NOT_FOUND)` for what is not listed."""
        raise _not_supported("instruments")

    async def instruments(self, market: Market) -> Sequence[Instrument]:
        """Required. Only what trades now; filters rounded to what the exchange surely takes."""
        raise _not_supported("instruments")

    async def ticker(self, instrument: Instrument) -> Ticker:
        """Required."""
        raise _not_supported("tickers")

    async def book(self, instrument: Instrument, depth: int) -> Book:
        """Required. Best first on both sides; `depth` may be more than the exchange shows."""
        raise _not_supported("books")

    async def candles(
        self, instrument: Instrument, interval_min: int, start_ms: Instant, end_ms: Instant
    ) -> Sequence[Candle]:
        """Required. Oldest first, paged, within [start_ms, end_ms)."""
        raise _not_supported("candles")

    async def watch_trades(self, instrument: Instrument, sink: TradeSink) -> None:
        """Required. Through any number of reconnects."""
        raise _not_supported("public trades")

    async def unwatch_trades(self, instrument: Instrument, sink: TradeSink) -> None:
        """Required."""

    async def close(self) -> None:
        """Required."""


class TemplateTrading:
    """One account. Rows marked linear may refuse on an exchange that is reached for spot only."""

    def __init__(self, api_key: ApiKey) -> None:
        self._api_key = api_key

    def __repr__(self) -> str:
        return "TemplateTrading(api_key=***)"

    async def connect(self) -> None:
        """Required. Returns when private facts flow; `Rejected(PERMISSION)` for a bad key."""
        raise _not_supported("trading")

    async def close(self) -> None:
        """Required. What is on its way is reported as a doubt first."""

    def attach(
        self,
        link_prefix: str,
        instrument: Instrument,
        on_fact: OrderSink,
        on_gap: GapSink,
        may_place: MayPlace = always,
    ) -> None:
        """Required. `routing.Routes` does it; `may_place` is asked right before a placement leaves."""
        raise _not_supported("trading")

    def detach(self, link_prefix: str) -> None:
        """Required. Drops what the bot had queued."""

    def submit(self, instrument: Instrument, effects: Sequence[PlaceOrder | CancelOrder | LookUpOrder]) -> None:
        """Required. Never waits for an answer, never raises for the exchange's sake."""
        raise _not_supported("trading")

    async def open_orders(self, instrument: Instrument, link_prefix: str) -> Sequence[OrderReport]:
        """Required. Paged to the end."""
        raise _not_supported("trading")

    async def executions(
        self, instrument: Instrument, link_prefix: str, since_ms: Instant
    ) -> Sequence[Execution | FundingCharged]:
        """Required. Paged to the end, oldest first, each once."""
        raise _not_supported("trading")

    async def find_order(self, instrument: Instrument, link_id: LinkId) -> OrderReport | None:
        """Required. None only when it can no longer become false."""
        raise _not_supported("trading")

    async def fee_rates(self, instrument: Instrument) -> FeeRates:
        """Required. The account's own, not the list price."""
        raise _not_supported("fee rates")

    async def balances(self, market: Market) -> dict[str, Balance]:
        """Required. Of the wallet that pays for `market`, where an account has several."""
        raise _not_supported("balances")

    async def position(self, instrument: Instrument) -> Position:
        """Linear."""
        raise _not_supported("positions")

    async def prepare(self, instrument: Instrument, leverage: int) -> None:
        """Linear. Asking for what already holds is fine."""
        raise _not_supported("leverage")

    async def permissions(self) -> KeyPermissions:
        """Required where the exchange tells; a key that can withdraw is refused at the door."""
        raise _not_supported("key permissions")

    def health(self) -> dict[str, int]:
        """Required."""
        return {"private": -1}
