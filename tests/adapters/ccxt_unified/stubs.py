"""Four little exchanges on loopback, each speaking its own documented dialect about one spot pair and one account.

They keep orders, nothing else: enough to see that ccxt and our table of differences ask rightly and read rightly.
The shapes are those of the exchanges' documentation as quoted in the ccxt sources; the values are ours.
"""

import itertools
import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Row = dict[str, str]
Query = Mapping[str, Any]
FILL_MS = int(time.time()) * 1000 - 60_000


class Stub(ABC):
    """What the four have in common: a store of orders by the id that the client chose."""

    exchange = ""
    symbol = "BTCUSDT"

    def __init__(self) -> None:
        self.orders: dict[str, Row] = {}
        self.unknown: list[str] = []
        self.fail_with: int = 0
        """An HTTP status for the next placement, which is carried out nevertheless."""
        self.poor = False
        """The next placements find no money."""
        self._ids = itertools.count(1001)
        self.address = ""

    def place(self, link_id: str, side: str, price: str, quantity: str) -> Row:
        """Keep an order."""
        row = {"id": str(next(self._ids)), "link": link_id, "side": side, "price": price, "qty": quantity}
        self.orders[link_id] = row | {"state": "open"}
        return self.orders[link_id]

    def open_rows(self) -> list[Row]:
        """List the open orders."""
        return [row for row in self.orders.values() if row["state"] == "open"]

    def by_id(self, venue_id: str) -> Row | None:
        """Find an order by the exchange's id."""
        return next((row for row in self.orders.values() if row["id"] == venue_id), None)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer in the exchange's dialect."""
        if request.headers.get("Upgrade", "").lower() == "websocket" and self.trade_message("1") is not None:
            return await self.stream(request)
        text = await request.text()
        query: dict[str, Any] = dict(request.query)
        if text.startswith(("{", "[")):
            body = json.loads(text)
            query |= body[0] if isinstance(body, list) else body
        else:
            query |= dict(pair.split("=", 1) for pair in text.split("&") if "=" in pair)
        # Binance's hosts use the same paths, so there the host comes first.
        path = re.sub(r"^/[a-z]+\.binance\.com", "", request.path)
        status, answer = self.answer(request.method, path, query)
        if answer is None:
            self.unknown.append(f"{request.method} {request.path}")
            return web.json_response({"code": 404, "msg": "no such path"}, status=404)
        if request.method == "POST" and self.fail_with:
            status, self.fail_with = self.fail_with, 0
            return web.Response(status=status, text="Bad Gateway")
        return web.json_response(answer, status=status)

    @abstractmethod
    def answer(self, method: str, path: str, query: Query) -> tuple[int, Any]:
        """Give status and body; a body of None for a path that it does not know."""

    def trade_message(self, price: str) -> Any:
        """Write a public trade as the stream tells it; None where there is no stream in JSON."""
        return None

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        """Tell two trades to whoever subscribes, and then listen until the client goes."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is web.WSMsgType.TEXT and "trade" in str(message.data):
                for price in ("60123.13", "60123.14"):
                    await socket.send_json(self.trade_message(price))
        return socket


class BinanceStub(Stub):
    """Binance spot."""

    exchange = "binance"
    tick, lot = "0.01000000", "0.00001000"

    def answer(self, method: str, path: str, query: Query) -> tuple[int, Any]:
        """Speak /api/v3."""
        link_id = query.get("origClientOrderId") or query.get("newClientOrderId") or query.get("clientOrderId")
        match method, path:
            case "GET", "/api/v3/exchangeInfo":
                return 200, {"symbols": [self.listing()]}
            case "GET", "/fapi/v1/exchangeInfo":
                return 200, {"symbols": []}
            case "GET", "/api/v3/time" | "/fapi/v1/time":
                return 200, {"serverTime": int(time.time() * 1000)}
            case "GET", "/api/v3/account":
                coins = [
                    {"asset": "USDT", "free": "900.5", "locked": "99.5"},
                    {"asset": "BTC", "free": "0.25", "locked": "0"},
                ]
                return 200, {"balances": coins, "accountType": "SPOT", "updateTime": 1}
            case "POST", "/api/v3/order":
                if self.poor:
                    return 400, {"code": -2010, "msg": "Account has insufficient balance for requested action."}
                if link_id in self.orders:
                    return 400, {"code": -2010, "msg": "Duplicate order sent."}
                return 200, self.row(self.place(link_id, query["side"], query["price"], query["quantity"]))
            case (("GET" | "DELETE"), "/api/v3/order"):
                row = self.orders.get(link_id) if link_id else self.by_id(query["orderId"])
                if row is None:
                    return 400, {"code": -2013 if method == "GET" else -2011, "msg": "Order does not exist."}
                if method == "DELETE":
                    row["state"] = "cancelled"
                return 200, self.row(row)
            case "GET", "/api/v3/openOrders":
                return 200, [self.row(row) for row in self.open_rows()]
            case "GET", "/api/v3/myTrades":
                return 200, [self.fill(row) for row in self.fills(query)]
        return 404, None

    def trade_message(self, price: str) -> Any:
        """Write a trade in which the buyer was the maker: a seller took."""
        when = {"E": FILL_MS, "T": FILL_MS}
        return {"e": "trade", "s": "BTCUSDT", "t": price[-2:], "p": price, "q": "0.1", "m": True} | when

    def fills(self, query: Query) -> list[Row]:
        """Fill each order at `FILL_MS`, if that lies in the span asked for."""
        inside = int(query.get("startTime", 0)) <= FILL_MS <= int(query.get("endTime", 2**60))
        return list(self.orders.values()) if inside else []

    def listing(self) -> dict[str, Any]:
        """List the pair with its filters."""
        return {
            "symbol": "BTCUSDT",
            "status": "TRADING",
            "baseAsset": "BTC",
            "quoteAsset": "USDT",
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
            "isSpotTradingAllowed": True,
            "permissions": ["SPOT"],
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": self.tick},
                {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": self.lot},
                {"filterType": "MARKET_LOT_SIZE", "minQty": "0", "maxQty": "100", "stepSize": "0"},
                {"filterType": "NOTIONAL", "minNotional": "5.00000000"},
            ],
        }

    def row(self, row: Row) -> dict[str, Any]:
        """Write an order."""
        return {
            "symbol": "BTCUSDT",
            "orderId": row["id"],
            "clientOrderId": row["link"],
            "price": row["price"],
            "origQty": row["qty"],
            "executedQty": "0.00000000",
            "cummulativeQuoteQty": "0.00000000",
            "status": "NEW" if row["state"] == "open" else "CANCELED",
            "timeInForce": "GTC",
            "type": "LIMIT_MAKER",
            "side": row["side"],
            "time": FILL_MS,
            "updateTime": FILL_MS,
        }

    def fill(self, row: Row) -> dict[str, Any]:
        """Write the execution of an order; it does not name our id."""
        return {
            "symbol": "BTCUSDT",
            "id": f"7{row['id']}",
            "orderId": row["id"],
            "price": row["price"],
            "qty": row["qty"],
            "quoteQty": "1",
            "commission": "0.00000100",
            "commissionAsset": "BTC",
            "time": FILL_MS,
            "isBuyer": row["side"] == "BUY",
            "isMaker": True,
            "isBestMatch": True,
        }


class MexcStub(BinanceStub):
    """MEXC spot: Binance's dialect with other filters and error numbers."""

    exchange = "mexc"

    def trade_message(self, price: str) -> Any:
        """Say nothing: MEXC's stream speaks protobuf."""
        return None

    def answer(self, method: str, path: str, query: Query) -> tuple[int, Any]:
        """Speak /api/v3 as MEXC does."""
        if (method, path) == ("POST", "/api/v3/order") and self.poor:
            return 400, {"code": 30004, "msg": "Insufficient position"}
        if path == "/api/v1/contract/detail":
            return 200, {"success": True, "code": 0, "data": []}
        status, answer = super().answer(method, path, query)
        return status, answer

    def listing(self) -> dict[str, Any]:
        """List the pair; precisions are counts of digits and a step."""
        return {
            "symbol": "BTCUSDT",
            "status": "1",
            "baseAsset": "BTC",
            "baseAssetPrecision": 5,
            "quoteAsset": "USDT",
            "quotePrecision": 2,
            "quoteAssetPrecision": 2,
            "baseSizePrecision": "0.00001",
            "quoteAmountPrecision": "5",
            "orderTypes": ["LIMIT", "MARKET", "LIMIT_MAKER"],
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "permissions": ["SPOT"],
            "filters": [],
            "maxQuoteAmount": "2000000",
            "makerCommission": "0",
            "takerCommission": "0.0005",
        }


