"""The model: one seed, one market; its figures beside the recordings' own."""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise, takewhile
from pathlib import Path

import msgspec
import pytest

from adapters.exchanges.paper.candles import CandleSeries
from adapters.exchanges.paper.catalogue import LISTINGS
from adapters.exchanges.paper.events import BookChange, MarketEvent, MarketTrade
from adapters.exchanges.paper.feeds import calibrate
from adapters.exchanges.paper.feeds.calibrate import DEPTH_BPS, HORIZONS_S, QUANTILES, MarketFigures, measure
from adapters.exchanges.paper.feeds.figures import COINS, FIGURES
from adapters.exchanges.paper.feeds.model import HISTORY_MINUTES, ModelFeed
from adapters.exchanges.paper.market import MarketState
from engine.trading.instrument import Instrument
from tests.adapters.paper.market_fixtures import BTC_LINEAR, BTC_SPOT, needs_recordings, recording_of

START_MS = 1_800_000_000_000
EVERY_INSTRUMENT = [listing.instrument for listing in LISTINGS]
SEEDS = (7, 8)
MEASURED_S = 400
both_markets = pytest.mark.parametrize("instrument", [BTC_SPOT, BTC_LINEAR], ids=["spot", "linear"])


def _events(feed: ModelFeed, seconds: int) -> Iterator[tuple[Instrument, MarketEvent]]:
    timed = takewhile(lambda item: item[0] < START_MS + seconds * 1000, feed.events(START_MS))
    return ((instrument, event) for _, _, instrument, event in timed)


@cache
def _measured(instrument: Instrument) -> list[MarketFigures]:
    return [
        measure((event for _, event in _events(ModelFeed([instrument], seed), MEASURED_S)), instrument)
        for seed in SEEDS
    ]


def _mean(instrument: Instrument, name: str, index: int | None = None) -> float:
    values = [getattr(figures, name) for figures in _measured(instrument)]
    return sum(value if index is None else value[index] for value in values) / len(values)


