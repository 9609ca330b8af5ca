"""Between Bybit's decimal text and the engine's whole numbers, for one instrument.

Exact in both directions: text that is not on the instrument's grid raises ValueError, nothing is rounded.
`Decimal` stays off this path (it costs four times as much as cutting the text).
"""

import re
from collections.abc import Mapping
from decimal import Decimal

from adapters.exchanges.bybit.errors import matching_reason
from adapters.exchanges.bybit.wire import ExecutionRow, OrderRow
from engine.errors import RejectReason
from engine.ids import ExecutionId, Instant, LinkId, VenueOrderId
from engine.trading.instrument import AMOUNT_DECIMALS, Instrument, Market, amount_units
from engine.trading.orders import (
    BUY,
    CANCELLED,
    MARKET,
    POST_ONLY,
    REJECTED,
    CancelOrder,
    Execution,
    FundingCharged,
    OrderReport,
    OrderStatus,
    PlaceOrder,
    Side,
)

_SIDES: Mapping[str, Side] = {"Buy": Side.BUY, "Sell": Side.SELL}
_STATUSES: Mapping[str, OrderStatus] = {
    "Created": OrderStatus.OPEN,
    "New": OrderStatus.OPEN,
    "PartiallyFilled": OrderStatus.OPEN,
    "Untriggered": OrderStatus.OPEN,
    "Triggered": OrderStatus.OPEN,
    "Filled": OrderStatus.FILLED,
    "Cancelled": OrderStatus.CANCELLED,
    "PartiallyFilledCanceled": OrderStatus.CANCELLED,
    "Deactivated": OrderStatus.CANCELLED,
    "Rejected": OrderStatus.REJECTED,
}
_FILLS = frozenset({"Trade", "AdlTrade", "BustTrade", "Delivery", "Settle", "BlockTrade", "MovePosition"})
_LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
_is_link_id = _LINK_ID.fullmatch
_REMEMBERED_MAX = 2_048


class Scale:
    """Counts whole steps (ticks, lots, base units) in decimal text, and writes them."""

    __slots__ = ("_counts", "_decimals", "_step", "_texts")

    def __init__(self, step: Decimal, decimals: int) -> None:
        self._decimals = decimals
        self._step = int(step.scaleb(decimals))
        # The same few prices and quantities come and go all day.
        self._counts: dict[str, int] = {}
        self._texts: dict[int, str] = {}

    def count(self, text: str) -> int:
        """Count the steps in `text`; raise ValueError if it lies between two."""
        count = self._counts.get(text)
        if count is None:
            if len(self._counts) >= _REMEMBERED_MAX:
                self._counts.clear()
            count = self._counts[text] = self._read(text)
        return count

    def text(self, count: int) -> str:
        """Write `count` steps (not negative) with all decimals."""
        text = self._texts.get(count)
        if text is None:
            if len(self._texts) >= _REMEMBERED_MAX:
                self._texts.clear()
            text = self._texts[count] = self._write(count)
        return text

    def _read(self, text: str) -> int:
        whole, _, fraction = text.partition(".")
        missing = self._decimals - len(fraction)
        if missing == 0:
            units = int(whole + fraction)
        elif missing > 0:
            units = int(whole + fraction) * 10**missing
        elif not fraction[missing:].strip("0"):
            units = int(whole + fraction[:missing])
        else:
            raise ValueError(f"{text} is finer than {self._decimals} decimals")
        if self._step == 1:
            return units
        count, rest = divmod(units, self._step)
        if rest:
            raise ValueError(f"{text} is not a multiple of {self._step} at {self._decimals} decimals")
        return count

    def _write(self, count: int) -> str:
        digits = str(count * self._step)
        decimals = self._decimals
        if not decimals:
            return digits
        if len(digits) <= decimals:
            digits = digits.zfill(decimals + 1)
        return f"{digits[:-decimals]}.{digits[-decimals:]}"


_amounts = Scale(Decimal(1).scaleb(-AMOUNT_DECIMALS), AMOUNT_DECIMALS)


def fee_units(text: str) -> int:
    """Read an amount of a coin as base units; "" is nothing."""
    if not text:
        return 0
    try:
        return _amounts.count(text)
    except ValueError:  # written with an exponent
        return amount_units(text)


