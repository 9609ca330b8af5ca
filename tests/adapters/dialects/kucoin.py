"""KuCoin: spot of a classic account, through the `hf` orders that all classic accounts trade with.

Clients ask for a token first and bring it to the socket. An order's changes are told on `/spotMarket/tradeOrders`,
which names no fee; a post-only order that would take is taken in and cancelled, and nothing says why.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import msgspec
from aiohttp import web

from adapters.exchanges.paper.catalogue import Listing
from adapters.exchanges.paper.events import Level
from adapters.exchanges.paper.market import MarketState, TapeEntry
from adapters.exchanges.paper.model import Account, Execution, Order
from adapters.exchanges.paper.records import Changes
from adapters.exchanges.paper.requests import CreateOrder
from adapters.exchanges.paper.rows import rate_text
from adapters.exchanges.paper.wire_text import size_text
from engine.trading.instrument import Instrument, Market, amount_text
from engine.trading.orders import Side
from tests.adapters.dialects import kucoin_rows
from tests.adapters.dialects.base import (
    BAD_SIGNATURE,
    NO_SUCH_SYMBOL,
    Ask,
    Dialect,
    Line,
    No,
    Route,
    Row,
    json_response,
)

CANDLES = {"1min": "1", "3min": "3", "5min": "5", "15min": "15", "30min": "30", "1hour": "60", "4hour": "240"}
CODES = {
    "no_such_order": ("400100", "order_not_exist_or_not_allow_to_cancel"),
    "duplicate_link_id": ("126044", "clientOid duplicate"),
    "insufficient": ("200004", "Balance insufficient!"),
    "price_too_high": ("400370", "Max. price exceeded"),
    "above_price_cap": ("400370", "Max. price exceeded"),
    "price_too_low": ("400760", "order price should be more"),
    "below_price_floor": ("400760", "order price should be more"),
    "quantity_too_small": ("400100", "Order size below the minimum requirement."),
    "quantity_step": ("600100", "Order size increment invalid."),
    "below_minimum_value": ("600100", "Funds below the minimum requirement."),
    "too_many_orders": ("126011", "There are too many orders in the order"),
    NO_SUCH_SYMBOL: ("400100", "Unsupported trading pair."),
    BAD_SIGNATURE: ("400005", "Invalid KC-API-SIGN"),
}
TOKENS = {"public": "token-of-nobody", "private": "token-of-the-account"}
_ORDERS = "/spotMarket/tradeOrders"


class KucoinDialect(Dialect):
    """KuCoin."""

    exchange = "kucoin"
    doors: ClassVar[Mapping[str, str]] = {"/endpoint/public": "public", "/endpoint/private": "private"}

    def symbol(self, instrument: Instrument) -> str:
        """Spell a pair."""
        return kucoin_rows.symbol_of(instrument)

    def routes(self) -> Iterable[Route]:
        """List the addresses that are spoken here."""
        orders = "/api/v1/hf/orders"
        return [
            Route("GET", "/api/v1/timestamp", lambda ask: self.core.now_ms(), signed=False),
            Route("GET", "/api/v2/symbols", self._symbols, signed=False),
            Route("GET", "/api/v1/market/stats", self._stats, signed=False),
            Route("GET", "/api/v1/market/orderbook/level2_{limit:20|100}", self._book, signed=False),
            Route("GET", "/api/v1/market/candles", self._candles, signed=False),
            Route("POST", "/api/v1/bullet-public", lambda ask: self._token("public"), signed=False),
            Route("POST", "/api/v1/bullet-private", lambda ask: self._token("private")),
            Route("GET", "/api/v3/margin/symbols", lambda ask: {"timestamp": self.core.now_ms(), "items": []}),
            Route("GET", "/api/v1/isolated/symbols", lambda ask: []),
            Route("GET", "/api/v1/accounts", self._accounts),
            Route("GET", "/api/v1/trade-fees", self._fees),
            Route("GET", "/api/v1/user/api-key", self._key),
            Route("POST", orders, self._place, operation="order.create"),
            Route("GET", f"{orders}/active", self._active),
            Route("GET", f"{orders}/client-order/{{link_id}}", lambda ask: self._row(self._asked(ask))),
            Route("DELETE", f"{orders}/client-order/{{link_id}}", self._cancel_order, operation="order.cancel"),
            Route("GET", f"{orders}/{{order_id}}", lambda ask: self._row(self._asked(ask))),
            Route("GET", "/api/v1/hf/fills", self._fills),
        ]

    # ------------------------------------------------------------------ envelopes

    def authenticate(self, ask: Ask) -> Account:
        """Check key, sealed passphrase and the signature over time, method, path with query, and body."""
        headers = ask.request.headers
        said = headers.get("KC-API-TIMESTAMP", "") + ask.method + ask.request.raw_path
        expected = {
            "KC-API-KEY": self.api_key.key,
            "KC-API-KEY-VERSION": "2",
            "KC-API-PASSPHRASE": self._seal(self.api_key.passphrase.encode()),
            "KC-API-SIGN": self._seal(said.encode() + ask.body),
        }
        if any(headers.get(name) != value for name, value in expected.items()):
            raise No(BAD_SIGNATURE, "key, passphrase or signature is wrong")
        return self.core.records.by_key[self.api_key.key]

    def reply(self, answer: Any) -> web.Response:
        """Wrap an answer."""
        return json_response({"code": "200000", "data": answer})

    def refusal(self, ask: Ask, meaning: str, message: str) -> web.Response:
        """Refuse by a code, with status 200 but for signatures."""
        code, text = CODES.get(meaning, ("400100", message))
        return json_response({"code": code, "msg": text}, 401 if meaning == BAD_SIGNATURE else 200)

    def server_error(self) -> web.Response:
        """Say that something broke."""
        return json_response({"code": "500000", "msg": "Internal Server Error"}, 500)

    def _seal(self, said: bytes) -> str:
        return base64.b64encode(hmac.new(self.api_key.secret.encode(), said, hashlib.sha256).digest()).decode()

    # ------------------------------------------------------------------ markets

    def _symbols(self, ask: Ask) -> Any:
        return [kucoin_rows.pair_row(listing) for listing in self.listings(Market.SPOT)]

    def _state(self, ask: Ask) -> MarketState:
        return self.core.board.of(self._listing(ask).instrument)

    def _listing(self, ask: Ask) -> Listing:
        return self.find(Market.SPOT, ask.text("symbol"))

    def _stats(self, ask: Ask) -> Any:
        state = self._state(ask)
        instrument, figures, last = state.instrument, state.day_figures(), state.last_ticks
        bid, ask_ticks = state.best_bid(), state.best_ask()
        if figures is None or last is None or bid is None or ask_ticks is None:
            return {"time": state.at_ms, "symbol": self.symbol(instrument)}
        return {
            "time": state.at_ms,
            "symbol": self.symbol(instrument),
            "buy": instrument.price_text(bid),
            "sell": instrument.price_text(ask_ticks),
            "last": instrument.price_text(last),
            "high": instrument.price_text(figures.high),
            "low": instrument.price_text(figures.low),
            "vol": size_text(figures.volume),
        }

    def _book(self, ask: Ask) -> Any:
        state, count = self._state(ask), int(ask.path_part("limit"))

        def side(levels: Iterable[Level]) -> list[list[str]]:
            return [[state.instrument.price_text(ticks), size_text(size)] for ticks, size in levels]

        book = {"sequence": str(state.update_id), "time": state.at_ms}
        return book | {"bids": side(state.depth(Side.BUY, count)), "asks": side(state.depth(Side.SELL, count))}

    def _candles(self, ask: Ask) -> Any:
        """Answer bars newest first, their times in seconds: start, open, close, high, low, volume, turnover."""
        state = self._state(ask)
        price = state.instrument.price_text
        start_ms, end_ms = ask.number("startAt", 0) * 1_000, ask.number("endAt", 0) * 1_000
        bars = state.candles.query(CANDLES[ask.text("type")], start_ms, end_ms, 1_500)
        return [
            [
                str(bar.start_ms // 1_000),
                *(price(ticks) for ticks in (bar.open, bar.close, bar.high, bar.low)),
                size_text(bar.volume),
                "0",
            ]
            for bar in bars
        ]

    # ------------------------------------------------------------------ the account

    def _accounts(self, ask: Ask) -> Any:
        coins = ask.account.wallet.coins
        return [
            {
                "id": coin,
                "currency": coin,
                "type": "trade_hf",
                "balance": amount_text(ask.account.coin(coin)),
                "available": self.free_text(ask.account, coin),
                "holds": amount_text(ask.account.locked.get(coin, 0)),
            }
            for coin in coins
            if ask.text("type") == "trade_hf"
        ]

    def _fees(self, ask: Ask) -> Any:
        fees = ask.account.wallet.fees[Market.SPOT]
        rates = {"takerFeeRate": rate_text(fees.taker), "makerFeeRate": rate_text(fees.maker)}
        return [{"symbol": ask.text("symbols")} | rates]

    def _key(self, ask: Ask) -> Any:
        key = {"apiKey": self.api_key.key, "apiVersion": 3, "remark": "suite", "uid": ask.account.uid}
        return key | {"permission": "General,Spot", "ipWhitelist": "127.0.0.1", "isMaster": True}

    # ------------------------------------------------------------------ orders

    def _place(self, ask: Ask) -> Any:
        instrument = self._listing(ask).instrument
        is_market = ask.text("type") == "market"
        request = CreateOrder(
            category=Market.SPOT.value,
            symbol=instrument.symbol,
            side=ask.text("side").capitalize(),
            order_type="Market" if is_market else "Limit",
            qty=ask.text("size"),
            price=ask.text("price") or None,
            time_in_force="PostOnly" if ask.params.get("postOnly") else ask.text("timeInForce") or "GTC",
            order_link_id=ask.text("clientOid"),
            market_unit="baseCoin",
        )
        order = self.place(ask.account, request, refuse_takers=False)
        return {"orderId": kucoin_rows.order_id_of(order), "clientOid": order.link_id}

    def _asked(self, ask: Ask) -> Order:
        known = ask.request.match_info
        number = str(int(known["order_id"], 16)) if "order_id" in known else ""
        return self.order(ask.account, self._listing(ask), known.get("link_id", ""), number)

    def _cancel_order(self, ask: Ask) -> Any:
        return {"clientOid": self.cancel(ask.account, self._asked(ask)).link_id}

    def _active(self, ask: Ask) -> Any:
        """Answer every open order at once, the newest first."""
        orders = self.open_orders(ask.account, self._listing(ask))
        return [self._row(order) for order in reversed(orders)]

    def _row(self, order: Order) -> Row:
        return kucoin_rows.order_row(self.listing_of(order).instrument, order)

    def _fills(self, ask: Ask) -> Any:
        """Answer fills, newest first."""
        listing = self._listing(ask)
        fills = self.executions(ask.account, listing, ask.number("startAt", 0), ask.number("endAt", 2**53))
        chosen = fills[::-1][: min(ask.number("limit", 20), 100)]
        known = ask.account.by_id
        rows = [kucoin_rows.fill_row(listing.instrument, known[fill.order_id], fill) for fill in chosen]
        return {"items": rows, "lastId": 0}

    # ------------------------------------------------------------------ streams

    def _token(self, kind: str) -> Any:
        server = {
            "endpoint": f"{self.address.replace('http', 'ws')}/endpoint/{kind}",
            "protocol": "websocket",
            "encrypt": False,
            "pingInterval": 18_000,
            "pingTimeout": 10_000,
        }
        return {"token": TOKENS[kind], "instanceServers": [server]}

    def on_open(self, line: Line) -> None:
        """Greet who brings the right token; it says whose account it is."""
        if line.query.get("token") != TOKENS[line.kind]:
            line.send({"id": "1", "type": "error", "code": 401, "data": "token is invalid"})
            return
        if line.kind == "private":
            line.account = self.core.records.by_key[self.api_key.key]
        line.send({"id": line.query.get("connectId", ""), "type": "welcome"})

    def on_message(self, line: Line, text: str) -> None:
        """Hear pings and subscriptions; one of them may name several pairs."""
        said = msgspec.json.decode(text)
        match said["type"]:
            case "ping":
                line.send({"id": said["id"], "type": "pong"})
            case "subscribe" | "unsubscribe" as kind:
                channel, colon, symbols = said["topic"].partition(":")
                topics = {f"{channel}{colon}{symbol}" for symbol in symbols.split(",")}
                line.topics = line.topics | topics if kind == "subscribe" else line.topics - topics
                line.send({"id": said["id"], "type": "ack"})

    def on_trade(self, state: MarketState, entry: TapeEntry) -> None:
        """Tell who follows the matches of a pair."""
        if state.instrument.market is not Market.SPOT:
            return
        topic = f"/market/match:{self.symbol(state.instrument)}"
        data = kucoin_rows.match_row(state, entry)
        for line in self.listeners("public", topic):
            line.send({"type": "message", "topic": topic, "subject": "trade.l3match", "data": data})

    def on_changes(self, account: Account, changes: Changes) -> None:
        """Tell each match, and then that an order rests or has ended."""
        for fill in changes.executions:
            if fill.market is Market.SPOT:
                self._tell(account, account.by_id[fill.order_id], fill)
        filled = {fill.order_id for fill in changes.executions}
        for order in changes.orders.values():
            if order.market is Market.SPOT and not (order.is_open and order.order_id in filled):
                self._tell(account, order)

    def _tell(self, account: Account, order: Order, fill: Execution | None = None) -> None:
        data = kucoin_rows.change_row(self.listing_of(order).instrument, order, fill)
        message = {"type": "message", "topic": _ORDERS, "subject": "orderChange", "channelType": "private"}
        for line in self.listeners("private", _ORDERS):
            if line.account is account and not self.core.faults.swallow():
                line.send(message | {"data": data})
