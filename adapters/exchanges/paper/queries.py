"""What an account may ask over HTTP about its orders, executions, positions and money. It changes nothing."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from engine.trading.instrument import Market, amount_text

from .clearing import Listings
from .codes import Code, Refused
from .model import Account, Order
from .paging import Query, listed, page, span
from .rows import Row, Rows, rate_text
from .venue import Venue

EMPTY_CATEGORIES = frozenset({"inverse", "option"})
"""Categories of the API in which nothing is listed here: their lists are empty, as at a venue without them."""

_LISTS = frozenset({"order.realtime", "order.history", "execution.list", "position.list", "position.closed-pnl"})


class Queries:
    """The private GET endpoints, by operation name."""

    def __init__(self, venue: Venue, rows: Rows) -> None:
        self._venue = venue
        self._rows = rows
        self._listings: Listings = venue.listings
        self.handlers: dict[str, Callable[[Account, Query], Any]] = {
            "order.realtime": self._realtime,
            "order.history": self._history,
            "order.spot-borrow-check": self._borrow_check,
            "execution.list": self._executions,
            "position.list": self._positions,
            "position.closed-pnl": self._closed_pnl,
            "account.wallet-balance": self._wallet,
            "account.fee-rate": self._fee_rate,
            "account.info": self._info,
            "account.transaction-log": self._transactions,
            "user.query-api": self._key,
            "asset.coin.query-info": self._coins,
        }

    def answer(self, account: Account, operation: str, query: Query) -> Any:
        """Answer a query, or refuse it."""
        category = query.get("category", "")
        if category in EMPTY_CATEGORIES and operation in _LISTS:
            return listed([], "", category)
        return self.handlers[operation](account, query)

    # ------------------------------------------------------------------ orders and executions

    def _realtime(self, account: Account, query: Query) -> Row:
        """Open orders; asked by id, also a final one; with openOnly=1 the 500 most recent final ones."""
        market = _market(query)
        self._require_scope(market, query)
        order_id = query.get("orderId") or account.by_link.get(query.get("orderLinkId", ""), "")
        if query.get("orderId") or query.get("orderLinkId"):
            found = account.by_id.get(order_id)
            chosen = [found] if found is not None else []
        elif query.get("openOnly") == "1":
            chosen = list(account.final)[-500:]
        else:
            chosen = list(account.open.values())
        return self._order_page(chosen, market, query)

    def _history(self, account: Account, query: Query) -> Row:
        market = _market(query)
        start, end = span(query, self._venue.now_ms())
        chosen = [
            order
            for order in account.final
            if start <= order.created_ms <= end
            and _matches(query, "orderId", order.order_id)
            and _matches(query, "orderLinkId", order.link_id)
            and _matches(query, "orderStatus", order.status.value)
        ]
        return self._order_page(chosen, market, query)

    def _order_page(self, orders: list[Order], market: Market, query: Query) -> Row:
        chosen = [order for order in orders if order.market is market and self._in_scope(order, query)]
        chosen.sort(key=lambda order: order.seq, reverse=True)
        rows, cursor = page(chosen, query, default=20, most=50)
        return listed([self._rows.order(order) for order in rows], cursor, market.value)

    def _executions(self, account: Account, query: Query) -> Row:
        market = _market(query)
        start, end = span(query, self._venue.now_ms())
        wanted = (
            execution
            for execution in reversed(account.executions)
            if execution.market is market
            and start <= execution.at_ms <= end
            and self._in_scope(execution, query)
            and _matches(query, "orderId", execution.order_id)
            and _matches(query, "orderLinkId", execution.link_id)
            and _matches(query, "execType", execution.exec_type)
        )
        rows, cursor = page(wanted, query, default=50, most=100)
        return listed([self._rows.execution(each) for each in rows], cursor, market.value)

    def _borrow_check(self, account: Account, query: Query) -> Row:
        """What could be bought or sold without borrowing; nothing is ever lent here."""
        listing = self._venue.desk.listing(query.get("category", ""), query.get("symbol", ""))
        instrument = listing.instrument
        is_buy = query.get("side") == "Buy"
        coin = instrument.quote if is_buy else instrument.base
        free = amount_text(max(0, self._venue.clearing.free(account, coin)))
        return {
            "symbol": instrument.symbol,
            "side": query.get("side", ""),
            "maxTradeQty": "" if is_buy else free,
            "maxTradeAmount": free if is_buy else "",
            "spotMaxTradeQty": "" if is_buy else free,
            "spotMaxTradeAmount": free if is_buy else "",
            "borrowCoin": coin,
        }

    # ------------------------------------------------------------------ positions

    def _positions(self, account: Account, query: Query) -> Row:
        market = _market(query)
        symbol = query.get("symbol")
        if symbol:
            self._venue.desk.listing(market.value, symbol)
            positions = [account.position(symbol)]
        elif query.get("settleCoin") or query.get("baseCoin"):
            positions = [each for each in account.positions.values() if each.lots and self._in_scope(each, query)]
        else:
            raise Refused(Code.PARAMETER, "params error: symbol or settleCoin is required")
        return listed([self._rows.position(account, each) for each in positions], "", market.value)

    def _closed_pnl(self, account: Account, query: Query) -> Row:
        start, end = span(query, self._venue.now_ms())
        rows = [
            each
            for each in account.closed.values()
            if start <= each.updated_ms <= end and _matches(query, "symbol", each.symbol)
        ]
        rows.sort(key=lambda each: each.seq, reverse=True)
        chosen, cursor = page(rows, query, default=50, most=100)
        return listed([self._rows.closed_pnl(each) for each in chosen], cursor, Market.LINEAR.value)

    # ------------------------------------------------------------------ the account

    def _wallet(self, account: Account, query: Query) -> Row:
        if query.get("accountType", "UNIFIED") != "UNIFIED":
            raise Refused(Code.PARAMETER, "accountType only support UNIFIED.")
        coins = query.get("coin")
        return {"list": [self._rows.wallet(account, frozenset(coins.split(",")) if coins else None)]}

    def _fee_rate(self, account: Account, query: Query) -> Row:
        market = _market(query)
        symbol = query.get("symbol")
        if symbol:
            self._venue.desk.listing(market.value, symbol)
        fees = account.wallet.fees[market]
        return {
            "category": market.value,
            "list": [
                {
                    "symbol": listing.instrument.symbol,
                    "baseCoin": "",
                    "takerFeeRate": rate_text(fees.taker),
                    "makerFeeRate": rate_text(fees.maker),
                }
                for listing in self._listings.values()
                if listing.instrument.market is market and symbol in (None, "", listing.instrument.symbol)
            ],
        }

    def _info(self, account: Account, query: Query) -> Row:
        return {
            "unifiedMarginStatus": 5,
            "marginMode": "ISOLATED_MARGIN" if account.wallet.isolated else "REGULAR_MARGIN",
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
            "dcpStatus": "OFF",
            "timeWindow": 0,
            "smpGroup": 0,
            "updatedTime": str(account.wallet.updated_ms),
        }

    def _transactions(self, account: Account, query: Query) -> Row:
        start, end = span(query, self._venue.now_ms())
        kinds = {"TRADE": ("Trade", "BustTrade"), "SETTLEMENT": ("Funding",)}
        kind = query.get("type")
        wanted = (
            each
            for each in reversed(account.executions)
            if start <= each.at_ms <= end
            and _matches(query, "category", each.market.value)
            and _matches(query, "currency", each.fee_coin)
            and self._in_scope(each, query)
            and (not kind or each.exec_type in kinds.get(kind, ()))
        )
        rows, cursor = page(wanted, query, default=20, most=50)
        return {"list": [self._rows.transaction(each) for each in rows], "nextPageCursor": cursor}

    def _key(self, account: Account, query: Query) -> Row:
        rights = account.wallet.rights
        return {
            "id": str(account.uid),
            "note": account.wallet.name,
            "apiKey": account.wallet.key,
            "readOnly": int(rights.read_only),
            "secret": "",
            "permissions": {
                "ContractTrade": ["Order", "Position"],
                "Spot": ["SpotTrade"],
                "Wallet": ["AccountTransfer", "Withdraw"] if rights.can_withdraw else [],
                "Options": [],
                "Derivatives": ["DerivativesTrade"],
                "CopyTrading": [],
                "BlockTrade": [],
                "Exchange": [],
                "NFT": [],
                "Affiliate": [],
            },
            "ips": list(rights.addresses) or ["*"],
            "type": 1,
            "deadlineDay": 0,
            "expiredAt": datetime.fromtimestamp(rights.expires_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "createdAt": "2026-01-01T00:00:00Z",
            "unified": 0,
            "uta": 1,
            "userID": account.uid,
            "inviterID": 0,
            "vipLevel": "No VIP",
            "mktMakerLevel": "0",
            "affiliateID": 0,
            "rsaPublicKey": "",
            "isMaster": True,
            "parentUid": "0",
            "kycLevel": "LEVEL_DEFAULT",
            "kycRegion": "",
        }

    def _coins(self, account: Account, query: Query) -> Row:
        names = {
            coin for each in self._listings.values() for coin in (each.instrument.base, each.instrument.quote)
        }
        rows = [
            {"name": coin, "coin": coin, "remainAmount": "0", "chains": []}
            for coin in sorted(names)
            if _matches(query, "coin", coin)
        ]
        return {"rows": rows}

    # ------------------------------------------------------------------ scope

    def _require_scope(self, market: Market, query: Query) -> None:
        named = any(query.get(name) for name in ("symbol", "baseCoin", "settleCoin", "orderId", "orderLinkId"))
        if market is Market.LINEAR and not named:
            raise Refused(Code.PARAMETER, "params error: symbol, settleCoin or baseCoin is required")

    def _in_scope(self, row: Any, query: Query) -> bool:
        if not _matches(query, "symbol", row.symbol):
            return False
        market = getattr(row, "market", Market.LINEAR)
        instrument = self._listings[market, row.symbol].instrument
        return _matches(query, "baseCoin", instrument.base) and _matches(query, "settleCoin", instrument.quote)


def _market(query: Query) -> Market:
    category = query.get("category", "")
    try:
        return Market(category)
    except ValueError:
        raise Refused(Code.PARAMETER, "params error: category invalid") from None


def _matches(query: Query, name: str, value: str) -> bool:
    return query.get(name, "") in ("", value)
