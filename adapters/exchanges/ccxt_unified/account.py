"""What an account at any exchange behind ccxt can be asked: its orders, executions, balances, position and fees.

Lists are paged to their end, and "there is no such order" is said only when it can no longer become false.
"""

import asyncio
from decimal import Decimal
from typing import Any

import msgspec

from adapters.exchanges.ccxt_unified.client import CcxtClient
from adapters.exchanges.ccxt_unified.convert import Listed, Unified, link_id_of, read_order, read_trade, units
from adapters.exchanges.ccxt_unified.errors import translate
from adapters.exchanges.ccxt_unified.permissions import key_permissions
from adapters.exchanges.ccxt_unified.profiles import to_venue_id
from adapters.exchanges.routing import local_now_ms
from engine.errors import Rejected, RejectReason, Retryable
from engine.ids import ExecutionId, Instant, LinkId
from engine.ports import KeyPermissions
from engine.trading.instrument import FeeRates, Market
from engine.trading.market import Balance, Position
from engine.trading.orders import Execution, FundingCharged, OrderReport, OrderStatus

_TRADES_PER_PAGE = 100
_ORDERS_PER_PAGE = 50
_PAGES_MAX = 100
_KNOWN_MAX = 50_000
_STREAM_LAG_MS = 1_000
"""How far the stream's time of an execution may be ahead of the list's."""
_LISTED_AFTER_S = (0.05, 0.2, 0.5, 1.0, 2.0)
"""How long an execution that was told may take to appear in the list."""


