"""Where fills become money: wallets, locks, fees, positions, funding and liquidation. Exact to the last unit.

It never refuses and never looks for a counterparty: the desk has checked and the matcher has decided. Every
movement has its other half in the till, so that per coin wallets + fees + outside = deposits at all times.
"""

from collections.abc import Mapping

from engine.trading.instrument import Market

from .catalogue import Listing
from .market import MarketBoard
from .model import (
    RATE_SCALE,
    Account,
    ClosedPnl,
    Execution,
    Fees,
    Order,
    Position,
    Status,
    add,
)
from .positions import (
    Closing,
    apply_fill,
    bankruptcy_ticks,
    initial_margin,
    is_liquidated,
    order_margin,
    unrealised,
)
from .records import Records

Listings = Mapping[tuple[Market, str], Listing]


class Clearing:
    """Settles fills of every account against the till."""

    def __init__(self, records: Records, listings: Listings, board: MarketBoard) -> None:
        self._records = records
        self._listings = listings
        self._board = board

    # ------------------------------------------------------------------ what is free

    def free(self, account: Account, coin: str) -> int:
        """Give what the account can still commit of a coin: spot locks and linear margins are taken off."""
        units = account.coin(coin) - account.locked.get(coin, 0)
        for position in account.positions.values():
            listing = self._listings[Market.LINEAR, position.symbol]
            if listing.instrument.quote == coin:
                units -= self.margin_used(account, position)
                if not account.wallet.isolated:
                    units += self.unrealised(position)
        return units

    def margin_used(self, account: Account, position: Position) -> int:
        """Give the margin that a position and its open orders hold."""
        value = self._listings[Market.LINEAR, position.symbol].instrument.value_per_tick_lot
        taker = account.wallet.fees[Market.LINEAR].taker
        return (
            initial_margin(position, position.cost, value)
            + position.extra_margin_units
            + order_margin(position, value, taker, RATE_SCALE)
        )

    def unrealised(self, position: Position) -> int:
        """Give the floating profit at the mark; zero before the first price."""
        instrument = self._listings[Market.LINEAR, position.symbol].instrument
        mark = self._board.of(instrument).mark_ticks
        return 0 if mark is None else unrealised(position, mark, instrument.value_per_tick_lot)

    def extra_margin(self, account: Account, position: Position) -> int:
        """Give a position's margin beyond the initial one: in cross mode, or on request, all that is free."""
        if account.wallet.isolated and not position.auto_add_margin:
            return position.extra_margin_units
        coin = self._listings[Market.LINEAR, position.symbol].instrument.quote
        free = self.free(account, coin) - (0 if account.wallet.isolated else self.unrealised(position))
        return position.extra_margin_units + max(0, free)

    # ------------------------------------------------------------------ locks

    def lock(self, account: Account, order: Order) -> None:
        """Hold back what a new limit order may spend."""
        listing = self._listings[order.market, order.symbol]
        if order.market is Market.SPOT:
            order.locked = self._cost(listing, order, order.leaves)
            add(account.locked, self.paid_with(order), order.locked)
        else:
            self._expose(account, order, order.leaves)

    def release(self, account: Account, order: Order) -> None:
        """Let go of everything an order still holds back."""
        if order.market is Market.SPOT:
            add(account.locked, self.paid_with(order), -order.locked)
            order.locked = 0
        else:
            self._expose(account, order, -order.leaves)

    def paid_with(self, order: Order) -> str:
        """Name the coin that a spot order spends."""
        instrument = self._listings[order.market, order.symbol].instrument
        return instrument.quote if order.buy else instrument.base

    def _cost(self, listing: Listing, order: Order, lots: int) -> int:
        instrument = listing.instrument
        return instrument.value(order.ticks, lots) if order.buy else lots * instrument.units_per_lot

    def _expose(self, account: Account, order: Order, lots: int) -> None:
        if order.reduce_only:
            return
        position = account.position(order.symbol)
        if order.buy:
            position.bid_lots += lots
            position.bid_cost += lots * order.ticks
        else:
            position.ask_lots += lots
            position.ask_cost += lots * order.ticks

    # ------------------------------------------------------------------ fills

    def fill(self, order: Order, lots: int, ticks: int, is_maker: bool) -> None:
        """Settle a fill of one order; the counterparty's half comes in a call of its own."""
        account = self._records.accounts[order.uid]
        self._release_filled(account, order, lots)
        order.filled_lots += lots
        order.filled_tick_lots += lots * ticks
        is_done = not order.budget and not order.leaves
        order.status = Status.FILLED if is_done else Status.PARTIALLY_FILLED
        if order.market is Market.SPOT:
            self._fill_spot(account, order, lots, ticks, is_maker)
        else:
            self._fill_linear(account, order, lots, ticks, is_maker)
        if is_done:
            account.retire(order)
        self._records.touch_order(account, order)
        self._records.touch_wallet(account)
        self._records.touch_till()

    def _release_filled(self, account: Account, order: Order, lots: int) -> None:
        if order.is_market:
            return
        if order.market is Market.LINEAR:
            self._expose(account, order, -lots)
            return
        units = self._cost(self._listings[order.market, order.symbol], order, lots)
        order.locked -= units
        add(account.locked, self.paid_with(order), -units)

    def _fill_spot(self, account: Account, order: Order, lots: int, ticks: int, is_maker: bool) -> None:
        instrument = self._listings[order.market, order.symbol].instrument
        rate = _rate(account.wallet.fees[Market.SPOT], is_maker)
        base, quote = lots * instrument.units_per_lot, instrument.value(ticks, lots)
        sign = 1 if order.buy else -1
        self._move(account, instrument.base, sign * base)
        self._move(account, instrument.quote, -sign * quote)
        # The fee comes out of what was received; a rebate is paid in the coin that was given.
        in_base = order.buy == (rate >= 0)
        fee_coin, gross = (instrument.base, base) if in_base else (instrument.quote, quote)
        fee = fee_of(gross, rate)
        self._charge(account, order, fee_coin, fee)
        self._record(account, order, lots, ticks, is_maker, rate, fee_coin, fee, account.coin(fee_coin))

    def _fill_linear(self, account: Account, order: Order, lots: int, ticks: int, is_maker: bool) -> None:
        instrument = self._listings[order.market, order.symbol].instrument
        coin = instrument.quote
        position = account.position(order.symbol)
        rate = _rate(account.wallet.fees[Market.LINEAR], is_maker)
        fee = fee_of(instrument.value(ticks, lots), rate)
        if not position.lots:
            position.created_ms = self._records.now_ms()
        closing = apply_fill(position, lots if order.buy else -lots, ticks)
        profit = closing.realised * instrument.value_per_tick_lot
        self._move(account, coin, profit)
        self._charge(account, order, coin, fee)
        position.realised_units += profit - fee
        closing_fee = fee * closing.lots // lots
        position.open_fee_units += fee - closing_fee
        if not position.lots:
            position.extra_margin_units = 0
            position.take_profit_ticks = position.stop_loss_ticks = 0
        self._records.touch_position(account, position)
        execution = self._record(
            account, order, lots, ticks, is_maker, rate, coin, fee, account.coin(coin), closing.lots, profit
        )
        if closing.lots:
            net = profit - closing_fee - closing.open_fee_units
            self._record_closed(account, order, execution, position, closing, net)

    def _move(self, account: Account, coin: str, units: int) -> None:
        add(account.wallet.coins, coin, units)
        add(self._records.till.outside, coin, -units)

    def _charge(self, account: Account, order: Order, coin: str, fee: int) -> None:
        add(account.wallet.coins, coin, -fee)
        add(self._records.till.fees, coin, fee)
        order.fee_units += fee
        order.fee_coin = coin

    def _record(
        self,
        account: Account,
        order: Order,
        lots: int,
        ticks: int,
        is_maker: bool,
        rate: int,
        fee_coin: str,
        fee: int,
        balance: int,
        closed_lots: int = 0,
        realised: int = 0,
    ) -> Execution:
        seq = self._records.next_seq()
        mark = self._board.of(self._listings[order.market, order.symbol].instrument).mark_ticks
        execution = Execution(
            exec_id=self._records.new_execution_id(seq),
            seq=seq,
            uid=account.uid,
            market=order.market,
            symbol=order.symbol,
            exec_type="BustTrade" if order.create_type == "CreateByLiq" else "Trade",
            order_id=order.order_id,
            link_id=order.link_id,
            buy=order.buy,
            ticks=ticks,
            lots=lots,
            fee_units=fee,
            fee_coin=fee_coin,
            rate=rate,
            is_maker=is_maker,
            at_ms=self._records.now_ms(),
            order_ticks=order.ticks,
            order_lots=order.lots,
            leaves_lots=0 if order.budget else order.leaves,
            is_market=order.is_market,
            create_type=order.create_type,
            stop_order_type=order.stop_order_type,
            mark_ticks=mark or ticks,
            closed_lots=closed_lots,
            realised_units=realised,
            balance_units=balance,
        )
        self._records.add_execution(account, execution)
        return execution

    def _record_closed(
        self,
        account: Account,
        order: Order,
        execution: Execution,
        position: Position,
        closing: Closing,
        net_units: int,
    ) -> None:
        row = account.closed.get(order.order_id)
        if row is None:
            row = ClosedPnl(
                order_id=order.order_id,
                seq=execution.seq,
                uid=account.uid,
                symbol=order.symbol,
                buy=order.buy,
                order_lots=order.lots,
                order_ticks=order.ticks,
                is_market=order.is_market,
                exec_type=execution.exec_type,
                leverage=position.leverage,
                created_ms=execution.at_ms,
                updated_ms=execution.at_ms,
            )
        row.updated_ms = execution.at_ms
        row.closed_lots += closing.lots
        row.entry_tick_lots += closing.entry
        row.exit_tick_lots += closing.lots * execution.ticks
        row.pnl_units += net_units
        row.fills += 1
        self._records.touch_closed(account, row)

    # ------------------------------------------------------------------ funding and liquidation

    def charge_funding(self, listing: Listing, rate: int) -> None:
        """Let every holder of a linear instrument pay one interval's funding, or receive it. Longs pay a plus."""
        instrument = listing.instrument
        mark = self._board.of(instrument).mark_ticks
        if mark is None:
            return
        for account in self._records.accounts.values():
            position = account.positions.get(instrument.symbol)
            if position is None or not position.lots:
                continue
            # Rounded against the account, as fees are: a payment up, a receipt down.
            paid = fee_of(instrument.value(mark, position.lots), rate)
            self._move(account, instrument.quote, -paid)
            position.realised_units -= paid
            seq = self._records.next_seq()
            execution = Execution(
                exec_id=self._records.new_execution_id(seq),
                seq=seq,
                uid=account.uid,
                market=Market.LINEAR,
                symbol=instrument.symbol,
                exec_type="Funding",
                order_id=self._records.new_order_id(Market.LINEAR),
                link_id="",
                buy=position.lots > 0,
                ticks=mark,
                lots=abs(position.lots),
                fee_units=paid,
                fee_coin=instrument.quote,
                rate=rate,
                is_maker=False,
                at_ms=self._records.now_ms(),
                mark_ticks=mark,
                balance_units=account.coin(instrument.quote),
            )
            self._records.add_execution(account, execution)
            self._records.touch_position(account, position)
            self._records.touch_wallet(account)
        self._records.touch_till()

    def bust_price(self, account: Account, position: Position, mark: int) -> int | None:
        """Give the bankruptcy price of a position that the mark has liquidated; None while it stands."""
        listing = self._listings[Market.LINEAR, position.symbol]
        extra = self.extra_margin(account, position)
        if not position.lots or not is_liquidated(position, listing, mark, extra):
            return None
        return bankruptcy_ticks(position, listing, extra)


def fee_of(gross: int, rate: int) -> int:
    """Give the fee on an amount, rounded up to a unit: the venue never gives a fraction away."""
    return -(-gross * rate // RATE_SCALE)


def _rate(fees: Fees, is_maker: bool) -> int:
    return fees.maker if is_maker else fees.taker
