"""How OKX writes orders, fills, balances and markets: rows of its V5 API, spot and USDT-margined swaps.

Numbers are decimal text; fees and funding are changes of the balance, so what is paid is negative; the sizes of a
swap count contracts, here of ten lots each, so that a lot is a tenth of a contract as it often is at OKX.
"""

from decimal import Decimal

from adapters.exchanges.paper.candles import Bar
from adapters.exchanges.paper.catalogue import Listing
from adapters.exchanges.paper.events import SIZE_SCALE
from adapters.exchanges.paper.market import MarketState, TapeEntry
from adapters.exchanges.paper.model import Execution, Order, Status, TimeInForce
from adapters.exchanges.paper.wire_text import size_text
from engine.trading.instrument import Instrument, Market, amount_text
from engine.trading.orders import Side

Row = dict[str, str]

CONTRACT_LOTS = 10
_ORDER_TYPES = {TimeInForce.POST_ONLY: "post_only", TimeInForce.IOC: "ioc", TimeInForce.FOK: "fok"}
_STATES = {
    Status.NEW: "live",
    Status.PARTIALLY_FILLED: "partially_filled",
    Status.FILLED: "filled",
    Status.CANCELLED: "canceled",
    Status.PARTIALLY_FILLED_CANCELLED: "canceled",
    Status.REJECTED: "canceled",
}
_LISTED_MS = "1548133413000"


def kind_of(market: Market) -> str:
    """Name a market as `instType` does."""
    return "SPOT" if market is Market.SPOT else "SWAP"


def family_of(instrument: Instrument) -> str:
    """Name what a swap follows; on spot it is the pair itself."""
    return f"{instrument.base}-{instrument.quote}"


def symbol_of(instrument: Instrument) -> str:
    """Spell an instrument as `instId` does."""
    return family_of(instrument) + ("" if instrument.market is Market.SPOT else "-SWAP")


def contract(instrument: Instrument) -> Decimal:
    """Give the base coins in one unit of `sz`."""
    return Decimal(1) if instrument.market is Market.SPOT else instrument.lot_size * CONTRACT_LOTS


def sz(instrument: Instrument, lots: int) -> str:
    """Write a quantity: base coins on spot, contracts of a swap."""
    return f"{instrument.quantity(lots) / contract(instrument):f}"


def public_sz(instrument: Instrument, size: int) -> str:
    """Write a recorded size."""
    return f"{(Decimal(size) / SIZE_SCALE / contract(instrument)).normalize():f}"


def instrument_row(listing: Listing) -> Row:
    """Write an instrument with its filters; OKX has no least value of an order."""
    instrument = listing.instrument
    is_spot = instrument.market is Market.SPOT
    return {
        "instType": kind_of(instrument.market),
        "instId": symbol_of(instrument),
        "instFamily": "" if is_spot else family_of(instrument),
        "uly": "" if is_spot else family_of(instrument),
        "baseCcy": instrument.base if is_spot else "",
        "quoteCcy": instrument.quote if is_spot else "",
        "settleCcy": "" if is_spot else instrument.quote,
        "ctVal": "" if is_spot else f"{contract(instrument).normalize():f}",
        "ctMult": "" if is_spot else "1",
        "ctValCcy": "" if is_spot else instrument.base,
        "ctType": "" if is_spot else "linear",
        "tickSz": f"{instrument.tick_size.normalize():f}",
        "lotSz": sz(instrument, 1),
        "minSz": sz(instrument, instrument.min_lots),
        "maxLmtSz": sz(instrument, instrument.max_lots),
        "maxMktSz": "1000000" if is_spot else sz(instrument, instrument.max_market_lots),
        "lever": "10" if is_spot else f"{instrument.leverage_max:f}",
        "state": "live",
        "listTime": _LISTED_MS,
        "expTime": "",
        "alias": "",
        "category": "1",
        "optType": "",
        "stk": "",
    }


def ticker_row(state: MarketState) -> Row:
    """Write the ticker."""
    instrument, figures = state.instrument, state.day_figures()
    row = {"instType": kind_of(instrument.market), "instId": symbol_of(instrument), "ts": str(state.at_ms)}
    for side, name in ((Side.BUY, "bid"), (Side.SELL, "ask")):
        for ticks, size in state.depth(side, 1):
            row |= {f"{name}Px": instrument.price_text(ticks), f"{name}Sz": public_sz(instrument, size)}
    if figures is not None and state.last_ticks is not None:
        row |= {
            "last": instrument.price_text(state.last_ticks),
            "lastSz": "0",
            "open24h": instrument.price_text(figures.open),
            "high24h": instrument.price_text(figures.high),
            "low24h": instrument.price_text(figures.low),
            "vol24h": public_sz(instrument, figures.volume),
            "volCcy24h": size_text(figures.volume),
        }
    return row


