"""The filters an order must pass before the venue takes it: numbers on their grids, sizes, values, price bands.

Pure: a request and the market's figures in, a checked draft or a refusal out. Nothing here knows of balances.
"""

import re
from decimal import Decimal, InvalidOperation

import msgspec

from engine.trading.instrument import Instrument, Market, amount_units

from .catalogue import Listing
from .codes import REFUSALS, Code, Refused
from .market import MarketState
from .model import TimeInForce
from .requests import CreateOrder, Text

LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
_LONGEST_NUMBER = 40


class Draft(msgspec.Struct, frozen=True):
    """A request in the venue's integers. `budget` is set instead of `lots` for a market buy paid in quote."""

    buy: bool
    is_market: bool
    time_in_force: TimeInForce
    ticks: int
    lots: int
    budget: int
    market_unit: str
    reduce_only: bool


def check_order(request: CreateOrder, listing: Listing, state: MarketState) -> Draft:
    """Turn a request into a draft, or refuse it."""
    if request.side not in ("Buy", "Sell"):
        raise Refused(Code.PARAMETER, "Side invalid")
    if request.order_type not in ("Limit", "Market"):
        raise Refused(Code.PARAMETER, "OrderType invalid")
    _refuse_what_is_not_offered(request)
    buy, is_market = request.side == "Buy", request.order_type == "Market"
    instrument = listing.instrument
    time_in_force = _time_in_force(request.time_in_force, is_market)
    unit = ""
    if is_market and instrument.market is Market.SPOT:
        unit = request.market_unit or ("quoteCoin" if buy else "baseCoin")
    reduce_only = bool(request.reduce_only) and instrument.market is Market.LINEAR
    ticks = 0 if is_market else check_price(request.price, instrument, state, buy)
    if unit == "quoteCoin":
        lots, budget = _check_budget(request.qty, listing, state, buy)
    else:
        lots, budget = check_quantity(request.qty, instrument, is_market, reduce_only), 0
        check_value(lots, ticks or _likely_price(state, buy), listing, reduce_only)
    return Draft(buy, is_market, time_in_force, ticks, lots, budget, unit, reduce_only)


def check_link_id(link_id: str | None) -> str:
    """Give the client's order id, empty if none; refuse one of other characters or length."""
    if not link_id:
        return ""
    if not LINK_ID.fullmatch(link_id):
        raise Refused(Code.PARAMETER, "OrderLinkId invalid: at most 36 letters, digits, - and _")
    return link_id


def check_price(price: Text | None, instrument: Instrument, state: MarketState, buy: bool) -> int:
    """Give a limit price in ticks; refuse one off the tick grid or beyond the price band."""
    refusals = REFUSALS[instrument.market]
    number = _number(price, "price")
    if number <= 0:
        raise Refused(refusals.price_too_low, "Order price is too low")
    try:
        ticks = instrument.ticks(number)
    except ValueError:
        raise Refused(refusals.price_step, "Order price has too many decimals or is off the tick size.") from None
    if ticks < instrument.min_ticks:
        raise Refused(refusals.price_too_low, "Order price is lower than the minimum.")
    if ticks > instrument.max_ticks:
        raise Refused(refusals.price_too_high, "Order price is higher than the maximum.")
    limits = state.price_limits()
    if limits is not None and buy and ticks > limits[0]:
        raise Refused(
            refusals.above_price_cap, f"Buy order price cannot be higher than {instrument.price_text(limits[0])}"
        )
    if limits is not None and not buy and ticks < limits[1]:
        raise Refused(
            refusals.below_price_floor, f"Sell order price cannot be lower than {instrument.price_text(limits[1])}"
        )
    return ticks


def check_trigger(price: Text | None, instrument: Instrument, last: int | None, is_above: bool) -> int | None:
    """Give a stop's trigger in ticks, 0 to remove it, None if not asked for; refuse one already passed."""
    if price in (None, ""):
        return None
    number = _number(price, "price")
    if not number:
        return 0
    try:
        ticks = instrument.ticks(number)
    except ValueError:
        raise Refused(REFUSALS[instrument.market].price_step, "the trigger price is off the tick size") from None
    if last is not None and (ticks <= last if is_above else ticks >= last):
        raise Refused(
            Code.PARAMETER, f"the trigger price must be {'above' if is_above else 'below'} the last price"
        )
    return ticks


