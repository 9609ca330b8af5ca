"""The preview's numbers are the bot's numbers: sizing, planned orders, profit per grid, the worst corner."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.errors import Refusal
from engine.grid import sizing
from engine.grid.backtest import TouchMarket
from engine.grid.config import Direction, GridConfig, PaidIn, Spacing
from engine.grid.preview import Preview, preview
from engine.grid.sizing import Sizing, least_investment, size, starting_sides
from engine.grid.state import BotStatus
from engine.ids import Instant
from engine.trading.instrument import AMOUNT_SCALE, FeeRates, amount_units
from engine.trading.market import Candle
from engine.trading.orders import OrderKind, Side
from tests.factories import FEES, grid_config, instrument_for
from tests.unit.grid.desk import Desk

PRICE = 1_003

VARIANTS: list[dict[str, Any]] = [
    {},
    {"spacing": Spacing.GEOMETRIC, "grids": 17},
    {"paid_in": PaidIn.BASE, "amount": Decimal(10)},
    {"paid_in": PaidIn.BOTH, "amount": Decimal(500), "base_amount": Decimal(3)},
    {"paid_in": PaidIn.BOTH, "amount": Decimal(500), "base_amount": Decimal(300)},
    {"direction": Direction.LONG, "leverage": 3},
    {"direction": Direction.SHORT, "leverage": 3},
    {"direction": Direction.NEUTRAL, "leverage": 10},
    {"direction": Direction.NEUTRAL, "live_orders": 4},
]


def of(config: GridConfig, price: int = PRICE, **more: Any) -> Preview:
    result = preview(config, instrument_for(config.direction), FEES, price, **more)
    assert isinstance(result, Preview), result
    return result


# ---------------------------------------------------------------------- sizing


def test_the_level_nearest_to_the_price_stays_empty() -> None:
    assert starting_sides([90, 100, 110, 120], 104) == (False, True, True)
    assert starting_sides([90, 100, 110, 120], 106) == (False, False, True)
    assert starting_sides([90, 100, 110, 120], 50) == (True, True, True)
    assert starting_sides([90, 100, 110, 120], 130) == (False, False, False)


@pytest.mark.parametrize("changes", VARIANTS)
def test_the_least_investment_is_tight(changes: dict[str, Any]) -> None:
    config = grid_config(**changes)
    instrument = instrument_for(config.direction)
    least = least_investment(config, instrument, FEES, PRICE)
    enough = msgspec.structs.replace(config, amount=least)
    assert isinstance(size(enough, instrument, FEES, PRICE), Sizing)
    step = instrument.lot_size if config.paid_in is PaidIn.BASE else Decimal("0.01")
    too_little = msgspec.structs.replace(config, amount=least - step)
    if config.paid_in is PaidIn.BOTH and too_little.amount <= 0:
        return
    refusal = size(too_little, instrument, FEES, PRICE)
    assert isinstance(refusal, list)
    assert refusal[0].code == "investment_too_small"
    assert str(least) in refusal[0].allowed


@pytest.mark.parametrize("changes", VARIANTS)
def test_one_lot_more_per_grid_would_not_be_covered(changes: dict[str, Any]) -> None:
    config = grid_config(**changes)
    instrument = instrument_for(config.direction)
    sized = size(config, instrument, FEES, PRICE)
    assert isinstance(sized, Sizing)
    used = sizing.used_units(config, instrument, FEES, PRICE, sized.lots)
    assert used <= sized.investment_units
    coin = AMOUNT_SCALE if config.paid_in is not PaidIn.BASE else instrument.value_of_units(PRICE, AMOUNT_SCALE)
    more = sizing.used_units(config, instrument, FEES, PRICE, sized.lots + 1)
    assert more > int(config.amount * coin)


def test_the_largest_order_of_the_venue_is_a_limit_too() -> None:
    refusal = size(grid_config(amount=Decimal(10**8)), instrument_for(Direction.SPOT), FEES, PRICE)
    assert isinstance(refusal, list)
    assert refusal[0].code == "order_too_large"


def test_a_spot_grid_pays_every_order_from_its_investment_at_the_worst_corner() -> None:
    for changes in ({}, {"paid_in": PaidIn.BASE, "amount": Decimal(10)}):
        config = grid_config(**changes)
        market = TouchMarket(config, instrument_for(Direction.SPOT), FEES)
        market.start(PRICE, Instant(1))
        market.move_to(890, Instant(2))
        brought = 0 if not changes else 10 * PRICE * AMOUNT_SCALE // 10
        paid_in = amount_units("1000") if not changes else brought
        assert -market.state.ledger.cash_units <= paid_in


# ---------------------------------------------------------------------- the preview is what happens


@pytest.mark.parametrize("changes", VARIANTS)
@pytest.mark.parametrize("price", [PRICE, 905, 1_098, 870, 1_150])
def test_the_orders_shown_are_the_orders_placed(changes: dict[str, Any], price: int) -> None:
    config = grid_config(**changes)
    shown = of(config, price)
    desk = Desk(config)
    desk.run(price)
    instrument = desk.state.instrument
    placed = {
        (order.side, instrument.price(order.ticks), instrument.quantity(order.lots))
        for order in desk.placed.values()
    }
    assert placed == {
        (order.side, order.price, order.quantity) for order in shown.orders if order.level is not None
    }
    market = [order for order in shown.orders if order.level is None]
    first = [effect for effect in desk.effects if getattr(effect, "kind", None) is OrderKind.MARKET]
    assert sum(order.quantity for order in market) == sum(instrument.quantity(order.lots) for order in first)


@pytest.mark.parametrize("changes", [*VARIANTS[:1], VARIANTS[1], *VARIANTS[5:8]])
def test_the_first_round_trip_of_each_interval_earns_what_was_shown(changes: dict[str, Any]) -> None:
    config = grid_config(**changes)
    shown = of(config)
    market = TouchMarket(config, instrument_for(config.direction), FEES)
    market.start(PRICE, Instant(1))
    began = 0
    for ticks in (890, 1_110, 890, 1_110):
        began = len(market.trips) if ticks == 890 else began
        market.move_to(ticks, Instant(2))
    nets = [
        Decimal(trip.gross_units - trip.fee_units) / AMOUNT_SCALE
        for trip in market.trips
        # A cell that began with inventory closed its first leg from the starting price, not from its own level.
        if trip.opened_ms > 1
    ]
    assert len(nets) >= config.grids
    # Dust that a later sell takes along changes a trip by less than a lot's worth.
    slack = market.state.instrument.price(1_110) * market.state.instrument.lot_size
    assert shown.profit_per_grid_min - slack <= min(nets)
    assert max(nets) <= shown.profit_per_grid_max + slack
    if config.direction is not Direction.SPOT:
        assert (min(nets), max(nets)) == (shown.profit_per_grid_min, shown.profit_per_grid_max)


@pytest.mark.parametrize("changes", VARIANTS)
def test_the_worst_corner_is_where_the_bot_then_stands(changes: dict[str, Any]) -> None:
    config = grid_config(**changes)
    shown = of(config)
    market = TouchMarket(config, instrument_for(config.direction), FEES)
    market.start(PRICE, Instant(1))
    worst = market.state.instrument.ticks(shown.worst_price)
    assert worst in (900, 1_100)
    market.move_to(worst, Instant(2))
    assert shown.worst_inventory == Decimal(market.state.base_total()) / AMOUNT_SCALE
    assert shown.worst_result < 0


def test_the_deposit_is_compared_with_what_is_free() -> None:
    assert of(grid_config()).deposit_suffices is None
    assert of(grid_config(), free_quote=Decimal(1_000)).deposit_suffices is True
    short = of(grid_config(), free_quote=Decimal(900))
    assert (short.deposit_suffices, short.missing) == (False, Decimal(100))
    assert "deposit_short" in [warning.code for warning in short.warnings]
    base = grid_config(paid_in=PaidIn.BASE, amount=Decimal(10))
    assert of(base, free_quote=Decimal(0), free_base=Decimal(9)).missing == Decimal(1)
    both = grid_config(paid_in=PaidIn.BOTH, amount=Decimal(500), base_amount=Decimal(3))
    assert of(both, free_quote=Decimal(500), free_base=Decimal(1)).missing == Decimal(2)


def test_the_risk_of_loss_is_always_said_and_the_special_ones_when_they_hold() -> None:
    def codes(price: int = PRICE, fees: FeeRates = FEES, **changes: Any) -> set[str]:
        config = grid_config(**changes)
        shown = preview(config, instrument_for(config.direction), fees, price)
        assert isinstance(shown, Preview)
        return {warning.code for warning in shown.warnings}

    assert codes() == {"risk_of_loss"}
    assert "price_outside_range" in codes(price=1_200)
    assert "fees_eat_profit" in codes(fees=FeeRates(Decimal("0.02"), Decimal("0.02")))
    assert "trailing_down_sells_lower" in codes(trailing_down_limit=Decimal(70))
    assert "liquidation_in_range" in codes(direction=Direction.LONG, leverage=40)
    assert "liquidation_in_range" not in codes(direction=Direction.LONG, leverage=1)


@pytest.mark.parametrize("direction", [Direction.LONG, Direction.SHORT, Direction.NEUTRAL])
@pytest.mark.parametrize("leverage", [2, 5, 20])
def test_the_liquidation_price_is_where_margin_and_loss_meet(direction: Direction, leverage: int) -> None:
    """Inside the range the estimate assumes the whole grid filled, so it is compared outside of it only."""
    config = grid_config(direction=direction, leverage=leverage)
    shown = of(config)
    assert shown.liquidation_price is not None
    free = FeeRates(Decimal(0), Decimal(0))
    market = TouchMarket(config, instrument_for(direction), free)
    market.start(PRICE, Instant(1))
    ticks = market.state.instrument.ticks(shown.liquidation_price)
    if shown.liquidation_in_range:
        return
    market.move_to(ticks, Instant(2))
    instrument, state = market.state.instrument, market.state
    worth = instrument.value_of_units(ticks, state.base_total())
    assert state.sizing is not None
    equity = state.sizing.investment_units + state.ledger.cash_units + worth
    maintenance = abs(worth) * 5 // 1000
    per_tick = abs(instrument.value_of_units(1, state.base_total()))
    assert abs(equity - maintenance) <= 2 * per_tick


def test_spot_has_no_liquidation_price() -> None:
    assert of(grid_config()).liquidation_price is None


def test_recent_candles_give_an_expectation() -> None:
    candles = [
        Candle(Instant(n * 3_600_000), 1_000, 1_030, 970, 1_010 if n % 2 else 990, Decimal(1)) for n in range(48)
    ]
    shown = of(grid_config(), candles=candles)
    assert shown.history is not None
    assert shown.history.trips > 10
    assert shown.history.trips_per_day > 5
    assert of(grid_config(), candles=candles[:1]).history is None


def test_a_preview_refuses_what_the_bot_would_refuse() -> None:
    def refused(**changes: Any) -> list[str]:
        config = grid_config(**changes)
        result = preview(config, instrument_for(config.direction), FEES, PRICE)
        assert isinstance(result, list)
        assert all(isinstance(refusal, Refusal) for refusal in result)
        return [refusal.code for refusal in result]

    assert refused(grids=1) == ["grids_out_of_range"]
    assert refused(upper=Decimal("90.5"), grids=10) == ["levels_collapse"]
    assert refused(amount=Decimal(20)) == ["investment_too_small"]
    desk = Desk(grid_config(amount=Decimal(20)))
    desk.run(PRICE)
    assert desk.state.status is BotStatus.STOPPED


def test_a_trigger_changes_nothing_in_what_is_shown() -> None:
    assert of(grid_config(trigger_price=Decimal(95))).orders == of(grid_config()).orders
    assert of(grid_config()).orders[0].side is Side.BUY
