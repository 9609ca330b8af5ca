"""The venue's public REST: `/v5/market/*`, answered from the market board in the V5 API's own shapes.

It reads and never changes anything. Numbers go out as decimal text, lists newest first where the venue does so,
and a bad request is answered with code 10001 and status 200, as the venue answers.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from engine.trading.instrument import Market
from engine.trading.orders import Side

from .candles import INTERVALS, Bar
from .catalogue import Listing
from .codes import Code, Refused
from .market import PRICE_LIMIT_RATIO, MarketBoard, MarketState
from .tickers import ticker_fields
from .wire_text import WireText, size_text

CATEGORIES = ("spot", "linear", "inverse", "option")
"""What the API knows; the last two are always empty here."""

LAUNCHED_MS = 1_585_526_400_000
"""The launch date given for every contract: the venue's first USDT perpetual."""

_MARKETS = {market.value: market for market in Market}
_BAND = {"priceLimitRatioX": f"{PRICE_LIMIT_RATIO:f}", "priceLimitRatioY": f"{PRICE_LIMIT_RATIO:f}"}
_encode = msgspec.json.Encoder().encode
_Query = dict[str, str]
_Result = dict[str, Any]


def market_routes(board: MarketBoard, now_ms: Callable[[], int]) -> list[web.RouteDef]:
    """Give the routes of `/v5/market/*`, reading from `board`; `now_ms` is the venue's wall clock."""
    market = _PublicMarket(board, now_ms)
    return [
        web.get(f"/v5/market/{path}", _answering(handler, now_ms))
        for path, handler in {
            "time": market.time,
            "kline": market.kline,
            "mark-price-kline": market.price_kline,
            "index-price-kline": market.price_kline,
            "instruments-info": market.instruments_info,
            "orderbook": market.orderbook,
            "tickers": market.tickers,
            "recent-trade": market.recent_trade,
            "funding/history": market.funding_history,
            "risk-limit": market.risk_limit,
            "price-limit": market.price_limit,
        }.items()
    ]