def test_the_same_seed_gives_the_same_market_and_another_seed_another() -> None:
    first, again, other = (list(_events(ModelFeed([BTC_SPOT, BTC_LINEAR], seed), 20)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_a_second_run_of_a_feed_goes_on_at_the_price_of_the_first() -> None:
    feed, state = ModelFeed([BTC_SPOT, BTC_LINEAR], 7), MarketState(BTC_SPOT)
    for instrument, event in _events(feed, 200):
        if instrument is BTC_SPOT:
            state.apply(event)
    before = state.mark_ticks or 0
    _, opening = next(_events(feed, 200))
    state.apply(opening)
    assert state.mark_ticks == pytest.approx(before, rel=0.0005)


async def test_the_past_is_the_same_for_a_seed_and_leads_up_to_the_first_price() -> None:
    feed, alone = ModelFeed(EVERY_INSTRUMENT, 7), ModelFeed([BTC_LINEAR], 7)
    assert await feed.history(BTC_LINEAR, START_MS) == await alone.history(BTC_LINEAR, START_MS)
    for instrument in EVERY_INSTRUMENT:
        bars = await feed.history(instrument, START_MS)
        assert len(bars) == HISTORY_MINUTES == 7 * 1440
        assert all(later.start_ms - sooner.start_ms == 60_000 for sooner, later in pairwise(bars))
        assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
        assert all(bar.volume > 0 and bar.low > 0 for bar in bars)
        start = float(COINS[instrument.base].price / instrument.tick_size)
        assert bars[-1].close == pytest.approx(start, rel=0.001)


async def test_the_past_swings_like_the_present() -> None:
    past = await ModelFeed([BTC_SPOT], 7).history(BTC_SPOT, START_MS)
    swings = [abs(later.close - sooner.close) / sooner.close * 1e4 for sooner, later in pairwise(past)]
    minute_bps = (sum(swing**2 for swing in swings) / len(swings)) ** 0.5
    thirty_seconds = FIGURES[BTC_SPOT.market].volatility_bps[HORIZONS_S.index(30)]
    assert minute_bps == pytest.approx(thirty_seconds * 2**0.5, rel=0.25)


@pytest.mark.parametrize("instrument", EVERY_INSTRUMENT, ids=lambda each: f"{each.symbol}-{each.market}")
def test_every_listed_instrument_has_a_sane_market(instrument: Instrument) -> None:
    state = MarketState(instrument)
    lot = int(instrument.lot_size * 10**8)
    events = _events(ModelFeed([instrument], 3), 60)
    _, opening = next(events)
    assert isinstance(opening, BookChange)
    assert opening.snapshot
    state.apply(opening)
    stamp = opening.at_ms
    trades = 0
    for _, event in events:
        assert event.at_ms >= stamp
        stamp = event.at_ms
        if isinstance(event, MarketTrade):
            trades += 1
            # A taker takes what the book shows, in whole lots.
            touch = state.best_ask() if event.buyer_is_taker else state.best_bid()
            assert touch is not None
            assert event.ticks >= touch if event.buyer_is_taker else event.ticks <= touch
            assert event.size > 0
            assert event.size % lot == 0
        state.apply(event)
        bid, ask = state.best_bid(), state.best_ask()
        assert bid is not None
        assert ask is not None
        assert 0 < bid < ask
        assert len(state.bids) > 10
        assert len(state.asks) > 10
    assert trades > 10


def test_spot_and_perpetual_of_a_coin_follow_the_same_price() -> None:
    states = {instrument: MarketState(instrument) for instrument in (BTC_SPOT, BTC_LINEAR)}
    for instrument, event in _events(ModelFeed(states, 7), 300):
        states[instrument].apply(event)
    spot, linear = (float(each.price(state.mark_ticks or 0)) for each, state in states.items())
    assert spot == pytest.approx(linear, rel=0.0005)


def test_bars_of_the_model_are_not_all_alike() -> None:
    series = CandleSeries()
    for _, event in _events(ModelFeed([BTC_SPOT], 5), 600):
        if isinstance(event, MarketTrade):
            series.add(event.at_ms, event.ticks, event.size)
    volumes = [bar.volume for bar in series.bars]
    assert max(volumes) > 1.5 * min(volumes)
    assert {bar.close > bar.open for bar in series.bars} == {True, False}


def test_a_feed_says_its_seed() -> None:
    assert ModelFeed([BTC_SPOT], 7).name == "model: seed 7"
    assert ModelFeed([BTC_SPOT], 7, speed=60).name == "model: seed 7 at 60x"


def test_the_figures_of_a_file_are_printed_for_the_reader(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "trades.csv"
    rows = [f"{number},{START_MS + number * 900},{61_800 + number}.5,0.01,buy" for number in range(100)]
    file.write_text("id,timestamp,price,volume,side\n" + "\n".join(rows))
    calibrate.main([str(file), "spot"])
    printed = capsys.readouterr().out
    assert "    sweeps_per_s=1.122\n" in printed
    assert "    side_persistence=1\n" in printed


@needs_recordings
@both_markets
def test_the_figures_in_the_code_are_those_of_the_recordings(instrument: Instrument) -> None:
    found = measure(recording_of(instrument).events(), instrument)
    for name, expected in msgspec.structs.asdict(FIGURES[instrument.market]).items():
        assert getattr(found, name) == pytest.approx(expected, rel=0.001), name


@both_markets
def test_takers_arrive_as_often_and_in_such_bursts_as_recorded(instrument: Instrument) -> None:
    figures = FIGURES[instrument.market]
    # Regimes swing the rate by half either way, and the recording is a single spell of one of them.
    assert _mean(instrument, "sweeps_per_s") == pytest.approx(figures.sweeps_per_s, rel=0.5)
    assert _mean(instrument, "trades_per_sweep") == pytest.approx(figures.trades_per_sweep, rel=0.25)
    assert _mean(instrument, "side_persistence") == pytest.approx(figures.side_persistence, abs=0.1)
    for index, recorded in enumerate(figures.burstiness):
        modelled = _mean(instrument, "burstiness", index)
        # Far from independent arrivals (1), and within a factor of two of the recording.
        assert recorded / 2 < modelled < recorded * 2
        assert modelled > 5


@both_markets
def test_sizes_of_takers_are_distributed_as_recorded(instrument: Instrument) -> None:
    recorded = FIGURES[instrument.market].sweep_value
    for index, share in enumerate(QUANTILES):
        if share <= 0.99:
            assert _mean(instrument, "sweep_value", index) == pytest.approx(recorded[index], rel=0.3), share


@both_markets
def test_the_book_is_as_tight_and_as_deep_as_recorded(instrument: Instrument) -> None:
    figures = FIGURES[instrument.market]
    for index in range(3):
        assert _mean(instrument, "spread_ticks", index) == 1
        assert _mean(instrument, "touch_value", index + 1) == pytest.approx(
            figures.touch_value[index + 1], rel=0.4
        )
    for index, reach in enumerate(DEPTH_BPS):
        modelled = _mean(instrument, "depth_value", index)
        assert figures.depth_value[index] / 2 < modelled < figures.depth_value[index] * 2, reach
        if reach <= 2:
            assert _mean(instrument, "levels", index) == pytest.approx(figures.levels[index], rel=0.5), reach


@both_markets
def test_the_price_moves_as_far_as_recorded_at_every_horizon(instrument: Instrument) -> None:
    for index, horizon in enumerate(HORIZONS_S):
        recorded = FIGURES[instrument.market].volatility_bps[index]
        modelled = _mean(instrument, "volatility_bps", index)
        assert recorded / 2 < modelled < recorded * 2, horizon
