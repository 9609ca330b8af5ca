"""Our own recording files: written, broken, continued and read back bit for bit."""

import random
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from adapters.exchanges.paper.events import BookChange, MarketEvent, MarketTrade
from adapters.exchanges.paper.feeds.files import load_recording
from adapters.exchanges.paper.feeds.recorder import Recorder, read_events, read_header
from adapters.exchanges.paper.feeds.replay import ReplayFeed
from adapters.exchanges.paper.market import MarketState
from engine.trading.instrument import Instrument
from tests.adapters.paper.market_fixtures import BTC_LINEAR, BTC_SPOT

START_MS = 1_800_000_000_000


def _events(count: int) -> list[MarketEvent]:
    rng = random.Random(11)
    events: list[MarketEvent] = [BookChange(START_MS, True, ((99, 5), (98, 2**40)), ((101, 1),))]
    for step in range(1, count):
        at_ms = START_MS + step * 7
        if rng.random() < 0.4:
            events.append(MarketTrade(at_ms, rng.randint(1, 10**7), rng.randint(1, 10**12), rng.random() < 0.5))
        else:
            bids = tuple((rng.randint(1, 99), rng.randint(0, 10**10)) for _ in range(rng.randint(0, 6)))
            events.append(BookChange(at_ms, False, bids, ((rng.randint(101, 200), 0),)))
    return events


def _write(path: Path, events: list[MarketEvent], instrument: Instrument = BTC_SPOT) -> None:
    with Recorder(path, instrument, "test", START_MS) as recorder:
        for event in events:
            recorder.add(event)


async def test_what_was_recorded_is_replayed_bit_for_bit(tmp_path: Path) -> None:
    path, events = tmp_path / "spot.trellis", _events(5_000)
    _write(path, events)
    assert list(read_events(path)) == events
    replayed: list[MarketEvent] = []
    feed = ReplayFeed({BTC_SPOT: load_recording(path, BTC_SPOT)}, speed=None, loops=1)
    await feed.run(lambda _, event: replayed.append(event), START_MS)
    assert replayed == events


def test_the_file_says_itself_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "linear.trellis"
    _write(path, _events(3), BTC_LINEAR)
    header = read_header(path)
    assert (header.symbol, header.market, header.tick_size) == ("BTCUSDT", BTC_LINEAR.market, Decimal("0.10"))
    assert (header.source, header.started_ms) == ("test", START_MS)


def test_a_file_cut_anywhere_loses_only_its_tail(tmp_path: Path) -> None:
    path, events = tmp_path / "whole.trellis", _events(3_000)
    _write(path, events)
    whole = path.read_bytes()
    header_end = whole.index(b"\n", len(b"TRELLIS RECORDING 1\n")) + 1
    for length in (header_end, header_end + 3, len(whole) // 2, len(whole) - 1):
        cut = tmp_path / "cut.trellis"
        cut.write_bytes(whole[:length])
        kept = list(read_events(cut))
        assert kept == events[: len(kept)]
        assert len(kept) < len(events)
    assert load_recording(cut, BTC_SPOT).notes == ["the end of the file is cut short"]
    assert load_recording(path, BTC_SPOT).notes == []


def test_a_damaged_frame_ends_the_file(tmp_path: Path) -> None:
    path, events = tmp_path / "damaged.trellis", _events(3_000)
    _write(path, events)
    content = bytearray(path.read_bytes())
    content[-10] ^= 0xFF
    path.write_bytes(content)
    kept = list(read_events(path))
    assert 0 < len(kept) < len(events)
    assert kept == events[: len(kept)]


def test_after_a_crash_a_recording_goes_on_behind_its_last_whole_frame(tmp_path: Path) -> None:
    path, events = tmp_path / "crashed.trellis", _events(2_000)
    _write(path, events[:1_500])
    path.write_bytes(path.read_bytes()[:-5])
    kept = len(list(read_events(path)))
    _write(path, events[kept:])
    assert list(read_events(path)) == events


def test_a_recorder_killed_without_closing_loses_at_most_its_open_frame(tmp_path: Path) -> None:
    path, events = tmp_path / "killed.trellis", _events(2_000)
    recorder = Recorder(path, BTC_SPOT, "test", START_MS)
    for event in events:
        recorder.add(event)
    kept = list(read_events(path))
    assert kept == events[: len(kept)]
    assert events[-1].at_ms - kept[-1].at_ms <= 1_100
    recorder.close()


def test_another_instrument_is_not_mixed_into_a_file(tmp_path: Path) -> None:
    path = tmp_path / "spot.trellis"
    _write(path, _events(3))
    with pytest.raises(ValueError, match="holds spot BTCUSDT"):
        Recorder(path, BTC_LINEAR, "test", START_MS)
    with pytest.raises(ValueError, match="holds BTCUSDT, not ETHUSDT"):
        load_recording(path, msgspec.structs.replace(BTC_SPOT, symbol="ETHUSDT"))


def test_on_another_tick_the_book_is_summed_and_stays_uncrossed(tmp_path: Path) -> None:
    path = tmp_path / "fine.trellis"
    events = [
        BookChange(START_MS, True, ((1004, 1), (1003, 2), (999, 4)), ((1006, 8), (1011, 16))),
        MarketTrade(START_MS, 1004, 3, False),
        BookChange(START_MS, False, ((1003, 0),), ()),
    ]
    _write(path, events)
    coarse = msgspec.structs.replace(BTC_SPOT, tick_size=Decimal("0.10"))
    recording = load_recording(path, coarse)
    snapshot, trade, change = recording.events()
    assert isinstance(snapshot, BookChange)
    assert dict(snapshot.bids) == {100: 3, 99: 4}
    assert dict(snapshot.asks) == {101: 8, 102: 16}
    assert trade == MarketTrade(START_MS, 100, 3, False)
    assert change == BookChange(START_MS, False, ((100, 1),), ())
    state = MarketState(coarse)
    for event in recording.events():
        state.apply(event)
    assert (state.best_bid(), state.best_ask()) == (100, 101)


@pytest.mark.parametrize("content", [b"", b"TRELLIS RECORDING 1\nnot json\n", b"something else\n"])
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "no.trellis"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"no\.trellis"):
        read_header(path)
