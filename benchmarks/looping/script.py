"""What the stage and its actors say to each other, and the market that the whole benchmark plays on.

Every client has a spot and a perpetual instrument of its own, with the filters of BTCUSDT, so that the same prices
can be played to each without the others hearing them.
"""

from decimal import Decimal

import msgspec

from adapters.exchanges.paper.catalogue import Listing, listings
from engine.grid.config import Direction, GridConfig
from engine.trading.instrument import Market

BASE = 60_000
"""Where every market begins."""
STEP = 10
"""The distance between two levels of both grids, in the quote coin."""
TICK_GRIDS = 200
TICKS_PER_LIFE = 180
"""How often the tick grid rises before it is begun again: fewer than its cells, so that no order is in the way."""

FILL_CONFIG = {
    "direction": Direction.NEUTRAL,
    "lower": Decimal(BASE - STEP),
    "upper": Decimal(BASE + STEP),
    "grids": 2,
    "amount": Decimal(6_000),
    "leverage": 2,
}
"""Two intervals around the price: a fill at the lower level is answered at the middle one, and back again."""

TICK_CONFIG = {
    "direction": Direction.SPOT,
    "lower": Decimal(BASE - STEP * (TICK_GRIDS + 1)),
    "upper": Decimal(BASE - STEP),
    "grids": TICK_GRIDS,
    "amount": Decimal(40_000),
    "live_orders": 2,
    "trailing_up_limit": Decimal(BASE * 2),
}
"""A range that follows a rising market: each price a level higher is answered by one buy at the old top, and then
by a cancel of the order that leaves the window, which no peer has to send."""


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """An order as it reached the venue."""

    side: str
    price: str
    quantity: str


class Part(msgspec.Struct, frozen=True):
    """What a client is told at its start. The tables hold the decisions, so that a peer only looks them up."""

    address: str
    """Host and port."""
    key: str
    secret: str
    spot: str
    linear: str
    opening: Decision | None = None
    """The first order of the fill loop."""
    on_tick: dict[str, Decision] = {}
    """By the price of a public trade."""
    on_fill: dict[str, Decision] = {}
    """By side and price of an execution, for example `Buy 59990`."""


def grid(symbol: str, config: dict[str, object]) -> GridConfig:
    """Make a config for a symbol."""
    return GridConfig(symbol=symbol, **config)  # type: ignore[arg-type]


def listing(symbol: str, market: Market) -> Listing:
    """List BTCUSDT under another name."""
    (original,) = listings(["BTCUSDT"], market)
    instrument = msgspec.structs.replace(
        original.instrument, symbol=symbol, base=symbol.removesuffix("USDT"), min_notional=Decimal(5)
    )
    return msgspec.structs.replace(original, instrument=instrument)


def plain(number: str) -> str:
    """Write a decimal without trailing zeros, so that two clients' spellings compare."""
    return f"{Decimal(number).normalize():f}"
