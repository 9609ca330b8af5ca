"""What a stop would do now, in numbers, before anybody asks for it.

It follows `lifecycle`: every order is cancelled, then the position stays, or its whole tradable lots are closed at
market. What the closing brings is read off the visible book; nothing else is an estimate.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from engine.grid.pnl import ProfitReport
from engine.trading.instrument import AMOUNT_DECIMALS, Instrument, amount_units
from engine.trading.market import Book
from engine.trading.orders import Side


class StopPreview(msgspec.Struct, frozen=True):
    """Both ways to stop. Amounts in the quote coin unless said otherwise; totals are since the bot began."""

    price: Decimal
    """The last traded price, at which what is kept is valued."""
    orders_to_cancel: int
    position: Decimal
    """Base coin held; negative for a short."""
    position_value: Decimal
    total_if_kept: Decimal
    exit_side: Side | None
    """Which way the position would be closed; None where there is nothing that the venue would take."""
    exit_quantity: Decimal
    """Base coin that would be traded."""
    exit_price: Decimal | None
    """About the average price that the visible book pays."""
    exit_fee: Decimal
    left_over: Decimal
    """Base coin that stays all the same: less than the venue takes."""
    total_if_sold: Decimal
    difference: Decimal
    """`total_if_sold` against `total_if_kept`: what closing at market costs (or brings)."""
    book_suffices: bool
    """False: the visible book is thinner than the position, so the rest is reckoned at its last price."""


def stop_preview(
    report: ProfitReport, orders: int, instrument: Instrument, taker_fee: Decimal, price_ticks: int, book: Book
) -> StopPreview:
    """Weigh a stop of a bot with this result and so many orders at the venue."""
    base = amount_units(report.base_inventory)
    mark_ticks = instrument.nearest_ticks(report.mark_price)
    cash = amount_units(report.total) - instrument.value_of_units(mark_ticks, base)
    kept = cash + instrument.value_of_units(price_ticks, base)
    sells = base > 0
    lots = _tradable_lots(instrument, price_ticks, abs(base) // instrument.units_per_lot)
    fills, suffices = _walk(instrument, book.bids if sells else book.asks, lots, price_ticks)
    value = sum(instrument.value(ticks, part) for ticks, part in fills)
    fee = sum(int(instrument.value(ticks, part) * taker_fee) for ticks, part in fills)
    left = base + (-lots if sells else lots) * instrument.units_per_lot
    sold = cash + (value if sells else -value) - fee + instrument.value_of_units(price_ticks, left)
    return StopPreview(
        price=instrument.price(price_ticks),
        orders_to_cancel=orders,
        position=report.base_inventory,
        position_value=_amount(instrument.value_of_units(price_ticks, base)),
        total_if_kept=_amount(kept),
        exit_side=None if not lots else Side.SELL if sells else Side.BUY,
        exit_quantity=instrument.quantity(lots),
        exit_price=_average(instrument, fills, lots) if lots else None,
        exit_fee=_amount(fee),
        left_over=_amount(left),
        total_if_sold=_amount(sold),
        difference=_amount(sold - kept),
        book_suffices=suffices,
    )


def _tradable_lots(instrument: Instrument, ticks: int, lots: int) -> int:
    """Count what the closing trades: orders of the venue's largest size, until what is left is too little."""
    traded = 0
    while lots > traded and instrument.is_tradable(ticks, lots - traded):
        traded += min(lots - traded, instrument.max_market_lots)
    return traded


def _walk(
    instrument: Instrument, levels: Sequence[tuple[int, Decimal]], lots: int, price_ticks: int
) -> tuple[list[tuple[int, int]], bool]:
    """Fill `lots` from the best level on: (ticks, lots) of each, and whether the book was deep enough."""
    fills: list[tuple[int, int]] = []
    for ticks, quantity in levels:
        part = min(lots, int(quantity / instrument.lot_size))
        if part:
            fills.append((ticks, part))
            lots -= part
    if not lots:
        return fills, True
    return [*fills, (fills[-1][0] if fills else price_ticks, lots)], False


def _average(instrument: Instrument, fills: Sequence[tuple[int, int]], lots: int) -> Decimal:
    """Give the average price, to a tenth of a tick."""
    mean = Decimal(sum(ticks * part for ticks, part in fills)) / lots
    return (mean.quantize(Decimal("0.1")) * instrument.tick_size).normalize() + Decimal(0)


def _amount(units: int) -> Decimal:
    return Decimal(units).scaleb(-AMOUNT_DECIMALS)
