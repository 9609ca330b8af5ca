"""The replay feed: raw recordings, trade archives and candle files, in market time."""

import asyncio
import gzip
import json
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from adapters.exchanges.paper.__main__ import command_line
from adapters.exchanges.paper.events import SIZE_SCALE, BookChange, MarketEvent, MarketTrade
from adapters.exchanges.paper.feeds.candle_csv import ending_at, load_candles
from adapters.exchanges.paper.feeds.files import load_recording
from adapters.exchanges.paper.feeds.recording import Recording
from adapters.exchanges.paper.feeds.replay import HISTORY_MINUTES, ReplayFeed
from adapters.exchanges.paper.feeds.trade_csv import NOTE
from adapters.exchanges.paper.market import MarketState
from engine.trading.instrument import Instrument
from engine.trading.orders import Side
from tests.adapters.paper.market_fixtures import (
    BTC_LINEAR,
    BTC_SPOT,
    RECORDINGS,
    TICKS,
    needs_recordings,
    recording_of,
)

START_MS = 1_800_000_000_000
both_markets = pytest.mark.parametrize("instrument", [BTC_SPOT, BTC_LINEAR], ids=["spot", "linear"])


@cache
def _coarse(instrument: Instrument) -> Recording:
    return load_recording(
        TICKS / RECORDINGS[instrument], msgspec.structs.replace(instrument, tick_size=Decimal("0.5"))
    )


@cache
def _raw_trades(instrument: Instrument) -> list[tuple[Decimal, Decimal, bool]]:
    """Read the trades of a recording the slow and obvious way."""
    trades = []
    with gzip.open(TICKS / RECORDINGS[instrument]) as lines:
        for line in lines:
            if b"@trade" in line:
                data = json.loads(line.split(b" ", 1)[1])["data"]
                trades.append((Decimal(data["p"]), Decimal(data["q"]), not data["m"]))
    return trades


@needs_recordings
@both_markets
def test_every_recorded_trade_is_played_with_its_size_and_side(instrument: Instrument) -> None:
    expected = _raw_trades(instrument)
    played = list(recording_of(instrument).trades())
    assert len(played) == len(expected) == recording_of(instrument).trade_count
    assert [Decimal(trade.size) / SIZE_SCALE for trade in played] == [size for _, size, _ in expected]
    assert [trade.buyer_is_taker for trade in played] == [buy for _, _, buy in expected]
    # The venue's ticks are at least as fine as the recorded ones here, so no price is rounded either.
    assert [instrument.price(trade.ticks) for trade in played] == [price for price, _, _ in expected]


@needs_recordings
def test_on_a_coarser_tick_prices_go_to_the_nearest_and_no_volume_is_lost() -> None:
    played = list(_coarse(BTC_SPOT).trades())
    expected = _raw_trades(BTC_SPOT)
    assert sum(trade.size for trade in played) == sum(size for _, size, _ in expected) * SIZE_SCALE
    for trade, (price, _, _) in zip(played, expected, strict=True):
        assert abs(Decimal("0.5") * trade.ticks - price) <= Decimal("0.25")


@needs_recordings
@pytest.mark.parametrize(
    ("instrument", "load"), [(BTC_LINEAR, recording_of), (BTC_SPOT, _coarse)], ids=["own tick", "coarser tick"]
)
def test_the_rebuilt_book_never_crosses(instrument: Instrument, load: Callable[[Instrument], Recording]) -> None:
    recording, state = load(instrument), MarketState(instrument)
    assert recording.notes == []
    for event in recording.events():
        state.apply(event)
        bid, ask = state.best_bid(), state.best_ask()
        assert bid is not None
        assert ask is not None
        assert bid < ask


@needs_recordings
@both_markets
def test_the_rebuilt_top_is_what_the_venue_said_last(instrument: Instrument) -> None:
    with gzip.open(TICKS / RECORDINGS[instrument]) as lines:
        *_, told = (line for line in lines if b"@bookTicker" in line)
    state = MarketState(instrument)
    for event in recording_of(instrument).events():
        state.apply(event)
    last = json.loads(told.split(b" ", 1)[1])["data"]
    assert state.depth(Side.BUY, 1) == [(instrument.ticks(last["b"]), int(Decimal(last["B"]) * SIZE_SCALE))]
    assert state.depth(Side.SELL, 1) == [(instrument.ticks(last["a"]), int(Decimal(last["A"]) * SIZE_SCALE))]


@needs_recordings
@both_markets
def test_most_trades_happen_at_a_price_that_the_book_shows(instrument: Instrument) -> None:
    state = MarketState(instrument)
    hits = Counter[bool]()
    for event in recording_of(instrument).events():
        if isinstance(event, MarketTrade) and state.best_bid() is not None:
            inside = (state.best_bid() or 0) < event.ticks < (state.best_ask() or 0)
            hits[not inside] += 1
        state.apply(event)
    # The rest are prints whose book update overtook them on the way to the recorder.
    assert hits[True] / hits.total() > 0.9


