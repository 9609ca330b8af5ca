"""The ticker of one market, as REST and the public stream both write it."""

from engine.trading.instrument import Market
from engine.trading.orders import Side

from .market import MarketState
from .wire_text import WireText, size_text


def ticker_fields(state: MarketState) -> dict[str, str]:
    """Give every field of the ticker as text; a market that never traded gives its symbol alone.

    Clients tell spot from linear by single fields: `usdIndexPrice` means spot on the stream, and a missing
    `openInterestValue` means spot over REST. Open interest is given as 0: the venue does not know the crowd's.
    """
    wire = WireText(state.instrument)
    figures = state.day_figures()
    last, mark = state.last_ticks, state.mark_ticks
    if figures is None or last is None or mark is None:
        return {"symbol": state.instrument.symbol}
    fields = {
        "symbol": state.instrument.symbol,
        "lastPrice": wire.price(last),
        "highPrice24h": wire.price(figures.high),
        "lowPrice24h": wire.price(figures.low),
        "prevPrice24h": wire.price(figures.open),
        "volume24h": size_text(figures.volume),
        "turnover24h": wire.value(figures.turnover),
        "price24hPcnt": _ratio_text(last - figures.open, figures.open),
        **_best(state, wire),
    }
    if state.instrument.market is Market.SPOT:
        return fields | {"usdIndexPrice": wire.price(mark)}
    return fields | {
        "tickDirection": "PlusTick" if state.rising else "MinusTick",
        "prevPrice1h": wire.price(figures.open_1h),
        "markPrice": wire.price(mark),
        "indexPrice": wire.price(mark),
        "openInterest": "0",
        "openInterestValue": "0",
        "fundingRate": f"{state.funding_rate:f}",
        "nextFundingTime": str(state.next_funding_ms(state.at_ms)),
    }


def stream_fields(state: MarketState) -> dict[str, str]:
    """Give the fields as the stream sends them: the spot stream carries no best bid and ask."""
    fields = ticker_fields(state)
    if state.instrument.market is Market.SPOT:
        for name in ("bid1Price", "bid1Size", "ask1Price", "ask1Size"):
            fields.pop(name, None)
    return fields


def _best(state: MarketState, wire: WireText) -> dict[str, str]:
    bid, ask = state.depth(Side.BUY, 1), state.depth(Side.SELL, 1)
    return {
        "bid1Price": wire.price(bid[0][0]) if bid else "",
        "bid1Size": size_text(bid[0][1]) if bid else "",
        "ask1Price": wire.price(ask[0][0]) if ask else "",
        "ask1Size": size_text(ask[0][1]) if ask else "",
    }


def _ratio_text(change: int, base: int) -> str:
    """Write change / base with four decimals, rounded to the nearest."""
    scaled = (abs(change) * 20_000 + base) // (2 * base)
    text = f"{scaled // 10_000}.{scaled % 10_000:04d}".rstrip("0").rstrip(".")
    return f"-{text}" if change < 0 and scaled else text
