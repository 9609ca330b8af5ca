"""The visible book of one instrument: two sorted sides of whole numbers. It keeps levels, never orders."""

from bisect import bisect_left, insort
from collections.abc import Iterable

from .events import Level


class BookSide:
    """The levels of one side; best first is the high end for bids and the low end for asks."""

    __slots__ = ("_ascending", "_is_bid", "_sizes")

    def __init__(self, is_bid: bool) -> None:
        self._is_bid = is_bid
        # A sorted list beside the dict: insertion moves a few kilobytes at most, and the best price, which
        # every event asks for, is one look.
        self._ascending: list[int] = []
        self._sizes: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._ascending)

    def best(self) -> int | None:
        """Give the best price in ticks, or None when the side is empty."""
        if not self._ascending:
            return None
        return self._ascending[-1 if self._is_bid else 0]

    def worst(self) -> int | None:
        """Give the price farthest from the other side, or None when the side is empty."""
        if not self._ascending:
            return None
        return self._ascending[0 if self._is_bid else -1]

    def size_at(self, ticks: int) -> int:
        """Give the size resting at a price, 0 if none."""
        return self._sizes.get(ticks, 0)

    def top(self, count: int) -> list[Level]:
        """Give up to `count` levels, best first."""
        sizes = self._sizes
        prices = self._ascending[: -count - 1 : -1] if self._is_bid else self._ascending[:count]
        return [(ticks, sizes[ticks]) for ticks in prices]

    def set(self, ticks: int, size: int) -> None:
        """Put a level's size; 0 removes the level."""
        sizes = self._sizes
        if size > 0:
            if ticks not in sizes:
                insort(self._ascending, ticks)
            sizes[ticks] = size
        elif sizes.pop(ticks, None) is not None:
            del self._ascending[bisect_left(self._ascending, ticks)]

    def replace(self, levels: Iterable[Level]) -> None:
        """Put a whole new side."""
        self._sizes = {ticks: size for ticks, size in levels if size > 0}
        self._ascending = sorted(self._sizes)

    def remove_through(self, limit: int) -> list[Level]:
        """Remove the levels that an order of the other side at `limit` would meet; give what was there."""
        prices = self._ascending
        if self._is_bid:
            removed = prices[bisect_left(prices, limit) :]
            del prices[len(prices) - len(removed) :]
        else:
            removed = prices[: bisect_left(prices, limit + 1)]
            del prices[: len(removed)]
        return [(ticks, self._sizes.pop(ticks)) for ticks in removed]
