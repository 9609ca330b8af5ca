"""What a feed tells the venue: public trades and changes of the visible book, in the venue's integers.

Prices count ticks of the instrument, sizes count 10**-8 of the base coin whatever the lot is, because recorded
liquidity need not lie on today's lot grid. Events carry no instrument: the feed names it when it hands them over.
"""

import msgspec

SIZE_DECIMALS = 8
SIZE_SCALE = 10**SIZE_DECIMALS

Level = tuple[int, int]
"""(ticks, size); a size of zero deletes the level."""


class MarketTrade(msgspec.Struct, frozen=True, gc=False):
    """A trade between others, printed on the public tape."""

    at_ms: int
    ticks: int
    size: int
    buyer_is_taker: bool


class BookChange(msgspec.Struct, frozen=True, gc=False):
    """A new picture of the visible book, or changed levels of it; the levels need not be sorted."""

    at_ms: int
    snapshot: bool
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


MarketEvent = MarketTrade | BookChange
