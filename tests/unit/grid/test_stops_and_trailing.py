"""What prices do to a bot: the entry trigger, the stops, the target, and the range that follows the market."""

from decimal import Decimal

import pytest

from engine.grid import accounting
from engine.grid.backtest import TouchMarket
from engine.grid.config import Direction, GridConfig, PriceStop, StopAction
from engine.grid.messages import NoteKind, Pause, PriceMoved, ResyncStarted, Start, Stop
from engine.grid.state import NEVER_TICKS, BotStatus
from engine.ids import Instant, LinkId
from engine.trading.instrument import amount_units
from engine.trading.orders import OrderKind, PlaceOrder, Side
from tests.factories import FEES, grid_config, instrument_for
from tests.unit.grid.desk import MIDDLE, Desk, of


def market(config: GridConfig, *prices: int) -> TouchMarket:
    """Run a bot along straight lines from price to price."""
    touch = TouchMarket(config, instrument_for(config.direction), FEES)
    touch.start(prices[0], Instant(1_000))
    for number, ticks in enumerate(prices[1:], start=2):
        touch.move_to(ticks, Instant(number * 1_000))
    return touch


# ---------------------------------------------------------------------- trigger


@pytest.mark.parametrize(("start", "short_of", "beyond"), [(950, 989, 990), (1_050, 991, 990), (1_050, 995, 940)])
def test_the_trigger_is_reached_from_either_side(start: int, short_of: int, beyond: int) -> None:
    desk = Desk(grid_config(trigger_price=Decimal(99)))
    desk.tell(Start(start))
    assert desk.state.status is BotStatus.AWAITING_TRIGGER
    desk.tell(PriceMoved(short_of))
    assert desk.state.status is BotStatus.AWAITING_TRIGGER
    assert desk.state.watch_low < short_of < desk.state.watch_high
    desk.tell(PriceMoved(beyond))
    assert desk.only(OrderKind.MARKET)


def test_a_price_at_the_trigger_starts_at_once_and_a_waiting_bot_can_be_stopped_or_paused() -> None:
    desk = Desk(grid_config(trigger_price=Decimal(99)))
    desk.tell(Start(990))
    assert desk.state.status is BotStatus.ENTERING
    desk = Desk(grid_config(trigger_price=Decimal(99)))
    desk.tell(Start(950))
    desk.tell(Stop(True))
    assert desk.state.status is BotStatus.STOPPED
    desk.tell(Start(950))
    desk.tell(Pause())
    assert desk.state.status is BotStatus.PAUSED
    desk.tell(Start(950))
    assert desk.state.status is BotStatus.AWAITING_TRIGGER


# ---------------------------------------------------------------------- stops


