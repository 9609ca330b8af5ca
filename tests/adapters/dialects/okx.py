"""OKX: the V5 API over REST and WebSocket, spot and USDT-margined swaps of one account in net mode.

Orders and fills are told on the `orders` channel, once for each subscription that they fit, as OKX does.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, ClassVar

import msgspec
from aiohttp import web

from adapters.exchanges.paper.catalogue import Listing
from adapters.exchanges.paper.codes import LEVERAGE_UNCHANGED, Refused
from adapters.exchanges.paper.market import MarketState, TapeEntry
from adapters.exchanges.paper.model import Account, Execution, Order, Status
from adapters.exchanges.paper.records import Changes
from adapters.exchanges.paper.requests import CreateOrder
from adapters.exchanges.paper.rows import Rows, rate_text
from adapters.exchanges.paper.server import PaperVenue
from adapters.secrets.keys import ApiKey
from engine.trading.instrument import Instrument, Market, amount_text
from engine.trading.orders import Side
from tests.adapters.dialects import okx_rows
from tests.adapters.dialects.base import (
    BAD_SIGNATURE,
    NO_SUCH_SYMBOL,
    PARAMETER,
    Ask,
    Dialect,
    Line,
    No,
    Route,
    json_response,
)

MARKETS = {okx_rows.kind_of(market): market for market in Market}
TIMES_IN_FORCE = {"limit": "GTC", "post_only": "PostOnly", "ioc": "IOC", "fok": "FOK", "market": None}
BARS = {"1m": "1", "3m": "3", "5m": "5", "15m": "15", "30m": "30", "1H": "60", "4H": "240", "1Dutc": "D"}
CODES = {
    "no_such_order": ("51603", "Order does not exist"),
    "duplicate_link_id": ("51016", "Client order ID already exists."),
    "insufficient": ("51008", "Order failed. Insufficient balance in account."),
    "price_too_high": ("51006", "Order price is not within the price limit."),
    "price_too_low": ("51006", "Order price is not within the price limit."),
    "above_price_cap": ("51006", "Order price is not within the price limit."),
    "below_price_floor": ("51006", "Order price is not within the price limit."),
    "quantity_too_large": ("51005", "Your order amount exceeds the max order amount."),
    "quantity_too_small": ("51020", "Your order should meet or exceed the minimum order amount."),
    "below_minimum_value": ("51020", "Your order should meet or exceed the minimum order amount."),
    "quantity_step": ("51121", "Order quantity must be a multiple of the lot size."),
    "too_many_orders": ("51174", "The number of pending orders reached the upper limit."),
    "orders_open": ("59000", "Setting failed. Cancel any open orders, close positions, and stop bots first."),
    NO_SUCH_SYMBOL: ("51001", "Instrument ID does not exist."),
    BAD_SIGNATURE: ("50113", "Invalid Sign"),
}
CANCEL_REFUSED = ("51400", "Order cancellation failed as the order has been filled, canceled or does not exist.")
_PLACE, _CANCEL = "/api/v5/trade/batch-orders", "/api/v5/trade/cancel-order"


class OkxDialect(Dialect):
    """OKX."""

    exchange = "okx"
    doors: ClassVar[Mapping[str, str]] = {"/ws/v5/public": "public", "/ws/v5/private": "private"}

    def __init__(self, venue: PaperVenue, api_key: ApiKey) -> None:
        super().__init__(venue, api_key)
        self._paper_rows = Rows(self.core.listings, self.core.clearing, self.core.board)

    def symbol(self, instrument: Instrument) -> str:
        """Spell an instrument as `instId` does."""
        return okx_rows.symbol_of(instrument)

    def routes(self) -> Iterable[Route]:
        """List the addresses of the V5 API that are spoken here."""
        public, private = "/api/v5/public", "/api/v5/account"
        return [
            Route("GET", f"{public}/time", lambda ask: [{"ts": str(self.core.now_ms())}], signed=False),
            Route("GET", f"{public}/instruments", self._instruments, signed=False),
            Route("GET", "/api/v5/market/ticker", self._ticker, signed=False),
            Route("GET", "/api/v5/market/books", self._book, signed=False),
            Route("GET", "/api/v5/market/candles", self._candles, signed=False),
            Route("POST", _PLACE, self._place, operation="order.create"),
            Route("POST", _CANCEL, self._cancel_order, operation="order.cancel"),
            Route("GET", "/api/v5/trade/order", lambda ask: [self._row(self._asked(ask))]),
            Route("GET", "/api/v5/trade/orders-pending", self._pending),
            Route("GET", "/api/v5/trade/fills-history", self._fills),
            Route("GET", f"{private}/balance", self._balance),
            Route("GET", f"{private}/config", self._config),
            Route("GET", f"{private}/trade-fee", self._fees),
            Route("GET", f"{private}/positions", self._positions),
            Route("GET", f"{private}/bills-archive", self._bills),
            Route("GET", f"{private}/leverage-info", self._leverage),
            Route("POST", f"{private}/set-leverage", self._set_leverage),
            Route("POST", f"{private}/set-position-mode", self._set_mode),
        ]

    # ------------------------------------------------------------------ envelopes

    def authenticate(self, ask: Ask) -> Account:
        """Check key, passphrase and the signature over time, method, path with query, and body."""
        headers = ask.request.headers
        said = headers.get("OK-ACCESS-TIMESTAMP", "") + ask.method + ask.request.raw_path
        signed = said.encode() + ask.body
        return self._verify(
            headers.get("OK-ACCESS-KEY", ""),
            headers.get("OK-ACCESS-PASSPHRASE", ""),
            signed,
            headers.get("OK-ACCESS-SIGN", ""),
        )

    def reply(self, answer: Any) -> web.Response:
        """Wrap a list of rows."""
        return json_response({"code": "0", "msg": "", "data": answer})

    def refusal(self, ask: Ask, meaning: str, message: str) -> web.Response:
        """Refuse the request; commands are refused row by row under a general code."""
        code, text = CODES.get(meaning, ("51000", f"Parameter error: {message}"))
        if ask.path == _CANCEL and meaning == "no_such_order":
            code, text = CANCEL_REFUSED
        if ask.path not in (_PLACE, _CANCEL) or meaning == BAD_SIGNATURE:
            return json_response({"code": code, "msg": text, "data": []}, 401 if meaning == BAD_SIGNATURE else 200)
        link_id = _command(ask).get("clOrdId", "")
        row = {
            "clOrdId": link_id,
            "ordId": "",
            "tag": "",
            "ts": str(self.core.now_ms()),
            "sCode": code,
            "sMsg": text,
        }
        return json_response({"code": "1", "msg": "All operations failed", "data": [row]})

    def server_error(self) -> web.Response:
        """Say that the system is busy."""
        return json_response(
            {"code": "50013", "msg": "Systems are busy. Please try again later.", "data": []}, 503
        )

    def _verify(self, key: str, passphrase: str, signed: bytes, signature: str) -> Account:
        digest = hmac.new(self.api_key.secret.encode(), signed, hashlib.sha256).digest()
        expected = (self.api_key.key, self.api_key.passphrase, base64.b64encode(digest).decode())
        if (key, passphrase, signature) != expected:
            raise No(BAD_SIGNATURE, "key, passphrase or signature is wrong")
        return self.core.records.by_key[key]

    # ------------------------------------------------------------------ markets

    def _instruments(self, ask: Ask) -> Any:
        return [okx_rows.instrument_row(each) for each in self.listings(MARKETS[ask.text("instType")])]

    def _state(self, ask: Ask) -> MarketState:
        return self.core.board.of(self._listing(ask.text("instId")).instrument)

    def _listing(self, symbol: str) -> Listing:
        return self.find(Market.LINEAR if symbol.endswith("-SWAP") else Market.SPOT, symbol)

    def _ticker(self, ask: Ask) -> Any:
        return [okx_rows.ticker_row(self._state(ask))]

    def _book(self, ask: Ask) -> Any:
        state = self._state(ask)
        instrument, count = state.instrument, min(ask.number("sz", 1), 400)

        def side(which: Side) -> list[list[str]]:
            levels = state.depth(which, count)
            return [
                [instrument.price_text(ticks), okx_rows.public_sz(instrument, size), "0", "1"]
                for ticks, size in levels
            ]

        book = {"asks": side(Side.SELL), "bids": side(Side.BUY), "ts": str(state.at_ms), "seqId": state.update_id}
        return [book]

    def _candles(self, ask: Ask) -> Any:
        """Answer bars newer than `before` and older than `after`, newest first."""
        state = self._state(ask)
        newer_ms, older_ms = ask.number("before", 0), ask.number("after", 2**53)
        bars = state.candles.query(BARS[ask.text("bar")], newer_ms + 1, older_ms - 1, ask.number("limit", 100))
        return [okx_rows.candle_row(state.instrument, bar) for bar in bars if bar.start_ms > newer_ms]

    # ------------------------------------------------------------------ orders

    def _place(self, ask: Ask) -> Any:
        asked = _command(ask)
        listing = self._listing(asked["instId"])
        kind = asked["ordType"]
        if asked["tdMode"] != ("cash" if listing.instrument.market is Market.SPOT else "cross"):
            raise No(PARAMETER, "tdMode")
        if kind == "market" and asked.get("tgtCcy", "base_ccy") != "base_ccy":
            raise No(PARAMETER, "tgtCcy: only quantities of the base coin are spoken here")
        request = CreateOrder(
            category=listing.instrument.market.value,
            symbol=listing.instrument.symbol,
            side=asked["side"].capitalize(),
            order_type="Market" if kind == "market" else "Limit",
            qty=f"{Decimal(asked['sz']) * okx_rows.contract(listing.instrument):f}",
            price=asked.get("px"),
            time_in_force=TIMES_IN_FORCE[kind],
            order_link_id=asked.get("clOrdId", ""),
            reduce_only=str(asked.get("reduceOnly", False)).lower() == "true",
            market_unit="baseCoin",
        )
        return [self._ids(self.place(ask.account, request, refuse_takers=False))]

    def _cancel_order(self, ask: Ask) -> Any:
        return [self._ids(self.cancel(ask.account, self._asked(ask)))]

    def _ids(self, order: Order) -> dict[str, str]:
        row = {"clOrdId": order.link_id, "ordId": str(order.seq), "tag": "", "ts": str(self.core.now_ms())}
        return row | {"sCode": "0", "sMsg": ""}

    def _asked(self, ask: Ask) -> Order:
        return self.order(ask.account, self._listing(ask.text("instId")), ask.text("clOrdId"), ask.text("ordId"))

    def _row(self, order: Order, fill: Execution | None = None) -> okx_rows.Row:
        return okx_rows.order_row(self.listing_of(order), order, fill)

    def _pending(self, ask: Ask) -> Any:
        """Answer open orders older than `after`, newest first."""
        orders = self.open_orders(ask.account, self._listing(ask.text("instId")))[::-1]
        after = ask.number("after", 2**62)
        return [self._row(order) for order in orders if order.seq < after][: min(ask.number("limit", 100), 100)]

    def _fills(self, ask: Ask) -> Any:
        listing = self._listing(ask.text("instId"))
        fills = self.executions(ask.account, listing, ask.number("begin", 0), ask.number("end", 2**53))[::-1]
        chosen = fills[: min(ask.number("limit", 100), 100)]
        return [okx_rows.fill_row(listing, ask.account.by_id[fill.order_id], fill) for fill in chosen]

    # ------------------------------------------------------------------ the account

    def _balance(self, ask: Ask) -> Any:
        account = ask.account
        details = []
        for coin in account.wallet.coins:
            floating = sum(
                self.core.clearing.unrealised(position)
                for position in account.positions.values()
                if self.core.listings[Market.LINEAR, position.symbol].instrument.quote == coin
            )
            free = self.free_text(account, coin)
            row = {
                "ccy": coin,
                "eq": amount_text(account.coin(coin) + floating),
                "availEq": free,
                "availBal": free,
            }
            details.append(row | {"cashBal": amount_text(account.coin(coin)), "upl": amount_text(floating)})
        return [{"details": details, "totalEq": "", "uTime": str(account.wallet.updated_ms)}]

    def _config(self, ask: Ask) -> Any:
        rights = {"perm": "read_only,trade", "ip": "127.0.0.1"}
        return [{"uid": str(ask.account.uid), "acctLv": "2", "posMode": "net_mode"} | rights]

    def _fees(self, ask: Ask) -> Any:
        """Answer rates; those of USDT contracts stand beside those of contracts settled in coin."""
        market = MARKETS[ask.text("instType")]
        fees = ask.account.wallet.fees[market]
        maker, taker = rate_text(-fees.maker), rate_text(-fees.taker)
        row = {"instType": ask.text("instType"), "level": "Lv1", "ts": str(self.core.now_ms())}
        if market is Market.SPOT:
            return [row | {"maker": maker, "taker": taker, "makerU": "", "takerU": ""}]
        return [row | {"maker": "-0.0009", "taker": "-0.0011", "makerU": maker, "takerU": taker}]

    def _positions(self, ask: Ask) -> Any:
        """Answer open positions, signed, in contracts."""
        found = []
        for position in ask.account.positions.values():
            instrument = self.core.listings[Market.LINEAR, position.symbol].instrument
            if not position.lots or self.symbol(instrument) not in ask.text("instId").split(","):
                continue
            paper = self._paper_rows.position(ask.account, position)
            row = {
                "instType": "SWAP",
                "instId": self.symbol(instrument),
                "mgnMode": "cross",
                "posId": str(position.created_ms),
                "posSide": "net",
                "pos": okx_rows.sz(instrument, position.lots),
                "avgPx": paper["avgPrice"],
                "lever": paper["leverage"],
                "liqPx": paper["liqPrice"],
                "markPx": paper["markPrice"],
                "upl": paper["unrealisedPnl"],
                "imr": paper["positionIM"],
                "mmr": paper["positionMM"],
                "margin": "",
                "notionalUsd": paper["positionValue"],
                "ccy": instrument.quote,
                "cTime": paper["createdTime"],
                "uTime": paper["updatedTime"],
            }
            found.append(row)
        return found

    def _bills(self, ask: Ask) -> Any:
        if ask.text("type") != "8":
            raise No(PARAMETER, "type: only funding is spoken here")
        paid = [each for each in ask.account.executions if each.exec_type == "Funding"][::-1]
        return [okx_rows.bill_row(self.listing_of(each), each) for each in paid[: ask.number("limit", 100)]]

    def _leverage(self, ask: Ask) -> Any:
        listing = self._listing(ask.text("instId"))
        leverage = Decimal(ask.account.position(listing.instrument.symbol).leverage) / 100
        row = {"instId": ask.text("instId"), "mgnMode": ask.text("mgnMode"), "posSide": "net"}
        return [row | {"lever": f"{leverage.normalize():f}"}]

    def _set_leverage(self, ask: Ask) -> Any:
        listing, leverage = self._listing(ask.text("instId")), ask.text("lever")
        self._require_no_orders(ask.account, [listing])
        change = {"category": "linear", "symbol": listing.instrument.symbol}
        change |= {"buyLeverage": leverage, "sellLeverage": leverage}
        try:
            self.settings.execute(ask.account, "position.set-leverage", msgspec.json.encode(change))
        except Refused as refused:
            if refused.code != LEVERAGE_UNCHANGED:  # Here, to ask for what is so already succeeds.
                raise
        row = {"instId": ask.text("instId"), "lever": leverage, "mgnMode": ask.text("mgnMode"), "posSide": "net"}
        return [row]

    def _set_mode(self, ask: Ask) -> Any:
        if ask.text("posMode") != "net_mode":
            raise No(PARAMETER, "posMode: only net_mode is spoken here")
        self._require_no_orders(ask.account, self.listings(Market.LINEAR))
        return [{"posMode": "net_mode"}]

    def _require_no_orders(self, account: Account, listings: Iterable[Listing]) -> None:
        """Refuse a setting while orders are open, even one that would change nothing."""
        if any(self.open_orders(account, listing) for listing in listings):
            raise No("orders_open", "orders are open")

    # ------------------------------------------------------------------ streams

    def on_message(self, line: Line, text: str) -> None:
        """Hear pings, logins and subscriptions."""
        if text == "ping":
            line.send("pong")
            return
        said = msgspec.json.decode(text)
        for arg in said["args"]:
            match said["op"]:
                case "login":
                    self._log_in(line, arg)
                case "subscribe" if line.kind == "private" and line.account is None:
                    line.send({"event": "error", "code": "60011", "msg": "Please log in", "connId": "1"})
                case "subscribe" | "unsubscribe" as event:
                    change = line.topics.add if event == "subscribe" else line.topics.discard
                    change(_topic(**arg))
                    line.send({"event": event, "arg": arg, "connId": "1"})

    def on_trade(self, state: MarketState, entry: TapeEntry) -> None:
        """Tell the `trades` channel."""
        symbol = self.symbol(state.instrument)
        row = okx_rows.public_trade_row(state.instrument, entry)
        for line in self.listeners("public", _topic("trades", symbol)):
            line.send({"arg": {"channel": "trades", "instId": symbol}, "data": [row]})

    def on_changes(self, account: Account, changes: Changes) -> None:
        """Tell the `orders` channel: each fill with the order as it was after it, then the end of an order."""
        for fill in changes.executions:
            if fill.exec_type == "Trade":
                self._tell(account, account.by_id[fill.order_id], fill)
        filled = {fill.order_id for fill in changes.executions}
        for order in changes.orders.values():
            if order.order_id not in filled or not (order.is_open or order.status is Status.FILLED):
                self._tell(account, order)

    def _tell(self, account: Account, order: Order, fill: Execution | None = None) -> None:
        row = self._row(order, fill)
        for symbol in (row["instId"], ""):
            for line in self.listeners("private", _topic("orders", symbol, row["instType"])):
                if line.account is not account or self.core.faults.swallow():
                    continue
                arg = {"channel": "orders", "instType": row["instType"], "uid": str(account.uid)}
                line.send({"arg": arg | ({"instId": symbol} if symbol else {}), "data": [row]})

    def _log_in(self, line: Line, arg: Mapping[str, str]) -> None:
        signed = f"{arg['timestamp']}GET/users/self/verify".encode()
        try:
            line.account = self._verify(arg["apiKey"], arg["passphrase"], signed, arg["sign"])
        except No:
            line.send({"event": "error", "code": "60009", "msg": "Login failed.", "connId": "1"})
        else:
            line.send({"event": "login", "code": "0", "msg": "", "connId": "1"})


def _topic(channel: str, instId: str = "", instType: str = "") -> str:
    return f"{channel}/{instType}/{instId}"


def _command(ask: Ask) -> dict[str, Any]:
    """Give the one order of a command; batches come with one row."""
    body: dict[str, Any] = ask.json[0] if isinstance(ask.json, list) else ask.json
    return body