class CcxtAccount:
    """Asks about one account. Raises `Retryable` or `Rejected`; a command may raise `OutcomeUnknown`."""

    def __init__(self, client: CcxtClient, settle_ms: int) -> None:
        self._client = client
        self._profile = client.profile
        self._settle_ms = settle_ms
        self._began_ms = int(local_now_ms())
        # The exchange's order ids with our own and the quantity: most executions name only the former.
        self._known: dict[str, tuple[LinkId | None, int]] = {}
        self._never_open: dict[LinkId, None] = {}

    async def call(self, method: str, *arguments: Any, command: bool = False, **more: Any) -> Any:
        """Call ccxt; raise only our three."""
        exchange = await self._client.exchange()
        try:
            return await getattr(exchange, method)(*arguments, **more)
        except Exception as error:
            # ccxt raises anything, its parsers' KeyErrors too; nothing of it may pass the port unsorted.
            raise translate(error, command=command) from error

    def remember(self, venue_id: str, link_id: LinkId | None, lots: int) -> None:
        """Note whose order this is; None for one of others."""
        if len(self._known) >= _KNOWN_MAX:
            del self._known[next(iter(self._known))]
        self._known[venue_id] = (link_id, lots)

    # ------------------------------------------------------------------ orders

    async def open_orders(self, listed: Listed, link_prefix: str) -> list[OrderReport]:
        """List the open orders whose link id starts with `link_prefix`."""
        rows = await self._open_rows(listed)
        reports = {report.link_id: report for row in rows if (report := self.read(listed, row)) is not None}
        return [
            report
            for report in reports.values()
            if report.link_id.startswith(link_prefix) and not report.status.is_final
        ]

    def travels_s(self, sent_ms: int | None) -> float:
        """Tell for how long an order sent at `sent_ms` may still appear; None means not sent by this process."""
        return ((sent_ms or self._began_ms) + self._settle_ms - int(local_now_ms()) + 1) / 1000

    async def _open_rows(self, listed: Listed) -> list[Unified]:
        paging = self._profile.open_orders_paging
        if paging == "whole":
            return list(await self.call("fetch_open_orders", listed.symbol))
        rows: list[Unified] = []
        more: dict[str, Any] = {}
        for _ in range(_PAGES_MAX):
            page = await self.call("fetch_open_orders", listed.symbol, None, _ORDERS_PER_PAGE, more)
            rows += page
            if paging == "cursor":
                # ccxt leaves the cursor in one of the rows.
                cursors = [cursor for row in page if (cursor := row["info"].get("nextPageCursor"))]
                if not cursors:
                    return rows
                more = {"cursor": cursors[0]}
            elif len(page) < _ORDERS_PER_PAGE:
                return rows
            else:
                # ccxt has turned the page round. Ids rise with time, where two orders may share a millisecond.
                more = {"after": str(min(int(row["id"]) for row in page))}
        raise Retryable("the list of open orders does not end")

    def read(self, listed: Listed, row: Unified) -> OrderReport | None:
        """Read an order if it is one that a program of ours may have named."""
        link_id = link_id_of(self._profile, row)
        if link_id is None or row.get("amount") is None:
            return None
        try:
            report = read_order(listed, self._profile, row)
        except (ValueError, ArithmeticError):
            return None  # Off today's grid: not placed by us.
        self.remember(report.venue_id, report.link_id, report.lots)
        return self._with_refusal(report)

    def note_post_only(self, link_id: LinkId) -> None:
        """Note that a post-only order is about to leave; until it is seen open, its end is a refusal."""
        if not self._profile.tells_why_cancelled:
            if len(self._never_open) >= _KNOWN_MAX:
                del self._never_open[next(iter(self._never_open))]
            self._never_open[link_id] = None

    def note_cancel(self, link_id: LinkId) -> None:
        """Note that we ask for a cancel ourselves: from here on, the order's end says nothing of its beginning."""
        self._never_open.pop(link_id, None)

    def _with_refusal(self, report: OrderReport) -> OrderReport:
        if report.link_id not in self._never_open:
            return report
        if report.status is not OrderStatus.CANCELLED or report.filled_lots:
            self._never_open.pop(report.link_id)
            return report
        return msgspec.structs.replace(
            report, status=OrderStatus.REJECTED, reason=RejectReason.WOULD_TAKE_LIQUIDITY, text="was never open"
        )

    async def ask_order(self, listed: Listed, link_id: LinkId) -> OrderReport | None:
        """Look for an order everywhere, once; None if the exchange does not show it now."""
        venue_text = to_venue_id(self._profile, link_id)
        if self._profile.finds_by_link_id:
            try:
                rows = [await self.call("fetch_order", "", listed.symbol, {"clientOrderId": venue_text})]
            except Rejected as error:
                if error.reason is not RejectReason.NOT_FOUND:
                    raise
                return None
        else:
            rows = []
            # In this order: an order that closes between two questions is seen by the later one.
            for method in ("fetch_open_orders", "fetch_canceled_and_closed_orders"):
                rows += await self.call(method, listed.symbol, None, None, {self._profile.link_key: venue_text})
        for row in rows:
            report = self.read(listed, row)
            if report is not None and report.link_id == link_id:
                return report
        return None

    # ------------------------------------------------------------------ executions

    async def executions(
        self, listed: Listed, link_prefix: str, since_ms: Instant
    ) -> list[Execution | FundingCharged]:
        """Page every execution since `since_ms`, oldest first, and every funding payment."""
        facts: dict[str, Execution | FundingCharged] = {}
        for trade in await self._trades(listed, since_ms):
            fact = await self.read_trade(listed, trade)
            if fact is not None and fact.at_ms >= since_ms and fact.link_id.startswith(link_prefix):
                facts[fact.exec_id] = fact
        if listed.instrument.market is Market.LINEAR:
            for row in await self.call("fetch_funding_history", listed.symbol, since_ms, _TRADES_PER_PAGE):
                amount = self._profile.funding_sign * units(row["amount"])
                at_ms = Instant(int(row["timestamp"]))
                if at_ms >= since_ms:
                    facts[row["id"]] = FundingCharged(ExecutionId(str(row["id"])), amount, at_ms)
        return sorted(facts.values(), key=lambda fact: fact.at_ms)

    async def read_trade(self, listed: Listed, trade: Unified) -> Execution | None:
        """Read an execution if the order is ours; asks the exchange whose it is where the trade does not tell."""
        venue_id = str(trade["order"])
        if venue_id not in self._known:
            await self._ask_whose(listed, trade, venue_id)
        link_id, lots = self._known[venue_id]
        return None if link_id is None else read_trade(listed, trade, link_id, lots)

    async def with_fees(self, listed: Listed, rows: list[Unified]) -> list[Unified]:
        """Give executions heard on the stream as the list of executions has them: the fee told, and as a cost."""
        match self._profile.stream_fee:
            case "change":
                return [_with_costs(row) for row in rows]
            case "untold":
                return await self._listed_like(listed, rows)
            case _:
                return rows

    async def _listed_like(self, listed: Listed, rows: list[Unified]) -> list[Unified]:
        wanted = {str(row["id"]) for row in rows}
        since_ms = min(int(row["timestamp"]) for row in rows) - _STREAM_LAG_MS
        for pause_s in _LISTED_AFTER_S:
            found = [row for row in await self._trades(listed, since_ms) if str(row["id"]) in wanted]
            if len(found) == len(wanted):
                return found
            await asyncio.sleep(pause_s)
        raise Retryable(f"{len(wanted)} executions were told and are not listed")

    async def _trades(self, listed: Listed, since_ms: int) -> list[Unified]:
        found: dict[str, Unified] = {}
        now_ms, span_ms = int(local_now_ms()) + 1_000, self._profile.trades_span_h * 3_600_000 - 1
        while since_ms <= now_ms:
            until_ms = min(since_ms + span_ms, now_ms)
            await self._trades_between(listed, since_ms, until_ms, found)
            since_ms = until_ms + 1
        return sorted(found.values(), key=lambda row: int(row["timestamp"]))

    async def _trades_between(
        self, listed: Listed, since_ms: int, until_ms: int, found: dict[str, Unified]
    ) -> None:
        """Collect the executions of a span, in halves while a page is full.

        Exchanges disagree about which end a full page shows, and ccxt's own paging cuts what it collected; halving
        needs neither to be right.
        """
        rows = await self.call("fetch_my_trades", listed.symbol, since_ms, _TRADES_PER_PAGE, {"until": until_ms})
        found.update((str(row["id"]), row) for row in rows)
        if len(rows) < _TRADES_PER_PAGE:
            return
        if since_ms >= until_ms:
            raise Retryable(f"more executions in one millisecond than {self._profile.exchange} shows")
        middle_ms = (since_ms + until_ms) // 2
        await self._trades_between(listed, since_ms, middle_ms, found)
        await self._trades_between(listed, middle_ms + 1, until_ms, found)

    async def _ask_whose(self, listed: Listed, trade: Unified, venue_id: str) -> None:
        link_id = link_id_of(self._profile, trade)
        if link_id is not None and (lots := _order_lots(listed, trade)) is not None:
            self.remember(venue_id, link_id, lots)
            return
        try:
            order = await self._order_by_venue_id(listed, venue_id)
        except Rejected as error:
            if error.reason is not RejectReason.NOT_FOUND:
                raise
            order = None
        if order is None or self.read(listed, order) is None:
            self.remember(venue_id, None, 0)

    async def _order_by_venue_id(self, listed: Listed, venue_id: str) -> Unified | None:
        if self._profile.finds_by_link_id:
            order: Unified = await self.call("fetch_order", venue_id, listed.symbol)
            return order
        for method in ("fetch_open_orders", "fetch_canceled_and_closed_orders"):
            rows = await self.call(method, listed.symbol, None, None, {"orderId": venue_id})
            for row in rows:
                if str(row["id"]) == venue_id:
                    found: Unified = row
                    return found
        return None

    # ------------------------------------------------------------------ the account

    async def fee_rates(self, listed: Listed) -> FeeRates:
        """Give the account's rates on one instrument."""
        fees = await self.call("fetch_trading_fee", listed.symbol)
        told = fees["info"]
        if self._profile.exchange == "okx" and listed.instrument.market is Market.LINEAR and told.get("makerU"):
            # ccxt reads `maker` and `taker`, which are those of contracts settled in coin; and minus is paid.
            return FeeRates(-Decimal(told["makerU"]), -Decimal(told["takerU"]))
        return FeeRates(Decimal(fees["maker"]), Decimal(fees["taker"]))

    async def balances(self, market: Market) -> dict[str, Balance]:
        """Give every non-zero holding of the wallet that pays for a market."""
        wallet = self._profile.wallets.get(market)
        rows = await self.call("fetch_balance", {"type": wallet} if wallet else {})
        return {
            asset: Balance(asset, total, max(0, units(rows["free"].get(asset) or "0")))
            for asset, amount in rows["total"].items()
            if amount and (total := units(amount))
        }

    async def position(self, listed: Listed) -> Position:
        """Give the one-way position in a linear instrument."""
        rows = await self.call("fetch_positions", [listed.symbol])
        for row in rows:
            contracts = Decimal(row.get("contracts") or "0")
            if row["symbol"] == listed.symbol and contracts:
                lots = listed.instrument.lots(contracts * listed.contract_base)
                liquidation = row.get("liquidationPrice")
                return Position(
                    lots=-lots if row["side"] == "short" else lots,
                    entry_price=Decimal(row.get("entryPrice") or "0"),
                    leverage=Decimal(row.get("leverage") or await self._leverage(listed)),
                    liquidation_price=Decimal(liquidation) if liquidation else None,
                )
        return Position(lots=0, entry_price=Decimal(0), leverage=Decimal(1))

    async def _leverage(self, listed: Listed) -> Any:
        """Ask for the leverage where a position does not tell it."""
        told = await self.call("fetch_leverage", listed.symbol)
        return told["longLeverage"]

    async def prepare(self, listed: Listed, leverage: int) -> None:
        """Bring a linear instrument to one-way mode and `leverage`."""
        if listed.instrument.market is not Market.LINEAR:
            return
        for method, value in (("set_position_mode", False), ("set_leverage", leverage)):
            if self._profile.sets_only_changes and await self._is_set(listed, method, value):
                continue
            try:
                # Not a command: said twice it does nothing, so an unanswered one may simply be repeated.
                await self.call(method, value, listed.symbol)
            except Rejected as error:
                if not _says_unchanged(str(error)):
                    raise

    async def _is_set(self, listed: Listed, method: str, value: int) -> bool:
        if method == "set_leverage":
            return Decimal(await self._leverage(listed)) == value
        return bool((await self.call("fetch_position_mode", listed.symbol))["hedged"]) == value

    async def permissions(self) -> KeyPermissions:
        """Tell what the key may do, where the exchange tells; `Rejected` says that it does not."""
        return await key_permissions(self._profile.exchange, self.call)


def _with_costs(trade: Unified) -> Unified:
    fees = [{**fee, "cost": -Decimal(fee.get("cost") or "0")} for fee in trade["fees"]]
    return {**trade, "fees": fees}


def _order_lots(listed: Listed, trade: Unified) -> int | None:
    amount = (trade.get("info") or {}).get("orderQty")
    return listed.lots(amount) if amount else None


def _says_unchanged(text: str) -> bool:
    words = text.lower()
    return any(hint in words for hint in ("not modified", "no need to change", "unchanged", "110025", "110043"))
