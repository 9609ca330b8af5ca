"""Who trades with whom in one instrument: the accounts' orders against each other and the recorded market.

It decides fills, never money: each fill is handed to `on_fill`, which settles it before the next one is sought.
The rules, in the order in which they apply:

1. Account orders at one price fill in the order of their arrival; a better price goes first.
2. A resting order joins behind the recorded size displayed at its price (`Order.ahead`). While its price lies
   outside the visible book the queue is unknown; it becomes the size displayed when the price comes into sight.
3. A public trade at the price first uses up the recorded queue ahead, then fills the order with what is left of
   its size. A trade through the price fills without a queue. The size of one trade is handed out once, to better
   prices first; a remainder finer than a lot is lost.
4. When the displayed size at the price falls below the queue ahead, the queue ahead is the displayed size: the
   rest was cancelled or traded. A feed that tells a trade before the book change it caused counts nothing twice.
5. When the opposite recorded quote reaches a resting price, that quote would have traded with us: the order fills
   as maker at its own price, up to the displayed size of the crossing levels.
6. An order that takes walks the visible book level by level; at each price the recorded queue ahead of a resting
   account order trades first, then that order, then the rest. Recorded size once taken (rules 5 and 6) is not
   handed out again until the displayed size of its level changes.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator

from engine.trading.orders import Side

from .catalogue import Listing
from .events import BookChange, MarketTrade
from .market import MarketState
from .model import Order

UNKNOWN = -1
"""`Order.ahead` while the price is outside the visible book."""

VISIBLE_LEVELS = 1000
"""How deep an order that takes can reach."""

OnFill = Callable[[Order, int, int, bool], None]
"""Settles (order, lots, ticks, is_maker) and updates the order."""


class Ladder:
    """The accounts' resting orders of one side, and what was taken from the recorded levels of that side."""

    def __init__(self, is_bid: bool) -> None:
        self.is_bid = is_bid
        self.side = Side.BUY if is_bid else Side.SELL
        self.queues: dict[int, list[Order]] = {}
        self.taken: dict[int, int] = {}
        self.unseen: set[int] = set()
        self._keys: list[int] = []
        # Ascending by distance from the other side: bids are kept negated, so that the best is always first.
        self._sign = -1 if is_bid else 1

    def __bool__(self) -> bool:
        return bool(self._keys)

    def best(self) -> int | None:
        """Give the best resting price."""
        return self._sign * self._keys[0] if self._keys else None

    def prices(self) -> list[int]:
        """List the resting prices, best first."""
        sign = self._sign
        return [sign * key for key in self._keys]

    def reaches(self, price: int, limit: int) -> bool:
        """Tell whether an order of the other side limited to `limit` would meet `price` on this side."""
        return price >= limit if self.is_bid else price <= limit

    def prices_within(self, limit: int) -> list[int]:
        """List the resting prices that an order of the other side limited to `limit` would meet, best first."""
        sign = self._sign
        return [sign * key for key in self._keys[: bisect_left(self._keys, sign * limit + 1)]]

    def add(self, order: Order) -> None:
        """Put an order at the end of the queue at its price."""
        queue = self.queues.get(order.ticks)
        if queue is None:
            self.queues[order.ticks] = [order]
            insort(self._keys, self._sign * order.ticks)
        else:
            queue.append(order)
        if order.ahead == UNKNOWN:
            self.unseen.add(order.ticks)

    def remove(self, order: Order) -> None:
        """Take an order out of its queue, if it is there."""
        queue = self.queues.get(order.ticks)
        if queue is None or order not in queue:
            return
        queue.remove(order)
        if not queue:
            del self.queues[order.ticks]
            del self._keys[bisect_left(self._keys, self._sign * order.ticks)]
            self.unseen.discard(order.ticks)


