"""Bars, book and figures of one market, against brute force."""

import random
from datetime import UTC, datetime

import pytest

from adapters.exchanges.paper.book import BookSide
from adapters.exchanges.paper.candles import HISTORY_BARS, INTERVALS, Bar, CandleSeries, bar_start, next_bar_start
from adapters.exchanges.paper.events import SIZE_SCALE, BookChange, MarketTrade
from adapters.exchanges.paper.market import PRICE_LIMIT_RATIO, MarketState
from adapters.exchanges.paper.wire_text import WireText, size_text
from engine.trading.orders import Side
from tests.adapters.paper.market_fixtures import BTC_LINEAR, BTC_SPOT

START_MS = 1_800_000_000_000
MINUTE_MS = 60_000


def _random_trades(count: int, span_ms: int) -> list[MarketTrade]:
    rng = random.Random(3)
    stamps = sorted(START_MS + rng.randrange(span_ms) for _ in range(count))
    return [MarketTrade(at, rng.randint(900, 1100), rng.randint(1, 9), rng.random() < 0.5) for at in stamps]


def _filled(trades: list[MarketTrade]) -> CandleSeries:
    series = CandleSeries()
    for trade in trades:
        series.add(trade.at_ms, trade.ticks, trade.size)
    return series


@pytest.mark.parametrize("interval", INTERVALS)
def test_a_bar_of_any_interval_sums_exactly_the_trades_inside_it(interval: str) -> None:
    trades = _random_trades(1_500, 9 * 86_400_000)
    bars = _filled(trades).query(interval, START_MS, None, 1000)
    assert bars
    for bar in bars:
        end = next_bar_start(bar.start_ms, interval)
        inside = [trade for trade in trades if bar.start_ms <= trade.at_ms < end]
        assert bar.volume == sum(trade.size for trade in inside)
        assert bar.turnover == sum(trade.size * trade.ticks for trade in inside)
        if inside and interval == "1":
            prices = [trade.ticks for trade in inside]
            assert (bar.open, bar.high, bar.low, bar.close) == (prices[0], max(prices), min(prices), prices[-1])


def test_a_minute_without_trades_is_flat_at_the_last_close() -> None:
    series = CandleSeries()
    series.add(START_MS, 100, 5)
    series.add(START_MS + 3 * MINUTE_MS, 110, 5)
    assert [(bar.open, bar.close, bar.volume) for bar in series.bars] == [
        (100, 100, 5),
        (100, 100, 0),
        (100, 100, 0),
        (110, 110, 5),
    ]


def test_a_late_trade_counts_in_the_growing_minute() -> None:
    series = CandleSeries()
    series.add(START_MS + MINUTE_MS, 100, 5)
    assert not series.add(START_MS, 90, 5)
    assert [(bar.low, bar.close, bar.volume) for bar in series.bars] == [(90, 90, 10)]