def check_quantity(quantity: Text | None, instrument: Instrument, is_market: bool, reduce_only: bool) -> int:
    """Give a quantity in lots; refuse one off the lot grid, too small or too large."""
    refusals = REFUSALS[instrument.market]
    number = _number(quantity, "qty")
    if number <= 0:
        raise Refused(refusals.quantity_too_small, "Order quantity must be positive.")
    try:
        lots = instrument.lots(number)
    except ValueError:
        raise Refused(refusals.quantity_step, "Order quantity has too many decimals.") from None
    if lots < instrument.min_lots and not reduce_only:
        raise Refused(refusals.quantity_too_small, "Order quantity exceeded lower limit.")
    if lots > (instrument.max_market_lots if is_market else instrument.max_lots):
        raise Refused(refusals.quantity_too_large, "Order quantity exceeded upper limit.")
    return lots


def check_value(lots: int, ticks: int | None, listing: Listing, reduce_only: bool) -> None:
    """Refuse an order worth less, or more, than the venue takes; before the first price nothing is refused."""
    instrument = listing.instrument
    refusals = REFUSALS[instrument.market]
    if ticks is None or reduce_only:
        return
    value = instrument.value(ticks, lots)
    if value < instrument.min_notional_units:
        raise Refused(refusals.below_minimum_value, "Order value exceeded lower limit.")
    if listing.max_amount and value > amount_units(listing.max_amount):
        raise Refused(refusals.above_maximum_value, "Order value exceeded upper limit.")


def _check_budget(quantity: Text, listing: Listing, state: MarketState, buy: bool) -> tuple[int, int]:
    """Give (lots, budget): a buy keeps its amount of quote coin, a sell is turned into lots at the best bid."""
    instrument = listing.instrument
    refusals = REFUSALS[instrument.market]
    number = _number(quantity, "qty")
    if number % listing.quote_precision:
        raise Refused(refusals.quantity_step, "Order quantity has too many decimals.")
    budget = amount_units(number)
    if budget < instrument.min_notional_units:
        raise Refused(refusals.below_minimum_value, "Order value exceeded lower limit.")
    if budget > amount_units(listing.max_amount):
        raise Refused(refusals.above_maximum_value, "Order value exceeded upper limit.")
    if buy:
        return 0, budget
    price = _likely_price(state, buy)
    lots = budget // instrument.value(price, 1) if price else 0
    if lots < instrument.min_lots:
        raise Refused(refusals.quantity_too_small, "Order quantity exceeded lower limit.")
    return lots, 0


def _likely_price(state: MarketState, buy: bool) -> int | None:
    best = state.best_ask() if buy else state.best_bid()
    return best or state.last_ticks


def _time_in_force(text: str | None, is_market: bool) -> TimeInForce:
    if is_market:
        return TimeInForce.IOC
    try:
        return TimeInForce(text or "GTC")
    except ValueError:
        raise Refused(Code.PARAMETER, "TimeInForce invalid") from None


def _refuse_what_is_not_offered(request: CreateOrder) -> None:
    if request.trigger_price or request.order_filter not in (None, "", "Order"):
        raise Refused(Code.PARAMETER, "conditional orders are not offered by the paper venue")
    if request.take_profit or request.stop_loss:
        raise Refused(Code.PARAMETER, "attach take-profit and stop-loss with position/trading-stop")
    if request.is_leverage:
        raise Refused(Code.PARAMETER, "the paper venue does not lend: isLeverage must be 0")
    if request.position_idx:
        raise Refused(Code.PARAMETER, "position idx not match position mode")


def _number(value: Text | None, name: str) -> Decimal:
    text = "" if value is None else str(value)
    try:
        number = Decimal(text) if len(text) <= _LONGEST_NUMBER else Decimal("nan")
    except InvalidOperation:
        number = Decimal("nan")
    # A short text can hold an enormous number ("1e999999"), which nothing later must expand.
    if not number.is_finite() or not -_LONGEST_NUMBER < number.adjusted() < _LONGEST_NUMBER:
        raise Refused(Code.PARAMETER, f"params error: {name} invalid")
    return number
