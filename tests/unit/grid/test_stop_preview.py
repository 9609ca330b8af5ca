"""What a stop is said to do is what it then does, to the last unit."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.grid import accounting
from engine.grid.backtest import TouchMarket
from engine.grid.messages import Stop
from engine.grid.pnl import report
from engine.grid.state import BotStatus
from engine.grid.stopping import stop_preview
from engine.ids import Instant
from engine.trading.instrument import amount_units
from engine.trading.market import Book
from engine.trading.orders import Side
from tests.factories import FEES, SPOT, grid_config, instrument_for

NOW = Instant(1_000)
WALK = (1_003, 985, 1_031, 962, 1_077, 1_003, 941, 1_012)

VARIANTS: list[dict[str, Any]] = [
    {},
    {"direction": "long", "leverage": 3},
    {"direction": "short", "leverage": 3},
    {"direction": "neutral", "leverage": 5},
    {"amount": Decimal(100_000), "grids": 3},
]


def played(changes: dict[str, Any], prices: tuple[int, ...] = WALK) -> TouchMarket:
    """Let a bot trade over some prices."""
    config = grid_config(**changes)
    market = TouchMarket(config, instrument_for(config.direction), FEES)
    market.start(1_003, Instant(1))
    for at, ticks in enumerate(prices):
        market.move_to(ticks, Instant(2 + at))
    return market


def flat_book(ticks: int) -> Book:
    """Give a book that takes everything at one price, as the backtest's market does."""
    return Book(((ticks, Decimal(10**6)),), ((ticks, Decimal(10**6)),), NOW)


def weigh(market: TouchMarket, book: Book | None = None) -> Any:
    state, ticks = market.state, market.ticks
    orders = sum(not cell.slot.is_empty for cell in state.cells)
    told = report(state, ticks, NOW)
    return stop_preview(told, orders, state.instrument, FEES.taker, ticks, book or flat_book(ticks))


@pytest.mark.parametrize("changes", VARIANTS)
@pytest.mark.parametrize("steps", range(len(WALK) + 1))
@pytest.mark.parametrize("sell", [False, True])
def test_the_numbers_are_those_of_the_stop_that_follows(changes: dict[str, Any], steps: int, sell: bool) -> None:
    market = played(changes, WALK[:steps])
    state, ticks = market.state, market.ticks
    said = weigh(market)
    orders, trades = len(market._buys) + len(market._sells), state.ledger.trades
    assert said.orders_to_cancel == orders
    market._tell(Stop(sell))
    assert state.status is BotStatus.STOPPED
    assert not market._buys | market._sells
    total = said.total_if_sold if sell else said.total_if_kept
    assert amount_units(total) == accounting.total_units(state, ticks)
    left = said.left_over if sell else said.position
    assert amount_units(left) == state.base_total()
    assert (state.ledger.trades > trades) is bool(sell and said.exit_quantity)


def test_a_thin_book_makes_the_exit_dearer_and_says_where_it_ends() -> None:
    market = played({}, (962,))
    lots = int(weigh(market).exit_quantity / SPOT.lot_size)
    third = SPOT.quantity(lots // 3)
    deep = Book(((960, third), (950, SPOT.quantity(lots))), (), NOW)
    said = weigh(market, deep)
    assert said.book_suffices
    worth = 960 * (lots // 3) + 950 * (lots - lots // 3)
    assert said.exit_price is not None
    assert abs(said.exit_price * lots - SPOT.tick_size * worth) <= SPOT.tick_size * lots / 20
    fee = worth * SPOT.value_per_tick_lot // 1000
    gained = worth * SPOT.value_per_tick_lot - fee - SPOT.value(962, lots)
    assert amount_units(said.difference) == gained
    thin = weigh(market, Book(((960, third),), (), NOW))
    assert not thin.book_suffices
    assert thin.exit_price == Decimal("96.0")


def test_without_a_position_there_is_nothing_to_sell() -> None:
    said = weigh(played({"direction": "neutral"}, ()))
    assert (said.exit_side, said.exit_quantity, said.exit_price) == (None, 0, None)
    assert said.difference == 0
    assert said.total_if_kept == said.total_if_sold == 0


def test_a_short_is_bought_back_at_the_asks() -> None:
    market = played({"direction": "short", "leverage": 3}, ())
    said = weigh(market, Book(((1_002, Decimal(10**6)),), ((1_005, Decimal(10**6)),), NOW))
    assert said.exit_side is Side.BUY
    assert said.position < 0
    assert said.exit_price == Decimal("100.5")
    assert said.difference < 0


def test_less_than_the_venue_takes_is_left_over() -> None:
    market = played({}, (962,))
    state = market.state
    tiny = report(state, market.ticks, NOW)
    tiny = msgspec.structs.replace(tiny, base_inventory=Decimal("0.0042"))
    said = stop_preview(tiny, 0, SPOT, FEES.taker, market.ticks, flat_book(market.ticks))
    assert (said.exit_side, said.left_over) == (None, Decimal("0.0042"))
