"""The backtest against a second opinion: a per-interval simulation written from the definition of a grid alone."""

import csv
import os
from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random

import msgspec
import pytest

from engine.grid.backtest import TouchMarket, bar_path, run
from engine.grid.config import Direction, GridConfig, PriceStop, Spacing, StopAction
from engine.grid.levels import all_levels
from engine.grid.sizing import Sizing, size
from engine.grid.state import BotStatus
from engine.ids import Instant
from engine.trading.instrument import FeeRates, Instrument
from engine.trading.market import Candle
from tests.factories import LINEAR, SPOT, grid_config

SHARED = Path(os.environ.get("TRELLIS_SHARED", Path(__file__).parents[4] / "shared"))
FEES = FeeRates(maker=Decimal("0.0002"), taker=Decimal("0.00055"))
FREE = FeeRates(maker=Decimal(0), taker=Decimal(0))


class Outcome(msgspec.Struct, frozen=True):
    """What both sides must agree on, in quote units."""

    trips: int
    trades: int
    grid_profit: int
    fees: int
    total: int


def brute_force(
    config: GridConfig, instrument: Instrument, fees: FeeRates, sized: Sizing, prices: Iterable[int]
) -> Outcome:
    """Simulate each interval on its own: it buys at its lower level and sells at its upper one, in turn."""
    intervals = list(pairwise(all_levels(config, instrument)))
    selling = list(sized.selling)
    opens_by_selling = [
        config.direction is Direction.SHORT or (config.direction is Direction.NEUTRAL and sells)
        for sells in selling
    ]
    opened_at = [
        sized.price_ticks if sells != by_selling else None
        for sells, by_selling in zip(selling, opens_by_selling, strict=True)
    ]
    entered = sum(price is not None for price in opened_at)
    sign = -1 if config.direction is Direction.SHORT else 1
    position, cash = sign * entered, -sign * entered * sized.price_ticks
    fee = entered * sized.price_ticks * fees.taker
    trips, fills, profit = 0, 0, 0
    price = sized.price_ticks
    for target in prices:
        touched = [
            (upper if selling[k] else lower, k)
            for k, (lower, upper) in enumerate(intervals)
            if (price < upper <= target if selling[k] else price > lower >= target)
        ]
        for ticks, k in touched:
            direction = -1 if selling[k] else 1
            position += direction
            cash -= direction * ticks
            fee += ticks * fees.maker
            fills += 1
            if (began := opened_at[k]) is None:
                opened_at[k] = ticks
            else:
                profit += (ticks - began) * -direction
                trips += 1
                opened_at[k] = None
            selling[k] = not selling[k]
        price = target
    unit = instrument.value(1, sized.lots)
    return Outcome(
        trips=trips,
        trades=fills + bool(entered),
        grid_profit=profit * unit,
        fees=int(fee * unit),
        total=(cash + position * price) * unit - int(fee * unit),
    )


def machine(config: GridConfig, instrument: Instrument, fees: FeeRates, candles: list[Candle]) -> Outcome:
    result = run(config, instrument, fees, candles)
    return Outcome(result.trips, result.trades, result.grid_profit_units, result.fee_units, result.total_units)


def compare(config: GridConfig, instrument: Instrument, fees: FeeRates, candles: list[Candle]) -> Outcome:
    sized = size(config, instrument, fees, candles[0].open)
    assert isinstance(sized, Sizing)
    path = [ticks for candle in candles for ticks in bar_path(candle)]
    expected = brute_force(config, instrument, fees, sized, path)
    assert machine(config, instrument, fees, candles) == expected
    return expected


def random_candles(seed: int, count: int, start: int) -> list[Candle]:
    random, price, candles = Random(seed), start, []
    for minute in range(count):
        close = max(1, price + random.randint(-15, 15))
        high = max(price, close) + random.randint(0, 12)
        low = max(1, min(price, close) - random.randint(0, 12))
        candles.append(Candle(Instant(minute * 60_000), price, high, low, close, Decimal(1)))
        price = close
    return candles