def _answering(handler: Callable[[_Query], _Result], now_ms: Callable[[], int]) -> Callable[[web.Request], Any]:
    async def answer(request: web.Request) -> web.Response:
        code, message, result = int(Code.OK), "OK", {}
        try:
            result = handler(dict(request.query))
        except Refused as refused:
            code, message = refused.code, refused.message
        body = {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": now_ms()}
        return web.Response(body=_encode(body), content_type="application/json")

    return answer


class _PublicMarket:
    """One method per endpoint: query in, `result` out, `Refused` for a bad query."""

    def __init__(self, board: MarketBoard, now_ms: Callable[[], int]) -> None:
        self._board = board
        self._now_ms = now_ms

    def time(self, query: _Query) -> _Result:
        now_ms = self._now_ms()
        return {"timeSecond": str(now_ms // 1000), "timeNano": str(now_ms * 1_000_000)}

    def kline(self, query: _Query) -> _Result:
        state, bars = self._bars(query)
        wire = WireText(state.instrument)
        rows = [[*_prices(bar, wire), size_text(bar.volume), wire.value(bar.turnover)] for bar in bars]
        return {"category": state.instrument.market.value, "symbol": state.instrument.symbol, "list": rows}

    def price_kline(self, query: _Query) -> _Result:
        """Answer mark and index bars. Both follow the traded price here, so these are the trade bars."""
        if query.get("category", "linear") == "spot":
            raise Refused(Code.PARAMETER, "Invalid category")
        state, bars = self._bars({"category": "linear", **query})
        wire = WireText(state.instrument)
        rows = [_prices(bar, wire) for bar in bars]
        return {"category": state.instrument.market.value, "symbol": state.instrument.symbol, "list": rows}

    def instruments_info(self, query: _Query) -> _Result:
        category = _category(query)
        offset = _number(query, "cursor", 0, 0, 2**31) or 0
        limit = _number(query, "limit", 500, 1, 1000) or 500
        listings = self._listings(category, query.get("symbol"), query.get("baseCoin"))
        if query.get("status", "Trading") != "Trading":
            listings = []
        if category == "spot":
            return {
                "category": category,
                "list": [_spot_info(listing) for listing in listings],
            }
        rows = [_linear_info(listing) for listing in listings[offset : offset + limit]]
        cursor = str(offset + limit) if offset + limit < len(listings) else ""
        return {"category": category, "list": rows, "nextPageCursor": cursor}

    def orderbook(self, query: _Query) -> _Result:
        state = self._state(query)
        is_spot = state.instrument.market is Market.SPOT
        limit = _number(query, "limit", 1 if is_spot else 25, 1, 200 if is_spot else 500) or 1
        price = WireText(state.instrument).price
        return {
            "s": state.instrument.symbol,
            "b": [[price(ticks), size_text(size)] for ticks, size in state.depth(Side.BUY, limit)],
            "a": [[price(ticks), size_text(size)] for ticks, size in state.depth(Side.SELL, limit)],
            "ts": state.at_ms,
            "u": state.update_id,
            "seq": state.sequence,
            "cts": state.at_ms,
        }

    def tickers(self, query: _Query) -> _Result:
        category = _category(query)
        states = self._listed(category, query.get("symbol"), query.get("baseCoin"))
        return {
            "category": category,
            "list": [_rest_ticker(state) for state in states if state.last_ticks is not None],
        }

    def recent_trade(self, query: _Query) -> _Result:
        state = self._state(query)
        is_spot = state.instrument.market is Market.SPOT
        limit = _number(query, "limit", 60 if is_spot else 500, 1, 60 if is_spot else 1000) or 60
        price = WireText(state.instrument).price
        newest = [state.tape[-1 - back] for back in range(min(limit, len(state.tape)))]
        return {
            "category": state.instrument.market.value,
            "list": [
                {
                    "execId": str(entry.number),
                    "symbol": state.instrument.symbol,
                    "price": price(entry.trade.ticks),
                    "size": size_text(entry.trade.size),
                    "side": "Buy" if entry.trade.buyer_is_taker else "Sell",
                    "time": str(entry.trade.at_ms),
                    "isBlockTrade": False,
                    "isRPITrade": False,
                    "seq": str(entry.sequence),
                }
                for entry in newest
            ],
        }

    def funding_history(self, query: _Query) -> _Result:
        state = self._state(query)
        if state.instrument.market is not Market.LINEAR:
            raise Refused(Code.PARAMETER, "Invalid category")
        start_ms = _number(query, "startTime", None, 0, 2**53)
        end_ms = _number(query, "endTime", None, 0, 2**53)
        if start_ms is not None and end_ms is None:
            raise Refused(Code.PARAMETER, "params error: endTime is required with startTime")
        limit = _number(query, "limit", 200, 1, 200) or 200
        found = [
            {
                "symbol": state.instrument.symbol,
                "fundingRate": f"{record.rate:f}",
                "fundingRateTimestamp": str(record.at_ms),
            }
            for record in reversed(state.funding_history)
            if (start_ms or 0) <= record.at_ms and (end_ms is None or record.at_ms <= end_ms)
        ]
        return {"category": "linear", "list": found[:limit]}

    def risk_limit(self, query: _Query) -> _Result:
        """Answer one tier for each contract: this venue's margin rates do not depend on the position's size."""
        category = _category(query)
        if category == "spot":
            raise Refused(Code.PARAMETER, "Invalid category")
        rows = [_risk_tier(listing) for listing in self._listings(category, query.get("symbol"), None)]
        return {"category": category, "list": rows, "nextPageCursor": ""}

    def price_limit(self, query: _Query) -> _Result:
        state = self._state({"category": "linear", **query})
        limits = state.price_limits()
        if limits is None:
            raise Refused(Code.PARAMETER, "No price yet")
        price = WireText(state.instrument).price
        return {
            "symbol": state.instrument.symbol,
            "buyLmt": price(limits[0]),
            "sellLmt": price(limits[1]),
            "ts": str(state.at_ms),
        }

    def _bars(self, query: _Query) -> tuple[MarketState, list[Bar]]:
        state = self._state({"category": "linear", **query})
        interval = query.get("interval", "")
        if interval not in INTERVALS:
            raise Refused(Code.PARAMETER, "Invalid period!")
        limit = _number(query, "limit", 200, 1, 1000) or 200
        start_ms = _number(query, "start", None, 0, 2**53)
        end_ms = _number(query, "end", None, 0, 2**53)
        return state, state.candles.query(interval, start_ms, end_ms, limit)

    def _state(self, query: _Query) -> MarketState:
        category = _category(query)
        symbol = query.get("symbol", "")
        if not symbol:
            raise Refused(Code.PARAMETER, "params error: symbol is required")
        return self._listed(category, symbol, None)[0]

    def _listings(self, category: str, symbol: str | None, base: str | None) -> list[Listing]:
        return [self._board.listing(state.instrument) for state in self._listed(category, symbol, base)]

    def _listed(self, category: str, symbol: str | None, base: str | None) -> list[MarketState]:
        """Give the markets of a category; a symbol that is not listed is refused, a category may be empty."""
        market = _MARKETS.get(category)
        if symbol:
            state = None if market is None else self._board.find(market, symbol)
            if state is None:
                raise Refused(Code.PARAMETER, "Not supported symbols")
            return [state]
        states = [] if market is None else self._board.listed(market)
        return [state for state in states if base in (None, state.instrument.base)]


def _category(query: _Query) -> str:
    category = query.get("category", "")
    if category not in CATEGORIES:
        raise Refused(Code.PARAMETER, "params error: Category is invalid")
    return category


def _number(query: _Query, name: str, default: int | None, least: int, most: int) -> int | None:
    """Read a whole number; too large a limit is cut to the most, as the venue does."""
    text = query.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        raise Refused(Code.PARAMETER, f"params error: {name} is invalid")
    return min(int(text), most)


def _prices(bar: Bar, wire: WireText) -> list[str]:
    price = wire.price
    return [str(bar.start_ms), price(bar.open), price(bar.high), price(bar.low), price(bar.close)]


def _rest_ticker(state: MarketState) -> dict[str, str]:
    fields = ticker_fields(state)
    if state.instrument.market is Market.LINEAR:
        fields |= {"predictedDeliveryPrice": "", "basisRate": "", "deliveryFeeRate": "", "deliveryTime": "0"}
    return fields


def _spot_info(listing: Listing) -> _Result:
    instrument, quantity = listing.instrument, listing.instrument.quantity_text
    return {
        "symbol": instrument.symbol,
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "innovation": "0",
        "status": "Trading",
        "marginTrading": "none",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": f"{instrument.lot_size:f}",
            "quotePrecision": f"{listing.quote_precision:f}",
            "minOrderQty": quantity(instrument.min_lots),
            "maxOrderQty": quantity(instrument.max_lots),
            "minOrderAmt": f"{instrument.min_notional:f}",
            "maxOrderAmt": f"{listing.max_amount:f}",
            "maxLimitOrderQty": quantity(instrument.max_lots),
            "maxMarketOrderQty": quantity(instrument.max_market_lots),
        },
        "priceFilter": {"tickSize": f"{instrument.tick_size:f}"},
        "riskParameters": _BAND,
    }


def _linear_info(listing: Listing) -> _Result:
    instrument, quantity = listing.instrument, listing.instrument.quantity_text
    return {
        "symbol": instrument.symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "launchTime": str(LAUNCHED_MS),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(instrument.tick_decimals),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": f"{instrument.leverage_max:.2f}",
            "leverageStep": "0.01",
        },
        "priceFilter": {
            "minPrice": instrument.price_text(instrument.min_ticks),
            "maxPrice": instrument.price_text(instrument.max_ticks),
            "tickSize": f"{instrument.tick_size:f}",
        },
        "lotSizeFilter": {
            "maxOrderQty": quantity(instrument.max_lots),
            "minOrderQty": quantity(instrument.min_lots),
            "qtyStep": f"{instrument.lot_size:f}",
            "postOnlyMaxOrderQty": quantity(instrument.max_lots),
            "maxMktOrderQty": quantity(instrument.max_market_lots),
            "minNotionalValue": f"{instrument.min_notional:f}",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": instrument.funding_interval_min,
        "settleCoin": instrument.quote,
        "copyTrading": "none",
        "upperFundingRate": "0.005",
        "lowerFundingRate": "-0.005",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": _BAND,
    }


def _risk_tier(listing: Listing) -> _Result:
    instrument = listing.instrument
    return {
        "id": 1,
        "symbol": instrument.symbol,
        "riskLimitValue": "1000000000",
        "maintenanceMargin": f"{listing.maintenance_rate:f}",
        "initialMargin": f"{1 / instrument.leverage_max:.4f}",
        "isLowestRisk": 1,
        "maxLeverage": f"{instrument.leverage_max:.2f}",
        "mmDeduction": "",
    }