class InstrumentCodec:
    """Reads and writes one instrument's orders and executions."""

    __slots__ = ("_base", "_head", "_limit_tail", "_market_tail", "_quote", "_spot", "instrument", "lots", "ticks")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.ticks = Scale(instrument.tick_size, instrument.tick_decimals)
        self.lots = Scale(instrument.lot_size, instrument.lot_decimals)
        self._spot = instrument.market is Market.SPOT
        self._base, self._quote = instrument.base, instrument.quote
        self._head = f'{{"category":"{instrument.market.value}","symbol":"{instrument.symbol}",'
        # A spot market buy counts in the quote coin unless told otherwise. Spot never borrows without isLeverage.
        self._market_tail = ',"marketUnit":"baseCoin"}' if self._spot else ',"positionIdx":0}'
        self._limit_tail = "}" if self._spot else ',"positionIdx":0}'

    def place(self, order: PlaceOrder) -> str:
        """Write a placement as JSON. Link ids are of [A-Za-z0-9_-], so nothing needs escaping."""
        link_id = order.link_id
        if _is_link_id(link_id) is None:
            raise ValueError(f"{link_id!r} cannot name an order")
        quantity = self.lots.text(order.lots)
        if order.kind is MARKET:
            terms, tail = f'"orderType":"Market","qty":"{quantity}","timeInForce":"IOC"', self._market_tail
        else:
            price, until = self.ticks.text(order.ticks), "PostOnly" if order.kind is POST_ONLY else "GTC"
            terms = f'"orderType":"Limit","qty":"{quantity}","price":"{price}","timeInForce":"{until}"'
            tail = self._limit_tail
        if order.reduce_only and not self._spot:
            tail = ',"reduceOnly":true' + tail
        side = "Buy" if order.side is BUY else "Sell"
        return f'{self._head}"side":"{side}",{terms},"orderLinkId":"{link_id}"{tail}'

    def cancel(self, order: CancelOrder) -> str:
        """Write a cancellation as JSON."""
        if _is_link_id(order.link_id) is None:
            raise ValueError(f"{order.link_id!r} cannot name an order")
        return f'{self._head}"orderLinkId":"{order.link_id}"}}'

    def report(self, row: OrderRow) -> OrderReport:
        """Read the venue's statement about an order."""
        status = _STATUSES[row.order_status]
        filled = self.lots.count(row.cum_exec_qty or "0")
        reason = None
        if status is CANCELLED or status is REJECTED:
            reason = matching_reason(row.reject_reason, row.cancel_type)
            if reason is RejectReason.WOULD_TAKE_LIQUIDITY and not filled:
                # Seen as Rejected and as Cancelled; the reason is what tells.
                status = REJECTED
        return OrderReport(
            link_id=LinkId(row.order_link_id),
            venue_id=VenueOrderId(row.order_id),
            side=_SIDES[row.side],
            ticks=0 if row.order_type == "Market" else self.ticks.count(row.price),
            lots=self.lots.count(row.qty),
            status=status,
            filled_lots=filled,
            reason=reason,
            text="" if reason is None else f"{row.reject_reason} {row.cancel_type}".strip(),
        )

    def execution(self, row: ExecutionRow) -> Execution | FundingCharged | None:
        """Read an execution; None for a kind that concerns no order and no payment of ours."""
        if row.exec_type == "Funding":
            return FundingCharged(ExecutionId(row.exec_id), fee_units(row.exec_fee), Instant(row.exec_time))
        if row.exec_type not in _FILLS:
            return None
        side = _SIDES[row.side]
        return Execution(
            exec_id=ExecutionId(row.exec_id),
            link_id=LinkId(row.order_link_id),
            venue_id=VenueOrderId(row.order_id),
            side=side,
            ticks=self.ticks.count(row.exec_price),
            lots=self.lots.count(row.exec_qty),
            order_lots=self.lots.count(row.order_qty),
            fee_units=fee_units(row.exec_fee),
            fee_asset=row.fee_currency or self._usual_fee_asset(side),
            is_maker=row.is_maker,
            at_ms=Instant(row.exec_time),
        )

    def _usual_fee_asset(self, side: Side) -> str:
        # A spot fee comes out of what was received; linear fees are paid in the settlement coin.
        return self._base if self._spot and side is BUY else self._quote