@pytest.mark.parametrize("spacing", Spacing)
@pytest.mark.parametrize("direction", [Direction.LONG, Direction.SHORT, Direction.NEUTRAL])
@pytest.mark.parametrize("seed", range(5))
def test_a_perpetual_grid_agrees_with_the_brute_force_on_random_paths(
    seed: int, direction: Direction, spacing: Spacing
) -> None:
    config = grid_config(direction=direction, spacing=spacing, grids=7 + seed, leverage=2)
    # The brute force buys its starting position at once.
    instrument = msgspec.structs.replace(LINEAR, max_market_lots=10**9)
    assert compare(config, instrument, FEES, random_candles(seed, 400, 1_003)).trips > 5


@pytest.mark.parametrize("seed", range(5))
def test_a_spot_grid_agrees_with_the_brute_force_where_no_fee_is_taken_in_coins(seed: int) -> None:
    compare(grid_config(grids=9), SPOT, FREE, random_candles(100 + seed, 400, 997))


@pytest.mark.parametrize("direction", Direction)
def test_real_candles_give_the_same_trips_and_profit_as_the_brute_force(direction: Direction) -> None:
    file = SHARED / "data" / "candles" / "DOGEUSDT_1m.csv"
    if not file.exists():
        pytest.skip(f"no recorded candles at {file}")
    instrument = msgspec.structs.replace(
        SPOT if direction is Direction.SPOT else LINEAR,
        tick_size=Decimal("0.00001"),
        lot_size=Decimal(1),
        min_lots=1,
        max_market_lots=10**9,
    )
    candles = [
        Candle(
            Instant(number * 60_000),
            *(instrument.ticks(row[key]) for key in ("open", "high", "low", "close")),
            Decimal(row["volume"]),
        )
        for number, row in zip(range(6_000), csv.DictReader(file.open()), strict=False)
    ]
    middle = instrument.price(candles[0].open)
    config = grid_config(
        direction=direction,
        lower=(middle * Decimal("0.95")).quantize(instrument.tick_size),
        upper=(middle * Decimal("1.05")).quantize(instrument.tick_size),
        grids=25,
        amount=Decimal(5_000),
    )
    fees = FREE if direction is Direction.SPOT else FEES
    assert compare(config, instrument, fees, candles).trips > 50


def test_a_live_order_window_changes_no_result() -> None:
    candles = random_candles(7, 300, 1_003)
    whole = machine(grid_config(direction=Direction.LONG), LINEAR, FEES, candles)
    windowed = machine(grid_config(direction=Direction.LONG, live_orders=4), LINEAR, FEES, candles)
    assert windowed == whole


def test_a_stop_ends_the_backtest() -> None:
    falling = [
        Candle(Instant(n), 1_000 - 60 * n, 1_000 - 60 * n, 940 - 60 * n, 940 - 60 * n, Decimal(1))
        for n in range(5)
    ]
    config = grid_config(stop_loss=PriceStop(Decimal(85), StopAction.CLOSE))
    result = run(config, SPOT, FREE, falling)
    assert result.status is BotStatus.STOPPED
    assert result.total_units < 0 < result.drawdown_units


def test_a_backtest_needs_candles() -> None:
    with pytest.raises(ValueError, match="candle"):
        run(grid_config(), SPOT, FREE, [])


def test_the_path_inside_a_bar_goes_first_against_its_close() -> None:
    rising = Candle(Instant(0), 10, 15, 8, 12, Decimal(1))
    falling = msgspec.structs.replace(rising, close=9)
    assert bar_path(rising) == (10, 8, 15, 12)
    assert bar_path(falling) == (10, 15, 8, 9)


def test_a_run_ends_when_the_investment_is_lost() -> None:
    """A grid whose step is smaller than its fees must not lose more than was put in."""
    dear = FeeRates(Decimal("0.01"), Decimal("0.01"))
    bars = [
        Candle(Instant(minute * 60_000), open=900, high=1100, low=900, close=900, volume=Decimal(1))
        for minute in range(2_000)
    ]
    result = run(grid_config(grids=50), SPOT, dear, bars)
    assert result.end_ms < bars[-1].start_ms
    assert -result.total_units < 1.2 * 1000 * 10**18


def test_a_position_far_larger_than_a_market_order_is_bought_in_many_parts() -> None:
    config = grid_config(amount=Decimal(10_000_000), grids=200)
    market = TouchMarket(config, SPOT, FEES)
    market.start(1_003, Instant(1))
    assert market.state.status is BotStatus.RUNNING
    assert market.state.sizing is not None
    parts = -(-market.state.sizing.entry_lots // SPOT.max_market_lots)
    assert market.state.ledger.trades == parts > 1
