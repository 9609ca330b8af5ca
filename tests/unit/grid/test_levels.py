"""Where the levels lie, to the tick."""

from decimal import Decimal
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.grid.config import GridConfig, Spacing
from engine.grid.levels import all_levels, check_levels, level_ticks, most_grids
from tests.factories import SPOT, grid_config


def test_arithmetic_levels_are_equally_far_apart() -> None:
    assert all_levels(grid_config(grids=4), SPOT) == [900, 950, 1_000, 1_050, 1_100]


def test_levels_between_ticks_go_to_the_nearest_one_halves_up() -> None:
    assert all_levels(grid_config(grids=3), SPOT) == [900, 967, 1_033, 1_100]
    halves = grid_config(grids=2, lower=Decimal("90.0"), upper=Decimal("90.3"))
    assert all_levels(halves, SPOT) == [900, 902, 903]


def test_geometric_levels_have_equal_ratios_and_exact_ends() -> None:
    config = grid_config(spacing=Spacing.GEOMETRIC, lower=Decimal(50), upper=Decimal(200), grids=2)
    assert all_levels(config, SPOT) == [500, 1_000, 2_000]


def test_indices_outside_the_range_continue_the_spacing() -> None:
    assert [level_ticks(grid_config(), SPOT, index) for index in (-1, 11)] == [880, 1_120]
    doubling = grid_config(spacing=Spacing.GEOMETRIC, lower=Decimal(50), upper=Decimal(200), grids=2)
    assert [level_ticks(doubling, SPOT, index) for index in (-1, 3)] == [250, 4_000]


def test_levels_that_fall_on_one_tick_are_refused_with_the_most_that_would_fit() -> None:
    config = grid_config(lower=Decimal(100), upper=Decimal("100.5"), grids=6)
    (refusal,) = check_levels(config, SPOT)
    assert (refusal.code, refusal.allowed) == ("levels_collapse", "at most 5 grids in this range")
    assert check_levels(grid_config(lower=Decimal(100), upper=Decimal("100.5"), grids=5), SPOT) == []
    (refusal,) = check_levels(grid_config(lower=Decimal(100), upper=Decimal("100.1"), grids=2), SPOT)
    assert refusal.allowed == "widen the range"


ranges = st.builds(
    lambda low, width, grids, spacing: grid_config(
        lower=Decimal(low) / 10, upper=Decimal(low + width) / 10, grids=grids, spacing=spacing
    ),
    st.integers(1, 100_000),
    st.integers(1, 100_000),
    st.integers(2, 500),
    st.sampled_from(Spacing),
)


@settings(deadline=None)
@given(ranges)
def test_levels_never_fall_and_the_refusal_is_given_exactly_when_two_meet(config: GridConfig) -> None:
    levels = all_levels(config, SPOT)
    assert (levels[0], levels[-1]) == (SPOT.ticks(config.lower), SPOT.ticks(config.upper))
    assert all(below <= above for below, above in pairwise(levels))
    assert bool(check_levels(config, SPOT)) == any(below == above for below, above in pairwise(levels))
    fitting = most_grids(config, SPOT)
    if fitting >= 2:
        assert check_levels(grid_config(lower=config.lower, upper=config.upper, grids=fitting), SPOT) == [] or (
            config.spacing is Spacing.GEOMETRIC
        )
