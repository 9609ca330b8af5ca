"""What a form shows beside its fields holds, and what it is filled with can be started."""

import random
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.errors import Refusal
from engine.grid.config import Direction, GridConfig, PriceStop, Spacing
from engine.grid.preview import Preview, preview
from engine.grid.ranges import FieldRange, ranges
from engine.grid.suggest import suggest
from engine.trading.instrument import FeeRates
from tests.factories import FEES, LINEAR, SPOT, grid_config, instrument_for

PRICE = 1_003
STOPS = ("stop_loss", "take_profit")


def weighed(config: GridConfig) -> Preview | list[Refusal]:
    return preview(config, instrument_for(config.direction), FEES, PRICE)


def of(config: GridConfig) -> dict[str, FieldRange]:
    return {each.field: each for each in ranges(config, instrument_for(config.direction), FEES, PRICE)}


def changed(config: GridConfig, field: str, value: Decimal) -> GridConfig:
    """Put a bound into its field, in the field's own type."""
    kind: Any = PriceStop(value) if field in STOPS else value
    if field in ("grids", "leverage", "live_orders"):
        kind = int(value)
    return msgspec.structs.replace(config, **{field: kind})


def complaints(config: GridConfig) -> set[str]:
    answer = weighed(config)
    return set() if isinstance(answer, Preview) else {refusal.field for refusal in answer}


VARIANTS: list[dict[str, Any]] = [
    {},
    {"spacing": Spacing.GEOMETRIC},
    {"direction": Direction.LONG},
    {"direction": Direction.SHORT},
    {"direction": Direction.NEUTRAL, "leverage": 5},
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_each_bound_is_accepted_and_what_lies_beyond_is_refused(changes: dict[str, Any]) -> None:
    config = grid_config(**changes, amount=Decimal(1_000_000))
    steps = {"grids": Decimal(1), "leverage": Decimal(1), "live_orders": Decimal(1), "amount": Decimal("0.01")}
    for field, found in of(config).items():
        step = steps.get(field, SPOT.tick_size)
        for bound, beyond in ((found.least, -step), (found.most, step)):
            if bound is None or (field == "lower" and beyond < 0):
                continue  # The least price of all: ten levels between it and nothing are another rule's business.
            assert field not in complaints(changed(config, field, bound)), (field, bound)
            if field in ("lower", "upper", "grids") and changes.get("spacing") is Spacing.GEOMETRIC:
                continue  # The narrowest geometric step may be a little less than a tick and still be two prices.
            refused = complaints(changed(config, field, bound + beyond))
            expected = {field, "grids"} if field in ("lower", "upper") else {field}
            assert refused & expected, (field, bound + beyond)


def test_a_refusal_tells_the_range_as_numbers() -> None:
    answer = weighed(grid_config(grids=1, leverage=7))
    assert isinstance(answer, list)
    by_field = {refusal.field: refusal for refusal in answer}
    assert (by_field["grids"].least, by_field["leverage"].most) == (2, 1)
    small = weighed(grid_config(amount=Decimal(10)))
    assert isinstance(small, list)
    assert small[0].field == "amount"
    assert small[0].least is not None
    assert isinstance(weighed(grid_config(amount=small[0].least)), Preview)


@pytest.mark.parametrize("numbers", [{"lower": "110", "upper": "90"}, {"grids": 100_000}, {"lower": "-1"}])
def test_ranges_are_given_for_numbers_that_do_not_hold(numbers: dict[str, Any]) -> None:
    values = {name: Decimal(each) if isinstance(each, str) else each for name, each in numbers.items()}
    assert {"grids", "leverage", "lower", "upper"} <= of(grid_config(**values)).keys()
    assert isinstance(weighed(grid_config(**values)), list)


@pytest.mark.parametrize("direction", list(Direction))
def test_a_suggestion_can_be_started_and_earns_more_than_its_fees(direction: Direction) -> None:
    rng = random.Random(7)
    instrument = instrument_for(direction)
    for _ in range(40):
        price = rng.randint(200, 100_000)
        low, high = price - rng.randint(0, price // 3), price + rng.randint(0, price // 3)
        free = Decimal(rng.choice([0, 50, 1_000, 100_000]))
        config = suggest("COINUSDT", direction, instrument, FEES, price, low, high, free_quote=free)
        answer = preview(config, instrument, FEES, price)
        assert isinstance(answer, Preview), (config, answer)
        assert answer.levels[0] < answer.price < answer.levels[-1]
        assert answer.profit_per_grid_min > 0
        assert config.amount <= max(free / 10, answer.least_investment * Decimal("1.2"))


@pytest.mark.parametrize("amount", ["25", "100", "1000"])
def test_a_suggestion_keeps_to_the_investment_that_was_given(amount: str) -> None:
    config = suggest("COINUSDT", Direction.SPOT, SPOT, FEES, 1_003, 900, 1_100, amount=Decimal(amount))
    assert config.amount == Decimal(amount)
    assert isinstance(preview(config, SPOT, FEES, 1_003), Preview)


def test_a_suggestion_never_has_more_lines_than_a_person_can_follow() -> None:
    free_of_fees = FeeRates(Decimal(0), Decimal(0))
    config = suggest("COINUSDT", Direction.LONG, LINEAR, free_of_fees, 10_003, 5_000, 20_000)
    assert config.grids == 60
