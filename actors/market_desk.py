"""Markets as the form shows them: what is listed, the price now and where it has been, candles, a first grid.

Everything comes from the venue of the account that asks. Lists of instruments and past ranges are kept for a
while: a page that is filled in asks again with each change.
"""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from actors.clock import now_ms
from actors.venues import Venues
from engine.errors import Rejected, RejectReason
from engine.grid.config import Direction, GridConfig, market_of
from engine.grid.suggest import suggest
from engine.ids import AccountId, Instant
from engine.trading.instrument import AMOUNT_DECIMALS, Instrument, Market
from engine.trading.market import Candle
from storage.accounts import AccountRow

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEK_MS, MONTH_MS = 7 * DAY_MS, 30 * DAY_MS
LISTED_FOR_MS = 10 * 60_000
PAST_FOR_MS = 60_000
KEPT_MAX = 64
"""A week of minutes is some ten thousand bars."""

CANDLE_MINUTES = (1, 5, 15, 60, 240, 1440)
"""Lengths of bars that every exchange here has."""

CANDLES_MAX = 1_000


class PriceRange(msgspec.Struct, frozen=True):
    """Between which prices a market has traded, as far back as its venue tells."""

    since_ms: Instant
    low: Decimal
    high: Decimal
    change: Decimal
    """The price now against the first one, as a fraction."""


class Quote(msgspec.Struct, frozen=True):
    """A market now, and where it has been."""

    symbol: str
    market: Market
    price: Decimal
    bid: Decimal
    ask: Decimal
    mark: Decimal
    at_ms: Instant
    week: PriceRange | None
    """None where the venue tells no past."""
    month: PriceRange | None
    funding_rate: Decimal | None
    """What a long pays a short at the next funding, as a fraction of the position; None on spot or if not told."""
    next_funding_ms: Instant | None
    funding_interval_min: int


class Bar(msgspec.Struct, frozen=True, array_like=True):
    """One bar, as an array: start, open, high, low, close, volume in the base coin."""

    start_ms: Instant
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class _Past(msgspec.Struct, frozen=True):
    """Bars up to now, and when they were read."""

    read_ms: Instant
    candles: Sequence[Candle]