class OkxStub(Stub):
    """OKX spot."""

    exchange = "okx"
    symbol = "BTC-USDT"

    def answer(self, method: str, path: str, query: Query) -> tuple[int, Any]:
        """Speak /api/v5."""
        link_id = query.get("clOrdId", "")
        match method, path:
            case "GET", "/api/v5/public/instruments":
                return 200, _okx([self.listing()] if query["instType"] == "SPOT" else [])
            case "GET", "/api/v5/public/time":
                return 200, _okx([{"ts": str(int(time.time() * 1000))}])
            case "GET", "/api/v5/account/balance":
                coins = [
                    {"ccy": "USDT", "availBal": "900.5", "frozenBal": "99.5", "eq": "1000", "availEq": "900.5"},
                    {"ccy": "BTC", "availBal": "0.25", "frozenBal": "0", "eq": "0.25", "availEq": "0.25"},
                ]
                return 200, _okx([{"details": coins, "uTime": "1"}])
            case "POST", "/api/v5/trade/order" | "/api/v5/trade/batch-orders":
                if self.poor:
                    refusal = {
                        "clOrdId": link_id,
                        "ordId": "",
                        "sCode": "51008",
                        "sMsg": "Insufficient USDT balance.",
                    }
                    return 200, {"code": "1", "msg": "", "data": [refusal]}
                if link_id in self.orders:
                    refusal = {"clOrdId": link_id, "ordId": "", "sCode": "51016", "sMsg": "Duplicated clOrdId"}
                    return 200, {"code": "1", "msg": "", "data": [refusal]}
                row = self.place(link_id, query["side"], query["px"], query["sz"])
                return 200, _okx([{"clOrdId": link_id, "ordId": row["id"], "sCode": "0", "sMsg": ""}])
            case "POST", "/api/v5/trade/cancel-order":
                if link_id not in self.orders:
                    refusal = {"clOrdId": link_id, "ordId": "", "sCode": "51400", "sMsg": "Cancellation failed"}
                    return 200, {"code": "1", "msg": "", "data": [refusal]}
                self.orders[link_id]["state"] = "cancelled"
                return 200, _okx([{"clOrdId": link_id, "ordId": self.orders[link_id]["id"], "sCode": "0"}])
            case "GET", "/api/v5/trade/order":
                row = self.orders.get(link_id) or self.by_id(query.get("ordId", ""))
                if row is None:
                    return 200, {"code": "51603", "msg": "Order does not exist", "data": []}
                return 200, _okx([self.row(row)])
            case "GET", "/api/v5/trade/orders-pending":
                return 200, _okx([self.row(row) for row in self.open_rows()])
            case "GET", "/api/v5/trade/fills" | "/api/v5/trade/fills-history":
                inside = int(query.get("begin", 0)) <= FILL_MS <= int(query.get("end", 2**60))
                return 200, _okx([self.fill(row) for row in self.orders.values()] if inside else [])
        return 404, None

    def trade_message(self, price: str) -> Any:
        """Write a trade that a seller took."""
        row = {
            "instId": "BTC-USDT",
            "tradeId": price[-2:],
            "px": price,
            "sz": "0.1",
            "side": "sell",
            "ts": str(FILL_MS),
        }
        return {"arg": {"channel": "trades", "instId": "BTC-USDT"}, "data": [row]}

    def listing(self) -> Row:
        """List the pair with its filters."""
        return {
            "instId": "BTC-USDT",
            "instType": "SPOT",
            "baseCcy": "BTC",
            "quoteCcy": "USDT",
            "tickSz": "0.01",
            "lotSz": "0.00001",
            "minSz": "0.00001",
            "maxLmtSz": "9000",
            "maxMktSz": "100",
            "state": "live",
            "lever": "10",
            "ctVal": "",
            "ctMult": "",
            "settleCcy": "",
            "uly": "",
            "expTime": "",
            "listTime": "1548133413000",
            "alias": "",
            "ctType": "",
            "optType": "",
            "stk": "",
        }

    def row(self, row: Row) -> Row:
        """Write an order."""
        return {
            "instId": "BTC-USDT",
            "instType": "SPOT",
            "ordId": row["id"],
            "clOrdId": row["link"],
            "px": row["price"],
            "sz": row["qty"],
            "accFillSz": "0",
            "avgPx": "",
            "fillSz": "0",
            "side": row["side"],
            "ordType": "post_only",
            "state": "live" if row["state"] == "open" else "canceled",
            "tdMode": "cash",
            "fee": "0",
            "feeCcy": "BTC",
            "cTime": str(FILL_MS),
            "uTime": str(FILL_MS),
        }

    def fill(self, row: Row) -> Row:
        """Write the execution of an order; a fee paid is negative."""
        return {
            "instId": "BTC-USDT",
            "instType": "SPOT",
            "ordId": row["id"],
            "clOrdId": row["link"],
            "tradeId": f"7{row['id']}",
            "billId": f"8{row['id']}",
            "fillPx": row["price"],
            "fillSz": row["qty"],
            "side": row["side"],
            "execType": "M",
            "fee": "-0.000001",
            "feeCcy": "BTC",
            "ts": str(FILL_MS),
        }


