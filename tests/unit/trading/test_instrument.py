"""Prices, quantities and amounts as whole numbers, and back."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.trading.instrument import amount_text, amount_units
from engine.trading.orders import OrderStatus, Side
from tests.factories import LINEAR, SPOT


def test_prices_and_quantities_go_to_whole_numbers_and_back() -> None:
    assert (SPOT.ticks("100.1"), SPOT.lots("0.012")) == (1_001, 12)
    assert (SPOT.price(1_001), SPOT.quantity(12)) == (Decimal("100.1"), Decimal("0.012"))
    assert (SPOT.price_text(1_000), SPOT.quantity_text(12)) == ("100.0", "0.012")
    assert SPOT.nearest_ticks(Decimal("100.07")) == 1_001


def test_what_is_off_the_venues_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="not a multiple"):
        SPOT.ticks("100.05")
    with pytest.raises(ValueError, match="not a multiple"):
        SPOT.lots("0.0005")
    with pytest.raises(ValueError, match="finer"):
        amount_units("0.0000000000000000001")


def test_values_are_exact() -> None:
    assert amount_text(SPOT.value(1_001, 12)) == "1.2012"
    assert amount_text(SPOT.value_of_units(1_001, SPOT.units_per_lot * 12)) == "1.2012"
    assert SPOT.value_of_units(1_001, -1) < 0


def test_the_least_order_reaches_both_minimums() -> None:
    # Five dollars at 100.1 are 0.04995 coins, so 50 lots; at 1000.0 the ten lots of the quantity minimum decide.
    assert SPOT.least_lots(1_001) == 50
    assert SPOT.least_lots(10_000) == 10
    assert SPOT.is_tradable(1_001, 50)
    assert not SPOT.is_tradable(1_001, 49)
    assert not LINEAR.is_tradable(10_000, 9)


@settings(deadline=None)
@given(st.integers(-(10**40), 10**40))
def test_an_amount_is_written_without_loss(units: int) -> None:
    text = amount_text(units)
    assert int(Decimal(text).scaleb(18).to_integral_exact()) == units or abs(units) > 10**27
    assert not text.endswith(".")


def test_sides_and_statuses() -> None:
    assert (Side.BUY.opposite, Side.SELL.opposite) == (Side.SELL, Side.BUY)
    assert [status for status in OrderStatus if not status.is_final] == [OrderStatus.OPEN]