def candle_row(instrument: Instrument, bar: Bar) -> list[str]:
    """Write a bar: the volume of a swap in contracts first, in the base coin second."""
    price = instrument.price_text
    turnover = f"{Decimal(bar.turnover) / SIZE_SCALE * instrument.tick_size:f}"
    is_spot = instrument.market is Market.SPOT
    volume = size_text(bar.volume)
    volumes = [volume, turnover] if is_spot else [public_sz(instrument, bar.volume), volume]
    prices = [price(bar.open), price(bar.high), price(bar.low), price(bar.close)]
    return [str(bar.start_ms), *prices, *volumes, turnover, "1"]


def public_trade_row(instrument: Instrument, entry: TapeEntry) -> Row:
    """Write a public trade with its taker's side."""
    return {
        "instId": symbol_of(instrument),
        "tradeId": str(entry.number),
        "px": instrument.price_text(entry.trade.ticks),
        "sz": public_sz(instrument, entry.trade.size),
        "side": "buy" if entry.trade.buyer_is_taker else "sell",
        "ts": str(entry.trade.at_ms),
        "count": "1",
    }


def order_row(listing: Listing, order: Order, fill: Execution | None = None) -> Row:
    """Write an order as it is now, or as it was just after one of its fills."""
    instrument = listing.instrument
    row = {
        "instType": kind_of(order.market),
        "instId": symbol_of(instrument),
        "ordId": str(order.seq),
        "clOrdId": order.link_id,
        "tag": "",
        "px": "" if order.is_market else instrument.price_text(order.ticks),
        "sz": sz(instrument, order.lots),
        "ordType": "market" if order.is_market else _ORDER_TYPES.get(order.time_in_force, "limit"),
        "side": "buy" if order.buy else "sell",
        "posSide": "net",
        "tdMode": "cash" if order.market is Market.SPOT else "cross",
        "tgtCcy": "base_ccy" if order.market is Market.SPOT and order.is_market else "",
        "accFillSz": sz(instrument, order.filled_lots),
        "avgPx": "",
        "state": _STATES[order.status],
        "lever": "" if order.market is Market.SPOT else "5",
        "fee": amount_text(-order.fee_units),
        "feeCcy": order.fee_coin,
        "rebate": "0",
        "rebateCcy": "",
        "pnl": "0",
        "category": "normal",
        "reduceOnly": str(order.reduce_only).lower(),
        "cancelSource": _cancel_source(order),
        "cancelSourceReason": "",
        "tradeId": "",
        "fillPx": "",
        "fillSz": "0",
        "fillTime": "",
        "cTime": str(order.created_ms),
        "uTime": str(order.updated_ms),
    }
    return row if fill is None else row | _fill_fields(instrument, fill)


def fill_row(listing: Listing, order: Order, fill: Execution) -> Row:
    """Write a fill of an order as the list of fills does."""
    instrument = listing.instrument
    return {
        "instType": kind_of(fill.market),
        "instId": symbol_of(instrument),
        "tradeId": str(fill.seq),
        "ordId": str(order.seq),
        "clOrdId": fill.link_id,
        "billId": str(fill.seq),
        "tag": "",
        "fillPx": instrument.price_text(fill.ticks),
        "fillSz": sz(instrument, fill.lots),
        "side": "buy" if fill.buy else "sell",
        "posSide": "net",
        "execType": "M" if fill.is_maker else "T",
        "fee": amount_text(-fill.fee_units),
        "feeCcy": fill.fee_coin,
        "ts": str(fill.at_ms),
        "fillTime": str(fill.at_ms),
    }


def bill_row(listing: Listing, funding: Execution) -> Row:
    """Write a funding payment as the list of bills does."""
    instrument = listing.instrument
    return {
        "billId": str(funding.seq),
        "type": "8",
        "subType": "173" if funding.fee_units > 0 else "174",
        "instType": kind_of(funding.market),
        "instId": symbol_of(instrument),
        "ccy": funding.fee_coin,
        "balChg": amount_text(-funding.fee_units),
        "bal": amount_text(funding.balance_units),
        "posBalChg": "0",
        "posBal": "0",
        "pnl": amount_text(-funding.fee_units),
        "fee": "0",
        "sz": sz(instrument, funding.lots),
        "mgnMode": "cross",
        "ordId": "",
        "ts": str(funding.at_ms),
    }


def _fill_fields(instrument: Instrument, fill: Execution) -> Row:
    return {
        "state": "partially_filled" if fill.leaves_lots else "filled",
        "accFillSz": sz(instrument, fill.order_lots - fill.leaves_lots),
        "tradeId": str(fill.seq),
        "fillPx": instrument.price_text(fill.ticks),
        "fillSz": sz(instrument, fill.lots),
        "fillTime": str(fill.at_ms),
        "fillFee": amount_text(-fill.fee_units),
        "fillFeeCcy": fill.fee_coin,
        "execType": "M" if fill.is_maker else "T",
    }


def _cancel_source(order: Order) -> str:
    if order.status is Status.REJECTED:
        return "31"
    return "1" if order.status in (Status.CANCELLED, Status.PARTIALLY_FILLED_CANCELLED) else ""
