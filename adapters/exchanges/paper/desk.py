"""The order desk: takes, amends and cancels orders. It checks first, then lets the matcher and the clearing act.

An acknowledged order may still be rejected by the matching engine (post-only that would take) or cancelled by it
(immediate-or-cancel without liquidity): as at the venue, the acknowledgement is given all the same and the order
itself tells. Callers commit the records afterwards, one commit per command or batch.
"""

from engine.trading.instrument import Market

from .catalogue import Listing
from .checks import Draft, check_link_id, check_order, check_price, check_quantity, check_value
from .clearing import Clearing, Listings
from .codes import REDUCE_ONLY, REFUSALS, Code, Refused
from .market import MarketBoard
from .matching import Matcher
from .model import Account, Order, Status, TimeInForce
from .records import Records
from .requests import AmendOrder, CancelOrder, CreateOrder

BY_USER = "CancelByUser"
BY_REDUCE_ONLY = "CancelByReduceOnly"
NO_LIQUIDITY = "EC_NoImmediateQtyToFill"
WOULD_TAKE = "EC_PostOnlyWillTakeLiquidity"


class OrderDesk:
    """Order commands of every account."""

    def __init__(self, records: Records, clearing: Clearing, listings: Listings, board: MarketBoard) -> None:
        self._records = records
        self._clearing = clearing
        self._listings = listings
        self._board = board
        self.matchers = {
            key: Matcher(listing, board.of(listing.instrument), self.settle) for key, listing in listings.items()
        }

    def listing(self, category: str, symbol: str) -> Listing:
        """Find what is listed, or refuse."""
        try:
            market = Market(category)
        except ValueError:
            raise Refused(Code.PARAMETER, "params error: category invalid") from None
        found = self._listings.get((market, symbol))
        if found is None:
            raise Refused(Code.PARAMETER, "params error: symbol invalid")
        return found

    # ------------------------------------------------------------------ commands

    def place(self, account: Account, request: CreateOrder) -> Order:
        """Take an order, or refuse it; the answer given is that of the order after matching."""
        order = self.check(account, request)
        self.accept(account, order)
        return order

    def check(self, account: Account, request: CreateOrder) -> Order:
        """Make the order that a request asks for, or refuse; nothing is placed."""
        listing = self.listing(request.category, request.symbol)
        instrument = listing.instrument
        link_id = check_link_id(request.order_link_id)
        if link_id and link_id in account.by_link:
            raise Refused(REFUSALS[instrument.market].duplicate_link_id, "OrderLinkedID is duplicate")
        draft = check_order(request, listing, self._board.of(instrument))
        order = self._new_order(account, listing, draft, link_id)
        self._check_room(account, order)
        self._check_reduce_only(account, order)
        self._check_funds(account, order, self.matchers[listing.key])
        return order

    def accept(self, account: Account, order: Order) -> None:
        """Commit the money of a checked order and match it."""
        matcher = self.matchers[order.market, order.symbol]
        if order.time_in_force is TimeInForce.POST_ONLY and matcher.would_take(order.buy, order.ticks):
            account.remember(order)
            self._end(account, order, Status.REJECTED, reason=WOULD_TAKE)
            return
        if not order.is_market:
            self._clearing.lock(account, order)
        account.remember(order)
        self._records.touch_order(account, order)
        self._records.touch_wallet(account)
        self._match(account, order, matcher)

    def amend(self, account: Account, request: AmendOrder) -> Order:
        """Change price or quantity. A new price or a larger quantity goes to the end of the queue."""
        listing = self.listing(request.category, request.symbol)
        instrument = listing.instrument
        order = self.find_open(account, listing, request.order_id, request.order_link_id)
        ticks, lots = order.ticks, order.lots
        if request.price not in (None, "", "0"):
            ticks = check_price(request.price, instrument, self._board.of(instrument), order.buy)
        if request.qty not in (None, "", "0"):
            lots = check_quantity(request.qty, instrument, False, order.reduce_only)
        if (ticks, lots) == (order.ticks, order.lots):
            raise Refused(Code.PARAMETER, "The order remains unchanged: the parameters match the existing ones.")
        if lots <= order.filled_lots:
            too_small = REFUSALS[instrument.market].quantity_too_small
            raise Refused(too_small, "Order quantity is below what has been filled.")
        check_value(lots, ticks, listing, order.reduce_only)
        self._change(account, order, ticks, lots)
        return order

    def _change(self, account: Account, order: Order, ticks: int, lots: int) -> None:
        matcher = self.matchers[order.market, order.symbol]
        before = order.ticks, order.lots
        keeps_place = ticks == order.ticks and lots < order.lots
        self._clearing.release(account, order)
        if not keeps_place:
            matcher.remove(order)
        order.ticks, order.lots = ticks, lots
        try:
            self._check_funds(account, order, matcher)
        except Refused:
            order.ticks, order.lots = before
            self._clearing.lock(account, order)
            if not keeps_place:
                matcher.reinstate(order)
            raise
        self._clearing.lock(account, order)
        self._records.touch_order(account, order)
        self._records.touch_wallet(account)
        if keeps_place:
            return
        if order.time_in_force is TimeInForce.POST_ONLY and matcher.would_take(order.buy, order.ticks):
            self._end(account, order, Status.CANCELLED, reason=WOULD_TAKE)
            return
        self._match(account, order, matcher)

    def cancel(self, account: Account, request: CancelOrder) -> Order:
        """Cancel an open order, or refuse."""
        listing = self.listing(request.category, request.symbol)
        order = self.find_open(account, listing, request.order_id, request.order_link_id)
        self.end(account, order, BY_USER)
        return order

    def cancel_all(
        self,
        account: Account,
        market: Market,
        symbol: str | None = None,
        base: str | None = None,
        cancel_type: str = BY_USER,
    ) -> list[Order]:
        """Cancel every open order of a market, or those of one symbol or base coin."""
        chosen = [
            order
            for order in account.open.values()
            if order.market is market
            and (not symbol or order.symbol == symbol)
            and (not base or self._listings[order.market, order.symbol].instrument.base == base)
        ]
        for order in chosen:
            self.end(account, order, cancel_type)
        return chosen

    def find_open(self, account: Account, listing: Listing, order_id: str | None, link_id: str | None) -> Order:
        """Find an open order by either id, or refuse in the words of its market."""
        if not order_id and not link_id:
            raise Refused(Code.PARAMETER, "params error: orderId or orderLinkId is required")
        known = order_id or account.by_link.get(link_id or "", "")
        order = account.open.get(known)
        if order is None or (order.market, order.symbol) != listing.key:
            refusals = REFUSALS[listing.instrument.market]
            raise Refused(refusals.no_such_order, "Order does not exist or is not open any more.")
        return order

    # ------------------------------------------------------------------ the life of an order

    def end(self, account: Account, order: Order, cancel_type: str) -> None:
        """Cancel an order that rests."""
        self.matchers[order.market, order.symbol].remove(order)
        self._end(account, order, Status.CANCELLED, cancel_type=cancel_type)

    def settle(self, order: Order, lots: int, ticks: int, is_maker: bool) -> None:
        """Settle a fill, then shrink the reduce-only orders that the position no longer covers."""
        self._clearing.fill(order, lots, ticks, is_maker)
        if order.market is Market.LINEAR:
            self._trim_reduce_only(self._records.accounts[order.uid], order.symbol)

    def _match(self, account: Account, order: Order, matcher: Matcher) -> None:
        limit = None if order.is_market else order.ticks
        if limit is not None and not matcher.would_take(order.buy, limit):
            takes = False
        else:
            takes = order.time_in_force is not TimeInForce.FOK or self._can_fill_whole(order, limit, matcher)
        if takes:
            matcher.take(order, limit)
        if not order.is_open:
            return
        if order.time_in_force in (TimeInForce.GTC, TimeInForce.POST_ONLY):
            matcher.rest(order)
        elif order.budget and order.filled_lots and not self._budget_buys_more(order, matcher):
            self._end(account, order, Status.FILLED)
        else:
            self._end(account, order, Status.CANCELLED, reason=NO_LIQUIDITY)

    def _can_fill_whole(self, order: Order, limit: int | None, matcher: Matcher) -> bool:
        return sum(lots for _, lots, _ in matcher.offers(order.buy, limit)) >= order.leaves

    def _budget_buys_more(self, order: Order, matcher: Matcher) -> bool:
        best = next(matcher.offers(order.buy, None), None)
        return best is None or matcher.affordable(order, best[0]) > 0

    def _end(
        self,
        account: Account,
        order: Order,
        status: Status,
        reason: str = "EC_NoError",
        cancel_type: str = "UNKNOWN",
    ) -> None:
        if not order.is_market and status is not Status.REJECTED:
            self._clearing.release(account, order)
        if status is Status.CANCELLED and order.filled_lots and order.market is Market.SPOT:
            status = Status.PARTIALLY_FILLED_CANCELLED
        if order.budget:
            order.lots = order.filled_lots
        order.status, order.reject_reason, order.cancel_type = status, reason, cancel_type
        account.retire(order)
        self._records.touch_order(account, order)
        self._records.touch_wallet(account)

    def _trim_reduce_only(self, account: Account, symbol: str) -> None:
        position = account.position(symbol)
        for order in [each for each in account.open.values() if each.reduce_only and each.symbol == symbol]:
            closable = max(0, -position.lots if order.buy else position.lots)
            if not closable:
                self.end(account, order, BY_REDUCE_ONLY)
            elif order.leaves > closable:
                order.lots = order.filled_lots + closable
                self._records.touch_order(account, order)

    # ------------------------------------------------------------------ checks that need the account

    def _new_order(self, account: Account, listing: Listing, draft: Draft, link_id: str) -> Order:
        now_ms = self._records.now_ms()
        return Order(
            order_id=self._records.new_order_id(listing.instrument.market),
            link_id=link_id,
            uid=account.uid,
            market=listing.instrument.market,
            symbol=listing.instrument.symbol,
            buy=draft.buy,
            is_market=draft.is_market,
            time_in_force=draft.time_in_force,
            ticks=draft.ticks,
            lots=draft.lots,
            budget=draft.budget,
            market_unit=draft.market_unit,
            reduce_only=draft.reduce_only,
            seq=self._records.next_seq(),
            created_ms=now_ms,
            updated_ms=now_ms,
        )

    def _check_room(self, account: Account, order: Order) -> None:
        listing = self._listings[order.market, order.symbol]
        if len(account.open) < listing.instrument.max_open_orders:
            return
        same = sum(each.market is order.market and each.symbol == order.symbol for each in account.open.values())
        if same >= listing.instrument.max_open_orders:
            raise Refused(REFUSALS[order.market].too_many_orders, "You have too many active orders.")

    def _check_reduce_only(self, account: Account, order: Order) -> None:
        if not order.reduce_only:
            return
        held = account.position(order.symbol).lots
        closable = -held if order.buy else held
        if closable <= 0:
            raise Refused(REDUCE_ONLY, "current position is zero, cannot fix reduce-only order qty")
        if order.lots > closable:
            raise Refused(REDUCE_ONLY, "Reduce-only rule not satisfied: the position is smaller than the order")

    def _check_funds(self, account: Account, order: Order, matcher: Matcher) -> None:
        """Refuse an order that the account cannot pay, at its limit or at what it would meet in the book."""
        listing = self._listings[order.market, order.symbol]
        instrument = listing.instrument
        refused = Refused(REFUSALS[order.market].insufficient, "Insufficient balance.")
        if order.market is Market.LINEAR:
            cost = order.leaves * order.ticks if not order.is_market else self._cost_in_book(order, matcher)
            if not self._has_margin(account, order, cost):
                raise Refused(refused.code, "ab not enough for new order")
            return
        if not order.buy:
            needed = order.leaves * instrument.units_per_lot
        elif order.is_market:
            needed = order.budget or self._cost_in_book(order, matcher) * instrument.value_per_tick_lot
        else:
            needed = instrument.value(order.ticks, order.leaves)
        if self._clearing.free(account, self._clearing.paid_with(order)) < needed:
            raise refused

    def _cost_in_book(self, order: Order, matcher: Matcher) -> int:
        cost, wanted = 0, order.leaves
        for ticks, offered, _ in matcher.offers(order.buy, None):
            lots = min(offered, wanted)
            cost += lots * ticks
            wanted -= lots
            if not wanted:
                break
        return cost

    def _has_margin(self, account: Account, order: Order, cost: int) -> bool:
        """Tell whether the margin suffices with this order in the book; closing never needs any."""
        if order.reduce_only:
            return True
        position = account.position(order.symbol)
        value = self._listings[order.market, order.symbol].instrument
        before = self._clearing.margin_used(account, position)
        free = self._clearing.free(account, value.quote)
        lots = order.leaves
        if order.buy:
            position.bid_lots, position.bid_cost = position.bid_lots + lots, position.bid_cost + cost
        else:
            position.ask_lots, position.ask_cost = position.ask_lots + lots, position.ask_cost + cost
        added = self._clearing.margin_used(account, position) - before
        if order.buy:
            position.bid_lots, position.bid_cost = position.bid_lots - lots, position.bid_cost - cost
        else:
            position.ask_lots, position.ask_cost = position.ask_lots - lots, position.ask_cost - cost
        return added <= 0 or added <= free