def test_weeks_start_on_mondays_and_months_on_the_first() -> None:
    assert datetime.fromtimestamp(bar_start(START_MS, "W") // 1000, UTC).weekday() == 0
    month = datetime.fromtimestamp(next_bar_start(bar_start(START_MS, "M"), "M") // 1000, UTC)
    assert (month.day, month.hour, month.minute) == (1, 0, 0)


def test_a_query_gives_the_newest_bars_or_those_from_the_start() -> None:
    series = _filled([MarketTrade(START_MS + minute * MINUTE_MS, minute, 1, True) for minute in range(100)])
    assert [bar.open for bar in series.query("1", None, None, 3)] == [99, 98, 97]
    assert [bar.open for bar in series.query("1", START_MS + 30_000, None, 3)] == [2, 1, 0]
    end = START_MS + 50 * MINUTE_MS
    assert [bar.open for bar in series.query("1", None, end, 2)] == [50, 49]
    assert [bar.open for bar in series.query("1", end - MINUTE_MS, end, 200)] == [50, 49]
    assert series.query("1", START_MS + 200 * MINUTE_MS, None, 5) == []


def test_a_seeded_past_meets_the_first_own_minute_without_a_hole() -> None:
    series = CandleSeries()
    series.add(START_MS, 100, 1)
    series.seed([Bar(START_MS - 5 * MINUTE_MS, 90, 91, 89, 90, 7, 630), Bar(START_MS, 1, 1, 1, 1)])
    starts = [bar.start_ms for bar in series.bars]
    assert starts == list(range(START_MS - 5 * MINUTE_MS, START_MS + 1, MINUTE_MS))
    assert series.bars[-1].open == 100


def test_old_minutes_are_forgotten() -> None:
    series = CandleSeries()
    series.add(START_MS, 1, 1)
    series.add(START_MS + 400 * 86_400_000, 2, 1)
    for minute in range(2_000):
        series.add(START_MS + 400 * 86_400_000 + minute * MINUTE_MS, 3, 1)
    assert len(series.bars) <= HISTORY_BARS + 1440


def test_the_day_figures_look_back_one_day() -> None:
    trades = _random_trades(6_000, 3 * 86_400_000)
    series = _filled(trades)
    now = trades[-1].at_ms
    figures = series.day_figures(now)
    since = -(-(now - 86_400_000) // MINUTE_MS) * MINUTE_MS
    day = [trade for trade in trades if trade.at_ms >= since]
    assert figures is not None
    assert figures.volume == sum(trade.size for trade in day)
    assert figures.high >= max(trade.ticks for trade in day)
    assert figures.low <= min(trade.ticks for trade in day)


def test_a_book_side_agrees_with_a_plain_dictionary() -> None:
    rng = random.Random(5)
    for is_bid in (True, False):
        side, plain = BookSide(is_bid), {}
        for _ in range(3_000):
            ticks, size = rng.randint(1, 200), rng.choice((0, 0, 1, 2, 3))
            side.set(ticks, size)
            plain[ticks] = size
            if rng.random() < 0.02:
                limit = rng.randint(1, 200)
                crossed = {
                    at: got for at, got in plain.items() if got and (at >= limit if is_bid else at <= limit)
                }
                assert dict(side.remove_through(limit)) == crossed
                plain.update(dict.fromkeys(crossed, 0))
            resting = sorted(((at, got) for at, got in plain.items() if got), reverse=is_bid)
            assert side.top(10) == resting[:10]
            assert side.best() == (resting[0][0] if resting else None)
            assert side.worst() == (resting[-1][0] if resting else None)
            assert len(side) == len(resting)


def test_a_snapshot_replaces_the_book_and_a_zero_deletes_a_level() -> None:
    state = MarketState(BTC_SPOT)
    state.apply(BookChange(START_MS, True, ((99, 5), (98, 6)), ((101, 7),)))
    state.apply(BookChange(START_MS, False, ((99, 0),), ((102, 1),)))
    assert state.depth(Side.BUY, 5) == [(98, 6)]
    assert state.depth(Side.SELL, 5) == [(101, 7), (102, 1)]
    state.apply(BookChange(START_MS, True, ((50, 1),), ((51, 1),)))
    assert (state.best_bid(), state.best_ask(), state.size_at(Side.BUY, 98)) == (50, 51, 0)


def test_a_lone_print_far_from_the_book_does_not_move_the_mark() -> None:
    state = MarketState(BTC_LINEAR)
    state.apply(BookChange(START_MS, True, ((999, 5),), ((1001, 7),)))
    state.apply(MarketTrade(START_MS, 5_000, 1, True))
    assert state.mark_ticks == 1001
    assert state.price_limits() == (int(1001 * (1 + PRICE_LIMIT_RATIO)), 951)


def test_funding_falls_on_whole_intervals() -> None:
    state = MarketState(BTC_LINEAR)
    next_ms = state.next_funding_ms(START_MS)
    assert 0 < next_ms - START_MS <= 480 * MINUTE_MS
    assert next_ms % (480 * MINUTE_MS) == 0
    assert MarketState(BTC_SPOT).next_funding_ms(START_MS) == 0


def test_numbers_are_written_as_the_exact_decimals_they_are() -> None:
    wire = WireText(BTC_LINEAR)
    assert wire.price(618_002) == "61800.2"
    assert wire.value(618_002 * SIZE_SCALE) == "61800.2"
    assert (size_text(SIZE_SCALE), size_text(1), size_text(SIZE_SCALE // 2)) == ("1", "0.00000001", "0.5")
    rng = random.Random(2)
    for _ in range(500):
        ticks = rng.randint(1, 10**9)
        assert WireText(BTC_SPOT).price(ticks) == BTC_SPOT.price_text(ticks)
