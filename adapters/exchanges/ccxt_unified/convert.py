"""Between ccxt's unified structures and the engine's whole numbers.

The exchange object is made with `number: str`, so no price, quantity or fee ever passes through a float.
"""

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Any

from adapters.exchanges.ccxt_unified.errors import reason_in
from adapters.exchanges.ccxt_unified.profiles import Profile, from_venue_id
from engine.errors import RejectReason
from engine.ids import ExecutionId, Instant, LinkId, VenueOrderId
from engine.trading.instrument import AMOUNT_DECIMALS, Instrument, Market, amount_units
from engine.trading.orders import Execution, OrderReport, OrderStatus, Side

Unified = Mapping[str, Any]
_NO_LIMIT = 2**62
_LINK_ID_FIELDS = ("clientOrderId", "clOrdId", "orderLinkId", "clientOid", "origClientOrderId")


class Listed:
    """One instrument and what ccxt needs to speak of it."""

    __slots__ = ("contract_base", "instrument", "symbol")

    def __init__(self, instrument: Instrument, symbol: str, contract_base: Decimal) -> None:
        self.instrument = instrument
        self.symbol = symbol
        self.contract_base = contract_base
        """Base coin in one unit of ccxt's `amount`: 1 on spot, the contract size on some futures."""

    def amount_text(self, lots: int) -> str:
        """Write a quantity as ccxt's `amount`."""
        return f"{self.instrument.lot_size * lots / self.contract_base:f}"

    def lots(self, amount: str | None) -> int:
        """Count the lots in ccxt's `amount`."""
        return self.instrument.lots(Decimal(amount or "0") * self.contract_base)


def read_market(profile: Profile, market: Unified) -> Listed | None:
    """Read one of ccxt's markets; None if it does not trade now or is of a kind that we do not trade."""
    if not market.get("active", True):
        return None
    if market.get("spot"):
        kind = Market.SPOT
    elif market.get("swap") and market.get("linear"):
        kind = Market.LINEAR
    else:
        return None
    precision, limits = market["precision"], market["limits"]
    if not precision.get("price") or not precision.get("amount"):
        return None
    contract_base = Decimal(market.get("contractSize") or 1) if kind is Market.LINEAR else Decimal(1)
    lot, tick = Decimal(precision["amount"]) * contract_base, Decimal(precision["price"])
    most = _floor(_limit(limits, "amount", "max"), Decimal(precision["amount"]))
    instrument = Instrument(
        symbol=market["id"],
        market=kind,
        base=market["base"],
        quote=market["quote"] if kind is Market.SPOT else market["settle"],
        tick_size=tick,
        lot_size=lot,
        min_lots=max(1, _ceil(_limit(limits, "amount", "min"), Decimal(precision["amount"]))),
        max_lots=most,
        max_market_lots=min(most, _floor(_limit(limits, "market", "max"), Decimal(precision["amount"]))),
        # KuCoin's least value of a limit order is `minFunds`; ccxt reads that of market orders.
        min_notional=Decimal((market.get("info") or {}).get("minFunds") or _limit(limits, "cost", "min") or "0"),
        min_ticks=max(1, _ceil(_limit(limits, "price", "min"), tick)),
        max_ticks=_floor(_limit(limits, "price", "max"), tick),
        leverage_max=Decimal(_limit(limits, "leverage", "max") or profile.leverage_max)
        if kind is Market.LINEAR
        else Decimal(1),
        funding_interval_min=480 if kind is Market.LINEAR else 0,
    )
    return Listed(instrument, market["symbol"], contract_base)


def nearest_ticks(instrument: Instrument, price: str) -> int:
    """Count the ticks of a public price, rounded: a venue may have changed a tick size since."""
    return int((Decimal(price) / instrument.tick_size).to_integral_value(ROUND_HALF_EVEN))


def link_id_of(profile: Profile, row: Unified) -> LinkId | None:
    """Find our id in an order or a trade; None where the exchange does not tell."""
    for source in (row, row.get("info") or {}):
        if isinstance(source, Mapping):
            for field in _LINK_ID_FIELDS:
                if text := source.get(field):
                    return from_venue_id(profile, str(text))
    return None


