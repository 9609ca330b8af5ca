"""The venue's core: markets move, accounts trade, positions are funded and liquidated. It knows no sockets.

Every command and every market event is carried out whole and at once (no awaits inside), journalled, and only
then told to the listeners. `on_market` is what feeds call, in the order of the market.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path

from engine.trading.instrument import FeeRates, Instrument, Market, amount_units
from engine.trading.orders import Side

from .catalogue import Listing
from .clearing import Clearing
from .codes import Code, Refused
from .desk import OrderDesk
from .events import MarketEvent, MarketTrade
from .faults import Faults
from .journal import Journal
from .market import MarketBoard, MarketState
from .model import RATE_SCALE, Account, Fees, KeyRights, Order, Position, Status, TimeInForce, Wallet, add
from .records import Records

MarketListener = Callable[[Instrument, MarketState, MarketEvent], None]
LiquidationListener = Callable[[Instrument, int, Side, int, int], None]

FIRST_UID = 100_001


class Venue:
    """Everything behind the doors: accounts, order desk, clearing, markets."""

    def __init__(self, listings: Iterable[Listing], state_dir: Path | None = None) -> None:
        self.listings: Mapping[tuple[Market, str], Listing] = {each.key: each for each in listings}
        self.faults = Faults()
        self.board = MarketBoard(self.listings.values())
        self.market_listeners: list[MarketListener] = []
        self.liquidation_listeners: list[LiquidationListener] = []
        self._journal = Journal(state_dir) if state_dir is not None else None
        self.records = Records(self._journal, self.now_ms)
        self.clearing = Clearing(self.records, self.listings, self.board)
        self.desk = OrderDesk(self.records, self.clearing, self.listings, self.board)
        self._last_prices: dict[str, tuple[int | None, int | None]] = {}
        if self._journal is not None:
            try:
                self._restore(self._journal)
            except BaseException:
                self._journal.close()
                raise

    def now_ms(self) -> int:
        """Give the venue's time, which a fault can put off."""
        return time.time_ns() // 1_000_000 + self.faults.clock_offset_ms

    def close(self) -> None:
        """Close the journal. Nothing is lost: every command was written when it was carried out."""
        if self._journal is not None:
            self._journal.close()

    def _restore(self, journal: Journal) -> None:
        self.records.restore(journal.read())
        self._require_listings()
        for account in self.records.accounts.values():
            for position in account.positions.values():
                position.bid_lots = position.bid_cost = position.ask_lots = position.ask_cost = 0
            for order in tuple(account.open.values()):
                self.clearing.lock(account, order)
                self.desk.matchers[order.market, order.symbol].restore(order)
        journal.start(self.records.snapshot())

    def _require_listings(self) -> None:
        """Refuse to open on a journal that knows what is no longer listed: nothing could be said of it."""
        known = {
            (order.market, order.symbol)
            for account in self.records.accounts.values()
            for order in account.by_id.values()
        }
        known |= {
            (Market.LINEAR, symbol) for account in self.records.accounts.values() for symbol in account.positions
        }
        missing = sorted(f"{market.value} {symbol}" for market, symbol in known - self.listings.keys())
        if missing:
            raise ValueError(f"the journal knows {', '.join(missing)}, which this venue does not list")

    # ------------------------------------------------------------------ the market

    def on_market(self, instrument: Instrument, event: MarketEvent) -> None:
        """Take in one event: market state first, then the accounts' orders, then whoever listens."""
        state = self.board.of(instrument)
        matcher = self.desk.matchers[instrument.market, instrument.symbol]
        if isinstance(event, MarketTrade):
            state.apply(event)
            matcher.on_trade(event)
        else:
            matcher.on_book(event)
        if instrument.market is Market.LINEAR:
            self._watch_positions(instrument, state)
        self.records.commit()
        for listener in self.market_listeners:
            listener(instrument, state, event)

    def _watch_positions(self, instrument: Instrument, state: MarketState) -> None:
        prices = state.mark_ticks, state.last_ticks
        if prices == self._last_prices.get(instrument.symbol):
            return
        self._last_prices[instrument.symbol] = prices
        mark, last = prices
        for account in tuple(self.records.accounts.values()):
            position = account.positions.get(instrument.symbol)
            if position is None or not position.lots or mark is None:
                continue
            bust = self.clearing.bust_price(account, position, mark)
            if bust is not None:
                self._liquidate(account, instrument, position, bust)
            elif last is not None:
                self._trigger_stops(account, instrument, position, last)

    def _liquidate(self, account: Account, instrument: Instrument, position: Position, bust_ticks: int) -> None:
        """Close a position by force: the insurance fund takes it over at the bankruptcy price."""
        for order in [each for each in account.open.values() if _is_linear(each, instrument.symbol)]:
            self.desk.end(account, order, "CancelAllBeforeLiq")
        lots, buy = abs(position.lots), position.lots < 0
        order = self._closing_order(account, instrument, lots, buy, "CreateByLiq")
        account.remember(order)
        self.clearing.fill(order, lots, bust_ticks, False)
        side = Side.BUY if buy else Side.SELL
        size = lots * self.listings[Market.LINEAR, instrument.symbol].size_per_lot
        for listener in self.liquidation_listeners:
            listener(instrument, self.now_ms(), side, bust_ticks, size)

    def _trigger_stops(self, account: Account, instrument: Instrument, position: Position, last: int) -> None:
        is_long = position.lots > 0
        take, stop = position.take_profit_ticks, position.stop_loss_ticks
        if take and (last >= take if is_long else last <= take):
            kind = "TakeProfit"
        elif stop and (last <= stop if is_long else last >= stop):
            kind = "StopLoss"
        else:
            return
        order = self._closing_order(account, instrument, abs(position.lots), not is_long, f"CreateBy{kind}")
        order.stop_order_type = kind
        self.desk.accept(account, order)

    def _closing_order(
        self, account: Account, instrument: Instrument, lots: int, buy: bool, create_type: str
    ) -> Order:
        now_ms = self.now_ms()
        return Order(
            order_id=self.records.new_order_id(Market.LINEAR),
            link_id="",
            uid=account.uid,
            market=Market.LINEAR,
            symbol=instrument.symbol,
            buy=buy,
            is_market=True,
            time_in_force=TimeInForce.IOC,
            ticks=0,
            lots=lots,
            seq=self.records.next_seq(),
            created_ms=now_ms,
            updated_ms=now_ms,
            reduce_only=True,
            create_type=create_type,
            status=Status.NEW,
        )

    def settle_funding(self, market: Market, symbol: str) -> None:
        """Charge one interval's funding now."""
        listing = self.listings.get((market, symbol))
        if listing is None or not listing.instrument.funding_interval_min:
            raise Refused(Code.PARAMETER, "params error: symbol invalid")
        state = self.board.of(listing.instrument)
        record = state.record_funding(self.now_ms())
        self.clearing.charge_funding(listing, int(record.rate * RATE_SCALE))
        self.records.commit()

    def settle_due_funding(self) -> None:
        """Charge the funding of every instrument whose interval has ended since the last look."""
        now_ms, looked_ms = self.now_ms(), self.records.till.funding_looked_ms
        due = [
            key
            for key, listing in self.listings.items()
            if (interval_ms := listing.instrument.funding_interval_min * 60_000)
            and now_ms // interval_ms > looked_ms // interval_ms
        ]
        if not due:
            return
        for key in due if looked_ms else ():
            self.settle_funding(*key)
        self.records.till.funding_looked_ms = now_ms
        self.records.touch_till()
        self.records.commit()

    # ------------------------------------------------------------------ accounts

    def create_account(
        self,
        key: str,
        secret: str,
        balances: Mapping[str, str | Decimal] | None = None,
        fees: Mapping[Market, FeeRates] | None = None,
        name: str = "",
        rights: KeyRights | None = None,
    ) -> Account:
        """Open an account with a key of its own and paper money in it."""
        wallet = Wallet(
            uid=max(self.records.accounts, default=FIRST_UID - 1) + 1,
            key=key,
            secret=secret,
            name=name,
            rights=rights or KeyRights(),
            created_ms=self.now_ms(),
        )
        for market, rates in (fees or {}).items():
            wallet.fees[market] = Fees(_rate_units(rates.maker), _rate_units(rates.taker))
        account = self.records.open_account(wallet)
        for coin, amount in (balances or {}).items():
            self._credit(account, coin, amount)
        self.records.commit()
        return account

    def deposit(self, account: Account, coin: str, amount: str | Decimal) -> None:
        """Add paper money to an account; a negative amount takes it out."""
        self._credit(account, coin, amount)
        self.records.commit()

    def _credit(self, account: Account, coin: str, amount: str | Decimal) -> None:
        units = amount_units(amount)
        if self.clearing.free(account, coin) + units < 0:
            raise Refused(Code.PARAMETER, f"the account has less than {-units} units of {coin} free")
        add(account.wallet.coins, coin, units)
        add(self.records.till.deposits, coin, units)
        self.records.touch_wallet(account)
        self.records.touch_till()


def _rate_units(rate: Decimal) -> int:
    units = int(rate * RATE_SCALE)
    if units != rate * RATE_SCALE:
        raise ValueError(f"fee rate {rate} is finer than {Decimal(1) / RATE_SCALE}")
    return units


def _is_linear(order: Order, symbol: str) -> bool:
    return order.market is Market.LINEAR and order.symbol == symbol
