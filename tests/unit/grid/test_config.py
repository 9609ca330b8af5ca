"""Each number that cannot work is refused with its name, the reason and what would be accepted."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.errors import Refusal
from engine.grid.config import Direction, GridConfig, PaidIn, PriceStop, StopAction, check
from engine.trading.instrument import Market
from tests.factories import grid_config, instrument_for


def refusals(**changes: Any) -> list[Refusal]:
    config = grid_config(**changes)
    return check(config, instrument_for(config.direction))


def test_a_plain_config_is_accepted() -> None:
    assert refusals() == []
    assert refusals(direction=Direction.NEUTRAL, leverage=50) == []


STOP = StopAction.CLOSE

REFUSED: list[tuple[str, str, str, dict[str, Any]]] = [
    ("grids_out_of_range", "grids", "2 to 500", {"grids": 1}),
    ("grids_out_of_range", "grids", "2 to 500", {"grids": 501, "live_orders": 50}),
    ("lower_too_small", "lower", "at least 0.1", {"lower": Decimal("0.01")}),
    ("lower_too_small", "lower", "at least 0.1", {"lower": Decimal(-1)}),
    ("upper_not_above_lower", "upper", "above 90", {"upper": Decimal(90)}),
    ("live_orders_out_of_range", "live_orders", "2 to 500", {"live_orders": 1}),
    ("live_orders_out_of_range", "live_orders", "2 to 500", {"live_orders": 501}),
    ("amount_not_positive", "amount", "above 0", {"amount": Decimal(0)}),
    ("margin_is_quote", "paid_in", "quote", {"direction": Direction.LONG, "paid_in": PaidIn.BASE}),
    ("base_amount_missing", "base_amount", "above 0", {"paid_in": PaidIn.BOTH}),
    ("base_amount_missing", "base_amount", "above 0", {"paid_in": PaidIn.BOTH, "base_amount": Decimal(0)}),
    ("base_amount_unused", "base_amount", "leave it out", {"base_amount": Decimal(1)}),
    ("leverage_out_of_range", "leverage", "1", {"leverage": 2}),
    ("leverage_out_of_range", "leverage", "1 to 50", {"direction": Direction.SHORT, "leverage": 51}),
    ("leverage_out_of_range", "leverage", "1 to 50", {"direction": Direction.SHORT, "leverage": 0}),
    ("stop_loss_inside_range", "stop_loss", "below 90", {"stop_loss": PriceStop(Decimal(95), STOP)}),
    ("take_profit_inside_range", "take_profit", "above 110", {"take_profit": PriceStop(Decimal(110), STOP)}),
    (
        "stop_loss_inside_range",
        "stop_loss",
        "above 110",
        {"direction": Direction.SHORT, "stop_loss": PriceStop(Decimal(80), STOP)},
    ),
    ("stop_loss_too_small", "stop_loss", "at least 0.1", {"stop_loss": PriceStop(Decimal("0.05"), STOP)}),
    ("target_not_positive", "target_profit", "above 0", {"target_profit": Decimal(0)}),
    ("trigger_too_small", "trigger_price", "at least 0.1", {"trigger_price": Decimal(0)}),
    ("trailing_limit_inside_range", "trailing_up_limit", "above 110", {"trailing_up_limit": Decimal(110)}),
    (
        "trailing_limit_inside_range",
        "trailing_down_limit",
        "above 0 and below 90",
        {"trailing_down_limit": Decimal(90)},
    ),
]


@pytest.mark.parametrize(("code", "field", "allowed", "changes"), REFUSED)
def test_a_number_that_cannot_work_is_refused(
    code: str, field: str, allowed: str, changes: dict[str, Any]
) -> None:
    (refusal,) = refusals(**changes)
    assert (refusal.code, refusal.field, refusal.allowed) == (code, field, allowed)
    assert refusal.message


def test_more_grids_than_open_orders_need_a_window() -> None:
    config = grid_config(grids=200)
    few = msgspec.structs.replace(instrument_for(Direction.SPOT), max_open_orders=100)
    (refusal,) = check(config, few)
    assert (refusal.code, refusal.field) == ("too_many_open_orders", "live_orders")
    assert check(msgspec.structs.replace(config, live_orders=100), few) == []


def test_prices_that_the_venue_does_not_take_are_refused() -> None:
    narrow = msgspec.structs.replace(instrument_for(Direction.SPOT), min_ticks=950, max_ticks=1_050)
    assert [refusal.code for refusal in check(grid_config(), narrow)] == ["lower_too_small", "upper_too_large"]


def test_every_refusal_is_given_at_once() -> None:
    assert len(refusals(grids=0, amount=Decimal(0), leverage=9, target_profit=Decimal(-1))) == 4


def test_an_unknown_or_missing_field_is_an_error_not_a_default() -> None:
    good = msgspec.json.encode(grid_config())
    assert msgspec.json.decode(good, type=GridConfig) == grid_config()
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(good[:-1] + b',"trailing":true}', type=GridConfig)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"symbol":"COINUSDT"}', type=GridConfig)


def test_the_direction_decides_the_market() -> None:
    assert grid_config().market is Market.SPOT
    assert grid_config(direction=Direction.NEUTRAL).market is Market.LINEAR