def read_order(listed: Listed, profile: Profile, order: Unified) -> OrderReport:
    """Read the exchange's statement about an order of ours."""
    link_id = link_id_of(profile, order)
    assert link_id is not None, "the caller has found whose order it is"
    filled = listed.lots(order.get("filled"))
    lots = listed.lots(order["amount"])
    status, reason, text = _status(order, filled, lots)
    is_market = order.get("type") == "market"
    return OrderReport(
        link_id=link_id,
        venue_id=VenueOrderId(str(order["id"])),
        side=Side(order["side"]),
        ticks=0 if is_market else listed.instrument.ticks(order["price"]),
        lots=lots,
        status=status,
        filled_lots=filled,
        reason=reason,
        text=text,
    )


def read_trade(listed: Listed, trade: Unified, link_id: LinkId, order_lots: int) -> Execution:
    """Read one execution of ours."""
    fees = [fee for fee in trade.get("fees") or [trade.get("fee")] if fee and fee.get("currency")]
    side = Side(trade["side"])
    base_pays = listed.instrument.market is Market.SPOT and side is Side.BUY
    usual = listed.instrument.base if base_pays else listed.instrument.quote
    asset = fees[0]["currency"] if fees else usual
    return Execution(
        exec_id=ExecutionId(str(trade["id"])),
        link_id=link_id,
        venue_id=VenueOrderId(str(trade["order"])),
        side=side,
        ticks=listed.instrument.ticks(trade["price"]),
        lots=listed.lots(trade["amount"]),
        order_lots=order_lots,
        fee_units=sum(units(fee.get("cost") or "0") for fee in fees if fee["currency"] == asset),
        fee_asset=asset,
        is_maker=_is_maker(trade),
        at_ms=Instant(int(trade["timestamp"])),
    )


def _is_maker(trade: Unified) -> bool:
    told = (trade.get("info") or {}).get("isMaker")
    # ccxt overlooks this word in MEXC's stream, and calls every trade there a taker's.
    return told if isinstance(told, bool) else trade.get("takerOrMaker") == "maker"


def units(amount: str | Decimal) -> int:
    """Turn an amount into base units; what is finer than a unit counts as a whole one against us."""
    exact = Decimal(amount)
    if -int(exact.as_tuple().exponent) > AMOUNT_DECIMALS:
        exact = exact.quantize(Decimal(1).scaleb(-AMOUNT_DECIMALS), ROUND_CEILING)
    return amount_units(exact)


def _status(order: Unified, filled: int, lots: int) -> tuple[OrderStatus, RejectReason | None, str]:
    info = order.get("info") or {}
    told = str(info.get("rejectReason") or info.get("rejectedReason") or "")
    word = order.get("status")
    if word == "closed":
        # ccxt also calls an order closed that was filled in part and then cancelled.
        return (OrderStatus.FILLED if filled >= lots else OrderStatus.CANCELLED), None, ""
    if word not in ("canceled", "expired", "rejected", "canceling"):
        return OrderStatus.OPEN, None, ""
    # OKX cancels such an order, and gives the reason 31: it would have taken liquidity.
    crossed = (
        "PostOnly" in told
        or info.get("cancelSource") == "31"
        or (word in ("expired", "rejected") and bool(order.get("postOnly")))
    )
    if crossed and not filled:
        return OrderStatus.REJECTED, RejectReason.WOULD_TAKE_LIQUIDITY, told
    if word == "rejected":
        return OrderStatus.REJECTED, reason_in(told), told
    return OrderStatus.CANCELLED, None, ""


def _limit(limits: Unified, what: str, bound: str) -> str | None:
    value = (limits.get(what) or {}).get(bound)
    return str(value) if value is not None else None


def _floor(text: str | None, step: Decimal) -> int:
    if text is None or not Decimal(text):
        return _NO_LIMIT
    return int((Decimal(text) / step).to_integral_value(ROUND_FLOOR))


def _ceil(text: str | None, step: Decimal) -> int:
    return int((Decimal(text or "0") / step).to_integral_value(ROUND_CEILING))
