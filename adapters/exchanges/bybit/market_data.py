"""Bybit's public side behind `MarketDataPort`. Needs no key.

Prices of bars, tickers and books are rounded to the nearest tick, for a venue may have changed a tick size since;
prices of one's own orders never are (see `codec`).
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal

from adapters.exchanges.background import Background
from adapters.exchanges.bybit.clock import VenueClock
from adapters.exchanges.bybit.hosts import BybitHosts
from adapters.exchanges.bybit.listing import read_instrument
from adapters.exchanges.bybit.public_stream import PublicStream
from adapters.exchanges.bybit.rest import RestClient
from adapters.exchanges.bybit.wire import BookResult, InstrumentRow, KlineResult, Page, TickerRow
from adapters.exchanges.rate_limit import shared_limits
from engine.errors import Rejected, RejectReason
from engine.ids import Instant
from engine.ports import TradeSink
from engine.trading.instrument import Instrument, Market
from engine.trading.market import Book, Candle, Ticker

_INTERVALS = {minutes: str(minutes) for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)} | {1440: "D"}
_BARS_PER_PAGE = 1_000
_DEPTHS = {Market.SPOT: 200, Market.LINEAR: 500}
_SUBSCRIBE_WAIT_S = 5.0
_BAD_PARAMETER = "10001"


class BybitMarketData:
    """Fulfils `MarketDataPort`; one public line per market, opened when first watched."""

    def __init__(self, hosts: BybitHosts, timeout_s: float = 5.0) -> None:
        self._hosts = hosts
        self._clock = VenueClock()
        self._background = Background("bybit.public")
        self._rest = RestClient(
            hosts.market_rest, self._clock, shared_limits(hosts.market_rest, "public"), timeout_s=timeout_s
        )
        self._streams: dict[Market, PublicStream] = {}

    async def instrument(self, symbol: str, market: Market) -> Instrument:
        """Give the instrument and its filters; `Rejected(NOT_FOUND)` if it is not listed."""
        try:
            found = await self._instruments(market, f"&symbol={_plain(symbol)}")
        except Rejected as error:
            if error.code != _BAD_PARAMETER:
                raise
            found = []  # Bybit calls a symbol it does not know a wrong parameter.
        for instrument in found:
            if instrument.symbol == symbol:
                return instrument
        raise Rejected(RejectReason.NOT_FOUND, f"{symbol} is not traded on {market.value}")

    async def instruments(self, market: Market) -> Sequence[Instrument]:
        """List every instrument that trades now."""
        return await self._instruments(market, "&limit=1000")

    async def ticker(self, instrument: Instrument) -> Ticker:
        """Give the price now."""
        page = await self._rest.get("/v5/market/tickers", _names(instrument), Page[TickerRow])
        if not page.rows:
            raise Rejected(RejectReason.NOT_FOUND, f"no ticker of {instrument.symbol}")
        row = page.rows[0]
        last = _nearest(instrument, row.last_price)
        return Ticker(
            last=last,
            bid=_nearest(instrument, row.bid1_price) if row.bid1_price else last,
            ask=_nearest(instrument, row.ask1_price) if row.ask1_price else last,
            mark=_nearest(instrument, row.mark_price) if row.mark_price else last,
            at_ms=Instant(self._clock.now_ms()),
            funding_rate=Decimal(row.funding_rate) if row.funding_rate else None,
            next_funding_ms=Instant(int(row.next_funding_time)) if row.next_funding_time else None,
        )

    async def book(self, instrument: Instrument, depth: int) -> Book:
        """Give up to `depth` levels of each side."""
        limit = min(depth, _DEPTHS[instrument.market])
        query = f"{_names(instrument)}&limit={limit}"
        result = await self._rest.get("/v5/market/orderbook", query, BookResult)
        return Book(
            bids=tuple((_nearest(instrument, price), Decimal(size)) for price, size in result.b[:depth]),
            asks=tuple((_nearest(instrument, price), Decimal(size)) for price, size in result.a[:depth]),
            at_ms=Instant(result.ts),
        )

    async def candles(
        self, instrument: Instrument, interval_min: int, start_ms: Instant, end_ms: Instant
    ) -> Sequence[Candle]:
        """Give the bars that start in [start_ms, end_ms), oldest first."""
        interval = _INTERVALS.get(interval_min)
        if interval is None:
            raise Rejected(RejectReason.OTHER, f"no bars of {interval_min} minutes; there are {list(_INTERVALS)}")
        bars: dict[int, Candle] = {}
        page_ms = _BARS_PER_PAGE * interval_min * 60_000
        for page_start_ms in range(start_ms, end_ms, page_ms):
            page_end_ms = min(page_start_ms + page_ms, end_ms) - 1
            query = (
                f"{_names(instrument)}&interval={interval}"
                f"&start={page_start_ms}&end={page_end_ms}&limit={_BARS_PER_PAGE}"
            )
            result = await self._rest.get("/v5/market/kline", query, KlineResult)
            for row in result.rows:
                at_ms = int(row[0])
                if start_ms <= at_ms < end_ms:
                    bars[at_ms] = _candle(instrument, row)
        return [bars[at_ms] for at_ms in sorted(bars)]

    async def watch_trades(self, instrument: Instrument, sink: TradeSink) -> None:
        """Feed public trades into `sink` until `unwatch_trades`, through any number of reconnects."""
        stream = self._streams.get(instrument.market)
        if stream is None:
            url = f"{self._hosts.public}/v5/public/{instrument.market.value}"
            stream = self._streams[instrument.market] = PublicStream(url)
            self._background.start(stream.run(), stream.name)
        await stream.add(instrument, sink, _SUBSCRIBE_WAIT_S)

    async def unwatch_trades(self, instrument: Instrument, sink: TradeSink) -> None:
        """Stop feeding `sink`."""
        if (stream := self._streams.get(instrument.market)) is not None:
            await stream.remove(instrument, sink)

    async def close(self) -> None:
        """Close every socket."""
        await self._background.close()
        await self._rest.close()

    async def _instruments(self, market: Market, more: str) -> list[Instrument]:
        found: list[Instrument] = []
        query = f"category={market.value}{more}"
        async for rows in self._rest.pages("/v5/market/instruments-info", query, InstrumentRow):
            for row in rows:
                if (instrument := read_instrument(row, market)) is not None:
                    found.append(instrument)
        return found


def _plain(symbol: str) -> str:
    if not symbol.replace("-", "").isalnum():
        raise Rejected(RejectReason.NOT_FOUND, f"{symbol!r} is not a symbol")
    return symbol


def _names(instrument: Instrument) -> str:
    return f"category={instrument.market.value}&symbol={instrument.symbol}"


def _nearest(instrument: Instrument, price: str) -> int:
    return int((Decimal(price) / instrument.tick_size).to_integral_value(ROUND_HALF_EVEN))


def _candle(instrument: Instrument, row: tuple[str, str, str, str, str, str, str]) -> Candle:
    opened, high, low, closed = (_nearest(instrument, price) for price in row[1:5])
    return Candle(Instant(int(row[0])), opened, high, low, closed, Decimal(row[5]))
