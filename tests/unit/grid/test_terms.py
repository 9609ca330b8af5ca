"""A grid's terms in ticks say the same as its config in decimals."""

from decimal import Decimal

import msgspec
import pytest

from engine.grid.config import Spacing
from engine.grid.levels import level_ticks
from engine.grid.state import decode_state, encode_state, new_state, state_hash
from engine.grid.terms import LevelTable, Terms
from engine.ids import BotId
from engine.trading.instrument import FeeRates
from tests.factories import SPOT, grid_config

FEES = FeeRates(maker=Decimal("0.0002"), taker=Decimal("0.001"))


@pytest.mark.parametrize("spacing", list(Spacing))
def test_the_table_gives_every_level_inside_and_outside_the_range(spacing: Spacing) -> None:
    config = grid_config(spacing=spacing)
    table = LevelTable(config, SPOT)
    for index in (*range(-3, config.grids + 4), 0, -3):
        assert table[index] == level_ticks(config, SPOT, index)


@pytest.mark.parametrize("limit", ["150", "150.05", "149.99"])
def test_the_limits_of_a_trailing_range_are_kept_to_the_tick(limit: str) -> None:
    config = grid_config(trailing_up_limit=Decimal(limit), trailing_down_limit=Decimal(limit))
    terms = Terms(config, SPOT, FEES)
    highest, lowest = terms.highest_ticks, terms.lowest_ticks
    assert highest is not None
    assert lowest is not None
    assert SPOT.price(highest) <= Decimal(limit) < SPOT.price(highest + 1)
    assert SPOT.price(lowest - 1) < Decimal(limit) <= SPOT.price(lowest)


@pytest.mark.parametrize("lots", [0, 1, 999, 1_000, 1_001, 123_456_789])
def test_what_a_fee_leaves_of_a_buy_is_rounded_down_to_a_lot(lots: int) -> None:
    assert Terms(grid_config(), SPOT, FEES).after_fee(lots) == int(lots * (1 - FEES.taker))


def test_terms_are_no_part_of_what_is_written_down() -> None:
    state = new_state(BotId("terms"), grid_config(), SPOT, FEES)
    before = state_hash(state)
    assert state.terms.levels[1] > state.terms.levels[0]
    assert state_hash(state) == before
    assert decode_state(encode_state(state)) == state


def test_a_state_of_before_the_newest_generation_was_kept_still_knows_it() -> None:
    state = new_state(BotId("terms"), grid_config(), SPOT, FEES)
    old = msgspec.json.decode(encode_state(state))
    del old["newest_generation"]
    old["cells"] = [
        {"index": index, "home": "long", "side": "buy", "lots": 1, "slot": {"generation": generation}}
        for index, generation in enumerate((3, 9, 4))
    ]
    assert decode_state(msgspec.json.encode(old)).newest_generation == 9