def _tape(*events: MarketEvent) -> Recording:
    recording = Recording("tape")
    for event in events:
        recording.append(event)
    return recording


TAPE = (
    BookChange(1_000, True, ((99, 5),), ((101, 5),)),
    MarketTrade(1_000, 101, 2, True),
    BookChange(1_250, False, ((100, 1),), ()),
    MarketTrade(2_500, 99, 3, False),
)


async def _play(feed: ReplayFeed, start_ms: int = START_MS) -> list[tuple[Instrument, MarketEvent]]:
    played: list[tuple[Instrument, MarketEvent]] = []
    await feed.run(lambda instrument, event: played.append((instrument, event)), start_ms)
    return played


async def test_market_time_starts_now_and_goes_on_over_the_seam_of_a_loop() -> None:
    played = await _play(ReplayFeed({BTC_SPOT: _tape(*TAPE)}, speed=None, loops=3))
    stamps = [event.at_ms for _, event in played]
    assert stamps[:4] == [START_MS, START_MS, START_MS + 250, START_MS + 1_500]
    assert stamps == sorted(stamps)
    assert stamps[4] == START_MS + 1_501
    first, second = ([msgspec.structs.replace(e, at_ms=0) for _, e in played[at : at + 4]] for at in (0, 4))
    assert first == second == [msgspec.structs.replace(event, at_ms=0) for event in TAPE]


async def test_each_loop_starts_from_a_snapshot_even_if_the_recording_does_not() -> None:
    tape = _tape(TAPE[1], TAPE[0], TAPE[3])
    played = [event for _, event in await _play(ReplayFeed({BTC_SPOT: tape}, speed=None, loops=2))]
    assert [isinstance(event, BookChange) for event in played] == [False, True, False, True, False, True, False]


async def test_two_recordings_play_together_in_the_order_of_time() -> None:
    feed = ReplayFeed({BTC_SPOT: _tape(*TAPE), BTC_LINEAR: _tape(*TAPE[:2], TAPE[3])}, speed=None, loops=5)
    played = await _play(feed)
    assert [event.at_ms for _, event in played] == sorted(event.at_ms for _, event in played)
    assert Counter(instrument for instrument, _ in played) == {BTC_SPOT: 20, BTC_LINEAR: 15}


async def test_at_ten_times_the_speed_a_second_and_a_half_takes_a_sixth_of_one() -> None:
    began = time.monotonic()
    await _play(ReplayFeed({BTC_SPOT: _tape(*TAPE)}, speed=10, loops=1))
    # Never early; how late is the machine's business.
    assert time.monotonic() - began >= 0.149


async def test_as_fast_as_it_goes_lets_others_run() -> None:
    feed = ReplayFeed({BTC_SPOT: _tape(*TAPE)}, speed=None)
    running = asyncio.create_task(feed.run(lambda instrument, event: None, START_MS))
    for _ in range(100):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@needs_recordings
@pytest.mark.parametrize(("text", "speed"), [("2.5", 2.5), ("max", None)])
def test_the_command_line_names_a_speed_or_none_at_all(
    monkeypatch: pytest.MonkeyPatch, text: str, speed: float | None
) -> None:
    monkeypatch.setattr("sys.argv", ["paper", "--feed", "replay", "--speed", text])
    assert command_line().speed == speed


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast"])
def test_a_speed_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    monkeypatch.setattr("sys.argv", ["paper", "--feed", "replay", "--speed", text])
    with pytest.raises(SystemExit):
        command_line()
    assert f"{text} is neither a positive number nor max" in capsys.readouterr().err


async def test_the_past_of_a_replay_is_a_week_of_the_same_loop() -> None:
    feed = ReplayFeed({BTC_SPOT: recording_of(BTC_SPOT)}, speed=10)
    assert feed.name == "replay: spot_btcusdt_20240808 at 10x"
    bars = await feed.history(BTC_SPOT, START_MS + 12_345)
    assert len(bars) == HISTORY_MINUTES
    assert bars[-1].start_ms + 60_000 <= START_MS + 12_345
    assert all(later.start_ms - sooner.start_ms == 60_000 for sooner, later in pairwise(bars))
    prices = [trade.ticks for trade in recording_of(BTC_SPOT).trades()]
    assert min(bar.low for bar in bars) >= min(prices)
    assert max(bar.high for bar in bars) <= max(prices)
    minutes_a_loop = recording_of(BTC_SPOT).period_ms / 60_000
    average = sum(bar.volume for bar in bars) / len(bars)
    assert average == pytest.approx(recording_of(BTC_SPOT).trade_size / minutes_a_loop, rel=0.02)