class MarketDesk:
    """Reads of markets, through the connections of a desk."""

    def __init__(self, venues: Venues) -> None:
        self._venues = venues
        self._listed: dict[tuple[str, str, Market], tuple[Instant, Sequence[Instrument]]] = {}
        self._past: dict[tuple[str, str, Market, str, int], _Past] = {}

    async def instruments(self, account: AccountId, market: Market) -> Sequence[Instrument]:
        """List what trades now on a market of the account's venue."""
        return await self._instruments(await self._venues.account(account), market)

    async def instrument(self, account: AccountRow, symbol: str, market: Market) -> Instrument:
        """Give one instrument; `Rejected(NOT_FOUND)` if the venue does not list it."""
        known = self._listed.get((account.exchange, account.environment, market))
        if known is not None and now_ms() - known[0] < LISTED_FOR_MS:
            for each in known[1]:
                if each.symbol == symbol:
                    return each
        return await self._venues.market(account).instrument(symbol, market)

    async def quote(self, account: AccountId, symbol: str, market: Market) -> Quote:
        """Give the price now, its range over a week and a month, and the funding of a perpetual."""
        row = await self._venues.account(account)
        instrument = await self.instrument(row, symbol, market)
        ticker, candles = await asyncio.gather(
            self._venues.market(row).ticker(instrument), self.past(row, instrument, 60, MONTH_MS)
        )
        week = [each for each in candles if each.start_ms >= ticker.at_ms - WEEK_MS]
        return Quote(
            symbol=symbol,
            market=market,
            price=instrument.price(ticker.last),
            bid=instrument.price(ticker.bid),
            ask=instrument.price(ticker.ask),
            mark=instrument.price(ticker.mark),
            at_ms=ticker.at_ms,
            week=_range(instrument, week, ticker.last),
            month=_range(instrument, candles, ticker.last),
            funding_rate=ticker.funding_rate if market is Market.LINEAR else None,
            next_funding_ms=ticker.next_funding_ms if market is Market.LINEAR else None,
            funding_interval_min=instrument.funding_interval_min,
        )

    async def candles(
        self, account: AccountId, symbol: str, market: Market, interval_min: int, limit: int
    ) -> list[Bar]:
        """Give the newest bars, oldest first; the last one is not over yet."""
        if interval_min not in CANDLE_MINUTES:
            known = ", ".join(map(str, CANDLE_MINUTES))
            raise Rejected(RejectReason.OTHER, f"no bars of {interval_min} minutes: there are those of {known}")
        row = await self._venues.account(account)
        instrument = await self.instrument(row, symbol, market)
        now = now_ms()
        start_ms = Instant(now - min(limit, CANDLES_MAX) * interval_min * 60_000)
        found = await self._venues.market(row).candles(instrument, interval_min, start_ms, Instant(now + 1))
        return [_bar(instrument, each) for each in found]

    async def suggest(
        self, account: AccountId, symbol: str, direction: Direction, amount: Decimal | None
    ) -> GridConfig:
        """Lay a first grid over where the market was in the last week, for what the account has free."""
        row = await self._venues.account(account)
        trading = await self._venues.trading(row)
        instrument = await self.instrument(row, symbol, market_of(direction))
        ticker, candles, fees, balances = await asyncio.gather(
            self._venues.market(row).ticker(instrument),
            self.past(row, instrument, 60, MONTH_MS),
            trading.fee_rates(instrument),
            trading.balances(instrument.market),
        )
        week = [each for each in candles if each.start_ms >= ticker.at_ms - WEEK_MS]
        free = balances.get(instrument.quote)
        return suggest(
            symbol,
            direction,
            instrument,
            fees,
            ticker.last,
            min([ticker.last, *(each.low for each in week)]),
            max([ticker.last, *(each.high for each in week)]),
            amount=amount,
            free_quote=Decimal(0) if free is None else Decimal(free.free_units).scaleb(-AMOUNT_DECIMALS),
        )

    async def _instruments(self, account: AccountRow, market: Market) -> Sequence[Instrument]:
        key = (account.exchange, account.environment.value, market)
        known = self._listed.get(key)
        if known is None or now_ms() - known[0] >= LISTED_FOR_MS:
            found = await self._venues.market(account).instruments(market)
            known = self._listed[key] = (now_ms(), sorted(found, key=lambda each: each.symbol))
        return known[1]

    async def past(
        self, account: AccountRow, instrument: Instrument, interval_min: int, span_ms: int
    ) -> Sequence[Candle]:
        """Give the bars of a span up to now, read anew after a minute."""
        key = (account.exchange, account.environment.value, instrument.market, instrument.symbol, interval_min)
        known = self._past.get(key)
        now = now_ms()
        if known is None or now - known.read_ms >= PAST_FOR_MS:
            market = self._venues.market(account)
            candles = await market.candles(instrument, interval_min, Instant(now - span_ms), now)
            while len(self._past) >= KEPT_MAX:
                del self._past[next(iter(self._past))]
            known = self._past[key] = _Past(now, candles)
        return known.candles


def _bar(instrument: Instrument, candle: Candle) -> Bar:
    return Bar(
        candle.start_ms,
        instrument.price(candle.open),
        instrument.price(candle.high),
        instrument.price(candle.low),
        instrument.price(candle.close),
        candle.volume,
    )


def _range(instrument: Instrument, candles: Sequence[Candle], last: int) -> PriceRange | None:
    if not candles:
        return None
    first = candles[0].open
    return PriceRange(
        since_ms=candles[0].start_ms,
        low=instrument.price(min(last, *(each.low for each in candles))),
        high=instrument.price(max(last, *(each.high for each in candles))),
        change=(Decimal(last - first) / first).quantize(Decimal("1e-6")) if first else Decimal(0),
    )
