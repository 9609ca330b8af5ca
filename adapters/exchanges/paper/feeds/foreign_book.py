"""Another venue's book, kept on an instrument's ticks.

Several foreign levels may fall on one tick, so both pictures are kept: the foreign one, which deltas refer to, and
ours, which moves by the difference. What it hands out are changes in ticks, ready for the venue.
"""

from engine.trading.instrument import Instrument

from ..book import BookSide
from ..events import BookChange, Level
from .rounding import TickGrid


class ForeignSide:
    """One side of the book twice: as told, and on the instrument's ticks with what changed since."""

    def __init__(self, is_bid: bool, grid: TickGrid) -> None:
        self.told = BookSide(is_bid)
        self._mapped = BookSide(is_bid)
        self._changed: dict[int, int] = {}
        self._tick_of = grid.bid if is_bid else grid.ask

    def set(self, price: int, size: int) -> None:
        """Put a level at a price in 10**-12 units; 0 removes it."""
        difference = size - self.told.size_at(price)
        if difference:
            self.told.set(price, size)
            self._shift(price, difference)

    def remove_through(self, price: int) -> None:
        """Remove the levels that an order of the other side at `price` would meet."""
        for removed, size in self.told.remove_through(price):
            self._shift(removed, -size)

    def clear(self) -> None:
        """Forget every level and every change: a snapshot follows."""
        self.told.replace(())
        self._mapped.replace(())
        self._changed = {}

    def take_changes(self) -> tuple[Level, ...]:
        """Give the ticks whose size changed since the last call, and forget them."""
        changes = tuple(self._changed.items())
        self._changed = {}
        return changes

    def _shift(self, price: int, difference: int) -> None:
        ticks = self._tick_of(price)
        size = self._mapped.size_at(ticks) + difference
        self._mapped.set(ticks, size)
        self._changed[ticks] = size


class ForeignBook:
    """Both sides of another venue's book."""

    def __init__(self, instrument: Instrument) -> None:
        grid = TickGrid(instrument)
        self.bids = ForeignSide(True, grid)
        self.asks = ForeignSide(False, grid)

    def put(self, bids: list[Level], asks: list[Level]) -> None:
        """Put levels (price in 10**-12 units, size), and drop the older ones that they cross."""
        for price, size in bids:
            self.bids.set(price, size)
        for price, size in asks:
            self.asks.set(price, size)
        self._uncross(bids, asks)

    def put_top(self, bid: Level, ask: Level) -> None:
        """Put the best level of both sides: nothing better than these exists."""
        self.bids.remove_through(bid[0] + 1)
        self.asks.remove_through(ask[0] - 1)
        self.bids.set(*bid)
        self.asks.set(*ask)

    def clear(self) -> None:
        """Forget everything: a snapshot follows."""
        self.bids.clear()
        self.asks.clear()

    def take_change(self, at_ms: int, *, snapshot: bool = False) -> BookChange | None:
        """Give what changed since the last call; None if nothing did and it is no snapshot."""
        bids, asks = self.bids.take_changes(), self.asks.take_changes()
        return BookChange(at_ms, snapshot, bids, asks) if bids or asks or snapshot else None

    def _uncross(self, bids: list[Level], asks: list[Level]) -> None:
        best_bid, best_ask = self.bids.told.best(), self.asks.told.best()
        if best_bid is None or best_ask is None or best_bid < best_ask:
            return
        newest_bid = max((price for price, size in bids if size), default=0)
        if newest_bid >= best_ask:
            self.asks.remove_through(newest_bid)
        else:
            self.bids.remove_through(min((price for price, size in asks if size), default=best_ask))
