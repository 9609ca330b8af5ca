"""What the grid machine promises whatever the venue does: proved on random lives against the chaos venue."""

import os
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from engine.grid.cells import order_level
from engine.grid.config import Direction, GridConfig, PaidIn, PriceStop, Spacing, StopAction
from engine.grid.levels import level_ticks
from engine.grid.state import BotStatus, GridState
from engine.trading.instrument import FeeRates
from engine.trading.orders import OrderStatus, Side
from tests.factories import grid_config, instrument_for
from tests.properties.bot_life import BotLife
from tests.properties.chaos_venue import Odds

LIVES = int(os.environ.get("TRELLIS_PROPERTY_LIVES", "60"))
"""Lives per property; a night's run sets thousands."""

START_TICKS = 1_000

lives = settings(
    max_examples=LIVES,
    deadline=None,
    derandomize="TRELLIS_PROPERTY_LIVES" not in os.environ,
    # A shorter life under the same seed is another life, so shrinking would only take its time.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
seeds = st.integers(0, 2**32)


@st.composite
def configs(draw: st.DrawFn, *, stops: bool = True) -> GridConfig:
    """Draw a grid of any direction and any options."""
    direction = draw(st.sampled_from(Direction))
    changes: dict[str, Any] = {
        "direction": direction,
        "spacing": draw(st.sampled_from(Spacing)),
        "grids": draw(st.integers(2, 9)),
        "amount": Decimal(draw(st.sampled_from((250, 600, 3000)))),
        "post_only": draw(st.booleans()),
        "reinvest": draw(st.booleans()),
        "live_orders": draw(st.sampled_from((None, None, 2, 4))),
        "trailing_up_limit": draw(st.sampled_from((None, None, Decimal(130)))),
        "trailing_down_limit": draw(st.sampled_from((None, None, Decimal(75)))),
    }
    if direction is Direction.SPOT:
        paid_in = changes["paid_in"] = draw(st.sampled_from(PaidIn))
        if paid_in is PaidIn.BASE:
            changes["amount"] = Decimal(draw(st.sampled_from((8, 30))))
        if paid_in is PaidIn.BOTH:
            changes["base_amount"] = Decimal(3)
    else:
        changes["leverage"] = draw(st.sampled_from((1, 5)))
    if stops and draw(st.integers(0, 3)) == 0:
        price = Decimal(120) if direction is Direction.SHORT else Decimal(80)
        changes["stop_loss"] = PriceStop(price, draw(st.sampled_from(StopAction)))
    return grid_config(**changes)


@st.composite
def fee_rates(draw: st.DrawFn) -> FeeRates:
    """Draw fees, rebates included."""
    maker = draw(st.sampled_from((Decimal("0.001"), Decimal(0), Decimal("-0.0002"))))
    return FeeRates(maker=maker, taker=Decimal("0.0015"))


def a_life(seed: int, config: GridConfig, fees: FeeRates, odds: Odds | None = None) -> BotLife:
    life = BotLife(seed, config, instrument_for(config.direction), fees, START_TICKS, odds or Odds())
    life.start()
    return life


@lives
@given(seed=seeds, config=configs(), fees=fee_rates(), moves=st.integers(1, 400))
def test_books_agree_with_the_venue_through_any_interleaving_and_any_crash(
    seed: int, config: GridConfig, fees: FeeRates, moves: int
) -> None:
    life = a_life(seed, config, fees)
    for _ in range(moves):
        life.move()
    life.settle()
    life.check_replay()
    assert {fact.exec_id for fact in life.venue.executions} == life.delivered


@settings(lives, max_examples=max(1, LIVES // 2))  # each of these walks the price through the whole range
@given(seed=seeds, config=configs(stops=False), fees=fee_rates(), moves=st.integers(1, 250))
def test_a_running_grid_comes_to_rest_with_exactly_the_orders_that_its_geometry_demands(
    seed: int, config: GridConfig, fees: FeeRates, moves: int
) -> None:
    life = a_life(seed, config, fees)
    for _ in range(moves):
        life.move()
    life.settle()
    if life.state.status is BotStatus.HALTED:
        life.start()
        life.settle()
    assert life.state.status is BotStatus.RUNNING, life.state.status_reason
    sweep(life)
    expect_a_whole_grid(life)


@lives
@given(
    seed=seeds,
    config=configs(),
    fees=fee_rates(),
    moves=st.integers(0, 120),
    sell=st.booleans(),
    after=st.integers(0, 40),
)
def test_stopping_at_any_moment_leaves_no_order_at_the_venue(
    seed: int, config: GridConfig, fees: FeeRates, moves: int, sell: bool, after: int
) -> None:
    life = a_life(seed, config, fees)
    for _ in range(moves):
        life.move()
    life.stop(sell=sell)
    for _ in range(after):
        life.move()
    life.settle()
    if life.state.status is BotStatus.HALTED:
        life.stop(sell=sell)
        life.settle()
    assert life.state.status is BotStatus.STOPPED, life.state.status_reason
    assert life.venue.open_orders() == ()
    life.check_replay()
    if life.state.sell_on_stop:
        lots = abs(life.state.base_total()) // life.state.instrument.units_per_lot
        assert not life.state.instrument.is_tradable(life.venue.ticks, lots)


COMMANDS = ("start", "pause", "keep", "sell")


@lives
@given(
    seed=seeds,
    config=configs(),
    fees=fee_rates(),
    commands=st.lists(st.tuples(st.integers(0, 60), st.sampled_from(COMMANDS)), max_size=8),
)
def test_any_sequence_of_commands_keeps_the_books_and_ends_where_the_last_one_points(
    seed: int, config: GridConfig, fees: FeeRates, commands: list[tuple[int, str]]
) -> None:
    life = a_life(seed, config, fees, Odds(no_permission=1))
    for moves, command in commands:
        for _ in range(moves):
            life.move()
        note(f"{life.state.status} → {command}")
        say(life, command)
    life.settle()
    life.check_replay()
    say(life, "keep")
    life.settle()
    assert life.state.status is BotStatus.STOPPED
    assert life.venue.open_orders() == ()


def say(life: BotLife, command: str) -> None:
    match command:
        case "start":
            life.start()
        case "pause":
            life.pause()
        case _:
            life.stop(sell=command == "sell")


def sweep(life: BotLife) -> None:
    """Walk the price through the range, so that every interval trades, and come back to the middle."""
    state = life.state
    low, high = _bounds(state)
    middle = (low + high) // 2 + 1
    for target in (low - 3, high + 3, middle):
        step = 5 if target > life.venue.ticks else -5
        while abs(target - life.venue.ticks) > 5:
            life.trade_at(life.venue.ticks + step)
            # A level refused as post-only asks again within 15 s: the market stays that long.
            life.settle(for_ms=20_000)
        life.trade_at(target)
        life.settle(for_ms=20_000)
    life.settle(for_ms=400_000)


def expect_a_whole_grid(life: BotLife) -> None:
    state = life.state
    resting = [order for order in life.venue.orders.values() if order.status is OrderStatus.OPEN]
    window = state.config.live_orders or len(state.cells)
    assert len(state.cells) == state.config.grids
    assert len(resting) == min(window, len(state.cells)), [cell.slot for cell in state.cells]
    prices = [order.wanted.ticks for order in resting]
    assert len(set(prices)) == len(prices)
    buys = [order.wanted.ticks for order in resting if order.wanted.side is Side.BUY]
    sells = [order.wanted.ticks for order in resting if order.wanted.side is Side.SELL]
    assert max(buys, default=0) < life.venue.ticks < min(sells, default=2**62)
    for cell in state.cells:
        if not cell.slot.is_empty and not cell.requotes:
            level = order_level(cell, cell.slot.side)
            assert cell.slot.ticks == level_ticks(state.config, state.instrument, level)


def _bounds(state: GridState) -> tuple[int, int]:
    first, last = state.cells[0].index, state.cells[-1].index + 1
    return (
        level_ticks(state.config, state.instrument, first),
        level_ticks(state.config, state.instrument, last),
    )
