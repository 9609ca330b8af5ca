"""The public side of any exchange behind ccxt, as `MarketDataPort`."""

import asyncio
import logging
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from adapters.exchanges.background import Background
from adapters.exchanges.ccxt_unified.client import CcxtClient
from adapters.exchanges.ccxt_unified.convert import Listed, nearest_ticks
from adapters.exchanges.ccxt_unified.errors import translate
from adapters.exchanges.ccxt_unified.profiles import PROFILES
from adapters.exchanges.routing import local_now_ms
from engine.errors import Rejected, RejectReason
from engine.ids import Instant
from engine.ports import TradeSink
from engine.trading.instrument import Instrument, Market
from engine.trading.market import Book, Candle, PublicTrade, Ticker

log = logging.getLogger(__name__)

_TIMEFRAMES = {1: "1m", 3: "3m", 5: "5m", 15: "15m", 30: "30m", 60: "1h", 240: "4h", 1440: "1d"}
_BARS_PER_PAGE = 500
_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 0.2, 15.0


class CcxtMarketData:
    """Fulfils `MarketDataPort` for one exchange of `PROFILES`."""

    def __init__(self, exchange: str, address: str | None = None, timeout_s: float = 10.0) -> None:
        self._profile = PROFILES[exchange]
        self._client = CcxtClient(self._profile, None, address, timeout_s)
        self._background = Background(f"{exchange}.public")
        self._watched: dict[str, tuple[list[TradeSink], asyncio.Task[None]]] = {}

    async def instrument(self, symbol: str, market: Market) -> Instrument:
        """Give the instrument and its filters; `Rejected(NOT_FOUND)` if it is not listed."""
        return (await self._client.listed(symbol, market)).instrument

    async def instruments(self, market: Market) -> Sequence[Instrument]:
        """List every instrument that trades now."""
        return await self._client.instruments(market)

    async def ticker(self, instrument: Instrument) -> Ticker:
        """Give the price now."""
        ticker = await self._ask("fetch_ticker", instrument)
        last = nearest_ticks(instrument, ticker["last"])
        bid, ask, mark = ticker.get("bid"), ticker.get("ask"), ticker.get("markPrice")
        if not bid or not ask:
            # Binance's futures, and nothing else of ours, leave them out of the day's figures.
            book = await self._ask("fetch_order_book", instrument, self._profile.book_depths[0])
            bid, ask = (side[0][0] if side else None for side in (book["bids"], book["asks"]))
        return Ticker(
            last=last,
            bid=nearest_ticks(instrument, bid) if bid else last,
            ask=nearest_ticks(instrument, ask) if ask else last,
            mark=nearest_ticks(instrument, mark) if mark else last,
            at_ms=Instant(int(ticker.get("timestamp") or local_now_ms())),
        )

    async def book(self, instrument: Instrument, depth: int) -> Book:
        """Give up to `depth` levels of each side."""
        depths = self._profile.book_depths
        asked = next((offered for offered in depths if offered >= depth), depths[-1])
        listed = await self._client.of(instrument)
        book = await self._ask("fetch_order_book", instrument, asked)

        def side(rows: Sequence[Any]) -> tuple[tuple[int, Decimal], ...]:
            return tuple(
                (nearest_ticks(instrument, row[0]), Decimal(row[1]) * listed.contract_base) for row in rows[:depth]
            )

        return Book(side(book["bids"]), side(book["asks"]), Instant(int(book.get("timestamp") or local_now_ms())))

    async def candles(
        self, instrument: Instrument, interval_min: int, start_ms: Instant, end_ms: Instant
    ) -> Sequence[Candle]:
        """Give the bars that start in [start_ms, end_ms), oldest first."""
        timeframe = _TIMEFRAMES.get(interval_min)
        offered = (await self._client.exchange()).timeframes
        if timeframe is None or timeframe not in offered:
            known = [minutes for minutes, name in _TIMEFRAMES.items() if name in offered]
            raise Rejected(RejectReason.OTHER, f"no bars of {interval_min} minutes; there are {known}")
        listed = await self._client.of(instrument)
        step_ms = interval_min * 60_000
        bars: dict[int, Candle] = {}
        for page_ms in range(start_ms, end_ms, _BARS_PER_PAGE * step_ms):
            limit = min(_BARS_PER_PAGE, -(-(end_ms - page_ms) // step_ms))
            for row in await self._ask("fetch_ohlcv", instrument, timeframe, page_ms, limit):
                if start_ms <= row[0] < end_ms:
                    bars[row[0]] = _candle(listed, row)
        return [bars[at_ms] for at_ms in sorted(bars)]

    async def watch_trades(self, instrument: Instrument, sink: TradeSink) -> None:
        """Feed public trades into `sink` until `unwatch_trades`, through any number of reconnects."""
        listed = await self._client.of(instrument)
        if listed.symbol in self._watched:
            self._watched[listed.symbol][0].append(sink)
            return
        sinks = [sink]
        task = self._background.start(self._watch(listed, sinks), f"trades.{listed.symbol}")
        self._watched[listed.symbol] = (sinks, task)

    async def unwatch_trades(self, instrument: Instrument, sink: TradeSink) -> None:
        """Stop feeding `sink`."""
        listed = await self._client.of(instrument)
        sinks, task = self._watched.get(listed.symbol, ([], None))
        if sink in sinks:
            sinks.remove(sink)
        if task is not None and not sinks:
            task.cancel()
            del self._watched[listed.symbol]

    async def close(self) -> None:
        """Close every socket."""
        await self._background.close()
        await self._client.close()

    async def _ask(self, method: str, instrument: Instrument, *arguments: Any) -> Any:
        listed = await self._client.of(instrument)
        try:
            return await getattr(await self._client.exchange(), method)(listed.symbol, *arguments)
        except Exception as error:
            # As in `account`: nothing of ccxt's may pass the port unsorted.
            raise translate(error, command=False) from error

    async def _watch(self, listed: Listed, sinks: list[TradeSink]) -> None:
        exchange, failures = await self._client.exchange(), 0
        while True:
            try:
                trades = await exchange.watch_trades(listed.symbol)
                failures = 0
            except Exception as error:
                # Whatever ended the line, it is opened again: a watch lasts until it is ended by its owner.
                log.warning("ccxt.watch_failed symbol=%s error=%s", listed.symbol, type(error).__name__)
                failures += 1
                await asyncio.sleep(min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2 ** min(failures, 10)))
                continue
            for trade in trades:
                _hand_over(listed.instrument, trade, sinks)


def _hand_over(instrument: Instrument, row: Any, sinks: list[TradeSink]) -> None:
    ticks = nearest_ticks(instrument, row["price"])
    trade = PublicTrade(Instant(int(row["timestamp"])), ticks, row["side"] == "buy")
    for sink in tuple(sinks):
        try:
            sink(trade)
        except Exception:
            # One bot's mistake must not end the line that others listen to.
            log.exception("ccxt.trade_sink_failed symbol=%s", instrument.symbol)


def _candle(listed: Listed, row: Sequence[Any]) -> Candle:
    opened, high, low, closed = (nearest_ticks(listed.instrument, price) for price in row[1:5])
    # ccxt counts the volume of a bar in the base coin, even where it counts everything else in contracts.
    return Candle(Instant(row[0]), opened, high, low, closed, Decimal(row[5]))
