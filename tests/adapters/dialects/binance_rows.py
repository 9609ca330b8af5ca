"""How Binance writes instruments, orders, trades and events; the numbers are the PaperVenue's."""

from decimal import Decimal
from typing import Any

from adapters.exchanges.paper.candles import Bar, next_bar_start
from adapters.exchanges.paper.catalogue import Listing
from adapters.exchanges.paper.clearing import Clearing
from adapters.exchanges.paper.market import MarketState, TapeEntry
from adapters.exchanges.paper.model import Account, Execution, Order, Position, Status, TimeInForce
from adapters.exchanges.paper.positions import entry_price
from adapters.exchanges.paper.wire_text import size_text
from engine.trading.instrument import Instrument, Market, amount_text
from tests.adapters.dialects.base import Row, Step

_STATUS = {
    Status.NEW: "NEW",
    Status.PARTIALLY_FILLED: "PARTIALLY_FILLED",
    Status.FILLED: "FILLED",
    Status.CANCELLED: "CANCELED",
    Status.PARTIALLY_FILLED_CANCELLED: "CANCELED",
    Status.REJECTED: "REJECTED",
}


def spot_symbol(listing: Listing) -> Row:
    """List a spot pair with its filters."""
    instrument = listing.instrument
    lot, most = f"{instrument.lot_size:f}", instrument.quantity_text(instrument.max_lots)
    return {
        "symbol": instrument.symbol,
        "status": "TRADING",
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "filters": [
            {"filterType": "PRICE_FILTER", **_price_filter(instrument)},
            {
                "filterType": "LOT_SIZE",
                "minQty": instrument.quantity_text(instrument.min_lots),
                "maxQty": most,
                "stepSize": lot,
            },
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": most, "stepSize": "0.00000000"},
            {"filterType": "NOTIONAL", "minNotional": f"{instrument.min_notional:f}", "applyMinToMarket": True},
        ],
    }


