"""The arithmetic of one-way linear positions: cost, realised profit, margin, liquidation. Exact, and pure.

Costs are counted in ticks × lots. A partial close takes its share of the cost rounded down and leaves the rest
with the position, so that nothing is lost: the profits realised over a position's life sum to its cash flow.
Margin is isolated per position: value at entry ÷ leverage, plus what was added by hand; an account in cross mode
adds all it has free, which the caller passes as `extra`.
"""

from decimal import ROUND_DOWN, Decimal

import msgspec

from .catalogue import Listing
from .model import Position


class Closing(msgspec.Struct, frozen=True):
    """What one fill closed of a position."""

    lots: int
    entry: int
    """Cost of the closed lots at entry, in ticks × lots."""
    realised: int
    """Profit in ticks × lots; fees not counted."""
    open_fee_units: int
    """Their share of the fees paid at opening."""


def apply_fill(position: Position, signed_lots: int, ticks: int) -> Closing:
    """Add a fill to a position: close first, open with the rest."""
    held = abs(position.lots)
    is_opposite = position.lots * signed_lots < 0
    closed = min(abs(signed_lots), held) if is_opposite else 0
    entry = position.cost * closed // held if closed else 0
    open_fee = position.open_fee_units * closed // held if closed else 0
    profit = closed * ticks - entry
    closing = Closing(closed, entry, profit if position.lots > 0 else -profit, open_fee)
    opened = abs(signed_lots) - closed
    position.lots += signed_lots
    position.cost += opened * ticks - entry
    position.open_fee_units -= open_fee
    return closing


def initial_margin(position: Position, cost: int, value_per_tick_lot: int) -> int:
    """Give the margin in units that a cost needs at the position's leverage, rounded up."""
    return -(-cost * value_per_tick_lot * 100 // position.leverage)


def order_margin(position: Position, value_per_tick_lot: int, taker_rate: int, rate_scale: int) -> int:
    """Give the margin that the open orders need: the dearer side, counting only what enlarges the position.

    Orders of both sides cannot enlarge it at once, so the venue holds the larger, with the fee of filling it.
    """
    bids = _enlarging(position.bid_lots, position.bid_cost, -position.lots)
    asks = _enlarging(position.ask_lots, position.ask_cost, position.lots)
    cost = max(bids, asks)
    fee = -(-cost * value_per_tick_lot * taker_rate // rate_scale)
    return initial_margin(position, cost, value_per_tick_lot) + fee


def _enlarging(lots: int, cost: int, closable: int) -> int:
    if not lots:
        return 0
    return -(-cost * max(0, lots - max(0, closable)) // lots)


def unrealised(position: Position, mark_ticks: int, value_per_tick_lot: int) -> int:
    """Value the position's floating profit at the mark, in units."""
    return (mark_ticks * position.lots - _signed_cost(position)) * value_per_tick_lot


def maintenance_margin(position: Position, listing: Listing) -> int:
    """Give the margin below which the position is liquidated, in units, rounded up."""
    numerator, denominator = listing.maintenance_rate.as_integer_ratio()
    return -(-position.cost * listing.instrument.value_per_tick_lot * numerator // denominator)


def is_liquidated(position: Position, listing: Listing, mark_ticks: int, extra: int) -> bool:
    """Tell whether the margin left at the mark no longer exceeds the maintenance margin."""
    value = listing.instrument.value_per_tick_lot
    margin = initial_margin(position, position.cost, value) + extra
    return margin + unrealised(position, mark_ticks, value) <= maintenance_margin(position, listing)


def bankruptcy_ticks(position: Position, listing: Listing, extra: int) -> int:
    """Give the price at which the whole margin is lost, rounded so that no more than the margin is lost."""
    value = listing.instrument.value_per_tick_lot
    margin = (initial_margin(position, position.cost, value) + extra) // value
    if position.lots > 0:
        return max(1, -(-(position.cost - margin) // position.lots))
    return (position.cost + margin) // -position.lots


def liquidation_price(position: Position, listing: Listing, extra: int) -> Decimal | None:
    """Estimate the mark price at which the position is liquidated; None where no price does it."""
    if not position.lots:
        return None
    value = listing.instrument.value_per_tick_lot
    margin = initial_margin(position, position.cost, value) + extra - maintenance_margin(position, listing)
    ticks = (Decimal(_signed_cost(position)) - Decimal(margin) / value) / position.lots
    if ticks <= 0:
        return None
    return (ticks * listing.instrument.tick_size).quantize(listing.instrument.tick_size.normalize(), ROUND_DOWN)


def entry_price(position: Position, listing: Listing) -> Decimal:
    """Give the average entry price; zero when flat."""
    if not position.lots:
        return Decimal(0)
    return Decimal(position.cost) / abs(position.lots) * listing.instrument.tick_size


def _signed_cost(position: Position) -> int:
    return position.cost if position.lots > 0 else -position.cost
