"""Reads Bybit's instrument list. Filters are rounded so that what they allow, the venue allows."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from adapters.exchanges.bybit.wire import InstrumentRow
from engine.trading.instrument import Instrument, Market

_NO_LIMIT = 2**62


def read_instrument(row: InstrumentRow, market: Market) -> Instrument | None:
    """Read one instrument; None if it does not trade now or is of a kind that we do not trade."""
    if row.status != "Trading":
        return None
    if market is Market.LINEAR and row.contract_type != "LinearPerpetual":
        return None  # Dated futures are delivered; a grid has no business there.
    lots, prices = row.lot_size_filter, row.price_filter
    tick = Decimal(prices.tick_size)
    lot = Decimal(lots.base_precision if market is Market.SPOT else lots.qty_step)
    max_lots = _floor(lots.max_limit_order_qty or lots.max_order_qty, lot)
    return Instrument(
        symbol=row.symbol,
        market=market,
        base=row.base_coin,
        quote=row.quote_coin if market is Market.SPOT else row.settle_coin or row.quote_coin,
        tick_size=tick,
        lot_size=lot,
        min_lots=max(1, _ceil(lots.min_order_qty, lot)),
        max_lots=max_lots,
        max_market_lots=min(max_lots, _floor(lots.max_market_order_qty or lots.max_mkt_order_qty, lot)),
        min_notional=Decimal((lots.min_order_amt if market is Market.SPOT else lots.min_notional_value) or "0"),
        min_ticks=max(1, _ceil(prices.min_price or "0", tick)),
        max_ticks=_floor(prices.max_price, tick),
        leverage_max=Decimal(row.leverage_filter.max_leverage) if market is Market.LINEAR else Decimal(1),
        funding_interval_min=row.funding_interval if market is Market.LINEAR else 0,
    )


def _floor(text: str, step: Decimal) -> int:
    return int((Decimal(text) / step).to_integral_value(ROUND_FLOOR)) if text else _NO_LIMIT


def _ceil(text: str, step: Decimal) -> int:
    return int((Decimal(text) / step).to_integral_value(ROUND_CEILING))
