"""MEXC's dialect: spot under `/api/v3`, which is much like Binance's, and streams that speak protobuf.

Where MEXC does not document what it answers, that is said beside the line.
"""

import hmac
import itertools
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, ClassVar

import msgspec
from aiohttp import web

from adapters.exchanges.paper.candles import next_bar_start
from adapters.exchanges.paper.market import MarketState, TapeEntry
from adapters.exchanges.paper.model import Account, Order
from adapters.exchanges.paper.records import Changes
from adapters.exchanges.paper.requests import CreateOrder
from adapters.exchanges.paper.rows import rate_text
from adapters.exchanges.paper.server import PaperVenue
from adapters.exchanges.paper.wire_text import size_text
from adapters.secrets.keys import ApiKey
from engine.trading.instrument import Market, amount_text
from engine.trading.orders import Side
from tests.adapters.dialects import mexc_rows as rows
from tests.adapters.dialects.base import (
    BAD_SIGNATURE,
    PARAMETER,
    Ask,
    Dialect,
    Line,
    No,
    Route,
    Row,
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
TRADES_KEPT_MS = 30 * 86_400_000


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
        yield Route("GET", "/api/v3/order", lambda ask: self._row(self._named(ask)))
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
        return {"timezone": "CST", "symbols": [rows.symbol(listing) for listing in self.listings(Market.SPOT)]}

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
            "orderId": rows.order_id(order.seq),
            "orderListId": -1,
            "price": listing.instrument.price_text(order.ticks),
            "origQty": listing.instrument.quantity_text(order.lots),
            "type": kind,
            "side": side,
            "transactTime": order.created_ms,
        }

    def _cancel(self, ask: Ask) -> Row:
        row = self._row(self.cancel(ask.account, self._named(ask)))
        return {name: row[name] for name in ("symbol", "orderId", "price", "origQty", "type", "side")}

    def _named(self, ask: Ask) -> Order:
        listing = self.find(Market.SPOT, ask.text("symbol"))
        number = rows.order_number(ask.text("orderId"))
        return self.order(ask.account, listing, ask.text("origClientOrderId"), number)

    def _row(self, order: Order) -> Row:
        return rows.order(self.listing_of(order).instrument, order)

    def _open_orders(self, ask: Ask) -> list[Row]:
        listing = self.find(Market.SPOT, ask.text("symbol"))
        return [self._row(order) for order in self.open_orders(ask.account, listing)]

    def _trades(self, ask: Ask) -> list[Row]:
        """List the newest of the span."""
        listing = self.find(Market.SPOT, ask.text("symbol"))
        now_ms, limit = self.core.now_ms(), ask.number("limit", 500)
        start_ms = ask.number("startTime", now_ms - TRADES_KEPT_MS)
        found = self.executions(ask.account, listing, start_ms, ask.number("endTime", now_ms))
        return [
            rows.trade(listing.instrument, each, ask.account.by_id[each.order_id])
            for each in found[: -limit - 1 : -1]
        ]

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
        """Print a trade on the stream of aggregated deals."""
        instrument = state.instrument
        if instrument.market is Market.SPOT:
            for line in self.listeners("public", f"{rows.TRADES}@{instrument.symbol}"):
                line.send(rows.public_trade(instrument, entry))

    def on_changes(self, account: Account, changes: Changes) -> None:
        """Push each step of an order's life, and each of its deals before the step that it led to."""
        for order in changes.orders.values():
            if order.market is not Market.SPOT:
                continue
            instrument = self.listing_of(order).instrument
            for step in self.steps(order, changes):
                if step.fill is not None:
                    self._push(account, rows.DEALS, rows.deal_message(instrument, order, step.fill))
                self._push(account, rows.ORDERS, rows.order_message(instrument, order, step))

    def _push(self, account: Account, channel: str, message: bytes) -> None:
        for line in self.listeners("private", channel):
            if line.account is account:
                line.send(message)
