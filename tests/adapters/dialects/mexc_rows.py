"""How MEXC writes instruments, orders and trades, in JSON and in protobuf; the numbers are the PaperVenue's.

The streams' messages are written with the classes that come with ccxt, made from MEXC's own description.
"""

from decimal import Decimal

from ccxt.protobuf.mexc.PushDataV3ApiWrapper_pb2 import PushDataV3ApiWrapper

from adapters.exchanges.paper.catalogue import Listing
from adapters.exchanges.paper.market import TapeEntry
from adapters.exchanges.paper.model import Execution, Order, Status, TimeInForce
from adapters.exchanges.paper.wire_text import size_text
from engine.trading.instrument import Instrument, amount_text
from tests.adapters.dialects.base import Row, Step

ORDERS, DEALS = "spot@private.orders.v3.api.pb", "spot@private.deals.v3.api.pb"
TRADES = "spot@public.aggre.deals.v3.api.pb@100ms"
_NEW, _FILLED, _PARTIALLY_FILLED, _CANCELLED, _PARTIALLY_CANCELLED = 1, 2, 3, 4, 5
_STATUS = {
    Status.NEW: "NEW",
    Status.PARTIALLY_FILLED: "PARTIALLY_FILLED",
    Status.FILLED: "FILLED",
    Status.CANCELLED: "CANCELED",
    Status.PARTIALLY_FILLED_CANCELLED: "PARTIALLY_CANCELED",
    Status.REJECTED: "CANCELED",
}


def order_id(seq: int) -> str:
    """Give an order's id."""
    return f"C02__{seq}"


def order_number(order_id: str) -> str:
    """Give the number in an order's id."""
    return order_id.removeprefix("C02__")


