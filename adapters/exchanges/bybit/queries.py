"""What an account can be asked over REST: its orders, executions, balances, position and fees.

An answer here is the venue's truth for a resync, so lists are paged to their end, and "there is no such order" is
said only when it can no longer become false.
"""

from collections.abc import Sequence
from decimal import Decimal

from adapters.exchanges.bybit.clock import VenueClock
from adapters.exchanges.bybit.codec import InstrumentCodec
from adapters.exchanges.bybit.rest import RestClient
from adapters.exchanges.bybit.wire import CoinRow, ExecutionRow, FeeRow, OrderRow, Page, PositionRow, WalletRow
from engine.errors import Rejected, RejectReason
from engine.ids import Instant, LinkId
from engine.trading.instrument import FeeRates, Instrument, Market, amount_units
from engine.trading.market import Balance, Position
from engine.trading.orders import Execution, FundingCharged, OrderReport

_SPAN_MS = 7 * 24 * 3_600_000 - 1
"""A query of executions spans at most seven days."""
_SETTLING_MS = 1_000
"""What the venue may take to show an order that it has just accepted."""


class AccountQueries:
    """Asks about one account. Raises `Retryable` or `Rejected`."""

    def __init__(self, rest: RestClient, clock: VenueClock, recv_window_ms: int) -> None:
        self._rest = rest
        self._clock = clock
        self._recv_window_ms = recv_window_ms
        self._began_ms = 0

    def begin(self) -> None:
        """Note the time: orders of an earlier process may still be travelling when this one starts."""
        self._began_ms = self._clock.now_ms()

    async def open_orders(self, codec: InstrumentCodec, link_prefix: str) -> list[OrderReport]:
        """List the open orders whose link id starts with `link_prefix`."""
        reports: dict[str, OrderReport] = {}
        query = f"{_names(codec.instrument)}&openOnly=0&limit=50"
        async for rows in self._rest.pages("/v5/order/realtime", query, OrderRow):
            for row in rows:
                # Orders move between pages while we turn them, hence the dictionary.
                if row.order_link_id.startswith(link_prefix):
                    reports[row.order_link_id] = codec.report(row)
        return [report for report in reports.values() if not report.status.is_final]

    async def executions(
        self, codec: InstrumentCodec, link_prefix: str, since_ms: Instant
    ) -> Sequence[Execution | FundingCharged]:
        """Page every execution from `since_ms` until now, oldest first, and every funding payment."""
        found: dict[str, tuple[int, int, Execution | FundingCharged]] = {}
        start_ms, now_ms = int(since_ms), self._clock.now_ms() + 1_000
        while start_ms <= now_ms:
            end_ms = min(start_ms + _SPAN_MS, now_ms)
            query = f"{_names(codec.instrument)}&startTime={start_ms}&endTime={end_ms}&limit=100"
            async for rows in self._rest.pages("/v5/execution/list", query, ExecutionRow):
                for row in rows:
                    if row.exec_type != "Funding" and not row.order_link_id.startswith(link_prefix):
                        continue
                    fact = _read_execution(codec, row)
                    if fact is not None:
                        # The venue lists the newest first; within one millisecond that order is all we have.
                        found.setdefault(row.exec_id, (row.exec_time, -len(found), fact))
            start_ms = end_ms + 1
        return [fact for _, _, fact in sorted(found.values(), key=lambda entry: entry[:2])]

    async def ask_order(self, codec: InstrumentCodec, link_id: LinkId) -> OrderReport | None:
        """Look for an order among the open ones, the lately closed ones and in history; None if none shows it."""
        row = await self._find_row(codec.instrument, link_id)
        return None if row is None else codec.report(row)

    def travels_s(self, sent_ms: int | None) -> float:
        """Tell for how long an order sent at `sent_ms` may still appear; None means not sent by this process."""
        definite_ms = (sent_ms or self._began_ms) + self._recv_window_ms + _SETTLING_MS
        return (definite_ms - self._clock.now_ms() + 1) / 1000

    async def fee_rates(self, instrument: Instrument) -> FeeRates:
        """Give the account's rates on one instrument."""
        page = await self._rest.get("/v5/account/fee-rate", _names(instrument), Page[FeeRow])
        if not page.rows:
            raise Rejected(RejectReason.NOT_FOUND, f"no fee rates for {instrument.symbol}")
        return FeeRates(Decimal(page.rows[0].maker_fee_rate), Decimal(page.rows[0].taker_fee_rate))

    async def balances(self) -> dict[str, Balance]:
        """Give every non-zero holding of the unified account."""
        page = await self._rest.get("/v5/account/wallet-balance", "accountType=UNIFIED", Page[WalletRow])
        rows = [row for account in page.rows for row in account.coin]
        return {row.coin: balance for row in rows if (balance := _balance(row)).total_units}

    async def position(self, instrument: Instrument) -> Position:
        """Give the one-way position in a linear instrument."""
        page = await self._rest.get("/v5/position/list", _names(instrument), Page[PositionRow])
        for row in page.rows:
            if row.symbol == instrument.symbol and Decimal(row.size or "0"):
                lots = instrument.lots(row.size)
                return Position(
                    lots=lots if row.side == "Buy" else -lots,
                    entry_price=Decimal(row.avg_price or "0"),
                    leverage=Decimal(row.leverage or "1"),
                    liquidation_price=Decimal(row.liq_price) if row.liq_price else None,
                )
        leverage = Decimal(page.rows[0].leverage or "1") if page.rows else Decimal(1)
        return Position(lots=0, entry_price=Decimal(0), leverage=leverage)

    async def _find_row(self, instrument: Instrument, link_id: LinkId) -> OrderRow | None:
        # In this order: an order that closes between two questions is seen by the later one. History alone lags.
        named = f"{_names(instrument)}&orderLinkId={link_id}"
        for path, query in (
            ("/v5/order/realtime", f"{named}&openOnly=0"),
            ("/v5/order/realtime", f"{named}&openOnly=1"),
            ("/v5/order/history", named),
        ):
            page = await self._rest.get(path, query, Page[OrderRow])
            for row in page.rows:
                if row.order_link_id == link_id:
                    return row
        return None


def _names(instrument: Instrument) -> str:
    return f"category={instrument.market.value}&symbol={instrument.symbol}"


def _read_execution(codec: InstrumentCodec, row: ExecutionRow) -> Execution | FundingCharged | None:
    if row.exec_type == "Funding" and codec.instrument.market is Market.SPOT:
        return None
    try:
        return codec.execution(row)
    except (ValueError, KeyError) as error:
        # Rather no answer than a wrong one: P/L is made of these.
        raise Rejected(RejectReason.OTHER, f"execution {row.exec_id} cannot be read: {error}") from error


def _balance(row: CoinRow) -> Balance:
    total = amount_units(row.wallet_balance or "0")
    bound = (row.locked, row.total_order_im, row.total_position_im)
    free = total - sum(amount_units(text or "0") for text in bound)
    return Balance(asset=row.coin, total_units=total, free_units=max(0, free))