class Matcher:
    """The matching of one instrument."""

    def __init__(self, listing: Listing, state: MarketState, on_fill: OnFill) -> None:
        self.state = state
        self.bids = Ladder(is_bid=True)
        self.asks = Ladder(is_bid=False)
        self._on_fill = on_fill
        self._lot = listing.size_per_lot

    # ------------------------------------------------------------------ the market moves

    def on_trade(self, trade: MarketTrade) -> None:
        """Hand a public trade's size to the resting orders that it met (rule 3)."""
        ladder = self.asks if trade.buyer_is_taker else self.bids
        best = ladder.best()
        if best is None or not ladder.reaches(best, trade.ticks):
            return
        budget = trade.size
        for price in ladder.prices_within(trade.ticks):
            if budget < self._lot:
                return
            budget = self._hand_out(ladder, price, budget, through=price != trade.ticks)

    def on_book(self, change: BookChange) -> None:
        """Take in a change of the book, then apply rules 4, 2 and 5."""
        before = [
            (ladder, ticks, self.state.size_at(ladder.side, ticks))
            for ladder in (self.bids, self.asks)
            for ticks in ladder.taken
        ]
        self.state.apply(change)
        for ladder, ticks, size in before:
            if self.state.size_at(ladder.side, ticks) != size:
                del ladder.taken[ticks]
        for ladder, levels in ((self.bids, change.bids), (self.asks, change.asks)):
            if ladder:
                touched = ladder.prices() if change.snapshot else [ticks for ticks, _ in levels]
                self._shrink_queues(ladder, touched)
        self._fill_crossed()

    def _shrink_queues(self, ladder: Ladder, touched: list[int]) -> None:
        for ticks in touched:
            queue = ladder.queues.get(ticks)
            # A level that left the visible window was not cancelled: its queue stays as it was.
            if queue is None or not self._is_visible(ladder, ticks):
                continue
            displayed = self.state.size_at(ladder.side, ticks)
            for order in queue:
                if order.ahead > displayed:
                    order.ahead = displayed
        # The nearest unseen price decides: asking all of them on every change would cost more than the matching.
        while ladder.unseen:
            nearest = max(ladder.unseen) if ladder.is_bid else min(ladder.unseen)
            if not self._is_visible(ladder, nearest):
                return
            self._come_into_sight(ladder, nearest)

    def _come_into_sight(self, ladder: Ladder, ticks: int) -> None:
        displayed = self.state.size_at(ladder.side, ticks)
        for order in ladder.queues[ticks]:
            if order.ahead == UNKNOWN:
                order.ahead = displayed
        ladder.unseen.discard(ticks)

    def _fill_crossed(self) -> None:
        ask = self.state.best_ask()
        best = self.bids.best()
        if ask is not None and best is not None and best >= ask:
            self._fill_against_quotes(self.bids, self.asks, ask)
        bid = self.state.best_bid()
        best = self.asks.best()
        if bid is not None and best is not None and best <= bid:
            self._fill_against_quotes(self.asks, self.bids, bid)

    def _fill_against_quotes(self, resting: Ladder, recorded: Ladder, quote: int) -> None:
        for price in resting.prices_within(quote):
            for order in tuple(resting.queues.get(price, ())):
                for ticks, displayed in self.state.depth(recorded.side, VISIBLE_LEVELS):
                    if not recorded.reaches(ticks, price) or not order.is_open:
                        break
                    taken = recorded.taken.get(ticks, 0)
                    lots = min(order.leaves, (displayed - taken) // self._lot)
                    if lots > 0:
                        recorded.taken[ticks] = taken + lots * self._lot
                        self._fill_resting(resting, order, lots)

    def _hand_out(self, ladder: Ladder, price: int, budget: int, through: bool) -> int:
        """Let `budget` of incoming size meet the queue at one price; give what is left of it."""
        if price in ladder.unseen:
            self._come_into_sight(ladder, price)
        queue = ladder.queues.get(price, [])  # Empty if the settling of a fill cancelled its orders meanwhile.
        used = 0
        for order in tuple(queue):
            if not through:
                step = min(max(0, order.ahead - used), budget)
                used += step
                budget -= step
            lots = min(order.leaves, budget // self._lot)
            if lots > 0 and order.is_open:
                budget -= lots * self._lot
                self._fill_resting(ladder, order, lots)
            if budget < self._lot:
                break
        for order in queue:
            order.ahead = 0 if through else max(0, order.ahead - used)
        return budget

    def _fill_resting(self, ladder: Ladder, order: Order, lots: int) -> None:
        self._on_fill(order, lots, order.ticks, True)
        if not order.leaves:
            ladder.remove(order)

    # ------------------------------------------------------------------ an account moves

    def rest(self, order: Order) -> None:
        """Let an order wait at its price (rule 2)."""
        ladder = self._own(order)
        visible = self._is_visible(ladder, order.ticks)
        order.ahead = self.state.size_at(ladder.side, order.ticks) if visible else UNKNOWN
        ladder.add(order)

    def restore(self, order: Order) -> None:
        """Put an order of the journal back. Its place in the recorded queue is not known any more."""
        order.ahead = UNKNOWN
        self.reinstate(order)

    def reinstate(self, order: Order) -> None:
        """Put an order back at the end of its queue with the recorded queue it had."""
        self._own(order).add(order)

    def remove(self, order: Order) -> None:
        """Take an order out of the book."""
        self._own(order).remove(order)

    def would_take(self, buy: bool, ticks: int) -> bool:
        """Tell whether a limit order would trade at once."""
        ladder = self.asks if buy else self.bids
        bests = (self.state.best_ask() if buy else self.state.best_bid(), ladder.best())
        # Two comparisons settle it for nearly every order; the walk below is for quotes that are used up.
        if not any(best is not None and ladder.reaches(best, ticks) for best in bests):
            return False
        return next(self.offers(buy, ticks), None) is not None

    def offers(self, buy: bool, limit: int | None) -> Iterator[tuple[int, int, Order | None]]:
        """List what an order that takes would meet: (ticks, lots, the account order or None), best first.

        The picture holds as long as nothing is taken; `take` uses it as it goes.
        """
        ladder = self.asks if buy else self.bids
        recorded = dict(self.state.depth(ladder.side, VISIBLE_LEVELS))
        prices = recorded.keys() | ladder.queues.keys()
        for price in sorted(prices, reverse=ladder.is_bid):
            if limit is not None and not ladder.reaches(price, limit):
                return
            rest = recorded.get(price, 0) - ladder.taken.get(price, 0)
            passed = 0
            for order in tuple(ladder.queues.get(price, ())):
                lots = min(max(0, order.ahead - passed), max(0, rest)) // self._lot
                if lots:
                    rest -= lots * self._lot
                    passed += lots * self._lot
                    yield price, lots, None
                if order.is_open:
                    yield price, order.leaves, order
            if rest >= self._lot:
                yield price, rest // self._lot, None

    def take(self, order: Order, limit: int | None) -> None:
        """Trade an incoming order with whatever it meets within its limit (rule 6)."""
        ladder = self.asks if order.buy else self.bids
        passed: dict[int, int] = {}
        for price, offered, maker in self.offers(order.buy, limit):
            lots = min(offered, self.affordable(order, price))
            if lots <= 0 or not order.is_open:
                break
            if maker is None:
                ladder.taken[price] = ladder.taken.get(price, 0) + lots * self._lot
                passed[price] = passed.get(price, 0) + lots * self._lot
            else:
                self._fill_resting(ladder, maker, lots)
            self._on_fill(order, lots, price, False)
        for price, size in passed.items():
            for resting in ladder.queues.get(price, ()):
                resting.ahead = max(0, resting.ahead - size) if resting.ahead != UNKNOWN else UNKNOWN

    def affordable(self, order: Order, ticks: int) -> int:
        """Give how many lots the order still wants at a price: its leaves, or what its budget buys."""
        if not order.budget:
            return order.leaves
        value = self.state.instrument.value_per_tick_lot
        return (order.budget - order.filled_tick_lots * value) // (ticks * value)

    def _own(self, order: Order) -> Ladder:
        return self.bids if order.buy else self.asks

    def _is_visible(self, ladder: Ladder, ticks: int) -> bool:
        side = self.state.bids if ladder.is_bid else self.state.asks
        worst = side.worst()
        return worst is not None and (ticks >= worst if ladder.is_bid else ticks <= worst)
