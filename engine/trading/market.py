"""Market data in the engine's numbers."""

from decimal import Decimal

import msgspec

from engine.ids import Instant


class PublicTrade(msgspec.Struct, frozen=True):
    """A trade between others, as printed on the public tape."""

    at_ms: Instant
    ticks: int
    buyer_is_taker: bool


class Candle(msgspec.Struct, frozen=True):
    """One bar, prices in ticks, volume in the base coin."""

    start_ms: Instant
    open: int
    high: int
    low: int
    close: int
    volume: Decimal


class Ticker(msgspec.Struct, frozen=True):
    """The price now, in ticks. `mark` is the last price where the market has no mark price."""

    last: int
    bid: int
    ask: int
    mark: int
    at_ms: Instant
    funding_rate: Decimal | None = None
    """What a long pays a short at the next funding, as a fraction; None where there is none, or it is not told."""
    next_funding_ms: Instant | None = None


class Book(msgspec.Struct, frozen=True):
    """The visible depth: (ticks, quantity in the base coin), best first on each side."""

    bids: tuple[tuple[int, Decimal], ...]
    asks: tuple[tuple[int, Decimal], ...]
    at_ms: Instant


class Balance(msgspec.Struct, frozen=True):
    """An account's holding of one asset, in base units. `free` can be spent; the rest backs open orders."""

    asset: str
    total_units: int
    free_units: int


class Position(msgspec.Struct, frozen=True):
    """An account's open position in a linear instrument; `lots` is negative for a short."""

    lots: int
    entry_price: Decimal
    leverage: Decimal
    liquidation_price: Decimal | None = None
