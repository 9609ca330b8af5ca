"""MEXC's dialect: spot under `/api/v3`, which is much like Binance's, and streams that speak protobuf.

Where MEXC does not document what it answers, that is said beside the line. The stream's messages are written with
the classes that were generated from MEXC's own description and come with ccxt.
"""

import hmac
import itertools
from collections.abc import Iterable
from decimal import Decimal
from hashlib import sha256
from typing import Any, ClassVar

import msgspec
from aiohttp import web
from ccxt.protobuf.mexc.PushDataV3ApiWrapper_pb2 import PushDataV3ApiWrapper

from adapters.exchanges.paper.candles import next_bar_start
from adapters.exchanges.paper.catalogue import Listing
from adapters.exchanges.paper.market import MarketState, TapeEntry
from adapters.exchanges.paper.model import Account, Execution, Order, Status, TimeInForce
from adapters.exchanges.paper.records import Changes
from adapters.exchanges.paper.requests import CreateOrder
from adapters.exchanges.paper.rows import rate_text
from adapters.exchanges.paper.server import PaperVenue
from adapters.exchanges.paper.wire_text import size_text
from adapters.secrets.keys import ApiKey
from engine.trading.instrument import Market, amount_text
from engine.trading.orders import Side
from tests.adapters.dialects.base import (
    BAD_SIGNATURE,
    PARAMETER,
    Ask,
    Dialect,
    Line,
    No,
    Route,
    Row,
    Step,
    json_response,
)

REFUSED: dict[str, tuple[int, str]] = {
    "no_such_symbol": (-1121, "Invalid symbol."),
    # Not documented; this API is Binance's in all else, so are the words.
    "duplicate_link_id": (-2010, "Duplicate order sent."),
    "insufficient": (30004, "Insufficient position"),
    "quantity_too_small": (30002, "The minimum transaction volume cannot be less than:5USDT"),
    "below_minimum_value": (30002, "The minimum transaction volume cannot be less than:5USDT"),
    "quantity_too_large": (30003, "The maximum transaction volume cannot be greater than:8000000USDT"),
    "above_price_cap": (30087, "Order price exceeds allowed range"),
    "below_price_floor": (30087, "Order price exceeds allowed range"),
    "too_many_orders": (30029, "Cannot exceed the maximum order limit"),
    BAD_SIGNATURE: (700002, "Signature for this request is not valid."),
    PARAMETER: (700008, "Illegal characters found in parameter"),
}
BARS = {"1m": "1", "5m": "5", "15m": "15", "30m": "30", "60m": "60", "4h": "240", "1d": "D"}
"""Its bars in the PaperVenue's words; there are none of three minutes."""
ORDERS, DEALS = "spot@private.orders.v3.api.pb", "spot@private.deals.v3.api.pb"
TRADES_KEPT_MS = 30 * 86_400_000
NEW, FILLED, PARTIALLY_FILLED, CANCELLED, PARTIALLY_CANCELLED = 1, 2, 3, 4, 5


