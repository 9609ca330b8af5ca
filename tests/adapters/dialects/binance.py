"""Binance's dialect: spot under `/api/v3`, USDT futures under `/fapi`, and their user data streams.

Each host is the first part of the path, because spot and futures streams share theirs. Both wallets show one and
the same money, of which spot shows what spot orders lock and futures what margins do.
"""

import hmac
import itertools
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, ClassVar
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from adapters.exchanges.paper.codes import LEVERAGE_UNCHANGED, Refused
from adapters.exchanges.paper.market import MarketState, TapeEntry
from adapters.exchanges.paper.model import Account
from adapters.exchanges.paper.records import Changes
from adapters.exchanges.paper.requests import CreateOrder
from adapters.exchanges.paper.rows import rate_text
from adapters.exchanges.paper.server import PaperVenue
from adapters.exchanges.paper.wire_text import size_text
from adapters.secrets.keys import ApiKey
from engine.trading.instrument import Market, amount_text
from engine.trading.orders import Side
from tests.adapters.dialects import binance_rows as rows
from tests.adapters.dialects.base import (
    BAD_SIGNATURE,
    PARAMETER,
    Ask,
    Dialect,
    Line,
    No,
    Route,
    Row,
    encode,
    json_response,
)

SPOT, FUTURES = "/api.binance.com/api/v3", "/fapi.binance.com/fapi"
DAY_MS = 86_400_000
BARS = {"1m": "1", "3m": "3", "5m": "5", "15m": "15", "30m": "30", "1h": "60", "4h": "240", "1d": "D"}
"""Its bars in the PaperVenue's words."""
_LOT, _PRICE_BAND = (-1013, "Filter failure: LOT_SIZE"), (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE")
_PRECISION = (-1111, "Precision is over the maximum defined for this asset.")
_SIGNATURE = (-1022, "Signature for this request is not valid.")
_MANDATORY = (-1102, "Mandatory parameter was not sent, was empty/null, or malformed.")
_REDUCE_ONLY = (-2022, "ReduceOnly Order is rejected.")
_POST_ONLY = "Due to the order could not be executed as maker, the Post Only order will be rejected."
REFUSED: dict[str, dict[Market, tuple[int, str]]] = {
    meaning: {Market.SPOT: spot, Market.LINEAR: futures}
    for meaning, spot, futures in (
        ("no_such_symbol", (-1121, "Invalid symbol."), (-1121, "Invalid symbol.")),
        ("duplicate_link_id", (-2010, "Duplicate order sent."), (-4116, "ClientOrderId is duplicated.")),
        (
            "insufficient",
            (-2010, "Account has insufficient balance for requested action."),
            (-2019, "Margin is insufficient."),
        ),
        ("would_take", (-2010, "Order would immediately match and take."), (-5022, _POST_ONLY)),
        (
            "below_minimum_value",
            (-1013, "Filter failure: NOTIONAL"),
            (-4164, "Order's notional must be no smaller than 5.0 (unless you choose reduce only)."),
        ),
        ("quantity_too_small", _LOT, (-4004, "Quantity less than min quantity.")),
        ("quantity_too_large", _LOT, (-4005, "Quantity greater than max quantity.")),
        ("quantity_step", _LOT, _PRECISION),
        ("price_step", (-1013, "Filter failure: PRICE_FILTER"), (-4014, "Price not increased by tick size.")),
        ("above_price_cap", _PRICE_BAND, (-4016, "Limit price can't be higher than 63000.")),
        ("below_price_floor", _PRICE_BAND, (-4024, "Limit price can't be lower than 57000.")),
        (
            "too_many_orders",
            (-1013, "Filter failure: MAX_NUM_ORDERS"),
            (-2025, "Reach max open order limit."),
        ),
        ("reduce_only", _REDUCE_ONLY, _REDUCE_ONLY),
        (BAD_SIGNATURE, _SIGNATURE, _SIGNATURE),
        (PARAMETER, _MANDATORY, _MANDATORY),
    )
}
"""What each refusal is called, by market."""


class BinanceDialect(Dialect):
    """Binance spot and USDT-margined futures."""

    exchange = "binance"
    doors: ClassVar = {
        "/stream.binance.com/ws/{stream}": "public",
        "/fstream.binance.com/public/ws/{stream}": "public",
        "/ws-api.binance.com/ws-api/v3": "private",
        "/fstream.binance.com/private/ws": "private",
    }

    def __init__(self, venue: PaperVenue, api_key: ApiKey) -> None:
        super().__init__(venue, api_key)
        self._listen_keys = (f"listen-{number}" for number in itertools.count(1))

    def routes(self) -> Iterable[Route]:
        """List the REST addresses, the same ones in both markets first."""
        for market, base in ((Market.SPOT, SPOT), (Market.LINEAR, f"{FUTURES}/v1")):
            of = lambda handler, market=market: lambda ask: handler(market, ask)  # noqa: E731
            yield Route("GET", f"{base}/exchangeInfo", of(self._exchange_info), signed=False)
            yield Route("GET", f"{base}/time", of(self._time), signed=False)
            yield Route("GET", f"{base}/ticker/24hr", of(self._ticker), signed=False)
            yield Route("GET", f"{base}/depth", of(self._depth), signed=False)
            yield Route("GET", f"{base}/klines", of(self._klines), signed=False)
            yield Route("POST", f"{base}/order", of(self._place), operation="order.create")
            yield Route("DELETE", f"{base}/order", of(self._cancel), operation="order.cancel")
            yield Route("GET", f"{base}/order", of(self._order))
            yield Route("GET", f"{base}/openOrders", of(self._open_orders))
        yield Route("GET", f"{SPOT}/account", self._spot_account)
        yield Route("GET", f"{SPOT}/myTrades", lambda ask: self._trades(Market.SPOT, ask, DAY_MS))
        yield Route("GET", "/api.binance.com/sapi/v1/asset/tradeFee", self._spot_fees)
        yield Route("GET", "/api.binance.com/sapi/v1/account/apiRestrictions", self._restrictions)
        yield Route("GET", f"{FUTURES}/v1/userTrades", lambda ask: self._trades(Market.LINEAR, ask, 7 * DAY_MS))
        yield Route("GET", f"{FUTURES}/v1/commissionRate", self._futures_fees)
        yield Route("GET", f"{FUTURES}/v3/account", self._futures_account)
        yield Route("GET", f"{FUTURES}/v3/positionRisk", self._positions)
        yield Route("GET", f"{FUTURES}/v1/symbolConfig", self._symbol_config)
        yield Route("GET", f"{FUTURES}/v1/leverageBracket", self._brackets)
        yield Route("GET", f"{FUTURES}/v1/income", self._income)
        yield Route("POST", f"{FUTURES}/v1/leverage", self._set_leverage)
        yield Route("POST", f"{FUTURES}/v1/positionSide/dual", self._set_position_mode)
        yield Route("POST", f"{FUTURES}/v1/listenKey", self._listen_key, signed=False)

    # ------------------------------------------------------------------ who asks, and how to say no

    def authenticate(self, ask: Ask) -> Account:
        """Check the key in the header and the signature at the end of the query or the body."""
        signed, _, signature = (ask.body.decode() or ask.raw_query).rpartition("&signature=")
        return self._verify(ask.request.headers.get("X-MBX-APIKEY", ""), signed, signature)

    def _verify(self, key: str, signed: str, signature: str) -> Account:
        account = self.core.records.by_key.get(key)
        if account is None:
            raise No(BAD_SIGNATURE, "no such key")
        expected = hmac.new(account.wallet.secret.encode(), signed.encode(), sha256).hexdigest()
        if not hmac.compare_digest(expected, signature):
            raise No(BAD_SIGNATURE, "wrong signature")
        return account

    def refusal(self, ask: Ask, meaning: str, message: str) -> web.Response:
        """Say no with status 400, a number and words."""
        if meaning == "no_such_order":
            if ask.method == "GET":
                return json_response({"code": -2013, "msg": "Order does not exist."}, 400)
            return json_response({"code": -2011, "msg": "Unknown order sent."}, 400)
        market = Market.LINEAR if ask.path.startswith(FUTURES) else Market.SPOT
        code, words = REFUSED.get(meaning, REFUSED[PARAMETER])[market]
        return json_response({"code": code, "msg": words}, 400)

    def server_error(self) -> web.Response:
        """Say that the execution status is unknown, in the documented words."""
        words = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
        return json_response({"code": -1007, "msg": words}, 503)

    # ------------------------------------------------------------------ public

    def _exchange_info(self, market: Market, ask: Ask) -> Row:
        write = rows.spot_symbol if market is Market.SPOT else rows.futures_symbol
        return {"timezone": "UTC", "symbols": [write(listing) for listing in self.listings(market)]}

    def _time(self, market: Market, ask: Ask) -> Row:
        return {"serverTime": self.core.now_ms()}

    def _ticker(self, market: Market, ask: Ask) -> Row:
        return rows.ticker(self.core.board.of(self.find(market, ask.text("symbol")).instrument))

    def _depth(self, market: Market, ask: Ask) -> Row:
        state = self.core.board.of(self.find(market, ask.text("symbol")).instrument)
        limit = ask.number("limit", 100)
        if market is Market.LINEAR and limit not in (5, 10, 20, 50, 100, 500, 1000):
            raise No(PARAMETER, "limit")
        sides = {
            name: [
                [state.instrument.price_text(ticks), size_text(size)] for ticks, size in state.depth(side, limit)
            ]
            for name, side in (("bids", Side.BUY), ("asks", Side.SELL))
        }
        more = {"E": state.at_ms, "T": state.at_ms} if market is Market.LINEAR else {}
        return {"lastUpdateId": state.update_id, **more, **sides}

    def _klines(self, market: Market, ask: Ask) -> list[list[Any]]:
        state = self.core.board.of(self.find(market, ask.text("symbol")).instrument)
        interval = BARS.get(ask.text("interval"))
        if interval is None:
            raise No(PARAMETER, "interval")
        bars = state.candles.query(interval, ask.number("startTime", 0), None, ask.number("limit", 500))
        return [rows.kline(state.instrument, bar, interval) for bar in reversed(bars)]

    # ------------------------------------------------------------------ orders

    def _place(self, market: Market, ask: Ask) -> Row:
        kind, time_in_force = ask.text("type"), ask.text("timeInForce")
        if kind == "LIMIT_MAKER" or time_in_force == "GTX":
            time_in_force = "PostOnly"
        request = CreateOrder(
            category=market.value,
            symbol=self.find(market, ask.text("symbol")).instrument.symbol,
            side=ask.text("side").capitalize(),
            order_type="Market" if kind == "MARKET" else "Limit",
            qty=ask.text("quantity"),
            price=ask.text("price") or None,
            time_in_force=time_in_force or None,
            order_link_id=ask.text("newClientOrderId"),
            market_unit="baseCoin",
            reduce_only=ask.text("reduceOnly") == "true",
        )
        order = self.place(ask.account, request, refuse_takers=True)
        return rows.order(self.listing_of(order), order) | {"transactTime": order.updated_ms}

    def _cancel(self, market: Market, ask: Ask) -> Row:
        order = self.cancel(ask.account, self._named(market, ask))
        row = rows.order(self.listing_of(order), order)
        if market is Market.SPOT:
            # The cancel is a request with an id of its own; the order's own moves over.
            row |= {"origClientOrderId": order.link_id, "clientOrderId": f"cancel-{order.seq}"}
        return row

    def _order(self, market: Market, ask: Ask) -> Row:
        order = self._named(market, ask)
        return rows.order(self.listing_of(order), order)

    def _named(self, market: Market, ask: Ask) -> Any:
        listing = self.find(market, ask.text("symbol"))
        return self.order(ask.account, listing, ask.text("origClientOrderId"), ask.text("orderId"))

    def _open_orders(self, market: Market, ask: Ask) -> list[Row]:
        listing = self.find(market, ask.text("symbol"))
        return [rows.order(listing, order) for order in self.open_orders(ask.account, listing)]

    def _trades(self, market: Market, ask: Ask, span_ms_max: int) -> list[Row]:
        """List from the oldest of the span on, as both markets do."""
        listing = self.find(market, ask.text("symbol"))
        now_ms = self.core.now_ms()
        start_ms, end_ms = ask.number("startTime", now_ms - span_ms_max), ask.number("endTime", now_ms)
        if end_ms - start_ms > span_ms_max:
            raise No(PARAMETER, "the span is too long")
        found = self.executions(ask.account, listing, start_ms, end_ms)[: ask.number("limit", 500)]
        write = rows.spot_trade if market is Market.SPOT else rows.futures_trade
        return [write(listing, each, ask.account.by_id[each.order_id].seq) for each in found]

    # ------------------------------------------------------------------ the account

    def _spot_account(self, ask: Ask) -> Row:
        wallet, locked = ask.account.wallet.coins, ask.account.locked
        coins = [
            {
                "asset": coin,
                "free": amount_text(units - locked.get(coin, 0)),
                "locked": amount_text(locked.get(coin, 0)),
            }
            for coin, units in sorted(wallet.items())
        ]
        return {"accountType": "SPOT", "canTrade": True, "updateTime": self.core.now_ms(), "balances": coins}

    def _futures_account(self, ask: Ask) -> Row:
        account, clearing = ask.account, self.core.clearing
        margin = sum(clearing.margin_used(account, each) for each in account.positions.values())
        floating = sum(clearing.unrealised(each) for each in account.positions.values() if each.lots)
        units = account.coin("USDT")
        asset = {
            "asset": "USDT",
            "walletBalance": amount_text(units),
            "unrealizedProfit": amount_text(floating),
            "marginBalance": amount_text(units + floating),
            "initialMargin": amount_text(margin),
            "crossWalletBalance": amount_text(units),
            "availableBalance": amount_text(units - margin),
            "updateTime": self.core.now_ms(),
        }
        return {"assets": [asset], "positions": []}

    def _spot_fees(self, ask: Ask) -> list[Row]:
        fees = ask.account.wallet.fees[Market.SPOT]
        maker, taker = rate_text(fees.maker), rate_text(fees.taker)
        return [{"symbol": ask.text("symbol"), "makerCommission": maker, "takerCommission": taker}]

    def _futures_fees(self, ask: Ask) -> Row:
        fees = ask.account.wallet.fees[Market.LINEAR]
        maker, taker = rate_text(fees.maker), rate_text(fees.taker)
        return {"symbol": ask.text("symbol"), "makerCommissionRate": maker, "takerCommissionRate": taker}

    def _restrictions(self, ask: Ask) -> Row:
        return {
            "ipRestrict": True,
            "createTime": 1698645219000,
            "enableReading": True,
            "enableWithdrawals": False,
            "enableInternalTransfer": False,
            "enableFutures": True,
            "enableSpotAndMarginTrading": True,
        }

    def _positions(self, ask: Ask) -> list[Row]:
        account = ask.account
        return [
            rows.position(self.core.listings[Market.LINEAR, each.symbol], each, self.core.clearing, account)
            for each in account.positions.values()
        ]

    def _symbol_config(self, ask: Ask) -> list[Row]:
        return [
            {
                "symbol": listing.instrument.symbol,
                "marginType": "CROSSED",
                "isAutoAddMargin": "false",
                "leverage": ask.account.position(listing.instrument.symbol).leverage // 100,
                "maxNotionalValue": "1000000",
            }
            for listing in self.listings(Market.LINEAR)
        ]

    def _brackets(self, ask: Ask) -> list[Row]:
        return [rows.bracket(listing) for listing in self.listings(Market.LINEAR)]

    def _income(self, ask: Ask) -> list[Row]:
        start_ms, end_ms = ask.number("startTime", 0), ask.number("endTime", self.core.now_ms())
        found = [
            rows.income(each)
            for each in ask.account.executions
            if each.exec_type == "Funding" and start_ms <= each.at_ms <= end_ms
        ]
        return found[: ask.number("limit", 100)]

    def _set_leverage(self, ask: Ask) -> Row:
        leverage, symbol = ask.number("leverage", 0), ask.text("symbol")
        body = {"category": "linear", "symbol": symbol, "buyLeverage": leverage, "sellLeverage": leverage}
        try:
            self.settings.execute(ask.account, "position.set-leverage", encode(body))
        except Refused as refused:
            if refused.code != LEVERAGE_UNCHANGED:
                raise
        return {"leverage": leverage, "maxNotionalValue": "1000000", "symbol": symbol}

    def _set_position_mode(self, ask: Ask) -> web.Response:
        return json_response({"code": -4059, "msg": "No need to change position side."}, 400)

    def _listen_key(self, ask: Ask) -> Row:
        # Only the key is asked for, without a signature.
        if ask.request.headers.get("X-MBX-APIKEY", "") not in self.core.records.by_key:
            raise No(BAD_SIGNATURE, "no such key")
        return {"listenKey": next(self._listen_keys)}

    # ------------------------------------------------------------------ streams

    def on_open(self, line: Line) -> None:
        """Follow the account of a listen key from the first moment."""
        if line.query.get("listenKey", "").startswith("listen-"):
            line.account = self.core.records.by_key[self.api_key.key]
            line.topics.add(Market.LINEAR.value)

    def on_message(self, line: Line, text: str) -> None:
        """Subscribe public streams, or the spot account by a signature."""
        command = msgspec.json.decode(text)
        match command["method"]:
            case "SUBSCRIBE":
                line.topics.update(command["params"])
                line.send({"result": None, "id": command["id"]})
            case "UNSUBSCRIBE":
                line.topics.difference_update(command["params"])
                line.send({"result": None, "id": command["id"]})
            case "userDataStream.subscribe.signature":
                params = dict(command["params"])
                signature = params.pop("signature")
                line.account = self._verify(params["apiKey"], urlencode(sorted(params.items())), signature)
                line.topics.add(Market.SPOT.value)
                line.send({"id": command["id"], "status": 200, "result": {"subscriptionId": 0}})

    def on_trade(self, state: MarketState, entry: TapeEntry) -> None:
        """Print a trade on its `<symbol>@trade` stream."""
        instrument = state.instrument
        prefix = "/stream." if instrument.market is Market.SPOT else "/fstream."
        for line in self.listeners("public", f"{instrument.symbol.lower()}@trade"):
            if line.path.startswith(prefix):
                line.send(rows.public_trade(instrument, entry))

    def on_changes(self, account: Account, changes: Changes) -> None:
        """Report each order's birth, fills and end, in that order."""
        for order in changes.orders.values():
            listing = self.listing_of(order)
            events = [rows.order_event(listing, order, step) for step in self.steps(order, changes)]
            for line in self.listeners("private", order.market.value):
                if line.account is account:
                    for event in events:
                        line.send(_wrapped(order.market, event))


def _wrapped(market: Market, event: Row) -> Row:
    if market is Market.SPOT:
        return {"subscriptionId": 0, "event": event | {"e": "executionReport", "E": event["T"]}}
    return {"e": "ORDER_TRADE_UPDATE", "E": event["T"], "T": event["T"], "o": event}
