"""How KuCoin writes pairs, orders, fills and its stream's messages: spot, in the rows of the `hf` API.

Quantities and prices are decimal text; times are milliseconds over REST and nanoseconds on the stream.
"""

from typing import Any

from adapters.exchanges.paper.catalogue import Listing
from adapters.exchanges.paper.market import MarketState, TapeEntry
from adapters.exchanges.paper.model import Execution, Order, Status, TimeInForce
from adapters.exchanges.paper.rows import rate_text
from adapters.exchanges.paper.wire_text import size_text
from engine.trading.instrument import Instrument, amount_text

Row = dict[str, Any]
_ENDED = (Status.CANCELLED, Status.PARTIALLY_FILLED_CANCELLED, Status.REJECTED)


def symbol_of(instrument: Instrument) -> str:
    """Spell a pair."""
    return f"{instrument.base}-{instrument.quote}"


def order_id_of(order: Order) -> str:
    """Give an order's number in the shape of KuCoin's ids."""
    return f"{order.seq:024x}"


def pair_row(listing: Listing) -> Row:
    """Write a pair with its filters."""
    instrument, symbol = listing.instrument, symbol_of(listing.instrument)
    return {
        "symbol": symbol,
        "name": symbol,
        "baseCurrency": instrument.base,
        "quoteCurrency": instrument.quote,
        "feeCurrency": instrument.quote,
        "market": "USDS",
        "baseMinSize": instrument.quantity_text(instrument.min_lots),
        "quoteMinSize": "0.1",
        "baseMaxSize": instrument.quantity_text(instrument.max_lots),
        "quoteMaxSize": "99999999",
        "baseIncrement": f"{instrument.lot_size:f}",
        "quoteIncrement": "0.000001",
        "priceIncrement": f"{instrument.tick_size:f}",
        "priceLimitRate": "0.1",
        "minFunds": f"{instrument.min_notional:f}",
        "isMarginEnabled": False,
        "enableTrading": True,
    }


def order_row(instrument: Instrument, order: Order) -> Row:
    """Write an order; nothing in it says why it was cancelled."""
    cancelled = order.leaves if order.status in _ENDED else 0
    return {
        "id": order_id_of(order),
        "symbol": symbol_of(instrument),
        "opType": "DEAL",
        "type": "market" if order.is_market else "limit",
        "side": "buy" if order.buy else "sell",
        "price": instrument.price_text(order.ticks) if order.ticks else "0",
        "size": instrument.quantity_text(order.lots),
        "funds": "0",
        "dealSize": instrument.quantity_text(order.filled_lots),
        "dealFunds": amount_text(order.filled_tick_lots * instrument.value_per_tick_lot),
        "fee": amount_text(order.fee_units),
        "feeCurrency": order.fee_coin or instrument.quote,
        "stp": None,
        "timeInForce": "GTC",
        "postOnly": order.time_in_force is TimeInForce.POST_ONLY,
        "hidden": False,
        "iceberg": False,
        "visibleSize": "0",
        "cancelAfter": 0,
        "channel": "API",
        "clientOid": order.link_id,
        "remark": None,
        "tags": None,
        "cancelExist": order.status in _ENDED,
        "createdAt": order.created_ms,
        "lastUpdatedAt": order.updated_ms,
        "tradeType": "TRADE",
        "inOrderBook": order.is_open,
        "cancelledSize": instrument.quantity_text(cancelled),
        "cancelledFunds": "0",
        "remainSize": instrument.quantity_text(order.leaves if order.is_open else 0),
        "remainFunds": "0",
        "active": order.is_open,
    }


def fill_row(instrument: Instrument, order: Order, fill: Execution) -> Row:
    """Write a fill of an order as the list of fills does; it does not name the client's id."""
    return {
        "id": fill.seq,
        "symbol": symbol_of(instrument),
        "tradeId": fill.seq,
        "orderId": order_id_of(order),
        "counterOrderId": "0",
        "side": "buy" if fill.buy else "sell",
        "liquidity": "maker" if fill.is_maker else "taker",
        "forceTaker": False,
        "price": instrument.price_text(fill.ticks),
        "size": instrument.quantity_text(fill.lots),
        "funds": amount_text(instrument.value(fill.ticks, fill.lots)),
        "fee": amount_text(fill.fee_units),
        "feeRate": rate_text(fill.rate),
        "feeCurrency": fill.fee_coin,
        "stop": "",
        "tradeType": "TRADE",
        "type": "market" if fill.is_market else "limit",
        "createdAt": fill.at_ms,
    }


def match_row(state: MarketState, entry: TapeEntry) -> Row:
    """Write a public trade with its taker's side."""
    return {
        "type": "match",
        "sequence": str(entry.sequence),
        "symbol": symbol_of(state.instrument),
        "side": "buy" if entry.trade.buyer_is_taker else "sell",
        "price": state.instrument.price_text(entry.trade.ticks),
        "size": size_text(entry.trade.size),
        "tradeId": str(entry.number),
        "takerOrderId": "0",
        "makerOrderId": "0",
        "time": str(entry.trade.at_ms * 1_000_000),
    }


def change_row(instrument: Instrument, order: Order, fill: Execution | None) -> Row:
    """Write what happened to an order: it was matched, or else it rests or has ended. No fee is named."""
    kind = "match" if fill is not None else _change_of(order)
    row = {
        "symbol": symbol_of(instrument),
        "orderType": "market" if order.is_market else "limit",
        "side": "buy" if order.buy else "sell",
        "orderId": order_id_of(order),
        "clientOid": order.link_id,
        "type": kind,
        "status": {"open": "open", "match": "match"}.get(kind, "done"),
        "price": instrument.price_text(order.ticks) if order.ticks else "0",
        "size": instrument.quantity_text(order.lots),
        "filledSize": instrument.quantity_text(order.filled_lots),
        "remainSize": instrument.quantity_text(order.leaves if order.is_open else 0),
        "orderTime": order.created_ms,
        "ts": order.updated_ms * 1_000_000,
    }
    return row if fill is None else row | _match_fields(instrument, fill)


def _change_of(order: Order) -> str:
    if order.is_open:
        return "open"
    return "filled" if order.status is Status.FILLED else "canceled"


def _match_fields(instrument: Instrument, fill: Execution) -> Row:
    return {
        "tradeId": str(fill.seq),
        "matchPrice": instrument.price_text(fill.ticks),
        "matchSize": instrument.quantity_text(fill.lots),
        "filledSize": instrument.quantity_text(fill.order_lots - fill.leaves_lots),
        "remainSize": instrument.quantity_text(fill.leaves_lots),
        "liquidity": "maker" if fill.is_maker else "taker",
        "feeType": "makerFee" if fill.is_maker else "takerFee",
        "ts": fill.at_ms * 1_000_000,
    }