class MexcDialect(Dialect):
    """MEXC spot."""

    exchange = "mexc"
    doors: ClassVar = {"/ws": "public"}

    def __init__(self, venue: PaperVenue, api_key: ApiKey) -> None:
        super().__init__(venue, api_key)
        self._listen_keys = (f"listen-{number}" for number in itertools.count(1))

    def routes(self) -> Iterable[Route]:
        """List the REST addresses."""
        # ccxt asks for the contracts in any case.
        yield Route("GET", "/api/v1/contract/detail", lambda ask: {"success": True, "data": []}, signed=False)
        yield Route("GET", "/api/v3/exchangeInfo", self._exchange_info, signed=False)
        yield Route("GET", "/api/v3/time", lambda ask: {"serverTime": self.core.now_ms()}, signed=False)
        yield Route("GET", "/api/v3/ticker/24hr", self._ticker, signed=False)
        yield Route("GET", "/api/v3/depth", self._depth, signed=False)
        yield Route("GET", "/api/v3/klines", self._klines, signed=False)
        yield Route("POST", "/api/v3/order", self._place, operation="order.create")
        yield Route("DELETE", "/api/v3/order", self._cancel, operation="order.cancel")
        yield Route("GET", "/api/v3/order", lambda ask: self._order_row(self._named(ask)))
        yield Route("GET", "/api/v3/openOrders", self._open_orders)
        yield Route("GET", "/api/v3/myTrades", self._trades)
        yield Route("GET", "/api/v3/account", self._account)
        yield Route("GET", "/api/v3/tradeFee", self._fees)
        yield Route("POST", "/api/v3/userDataStream", lambda ask: {"listenKey": next(self._listen_keys)})

    # ------------------------------------------------------------------ who asks, and how to say no

    def authenticate(self, ask: Ask) -> Account:
        """Check the key in the header and the signature at the end of the query, where all parameters travel."""
        account = self.core.records.by_key.get(ask.request.headers.get("X-MEXC-APIKEY", ""))
        signed, _, signature = ask.raw_query.rpartition("&signature=")
        if account is None:
            raise No(BAD_SIGNATURE, "no such key")
        expected = hmac.new(account.wallet.secret.encode(), signed.encode(), sha256).hexdigest()
        if not hmac.compare_digest(expected, signature):
            raise No(BAD_SIGNATURE, "wrong signature")
        return account

    def refusal(self, ask: Ask, meaning: str, message: str) -> web.Response:
        """Say no with status 400, a number and words."""
        if meaning == "no_such_order":
            is_query = ask.method == "GET"
            code, words = (-2013, "Order does not exist.") if is_query else (-2011, "Unknown order sent.")
        else:
            code, words = REFUSED.get(meaning, REFUSED[PARAMETER])
        return json_response({"msg": words, "code": code}, 400)

    def server_error(self) -> web.Response:
        """Say that something broke; the documentation says that the outcome is then unknown."""
        return json_response({"msg": "Internal error", "code": 500}, 500)

    # ------------------------------------------------------------------ public

    def _exchange_info(self, ask: Ask) -> Row:
        return {"timezone": "CST", "symbols": [_symbol(listing) for listing in self.listings(Market.SPOT)]}

    def _state(self, ask: Ask) -> MarketState:
        return self.core.board.of(self.find(Market.SPOT, ask.text("symbol")).instrument)

    def _ticker(self, ask: Ask) -> Row:
        state = self._state(ask)
        price = state.instrument.price_text
        return {
            "symbol": state.instrument.symbol,
            "lastPrice": price(state.last_ticks or 0),
            "bidPrice": price(state.best_bid() or 0),
            "bidQty": "",
            "askPrice": price(state.best_ask() or 0),
            "askQty": "",
            "closeTime": state.at_ms,
            "count": None,
        }

    def _depth(self, ask: Ask) -> Row:
        state, limit = self._state(ask), ask.number("limit", 100)
        price = state.instrument.price_text
        sides = {
            name: [[price(ticks), size_text(size)] for ticks, size in state.depth(side, limit)]
            for name, side in (("bids", Side.BUY), ("asks", Side.SELL))
        }
        return {"lastUpdateId": state.update_id, **sides, "timestamp": state.at_ms}

    def _klines(self, ask: Ask) -> list[list[Any]]:
        state, interval = self._state(ask), BARS.get(ask.text("interval"))
        if interval is None:
            raise No(PARAMETER, "interval")
        price = state.instrument.price_text
        bars = state.candles.query(interval, ask.number("startTime", 0), None, ask.number("limit", 500))
        return [
            [
                bar.start_ms,
                *(price(ticks) for ticks in (bar.open, bar.high, bar.low, bar.close)),
                size_text(bar.volume),
                next_bar_start(bar.start_ms, interval),
                "0",
            ]
            for bar in reversed(bars)
        ]

    # ------------------------------------------------------------------ orders

    def _place(self, ask: Ask) -> Row:
        kind, side = ask.text("type"), ask.text("side")
        if kind == "MARKET" and side == "BUY" and not ask.text("quoteOrderQty"):
            raise No(PARAMETER, "a market buy names what it spends")
        request = CreateOrder(
            category=Market.SPOT.value,
            symbol=self.find(Market.SPOT, ask.text("symbol")).instrument.symbol,
            side=side.capitalize(),
            order_type="Market" if kind == "MARKET" else "Limit",
            qty=ask.text("quantity"),
            price=ask.text("price") or None,
            time_in_force="PostOnly" if kind == "LIMIT_MAKER" else None,
            order_link_id=ask.text("newClientOrderId"),
            market_unit="baseCoin",
        )
        # A post-only order that would take "will be rejected"; whether by the answer is not documented, so here
        # the order is taken and ends at once, which is the harder of the two to understand.
        order = self.place(ask.account, request, refuse_takers=False)
        listing = self.listing_of(order)
        return {
            "symbol": order.symbol,
            "orderId": _order_id(order.seq),
            "orderListId": -1,
            "price": listing.instrument.price_text(order.ticks),
            "origQty": listing.instrument.quantity_text(order.lots),
            "type": kind,
            "side": side,
            "transactTime": order.created_ms,
        }

    def _cancel(self, ask: Ask) -> Row:
        row = self._order_row(self.cancel(ask.account, self._named(ask)))
        return {name: row[name] for name in ("symbol", "orderId", "price", "origQty", "type", "side")}

    def _named(self, ask: Ask) -> Order:
        listing = self.find(Market.SPOT, ask.text("symbol"))
        number = ask.text("orderId").removeprefix(_order_id(0)[:-1])
        return self.order(ask.account, listing, ask.text("origClientOrderId"), number)

    def _open_orders(self, ask: Ask) -> list[Row]:
        listing = self.find(Market.SPOT, ask.text("symbol"))
        return [self._order_row(order) for order in self.open_orders(ask.account, listing)]

    def _order_row(self, order: Order) -> Row:
        instrument = self.listing_of(order).instrument
        return {
            "symbol": order.symbol,
            "orderId": _order_id(order.seq),
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

    def _trades(self, ask: Ask) -> list[Row]:
        """List the newest of the span."""
        listing = self.find(Market.SPOT, ask.text("symbol"))
        now_ms, limit = self.core.now_ms(), ask.number("limit", 500)
        start_ms = ask.number("startTime", now_ms - TRADES_KEPT_MS)
        found = self.executions(ask.account, listing, start_ms, ask.number("endTime", now_ms))
        return [_trade(listing, each, ask.account.by_id[each.order_id]) for each in found[: -limit - 1 : -1]]

    # ------------------------------------------------------------------ the account

    def _account(self, ask: Ask) -> Row:
        locked = ask.account.locked
        coins = [
            {
                "asset": coin,
                "free": amount_text(units - locked.get(coin, 0)),
                "locked": amount_text(locked.get(coin, 0)),
            }
            for coin, units in sorted(ask.account.wallet.coins.items())
        ]
        rights = {"canTrade": True, "canWithdraw": True, "canDeposit": True, "permissions": ["SPOT"]}
        return {**rights, "updateTime": None, "accountType": "SPOT", "balances": coins}

    def _fees(self, ask: Ask) -> Row:
        fees = ask.account.wallet.fees[Market.SPOT]
        rates = {
            "makerCommission": float(rate_text(fees.maker)),
            "takerCommission": float(rate_text(fees.taker)),
        }
        return {"data": rates, "code": 0, "msg": "success", "timestamp": self.core.now_ms()}

    # ------------------------------------------------------------------ streams

    def on_open(self, line: Line) -> None:
        """Know the account of a listen key."""
        if line.query.get("listenKey", "").startswith("listen-"):
            line.kind = "private"
            line.account = self.core.records.by_key[self.api_key.key]

    def on_message(self, line: Line, text: str) -> None:
        """Subscribe, unsubscribe, or answer a ping."""
        command = msgspec.json.decode(text)
        match command["method"]:
            case "ping":
                line.send({"id": 0, "code": 0, "msg": "PONG"})
                return
            case "SUBSCRIPTION":
                line.topics.update(command["params"])
            case "UNSUBSCRIPTION":
                line.topics.difference_update(command["params"])
        line.send({"id": 0, "code": 0, "msg": ",".join(command["params"])})

    def on_trade(self, state: MarketState, entry: TapeEntry) -> None:
        """Print a trade on the stream of aggregated deals, which the exchange gathers for a tenth of a second."""
        if state.instrument.market is not Market.SPOT:
            return
        symbol, trade = state.instrument.symbol, entry.trade
        channel = f"spot@public.aggre.deals.v3.api.pb@100ms@{symbol}"
        push = PushDataV3ApiWrapper(channel=channel, symbol=symbol, sendTime=trade.at_ms)
        push.publicAggreDeals.eventType = "spot@public.aggre.deals.v3.api.pb@100ms"
        push.publicAggreDeals.deals.add(
            price=state.instrument.price_text(trade.ticks),
            quantity=size_text(trade.size),
            tradeType=1 if trade.buyer_is_taker else 2,
            time=trade.at_ms,
        )
        for line in self.listeners("public", channel):
            line.send(push.SerializeToString())

    def on_changes(self, account: Account, changes: Changes) -> None:
        """Push each step of an order's life, and each of its deals before the step that it led to."""
        for order in changes.orders.values():
            if order.market is not Market.SPOT:
                continue
            for step in self.steps(order, changes):
                if step.fill is not None:
                    self._push(account, DEALS, self._deal_message(order, step.fill))
                self._push(account, ORDERS, self._order_message(order, step))

    def _push(self, account: Account, channel: str, push: PushDataV3ApiWrapper) -> None:
        for line in self.listeners("private", channel):
            if line.account is account:
                line.send(push.SerializeToString())

    def _order_message(self, order: Order, step: Step) -> PushDataV3ApiWrapper:
        instrument = self.listing_of(order).instrument
        remaining = 0 if step.is_end else order.lots - step.filled_lots
        push = PushDataV3ApiWrapper(channel=ORDERS, symbol=order.symbol, sendTime=order.updated_ms)
        told = push.privateOrders
        told.id, told.clientId = _order_id(order.seq), order.link_id
        told.price = instrument.price_text(order.ticks)
        told.quantity = instrument.quantity_text(order.lots)
        told.amount = amount_text(instrument.value(order.ticks, order.lots))
        told.avgPrice = f"{_average(order) * instrument.tick_size:f}"
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
        return push

    def _deal_message(self, order: Order, fill: Execution) -> PushDataV3ApiWrapper:
        instrument = self.listing_of(order).instrument
        push = PushDataV3ApiWrapper(channel=DEALS, symbol=order.symbol, sendTime=fill.at_ms)
        told = push.privateDeals
        told.price = instrument.price_text(fill.ticks)
        told.quantity = instrument.quantity_text(fill.lots)
        told.amount = amount_text(instrument.value(fill.ticks, fill.lots))
        told.tradeType = 1 if fill.buy else 2
        told.isMaker = fill.is_maker
        told.tradeId = _trade_id(fill)
        told.clientOrderId = order.link_id
        told.orderId = _order_id(order.seq)
        told.feeAmount = amount_text(fill.fee_units)
        told.feeCurrency = fill.fee_coin
        told.time = fill.at_ms
        return push


_STATUS = {
    Status.NEW: "NEW",
    Status.PARTIALLY_FILLED: "PARTIALLY_FILLED",
    Status.FILLED: "FILLED",
    Status.CANCELLED: "CANCELED",
    Status.PARTIALLY_FILLED_CANCELLED: "PARTIALLY_CANCELED",
    Status.REJECTED: "CANCELED",
}


def _order_id(seq: int) -> str:
    return f"C02__{seq}"


def _trade_id(fill: Execution) -> str:
    return f"{fill.seq}X1"


def _type(order: Order) -> str:
    if order.is_market:
        return "MARKET"
    return "LIMIT_MAKER" if order.time_in_force is TimeInForce.POST_ONLY else "LIMIT"


def _average(order: Order) -> Decimal:
    return Decimal(order.filled_tick_lots) / (order.filled_lots or 1)


def _stream_status(order: Order, step: Step) -> int:
    if step.is_end:
        return PARTIALLY_CANCELLED if step.filled_lots else CANCELLED
    if step.filled_lots == order.lots:
        return FILLED
    return PARTIALLY_FILLED if step.filled_lots else NEW


def _symbol(listing: Listing) -> Row:
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


def _trade(listing: Listing, fill: Execution, order: Order) -> Row:
    instrument = listing.instrument
    return {
        "symbol": fill.symbol,
        "id": _trade_id(fill),
        "orderId": _order_id(order.seq),
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