@pytest.mark.parametrize(
    ("direction", "field", "price", "reached"),
    [
        (Direction.SPOT, "stop_loss", 85, 850),
        (Direction.SPOT, "take_profit", 115, 1_150),
        (Direction.LONG, "stop_loss", 85, 850),
        (Direction.SHORT, "stop_loss", 115, 1_150),
        (Direction.SHORT, "take_profit", 85, 850),
        (Direction.NEUTRAL, "stop_loss", 85, 850),
        (Direction.NEUTRAL, "take_profit", 115, 1_150),
    ],
)
@pytest.mark.parametrize(
    ("action", "status"),
    [
        (StopAction.STOP, BotStatus.STOPPED),
        (StopAction.CANCEL, BotStatus.PAUSED),
        (StopAction.CLOSE, BotStatus.STOPPED),
    ],
)
def test_each_stop_does_what_its_action_says(
    direction: Direction, field: str, price: int, reached: int, action: StopAction, status: BotStatus
) -> None:
    config = grid_config(direction=direction, **{field: PriceStop(Decimal(price), action)})
    before = market(config, 1_003, (reached + 1_003) // 2)
    assert before.state.status is BotStatus.RUNNING
    after = market(config, 1_003, reached)
    assert after.state.status is status
    assert str(price) in after.state.status_reason
    if action is StopAction.CLOSE:
        assert abs(after.state.base_total()) < after.state.instrument.units_per_lot * 10
    elif field == "stop_loss":
        assert after.state.base_total() != 0
    assert all(cell.slot.is_empty for cell in after.state.cells)


def test_a_bot_paused_by_its_stop_goes_on_after_the_price_has_come_back() -> None:
    config = grid_config(stop_loss=PriceStop(Decimal(85), StopAction.CANCEL))
    touch = market(config, 1_003, 850)
    assert touch.state.status is BotStatus.PAUSED
    touch.start(1_003, Instant(9_000))
    touch.move_to(1_050, Instant(60_000))
    assert touch.state.status is BotStatus.RUNNING
    assert touch.state.ledger.trips


@pytest.mark.parametrize("direction", Direction)
def test_the_target_profit_closes_at_the_first_price_that_reaches_it(direction: Direction) -> None:
    config = grid_config(direction=direction, target_profit=Decimal(8), leverage=1)
    prices = [1_003] + [980, 1_020] * 40
    touch = market(config, *prices)
    assert touch.state.status is BotStatus.STOPPED
    assert "target profit" in touch.state.status_reason
    total = accounting.total_units(touch.state, touch.ticks)
    # Closing itself pays a fee, so a little less than the target is left.
    assert amount_units("6") < total < amount_units("10")


def test_the_watched_band_is_where_the_target_is_reached_to_the_tick() -> None:
    for direction in (Direction.LONG, Direction.SHORT):
        config = grid_config(direction=direction, target_profit=Decimal(30))
        state = market(config, 1_003, 1_010).state
        for ticks in range(500, 1_500):
            reached = accounting.total_units(state, ticks) >= amount_units("30")
            assert reached == (ticks <= state.watch_low or ticks >= state.watch_high)


def test_a_bot_without_rules_for_prices_watches_none() -> None:
    state = market(grid_config(), 1_003).state
    assert (state.watch_low, state.watch_high) == (0, NEVER_TICKS)


def test_a_stop_loss_already_reached_refuses_the_start() -> None:
    desk = Desk(grid_config(stop_loss=PriceStop(Decimal(80), StopAction.CLOSE)))
    desk.tell(Start(795))
    assert desk.state.status is BotStatus.NEW
    assert "stop-loss" in desk.state.status_reason
    assert of(PlaceOrder, desk.effects) == []


def test_prices_are_ignored_while_the_venue_is_being_read() -> None:
    desk = Desk(grid_config(stop_loss=PriceStop(Decimal(80), StopAction.STOP)))
    desk.run(MIDDLE)
    desk.tell(ResyncStarted())
    desk.tell(PriceMoved(700))
    assert desk.state.status is BotStatus.RUNNING
    effects = desk.agree(790)
    assert desk.state.status is BotStatus.STOPPING
    assert of(PlaceOrder, effects) == []


# ---------------------------------------------------------------------- trailing


def first_and_last(touch: TouchMarket) -> tuple[int, int]:
    return touch.state.cells[0].index, touch.state.cells[-1].index


@pytest.mark.parametrize("direction", Direction)
def test_a_rising_range_follows_the_market_up_to_its_limit(direction: Direction) -> None:
    config = grid_config(direction=direction, trailing_up_limit=Decimal(116))
    # Range 90 to 110 in steps of 2: it may rise to 92 to 112, to 94 to 114 and to 96 to 116.
    assert first_and_last(market(config, 1_003, 1_300)) == (3, 12)


def test_the_range_rises_one_level_when_the_market_is_one_level_above_the_top() -> None:
    config = grid_config(direction=Direction.LONG, trailing_up_limit=Decimal(116))
    assert first_and_last(market(config, 1_003, 1_119)) == (0, 9)
    touch = market(config, 1_003, 1_120)
    assert first_and_last(touch) == (1, 10)
    mover = touch.state.cells[-1]
    assert (mover.side, mover.slot.ticks) == (Side.BUY, 1_100)
    assert len([cell for cell in touch.state.cells if not cell.slot.is_empty]) == 10


def test_a_falling_range_follows_the_market_down_to_its_limit() -> None:
    config = grid_config(direction=Direction.LONG, trailing_down_limit=Decimal(85))
    assert first_and_last(market(config, 1_003, 881)) == (0, 9)
    touch = market(config, 1_003, 880)
    assert first_and_last(touch) == (-1, 8)
    mover = touch.state.cells[0]
    assert (mover.side, mover.slot.ticks) == (Side.SELL, 900)
    assert first_and_last(market(config, 1_003, 700)) == (-2, 7)


def test_a_range_that_went_up_comes_back_down_with_all_it_holds() -> None:
    config = grid_config(direction=Direction.LONG, trailing_up_limit=Decimal(130), trailing_down_limit=Decimal(80))
    touch = market(config, 1_003, 1_300, 800, 1_000)
    state = touch.state
    assert state.base_total() == state.ledger.base_units
    assert len({cell.slot.ticks for cell in state.cells if not cell.slot.is_empty}) == 10


def test_a_late_word_about_a_level_that_the_range_has_left_does_not_move_it_back() -> None:
    config = grid_config(direction=Direction.LONG, trailing_up_limit=Decimal(130), trailing_down_limit=Decimal(80))
    desk = Desk(config)
    desk.run(1_003)
    lowest = desk.at(900)
    for ticks in range(1_020, 1_120, 20):
        desk.fill(desk.at(ticks))
    desk.cancel_all(desk.tell(PriceMoved(1_120)))
    assert desk.state.cells[0].index == 1
    desk.tell(desk.execution(lowest, 1, 900, "late"))
    assert desk.state.cells[0].index == 1
    assert desk.state.cells[-1].slot.ticks == 1_100


def test_a_range_moved_by_a_lost_life_is_followed_when_its_orders_are_met() -> None:
    config = grid_config(direction=Direction.LONG, trailing_up_limit=Decimal(130))
    desk = Desk(config)
    desk.run(1_003)
    mover = PlaceOrder(LinkId("tg-abcdefgh_10_9_b"), Side.BUY, OrderKind.POST_ONLY, 1_100, 900)
    desk.placed = {mover.link_id: mover}
    desk.tell(desk.execution(mover, 900, 1_100, "new"))
    assert desk.state.cells[-1].index == 10
    assert any("before the restart" in text for text in desk.notes(NoteKind.SHIFTED))


def test_a_shift_is_given_up_when_the_order_that_should_move_was_filled_first() -> None:
    desk = Desk(grid_config(direction=Direction.LONG, trailing_up_limit=Decimal(130)))
    desk.run(1_003)
    for ticks in range(1_020, 1_120, 20):
        desk.fill(desk.at(ticks))
    desk.tell(PriceMoved(1_120))
    assert desk.state.shift == 1
    desk.fill(desk.at(900))
    assert desk.state.shift == 0
    assert desk.state.cells[0].side is Side.SELL
    assert desk.state.cells[0].index == 0


@pytest.mark.timeout(20)
def test_a_range_waits_for_its_lowest_level_while_that_holds_coins_which_it_cannot_offer_yet() -> None:
    # Found by the soak: the market ran through all levels while the lowest one could not place its sell, and the
    # machine began the same shift again and again, for ever.
    desk = Desk(grid_config(direction=Direction.LONG, trailing_up_limit=Decimal(130)))
    desk.run(1_003)
    for ticks in range(1_020, 1_120, 20):
        desk.fill(desk.at(ticks))
    lowest = desk.state.cells[0]
    desk.fill(desk.at(900))
    assert (lowest.side, lowest.slot.is_empty) == (Side.SELL, True), "our own buy still rests at its price"
    desk.tell(PriceMoved(1_120))
    assert (desk.state.shift, desk.state.cells[0]) == (0, lowest)
    desk.fill(desk.at(920))
    desk.fill(desk.at(920))
    desk.cancel_all(desk.tell(PriceMoved(1_120)))
    assert desk.state.cells[-1] is lowest


def test_a_window_of_live_orders_is_kept_while_the_range_moves() -> None:
    config = grid_config(direction=Direction.LONG, trailing_up_limit=Decimal(130), live_orders=4)
    for price in (1_010, 1_060, 1_119, 1_120, 1_200, 1_260):
        touch = market(config, 1_003, price)
        resting = [cell.slot.ticks for cell in touch.state.cells if not cell.slot.is_empty]
        assert len(resting) == 4, (price, resting)


def test_a_cell_that_moves_up_empty_buys_fewer_lots_with_the_same_money() -> None:
    touch = market(grid_config(direction=Direction.LONG, trailing_up_limit=Decimal(130)), 1_003, 1_200)
    kept, moved = touch.state.cells[0], touch.state.cells[-1]
    # It left level 4 (98.0) for level 14 (118.0).
    assert moved.lots == kept.lots * 980 // 1_180
