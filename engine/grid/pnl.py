"""What a bot has earned, from its executions alone. Grid profit and floating profit are never mixed.

    total = grid profit + exit profit + floating - fees - funding

holds to the last unit, because each term is a whole number of base units before it is written as a decimal.
"""

from decimal import Decimal

import msgspec

from engine.grid import accounting
from engine.grid.state import GridState
from engine.ids import Instant
from engine.trading.instrument import AMOUNT_DECIMALS, AMOUNT_SCALE

YEAR_MS = 365 * 24 * 3_600_000


class ProfitReport(msgspec.Struct, frozen=True):
    """A bot's result at a price. Amounts in the quote coin unless the name says otherwise."""

    mark_price: Decimal
    investment: Decimal
    grid_profit: Decimal
    """Realised by the grid's closing legs, before fees."""
    exit_profit: Decimal
    """Realised by closing the position at market, before fees."""
    floating: Decimal
    """The inventory at the mark price less what it cost."""
    fees: Decimal
    """Paid; those taken in the base coin at the price of their execution."""
    funding: Decimal
    """Paid; negative if received."""
    total: Decimal
    base_inventory: Decimal
    """In the base coin; negative for a short."""
    inventory_cost: Decimal
    trips: int
    trades: int
    volume: Decimal
    profit_factor: Decimal | None
    """Net gains of winning round trips over net losses of losing ones; None while nothing was lost."""
    roi: Decimal
    """Total over investment, as a fraction."""
    apr: Decimal | None
    """ROI scaled to a year; None in the first minute."""
    max_drawdown: Decimal
    """The deepest fall of the total from an earlier peak, measured at executions."""
    other_fees: dict[str, Decimal]
    """Fees taken in a third coin, not part of the total: they have no price here."""
    runtime_ms: int


def report(state: GridState, mark_ticks: int, now: Instant) -> ProfitReport:
    """Give a bot's result at a price in ticks."""
    ledger = state.ledger
    base, cost = state.base_total(), state.cost_total()
    worth = state.instrument.value_of_units(mark_ticks, base)
    total = accounting.total_units(state, mark_ticks)
    investment = state.sizing.investment_units if state.sizing else 0
    runtime_ms = max(0, now - state.started_ms) if state.started_ms else 0
    roi = _ratio(total, investment)
    return ProfitReport(
        mark_price=state.instrument.price(mark_ticks),
        investment=_amount(investment),
        grid_profit=_amount(ledger.grid_profit_units),
        exit_profit=_amount(ledger.exit_profit_units),
        floating=_amount(worth - cost),
        fees=_amount(ledger.fee_units),
        funding=_amount(ledger.funding_units),
        total=_amount(total),
        base_inventory=_amount(base),
        inventory_cost=_amount(cost),
        trips=ledger.trips,
        trades=ledger.trades,
        volume=_amount(ledger.volume_units),
        profit_factor=_ratio(ledger.gain_units, ledger.loss_units) if ledger.loss_units else None,
        roi=roi,
        apr=(roi * YEAR_MS / runtime_ms).quantize(Decimal("1e-6")) if runtime_ms >= 60_000 else None,
        max_drawdown=_amount(ledger.drawdown_units),
        other_fees={asset: _amount(units) for asset, units in ledger.other_fees.items()},
        runtime_ms=runtime_ms,
    )


def _amount(units: int) -> Decimal:
    return Decimal(units).scaleb(-AMOUNT_DECIMALS)


def _ratio(part: int, whole: int) -> Decimal:
    if not whole:
        return Decimal(0)
    return Decimal(part * AMOUNT_SCALE // whole).scaleb(-AMOUNT_DECIMALS).quantize(Decimal("1e-8"))
