"""Amounts: coins, base units and dollars turn into each other exactly, or not at all."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.money import Asset, AssetId, Network, coins, units, usd, usd_micros


def asset(decimals: int, *, is_dollar: bool = True) -> Asset:
    return Asset(AssetId(f"tron:D{decimals}"), Network.TRON, f"D{decimals}", f"TD{decimals}", decimals, is_dollar)


@pytest.mark.parametrize(
    ("decimals", "amount_units", "amount"),
    [
        (6, 1_500_000, "1.5"),
        (6, 1, "0.000001"),
        (6, 0, "0"),
        (6, -1_500_000, "-1.5"),
        (0, 7, "7"),
        (18, 1, "0.000000000000000001"),
        (18, 9_999_999_999 * 10**18 + 1, "9999999999.000000000000000001"),
        (18, 10**28 + 1, "10000000000.000000000000000001"),
    ],
)
def test_coins_and_units_are_the_same_amount(decimals: int, amount_units: int, amount: str) -> None:
    assert coins(asset(decimals), amount_units) == Decimal(amount)
    assert units(asset(decimals), Decimal(amount)) == amount_units


@given(st.integers(-(10**28) + 1, 10**28 - 1), st.integers(0, 18))
def test_an_amount_is_the_same_there_and_back(amount_units: int, decimals: int) -> None:
    assert units(asset(decimals), coins(asset(decimals), amount_units)) == amount_units


@pytest.mark.parametrize(("amount", "decimals"), [("1.50", 1), ("1e3", 0), ("1500e-3", 1), ("1." + "0" * 40, 6)])
def test_zeros_at_the_end_are_no_decimals(amount: str, decimals: int) -> None:
    assert units(asset(decimals), Decimal(amount)) == Decimal(amount) * 10**decimals


def test_the_largest_amount_of_the_database_is_read_to_its_last_unit() -> None:
    largest = 10**78 - 1
    text = str(largest)
    assert units(asset(18), Decimal(f"{text[:-18]}.{text[-18:]}")) == largest


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "1e90", "1e999999"])
def test_what_the_books_cannot_hold_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match=r"is not an amount|larger than anything"):
        units(asset(6), Decimal(amount))


@pytest.mark.parametrize(("amount", "decimals"), [("1E-7", 6), ("1.0000001", 6), ("-0.5", 0)])
def test_more_decimals_than_the_asset_has_are_refused_and_not_rounded(amount: str, decimals: int) -> None:
    with pytest.raises(ValueError, match=f"{amount} has more than the {decimals} decimals of D{decimals}"):
        units(asset(decimals), Decimal(amount))


def test_a_rest_far_behind_the_point_is_refused_as_well() -> None:
    with pytest.raises(ValueError, match="decimals"):
        units(asset(6), Decimal("1." + "0" * 85 + "1"))


@pytest.mark.parametrize(
    ("micros", "dollars"),
    [
        (1, "0.000001"),
        (1_500_000, "1.5"),
        (0, "0"),
        (-1, "-0.000001"),
        (10**28 - 1, "9999999999999999999999.999999"),
        (10**28 + 1, "10000000000000000000000.000001"),
    ],
)
def test_millionths_are_dollars_exactly(micros: int, dollars: str) -> None:
    assert usd(micros) == Decimal(dollars)


@pytest.mark.parametrize(
    ("decimals", "amount_units", "micros"),
    [
        (6, 0, 0),
        (6, 1_234_567, 1_234_567),
        (2, 150, 1_500_000),
        (8, 100, 1),
        (8, 101, 2),
        (18, 1, 1),
        (18, 10**12, 1),
        (18, 10**12 + 1, 2),
        (18, 10**60 + 1, 10**48 + 1),
    ],
)
def test_a_stablecoin_counts_in_millionths_rounded_up(decimals: int, amount_units: int, micros: int) -> None:
    assert usd_micros(asset(decimals), amount_units) == micros


def test_what_is_no_dollar_is_not_counted_in_dollars() -> None:
    with pytest.raises(ValueError, match="tron:D6 is not counted in dollars"):
        usd_micros(asset(6, is_dollar=False), 1)