def futures_symbol(listing: Listing) -> Row:
    """List a perpetual with its filters; how far it may be levered is not told here."""
    instrument = listing.instrument
    lot = f"{instrument.lot_size:f}"
    least, most = instrument.quantity_text(instrument.min_lots), instrument.quantity_text(instrument.max_lots)
    market_most = instrument.quantity_text(instrument.max_market_lots)
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "pricePrecision": 2,
        "quantityPrecision": 3,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "filters": [
            {"filterType": "PRICE_FILTER", **_price_filter(instrument)},
            {"filterType": "LOT_SIZE", "minQty": least, "maxQty": most, "stepSize": lot},
            {"filterType": "MARKET_LOT_SIZE", "minQty": least, "maxQty": market_most, "stepSize": lot},
            {"filterType": "MIN_NOTIONAL", "notional": f"{instrument.min_notional:f}"},
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def _price_filter(instrument: Instrument) -> Row:
    most = min(instrument.max_ticks, 10**9)
    return {
        "minPrice": instrument.price_text(instrument.min_ticks),
        "maxPrice": instrument.price_text(most),
        "tickSize": f"{instrument.tick_size:f}",
    }


def ticker(state: MarketState) -> Row:
    """Write the figures of a day; only spot tells the best bid and ask."""
    instrument = state.instrument
    figures, last = state.day_figures(), state.last_ticks
    assert figures is not None
    assert last is not None
    row = {
        "symbol": instrument.symbol,
        "lastPrice": instrument.price_text(last),
        "openPrice": instrument.price_text(figures.open),
        "highPrice": instrument.price_text(figures.high),
        "lowPrice": instrument.price_text(figures.low),
        "volume": size_text(figures.volume),
        "closeTime": state.at_ms,
    }
    if instrument.market is Market.SPOT:
        row["bidPrice"] = instrument.price_text(state.best_bid() or 0)
        row["askPrice"] = instrument.price_text(state.best_ask() or 0)
    return row


def kline(instrument: Instrument, bar: Bar, interval: str) -> list[Any]:
    """Write a bar."""
    prices = [instrument.price_text(ticks) for ticks in (bar.open, bar.high, bar.low, bar.close)]
    end_ms = next_bar_start(bar.start_ms, interval) - 1
    return [bar.start_ms, *prices, size_text(bar.volume), end_ms, "0", 1, "0", "0", "0"]


def order(listing: Listing, order: Order) -> Row:
    """Write an order as REST does."""
    instrument = listing.instrument
    row = {
        "symbol": instrument.symbol,
        "orderId": order.seq,
        "clientOrderId": order.link_id,
        "price": instrument.price_text(order.ticks),
        "origQty": instrument.quantity_text(order.lots),
        "executedQty": instrument.quantity_text(order.filled_lots),
        "status": _status(order),
        "timeInForce": _time_in_force(order),
        "type": _type(order),
        "side": "BUY" if order.buy else "SELL",
        "stopPrice": "0",
        "time": order.created_ms,
        "updateTime": order.updated_ms,
    }
    value = amount_text(order.filled_tick_lots * instrument.value_per_tick_lot)
    if order.market is Market.SPOT:
        return row | {"orderListId": -1, "cummulativeQuoteQty": value, "isWorking": order.is_open}
    average = Decimal(order.filled_tick_lots) / (order.filled_lots or 1) * instrument.tick_size
    return row | {
        "avgPrice": f"{average:.5f}",
        "cumQuote": value,
        "reduceOnly": order.reduce_only,
        "closePosition": False,
        "positionSide": "BOTH",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": _type(order),
    }


def order_event(listing: Listing, order: Order, step: Step) -> Row:
    """Write a step of an order's life as its event."""
    if step.fill is not None:
        status = "FILLED" if step.filled_lots == order.lots else "PARTIALLY_FILLED"
        return _event(listing, order, "TRADE", status, step.filled_lots) | _fill(listing, step.fill)
    status = _status(order) if step.is_end else "NEW"
    return _event(listing, order, status, status, step.filled_lots)


def _event(listing: Listing, order: Order, what: str, status: str, filled_lots: int) -> Row:
    instrument = listing.instrument
    event = {
        "s": instrument.symbol,
        "c": order.link_id,
        "S": "BUY" if order.buy else "SELL",
        "o": _type(order),
        "f": _time_in_force(order),
        "q": instrument.quantity_text(order.lots),
        "p": instrument.price_text(order.ticks),
        "x": what,
        "X": status,
        "i": order.seq,
        "l": "0",
        "z": instrument.quantity_text(filled_lots),
        "L": "0",
        "n": "0",
        "N": None,
        "T": order.updated_ms,
        "t": -1,
        "m": False,
    }
    if order.market is Market.LINEAR:
        return event | {"ap": "0", "sp": "0", "R": order.reduce_only, "ps": "BOTH", "ot": _type(order), "rp": "0"}
    if what == "CANCELED":
        # A cancel has an id of its own, and names the order's beside it.
        event |= {"c": f"cancel-{order.seq}", "C": order.link_id}
    else:
        event["C"] = ""
    return event | {"P": "0", "F": "0", "g": -1, "r": "NONE", "w": True, "O": order.created_ms, "Q": "0"}


def _fill(listing: Listing, fill: Execution) -> Row:
    instrument = listing.instrument
    return {
        "l": instrument.quantity_text(fill.lots),
        "L": instrument.price_text(fill.ticks),
        "n": amount_text(fill.fee_units),
        "N": fill.fee_coin,
        "T": fill.at_ms,
        "t": fill.seq,
        "m": fill.is_maker,
        "Y": amount_text(instrument.value(fill.ticks, fill.lots)),
    }


def spot_trade(listing: Listing, fill: Execution, order_number: int) -> Row:
    """Write an execution as `myTrades` does; it does not name the client's id."""
    return _trade(listing, fill, order_number) | {
        "orderListId": -1,
        "isBuyer": fill.buy,
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


def futures_trade(listing: Listing, fill: Execution, order_number: int) -> Row:
    """Write an execution as `userTrades` does."""
    return _trade(listing, fill, order_number) | {
        "buyer": fill.buy,
        "maker": fill.is_maker,
        "side": "BUY" if fill.buy else "SELL",
        "positionSide": "BOTH",
        "realizedPnl": amount_text(fill.realised_units),
    }


def _trade(listing: Listing, fill: Execution, order_number: int) -> Row:
    instrument = listing.instrument
    return {
        "symbol": instrument.symbol,
        "id": fill.seq,
        "orderId": order_number,
        "price": instrument.price_text(fill.ticks),
        "qty": instrument.quantity_text(fill.lots),
        "quoteQty": amount_text(instrument.value(fill.ticks, fill.lots)),
        "commission": amount_text(fill.fee_units),
        "commissionAsset": fill.fee_coin,
        "time": fill.at_ms,
    }


def public_trade(instrument: Instrument, entry: TapeEntry) -> Row:
    """Write a trade of the tape; `m` says that the buyer was the maker."""
    trade = entry.trade
    return {
        "e": "trade",
        "E": trade.at_ms,
        "s": instrument.symbol,
        "t": entry.number,
        "p": instrument.price_text(trade.ticks),
        "q": size_text(trade.size),
        "T": trade.at_ms,
        "m": not trade.buyer_is_taker,
    } | ({"M": True} if instrument.market is Market.SPOT else {"X": "MARKET"})


def position(listing: Listing, position: Position, clearing: Clearing, account: Account) -> Row:
    """Write a position as the third version of `positionRisk` does: without its leverage."""
    instrument = listing.instrument
    entry = entry_price(position, listing) if position.lots else Decimal(0)
    amount = instrument.quantity_text(abs(position.lots))
    return {
        "symbol": instrument.symbol,
        "positionSide": "BOTH",
        "positionAmt": f"-{amount}" if position.lots < 0 else amount,
        "entryPrice": f"{entry.normalize():f}",
        "breakEvenPrice": "0",
        "markPrice": f"{entry.normalize():f}",
        "unRealizedProfit": amount_text(clearing.unrealised(position)),
        "liquidationPrice": "0",
        "isolatedMargin": "0",
        "notional": amount_text(
            (1 if position.lots > 0 else -1) * abs(position.cost) * instrument.value_per_tick_lot
        ),
        "marginAsset": instrument.quote,
        "isolatedWallet": "0",
        "initialMargin": amount_text(clearing.margin_used(account, position)),
        "maintMargin": "0",
        "updateTime": position.updated_ms,
    }


def bracket(listing: Listing) -> Row:
    """Write one bracket: this venue's margins do not depend on the size."""
    leverage, rate = int(listing.instrument.leverage_max), f"{listing.maintenance_rate:f}"
    level = {"bracket": 1, "initialLeverage": leverage, "notionalFloor": 0, "maintMarginRatio": rate, "cum": 0}
    return {"symbol": listing.instrument.symbol, "brackets": [level | {"notionalCap": 10**9}]}


def income(funding: Execution) -> Row:
    """Write a funding payment: what was paid is negative."""
    return {
        "symbol": funding.symbol,
        "incomeType": "FUNDING_FEE",
        "income": amount_text(-funding.fee_units),
        "asset": funding.fee_coin,
        "time": funding.at_ms,
        "info": "FUNDING_FEE",
        "tranId": funding.seq,
        "tradeId": "",
    }


def _status(order: Order) -> str:
    if order.status is Status.CANCELLED and order.is_market:
        return "EXPIRED"
    return _STATUS[order.status]


def _type(order: Order) -> str:
    if order.is_market:
        return "MARKET"
    is_maker_type = order.market is Market.SPOT and order.time_in_force is TimeInForce.POST_ONLY
    return "LIMIT_MAKER" if is_maker_type else "LIMIT"


def _time_in_force(order: Order) -> str:
    if order.time_in_force is TimeInForce.POST_ONLY:
        return "GTX" if order.market is Market.LINEAR else "GTC"
    return "GTC" if order.is_market else order.time_in_force.value