async def test_candles_from_a_file_can_be_the_past_of_a_replay(tmp_path: Path) -> None:
    file = tmp_path / "candles.csv"
    file.write_text(
        "timestamp,open,high,low,close,volume\n"
        "2025-05-30 16:40:00+00:00,61800.01,61801,61799,61800.5,2.5\n"
        "2025-05-30 16:41:00+00:00,61800.5,61802,61800,61801,1\n"
    )
    feed = ReplayFeed({BTC_SPOT: _tape(*TAPE)}, candles={BTC_SPOT: load_candles(file, BTC_SPOT)})
    bars = await feed.history(BTC_SPOT, START_MS + 100)
    assert [bar.start_ms for bar in bars] == [START_MS - 120_000, START_MS - 60_000]
    assert (bars[0].open, bars[0].volume) == (6_180_001, 5 * SIZE_SCALE // 2)
    assert ending_at([], START_MS) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("time,open\n1,2\n", "has no column timestamp, high"),
        ("timestamp,open,high,low,close,volume\n0,1,1,1,1,1\n300000,1,1,1,1,1\n", "does not hold one-minute"),
        ("timestamp,open,high,low,close,volume\n60000,1,1,1,1,1\n0,1,1,1,1,1\n", "oldest first"),
    ],
)
def test_a_candle_file_that_is_none_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "candles.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        load_candles(file, BTC_SPOT)


LINEAR_CSV = """timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional
1585180700.0647,BTCUSDT,Buy,0.042,6698.5,PlusTick,a,2.81337e+10,0.042,281.337
1585180701.9999,BTCUSDT,Sell,1e-3,6698.0,MinusTick,b,6.698e+08,0.001,6.698
1585180701.9999,BTCUSDT,Sell,0.159,6698.0,ZeroMinusTick,c,1.06e+11,0.159,1064.982
"""
SPOT_CSV = """id,timestamp,price,volume,side
1,1669852800189,17167.53,0.000582,sell
2,1669852801000,17167.54,0.0291,buy
"""


@pytest.mark.parametrize("packed", [False, True])
def test_the_linear_archive_is_read_to_the_last_digit(tmp_path: Path, packed: bool) -> None:
    file = tmp_path / ("BTCUSDT2020-03-26.csv" + ".gz" * packed)
    file.write_bytes(gzip.compress(LINEAR_CSV.encode()) if packed else LINEAR_CSV.encode())
    recording = load_recording(file, BTC_LINEAR)
    assert list(recording.trades()) == [
        MarketTrade(1_585_180_700_064, 66_985, 4_200_000, True),
        MarketTrade(1_585_180_701_999, 66_980, 100_000, False),
        MarketTrade(1_585_180_701_999, 66_980, 15_900_000, False),
    ]
    assert recording.notes == [NOTE]
    assert recording.name == "BTCUSDT2020-03-26"


def test_an_archive_that_runs_backward_is_turned_round(tmp_path: Path) -> None:
    head, *rows = LINEAR_CSV.strip().split("\n")
    file = tmp_path / "old.csv"
    file.write_text("\n".join([head, *reversed(rows)]))
    forward = tmp_path / "new.csv"
    forward.write_text(LINEAR_CSV)
    assert list(load_recording(file, BTC_LINEAR).events()) == list(load_recording(forward, BTC_LINEAR).events())


def test_around_the_trades_of_an_archive_stands_a_book_one_tick_wide(tmp_path: Path) -> None:
    file = tmp_path / "spot.csv"
    file.write_text(SPOT_CSV)
    state = MarketState(BTC_SPOT)
    for event in load_recording(file, BTC_SPOT).events():
        if isinstance(event, MarketTrade):
            touch = state.best_ask() if event.buyer_is_taker else state.best_bid()
            assert touch == event.ticks
        state.apply(event)
    assert (state.best_bid(), state.best_ask()) == (1_716_753, 1_716_754)
    assert sum(entry.trade.size for entry in state.tape) == 2_968_200


def test_an_archive_of_another_symbol_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "eth.csv"
    file.write_text(LINEAR_CSV.replace("BTCUSDT", "ETHUSDT"))
    with pytest.raises(ValueError, match="holds ETHUSDT, not BTCUSDT"):
        load_recording(file, BTC_LINEAR)


@pytest.mark.parametrize("text", ["", "hello world", "a,b,c\n1,2,3\n"])
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "what.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"what\.csv"):
        load_recording(file, BTC_SPOT)


def test_a_replay_of_nothing_is_refused() -> None:
    for recordings, speed in (({}, 1.0), ({BTC_SPOT: Recording("empty")}, 1.0), ({BTC_SPOT: _tape(*TAPE)}, 0.0)):
        with pytest.raises(ValueError, match=r"recording|speed"):
            ReplayFeed(recordings, speed=speed)