def symbol(listing: Listing) -> Row:
    """List a pair: some filters are counts of digits, and two of the precisions are least amounts."""
    instrument = listing.instrument
    return {
        "symbol": instrument.symbol,
        "status": "1",
        "baseAsset": instrument.base,
        "baseAssetPrecision": -int(instrument.lot_size.as_tuple().exponent),
        "quoteAsset": instrument.quote,
        "quotePrecision": instrument.tick_decimals,
        "quoteAssetPrecision": instrument.tick_decimals,
        "orderTypes": ["LIMIT", "MARKET", "LIMIT_MAKER"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "permissions": ["SPOT"],
        "filters": [],
        "baseSizePrecision": instrument.quantity_text(instrument.min_lots),
        "maxQuoteAmount": f"{listing.max_amount:f}",
        "makerCommission": "0",
        "takerCommission": "0.0005",
        "quoteAmountPrecision": f"{instrument.min_notional:f}",
    }


def order(instrument: Instrument, order: Order) -> Row:
    """Write an order."""
    return {
        "symbol": order.symbol,
        "orderId": order_id(order.seq),
        "orderListId": "-1",
        "clientOrderId": order.link_id,
        "price": instrument.price_text(order.ticks),
        "origQty": instrument.quantity_text(order.lots),
        "executedQty": instrument.quantity_text(order.filled_lots),
        "cummulativeQuoteQty": amount_text(order.filled_tick_lots * instrument.value_per_tick_lot),
        "status": _STATUS[order.status],
        "timeInForce": None,
        "type": _type(order),
        "side": "BUY" if order.buy else "SELL",
        "stopPrice": None,
        "time": order.created_ms,
        "updateTime": None if order.is_open else order.updated_ms,
        "isWorking": True,
    }


def trade(instrument: Instrument, fill: Execution, order: Order) -> Row:
    """Write an execution."""
    return {
        "symbol": fill.symbol,
        "id": _trade_id(fill),
        "orderId": order_id(order.seq),
        "orderListId": -1,
        "price": instrument.price_text(fill.ticks),
        "qty": instrument.quantity_text(fill.lots),
        "quoteQty": amount_text(instrument.value(fill.ticks, fill.lots)),
        "commission": amount_text(fill.fee_units),
        "commissionAsset": fill.fee_coin,
        "time": fill.at_ms,
        "isBuyer": fill.buy,
        "isMaker": fill.is_maker,
        "isBestMatch": True,
        "isSelfTrade": False,
        "clientOrderId": order.link_id,
    }


def public_trade(instrument: Instrument, entry: TapeEntry) -> bytes:
    """Write a trade of the tape, which the exchange would gather for a tenth of a second."""
    name, trade = instrument.symbol, entry.trade
    push = PushDataV3ApiWrapper(channel=f"{TRADES}@{name}", symbol=name, sendTime=trade.at_ms)
    push.publicAggreDeals.eventType = TRADES
    push.publicAggreDeals.deals.add(
        price=instrument.price_text(trade.ticks),
        quantity=size_text(trade.size),
        tradeType=1 if trade.buyer_is_taker else 2,
        time=trade.at_ms,
    )
    return push.SerializeToString()


def order_message(instrument: Instrument, order: Order, step: Step) -> bytes:
    """Write a step of an order's life."""
    remaining = 0 if step.is_end else order.lots - step.filled_lots
    average = Decimal(order.filled_tick_lots) / (order.filled_lots or 1) * instrument.tick_size
    push = PushDataV3ApiWrapper(channel=ORDERS, symbol=order.symbol, sendTime=order.updated_ms)
    told = push.privateOrders
    told.id, told.clientId = order_id(order.seq), order.link_id
    told.price = instrument.price_text(order.ticks)
    told.quantity = instrument.quantity_text(order.lots)
    told.amount = amount_text(instrument.value(order.ticks, order.lots))
    told.avgPrice = f"{average:f}"
    told.orderType = 5 if order.is_market else 2 if order.time_in_force is TimeInForce.POST_ONLY else 1
    told.tradeType = 1 if order.buy else 2
    told.isMaker = step.fill is not None and step.fill.is_maker
    told.remainAmount = amount_text(instrument.value(order.ticks, remaining))
    told.remainQuantity = instrument.quantity_text(remaining)
    told.lastDealQuantity = instrument.quantity_text(step.fill.lots if step.fill is not None else 0)
    told.cumulativeQuantity = instrument.quantity_text(step.filled_lots)
    told.cumulativeAmount = amount_text(order.filled_tick_lots * instrument.value_per_tick_lot)
    told.status = _stream_status(order, step)
    told.createTime = order.created_ms
    return push.SerializeToString()


def deal_message(instrument: Instrument, order: Order, fill: Execution) -> bytes:
    """Write an execution as the stream does."""
    push = PushDataV3ApiWrapper(channel=DEALS, symbol=order.symbol, sendTime=fill.at_ms)
    told = push.privateDeals
    told.price = instrument.price_text(fill.ticks)
    told.quantity = instrument.quantity_text(fill.lots)
    told.amount = amount_text(instrument.value(fill.ticks, fill.lots))
    told.tradeType = 1 if fill.buy else 2
    told.isMaker = fill.is_maker
    told.tradeId, told.clientOrderId, told.orderId = _trade_id(fill), order.link_id, order_id(order.seq)
    told.feeAmount, told.feeCurrency = amount_text(fill.fee_units), fill.fee_coin
    told.time = fill.at_ms
    return push.SerializeToString()


def _trade_id(fill: Execution) -> str:
    return f"{fill.seq}X1"


def _type(order: Order) -> str:
    if order.is_market:
        return "MARKET"
    return "LIMIT_MAKER" if order.time_in_force is TimeInForce.POST_ONLY else "LIMIT"


def _stream_status(order: Order, step: Step) -> int:
    if step.is_end:
        return _PARTIALLY_CANCELLED if step.filled_lots else _CANCELLED
    if step.filled_lots == order.lots:
        return _FILLED
    return _PARTIALLY_FILLED if step.filled_lots else _NEW
