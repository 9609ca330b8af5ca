"""The venue on the real recordings: a grid of orders fills only where the market went, and no money is lost."""

import gzip
from itertools import islice
from pathlib import Path

from adapters.exchanges.paper.events import MarketTrade
from adapters.exchanges.paper.feeds.files import load_recording
from adapters.exchanges.paper.feeds.recording import Recording
from adapters.exchanges.paper.model import Status
from adapters.exchanges.paper.venue import Venue
from engine.trading.instrument import Instrument
from engine.trading.instrument import Market as Kind

from .market_fixtures import TICKS, needs_recordings
from .test_money import assert_conserved
from .trading_fixtures import LINEAR, LISTED, SPOT, Trader, now_ms

STEP = 400
LINES = 20_000


@needs_recordings
def test_a_ladder_of_orders_on_real_trades_and_book(tmp_path: Path) -> None:
    recording = _beginning("spot_btcusdt_20240808.gz", SPOT, tmp_path)
    venue = Venue(LISTED)
    state = venue.board.of(SPOT)
    trader = Trader(venue, {"USDT": "100000", "BTC": "2"})
    start, low, high = None, 0, 0
    for number, event in enumerate(recording.events(now_ms())):
        venue.on_market(SPOT, event)
        if start is None and number == 200 and state.last_ticks is not None:
            start = low = high = state.last_ticks
            for level in range(1, 60):
                trader.buy(SPOT, "0.01", SPOT.price_text(start - level * STEP), time_in_force="PostOnly")
                trader.sell(SPOT, "0.01", SPOT.price_text(start + level * STEP), time_in_force="PostOnly")
        elif start is not None and isinstance(event, MarketTrade):
            low, high = min(low, event.ticks), max(high, event.ticks)
    assert_conserved(venue)
    assert start is not None
    executions = list(trader.account.executions)
    assert len(executions) > 20
    assert all(each.is_maker for each in executions)
    filled = [order for order in trader.account.by_id.values() if order.status is Status.FILLED]
    for order in filled:
        assert low <= order.ticks <= high, "filled where the market never went"
    through = [
        order
        for order in trader.account.by_id.values()
        if (order.ticks > low + STEP if order.buy else order.ticks < high - STEP)
    ]
    assert through
    assert all(order.status is Status.FILLED for order in through), "the market went through, yet it waits"


@needs_recordings
def test_linear_positions_on_real_trades_and_book(tmp_path: Path) -> None:
    recording = _beginning("usdm_btcusdt_20240808.gz", LINEAR, tmp_path)
    venue = Venue(LISTED)
    state = venue.board.of(LINEAR)
    traders = [Trader(venue, {"USDT": "3000"}) for _ in range(2)]
    for number, event in enumerate(recording.events(now_ms())):
        venue.on_market(LINEAR, event)
        if number % 500 == 499 and state.last_ticks is not None:
            trader, is_buy = traders[number // 500 % 2], number // 1000 % 2 == 0
            price = LINEAR.price_text(state.last_ticks + (-20 if is_buy else 20))
            trader.place(LINEAR, "Buy" if is_buy else "Sell", "0.005", price)
            if number % 5000 == 4999:
                venue.settle_funding(Kind.LINEAR, "BTCUSDT")
    assert_conserved(venue)
    assert any(each.exec_type == "Funding" for trader in traders for each in trader.account.executions)


def _beginning(name: str, instrument: Instrument, folder: Path) -> Recording:
    """Load the first lines of a recording: the whole of it belongs to the soak."""
    part = folder / name
    with gzip.open(TICKS / name) as lines, gzip.open(part, "wb", compresslevel=1) as copy:
        copy.writelines(islice(lines, LINES))
    return load_recording(part, instrument)