class KucoinStub(Stub):
    """KuCoin spot."""

    exchange = "kucoin"
    symbol = "BTC-USDT"

    def answer(self, method: str, path: str, query: Query) -> tuple[int, Any]:
        """Speak /api/v1 and v2."""
        link_id = query.get("clientOid") or path.rsplit("/", 1)[-1]
        match method, path.replace("/hf/", "/"):
            case "GET", "/api/v2/symbols":
                return 200, _kucoin([self.listing()])
            case "GET", "/api/v1/timestamp":
                return 200, _kucoin(int(time.time() * 1000))
            case "GET", "/api/v3/margin/symbols":
                return 200, _kucoin({"items": []})
            case "GET", "/api/v1/isolated/symbols":
                return 200, _kucoin([])
            case "GET", "/api/ua/v1/account/mode":
                return 200, _kucoin({"selfAccountMode": "CLASSIC"})
            case "GET", "/api/v1/accounts/opened":
                return 200, _kucoin(True)
            case "GET", "/api/v1/accounts":
                coins = [
                    {"id": "1", "currency": "USDT", "balance": "1000", "available": "900.5"},
                    {"id": "2", "currency": "BTC", "balance": "0.25", "available": "0.25"},
                ]
                return 200, _kucoin([coin | {"holds": "0", "type": query.get("type", "trade")} for coin in coins])
            case "POST", "/api/v1/orders":
                if self.poor:
                    return 200, {"code": "200004", "msg": "Balance insufficient!"}
                if link_id in self.orders:
                    return 200, {"code": "300000", "msg": "clientOid is duplicate, already exists"}
                row = self.place(link_id, query["side"], query["price"], query["size"])
                return 200, _kucoin({"orderId": row["id"], "clientOid": link_id})
            case "GET", "/api/v1/orders" | "/api/v1/orders/active":
                items = [self.row(row) for row in self.open_rows()]
                return 200, _kucoin({"currentPage": 1, "pageSize": 50, "totalNum": len(items), "items": items})
            case "GET", "/api/v1/fills":
                inside = int(query.get("startAt", 0)) <= FILL_MS <= int(query.get("endAt", 2**60))
                items = [self.fill(row) for row in self.orders.values()] if inside else []
                return 200, _kucoin({"currentPage": 1, "pageSize": 50, "totalNum": len(items), "items": items})
        if "/client-order/" in path or path.replace("/hf/", "/").startswith("/api/v1/orders/"):
            row = self.orders.get(link_id) or self.by_id(link_id)
            if row is None:
                return 200, {"code": "400100", "msg": "order not exist."}
            if method == "DELETE":
                row["state"] = "cancelled"
                return 200, _kucoin({"cancelledOrderId": row["id"], "clientOid": link_id})
            return 200, _kucoin(self.row(row))
        return 404, None

    def listing(self) -> dict[str, Any]:
        """List the pair with its filters."""
        return {
            "symbol": "BTC-USDT",
            "name": "BTC-USDT",
            "baseCurrency": "BTC",
            "quoteCurrency": "USDT",
            "feeCurrency": "USDT",
            "market": "USDS",
            "baseMinSize": "0.00001",
            "quoteMinSize": "0.1",
            "baseMaxSize": "9000",
            "quoteMaxSize": "99999999",
            "baseIncrement": "0.00001",
            "quoteIncrement": "0.000001",
            "priceIncrement": "0.01",
            "minFunds": "5",
            "isMarginEnabled": True,
            "enableTrading": True,
        }

    def row(self, row: Row) -> dict[str, Any]:
        """Write an order."""
        is_open = row["state"] == "open"
        return {
            "id": row["id"],
            "symbol": "BTC-USDT",
            "clientOid": row["link"],
            "type": "limit",
            "side": row["side"],
            "price": row["price"],
            "size": row["qty"],
            "dealSize": "0",
            "dealFunds": "0",
            "fee": "0",
            "feeCurrency": "USDT",
            "timeInForce": "GTC",
            "postOnly": True,
            "isActive": is_open,
            "cancelExist": not is_open,
            "createdAt": FILL_MS,
            "tradeType": "TRADE",
        }

    def fill(self, row: Row) -> dict[str, Any]:
        """Write the execution of an order; it does not name our id."""
        return {
            "symbol": "BTC-USDT",
            "tradeId": f"7{row['id']}",
            "orderId": row["id"],
            "counterOrderId": "1",
            "side": row["side"],
            "liquidity": "maker",
            "price": row["price"],
            "size": row["qty"],
            "funds": "1",
            "fee": "0.000001",
            "feeRate": "0.001",
            "feeCurrency": "BTC",
            "type": "limit",
            "createdAt": FILL_MS,
            "tradeType": "TRADE",
        }


STUBS = (BinanceStub, OkxStub, KucoinStub, MexcStub)


@asynccontextmanager
async def running(stub: Stub) -> AsyncIterator[Stub]:
    """Serve a stub on a free port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stub.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield stub
    finally:
        await runner.cleanup()


def _okx(data: list[Any]) -> dict[str, Any]:
    return {"code": "0", "msg": "", "data": data}


def _kucoin(data: Any) -> dict[str, Any]:
    return {"code": "200000", "data": data}
