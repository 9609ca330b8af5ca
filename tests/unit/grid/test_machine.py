"""The machine one message at a time: each test is one thing that a venue can do to a bot."""

from decimal import Decimal

import pytest

from engine.errors import RejectReason
from engine.grid.config import Direction, PaidIn, PriceStop, StopAction
from engine.grid.messages import (
    NoteKind,
    Pause,
    PriceMoved,
    Resync,
    Resynced,
    ResyncStarted,
    Start,
    Stop,
    TripClosed,
)
from engine.grid.state import BotStatus, OrderPhase, state_hash
from engine.ids import Instant, LinkId, VenueOrderId
from engine.trading.orders import (
    CancelOrder,
    CancelRefused,
    FundingCharged,
    LookUpOrder,
    OrderAbsent,
    OrderAccepted,
    OrderInDoubt,
    OrderKind,
    OrderRejected,
    OrderStatus,
    PlaceOrder,
    Side,
)
from tests.factories import grid_config
from tests.unit.grid.desk import Desk, of

MIDDLE = 1_001
"""Just above the level at 100.0, which therefore stays empty."""


@pytest.fixture
def desk() -> Desk:
    """Run a spot grid of ten intervals."""
    desk = Desk(grid_config())
    desk.run(MIDDLE)
    return desk


def neutral(**changes: object) -> Desk:
    desk = Desk(grid_config(direction=Direction.NEUTRAL, **changes))
    desk.run(MIDDLE)
    return desk


# ---------------------------------------------------------------------- the grid turns


def test_ten_grids_rest_at_ten_of_eleven_levels_and_the_nearest_stays_empty(desk: Desk) -> None:
    prices = {(order.side.value, order.ticks) for order in desk.placed.values()}
    assert prices == {("buy", ticks) for ticks in range(900, 1_000, 20)} | {
        ("sell", ticks) for ticks in range(1_020, 1_120, 20)
    }


def test_a_filled_buy_is_followed_by_a_sell_one_level_higher(desk: Desk) -> None:
    (sell,) = of(PlaceOrder, desk.fill(desk.at(980)))
    assert (sell.side, sell.ticks) == (Side.SELL, 1_000)


def test_the_sell_is_smaller_by_the_fee_that_was_taken_in_coins(desk: Desk) -> None:
    buy = desk.at(980)
    (sell,) = of(PlaceOrder, desk.fill(buy))
    assert sell.lots == int(buy.lots * Decimal("0.999"))


def test_a_round_trip_is_told_with_its_profit_and_fees(desk: Desk) -> None:
    desk.fill(desk.at(980))
    (trip,) = of(TripClosed, desk.fill(desk.at(1_000)))
    assert trip.level == 4
    assert trip.gross_units > trip.fee_units > 0
    assert desk.state.ledger.trips == 1


def test_a_partial_fill_waits_for_the_rest(desk: Desk) -> None:
    buy = desk.at(980)
    assert desk.fill(buy, lots=10) == []
    assert len(of(PlaceOrder, desk.fill(buy, lots=buy.lots - 10))) == 1


def test_the_same_execution_twice_changes_nothing(desk: Desk) -> None:
    fill = desk.execution(desk.at(980), 10, 980, "same")
    desk.tell(fill)
    before = state_hash(desk.state)
    assert desk.tell(fill) == []
    assert state_hash(desk.state) == before


def test_a_late_copy_of_an_execution_of_an_earlier_order_changes_nothing(desk: Desk) -> None:
    buy = desk.at(980)
    fill = desk.execution(buy, buy.lots, 980, "same")
    desk.tell(fill)
    before = state_hash(desk.state)
    assert desk.tell(fill) == []
    assert state_hash(desk.state) == before


def test_facts_about_orders_of_others_are_ignored(desk: Desk) -> None:
    before = state_hash(desk.state)
    stranger = desk.at(980)
    fill = desk.execution(stranger, 1, 980, "x")
    for name in ("by-hand", "tg-abcdefgh_77_1_b", "tg-abcdefgh_4_0_q"):
        desk.tell(type(fill)(**{f: getattr(fill, f) for f in fill.__struct_fields__} | {"link_id": LinkId(name)}))
        desk.tell(OrderAccepted(LinkId(name), VenueOrderId("v")))
    desk.state.stray_executions = 0
    assert state_hash(desk.state) == before


def test_the_report_may_come_before_its_executions(desk: Desk) -> None:
    buy = desk.at(980)
    assert desk.tell(desk.report(buy, OrderStatus.FILLED, filled=buy.lots)) == []
    (sell,) = of(PlaceOrder, desk.fill(buy))
    assert sell.ticks == 1_000


def test_executions_that_stay_away_are_fetched(desk: Desk) -> None:
    buy = desk.at(980)
    desk.tell(desk.report(buy, OrderStatus.FILLED, filled=buy.lots))
    assert of(Resync, desk.wait(600))


def test_an_older_view_of_a_finished_order_is_ignored(desk: Desk) -> None:
    buy = desk.at(980)
    desk.tell(desk.report(buy, OrderStatus.FILLED, filled=buy.lots))
    assert desk.tell(desk.report(buy, OrderStatus.OPEN)) == []
    assert of(PlaceOrder, desk.fill(buy))


def test_a_venue_cancel_with_a_partial_fill_places_the_rest_again(desk: Desk) -> None:
    buy = desk.at(980)
    desk.fill(buy, lots=50)
    desk.end(buy, OrderStatus.CANCELLED, filled=50)
    (again,) = of(PlaceOrder, desk.wait(6_000))
    assert (again.ticks, again.lots) == (980, buy.lots - 50)
    assert again.link_id != buy.link_id


def test_a_rejected_order_may_carry_fills(desk: Desk) -> None:
    buy = desk.at(980)
    desk.end(buy, OrderStatus.REJECTED, filled=60, reason=RejectReason.OTHER)
    desk.fill(buy, lots=60)
    (again,) = of(PlaceOrder, desk.wait(6_000))
    assert again.lots == buy.lots - 60


def test_a_remainder_below_the_minimum_is_not_placed_but_the_cell_turns(desk: Desk) -> None:
    buy = desk.at(980)
    desk.fill(buy, lots=buy.lots - 5)
    effects = desk.end(buy, OrderStatus.CANCELLED, filled=buy.lots - 5)
    assert [order.side for order in of(PlaceOrder, effects)] == []
    (sell,) = of(PlaceOrder, desk.wait(6_000))
    assert sell.side is Side.SELL


def test_dust_is_kept_and_sold_with_a_later_sell(desk: Desk) -> None:
    # Each buy leaves 0.1 % of fractions; the sells round down to lots.
    first = desk.at(980)
    for _ in range(40):
        desk.fill(desk.at(980))
        desk.fill(desk.at(1_000))
    assert desk.state.loose_base_units < 2 * desk.state.instrument.units_per_lot
    assert desk.at(980).lots == first.lots


# ---------------------------------------------------------------------- refusals


def test_a_post_only_order_steps_back_three_ticks_and_then_waits(desk: Desk) -> None:
    order = desk.at(980)
    seen = []
    for _ in range(3):
        (order,) = of(PlaceOrder, desk.reject(order, RejectReason.WOULD_TAKE_LIQUIDITY))
        seen.append(order.ticks)
    assert seen == [979, 978, 977]
    assert of(PlaceOrder, desk.reject(order, RejectReason.WOULD_TAKE_LIQUIDITY)) == []
    assert any("again in" in text for text in desk.notes(NoteKind.WAITING))
    (back,) = of(PlaceOrder, desk.wait(20_000))
    assert back.ticks == 980


def test_after_a_requote_has_filled_the_level_is_at_its_price_again(desk: Desk) -> None:
    (lower,) = of(PlaceOrder, desk.reject(desk.at(980), RejectReason.WOULD_TAKE_LIQUIDITY))
    desk.fill(lower)
    desk.fill(desk.at(1_000))
    assert desk.at(980).side is Side.BUY


def test_a_requote_is_forgotten_when_we_cancel_the_order_ourselves(desk: Desk) -> None:
    desk.reject(desk.at(980), RejectReason.WOULD_TAKE_LIQUIDITY)
    desk.cancel_all(desk.tell(Pause()))
    desk.agree(MIDDLE)
    desk.tell(Start(MIDDLE))
    assert desk.at(980).side is Side.BUY


@pytest.mark.parametrize("reason", [RejectReason.INVALID_PRICE, RejectReason.BELOW_MINIMUM])
def test_three_identical_refusals_block_the_level_until_a_start_or_a_new_process(
    desk: Desk, reason: RejectReason
) -> None:
    order = desk.at(980)
    desk.reject(order, reason)
    for _ in range(2):
        (order,) = of(PlaceOrder, desk.wait(5_000))
        desk.reject(order, reason)
    assert desk.notes(NoteKind.BLOCKED)
    assert of(PlaceOrder, desk.wait(600_000)) == []
    assert of(PlaceOrder, desk.agree(MIDDLE)) == []
    desk.tell(ResyncStarted())
    assert [order.ticks for order in of(PlaceOrder, desk.agree(MIDDLE))] == [980]


def test_a_lack_of_balance_is_asked_again_ever_later_but_never_given_up(desk: Desk) -> None:
    order, waits = desk.at(980), []
    for _ in range(8):
        desk.reject(order, RejectReason.INSUFFICIENT_BALANCE)
        waits.append(desk.state.wake_ms - desk.now)
        (order,) = of(PlaceOrder, desk.wait(waits[-1]))
    assert waits[0] == 10_000
    assert waits[-1] == 300_000


def test_a_refused_key_halts_the_bot_and_a_start_goes_on_with_its_orders(desk: Desk) -> None:
    desk.reject(desk.at(980), RejectReason.PERMISSION)
    assert desk.state.status is BotStatus.HALTED
    resting = len(desk.placed)
    desk.tell(Start(MIDDLE))
    assert desk.state.status is BotStatus.RUNNING
    assert len(desk.placed) == resting + 1


def test_a_halted_grid_without_inventory_is_not_built_a_second_time_over_its_orders() -> None:
    desk = neutral()
    desk.reject(desk.at(980), RejectReason.PERMISSION)
    desk.tell(Start(MIDDLE))
    assert sorted(order.ticks for order in desk.placed.values()) == sorted(
        [*range(900, 1_000, 20), *range(1_020, 1_120, 20)]
    )


# ---------------------------------------------------------------------- doubt


def test_a_duplicate_name_is_looked_up_not_placed_again(desk: Desk) -> None:
    order = desk.at(980)
    effects = desk.reject(order, RejectReason.DUPLICATE_LINK_ID)
    # The order is already known to rest: nothing is in doubt.
    assert effects == []
    (sell,) = of(PlaceOrder, desk.fill(order))
    effects = desk.reject(sell, RejectReason.DUPLICATE_LINK_ID)
    assert effects == [LookUpOrder(sell.link_id)]


def test_a_name_that_the_venue_calls_used_and_then_does_not_know_is_given_up(desk: Desk) -> None:
    (sell,) = of(PlaceOrder, desk.fill(desk.at(980)))
    desk.reject(sell, RejectReason.DUPLICATE_LINK_ID)
    desk.now = Instant(desk.now + 5_000)
    (again,) = of(PlaceOrder, desk.tell(OrderAbsent(sell.link_id)))
    assert again.link_id != sell.link_id
    assert (again.ticks, again.lots) == (sell.ticks, sell.lots)


def test_doubt_keeps_an_order_unknown_until_the_venue_answers(desk: Desk) -> None:
    (sell,) = of(PlaceOrder, desk.fill(desk.at(980)))
    assert desk.tell(OrderInDoubt(sell.link_id)) == [LookUpOrder(sell.link_id)]
    assert desk.state.cells[4].slot.phase is OrderPhase.UNKNOWN
    assert desk.wait(9_000) == []
    assert desk.wait(2_000) == [LookUpOrder(sell.link_id)]
    desk.tell(desk.report(sell, OrderStatus.OPEN))
    assert desk.state.cells[4].slot.phase is OrderPhase.LIVE


def test_a_definite_never_seen_sends_the_same_order_under_the_same_name_after_a_grace(desk: Desk) -> None:
    (sell,) = of(PlaceOrder, desk.fill(desk.at(980)))
    desk.tell(OrderInDoubt(sell.link_id))
    assert desk.tell(OrderAbsent(sell.link_id)) == []
    assert desk.wait(3_000) == [LookUpOrder(sell.link_id)]
    assert desk.tell(OrderAbsent(sell.link_id)) == [sell]


def test_a_late_refusal_of_the_first_request_does_not_end_the_second() -> None:
    """Both bear one name: taking the refusal for the second would place a third order beside it."""
    desk = neutral()
    desk.fill(desk.at(980))
    sell = desk.at(1_000)
    desk.tell(OrderInDoubt(sell.link_id))
    desk.now = Instant(desk.now + 5_000)
    assert desk.tell(OrderAbsent(sell.link_id)) == [sell]
    assert desk.tell(OrderRejected(sell.link_id, RejectReason.INVALID_QUANTITY)) == [LookUpOrder(sell.link_id)]
    desk.tell(desk.report(sell, OrderStatus.OPEN))
    assert desk.tell(OrderRejected(sell.link_id, RejectReason.INVALID_QUANTITY)) == []
    assert desk.state.cells[4].slot.phase is OrderPhase.LIVE


def test_nothing_is_sent_again_while_the_venue_is_being_read(desk: Desk) -> None:
    (sell,) = of(PlaceOrder, desk.fill(desk.at(980)))
    desk.tell(ResyncStarted())
    desk.now = Instant(desk.now + 5_000)
    assert desk.tell(OrderAbsent(sell.link_id)) == []


def test_an_old_absence_does_not_undo_an_order_that_is_known_to_rest(desk: Desk) -> None:
    order = desk.at(980)
    desk.now = Instant(desk.now + 60_000)
    assert desk.tell(OrderAbsent(order.link_id)) == [LookUpOrder(order.link_id)]
    # The venue keeps no history of unfilled orders for ever: asked again, its word counts.
    assert desk.tell(OrderAbsent(order.link_id)) == [order]


def test_an_order_that_is_gone_after_a_partial_fill_counts_what_was_filled(desk: Desk) -> None:
    order = desk.at(980)
    desk.fill(order, lots=50)
    desk.now = Instant(desk.now + 60_000)
    desk.tell(OrderAbsent(order.link_id))
    (rest,) = of(PlaceOrder, desk.tell(OrderAbsent(order.link_id)))
    assert rest.lots == order.lots - 50


def test_a_stop_during_doubt_cancels_as_soon_as_the_order_turns_out_to_exist(desk: Desk) -> None:
    (sell,) = of(PlaceOrder, desk.fill(desk.at(980)))
    desk.tell(OrderInDoubt(sell.link_id))
    effects = desk.tell(Stop(False))
    assert LookUpOrder(sell.link_id) in effects
    assert desk.tell(OrderAccepted(sell.link_id, VenueOrderId("v"))) == [CancelOrder(sell.link_id)]


def test_a_stop_during_doubt_gives_up_an_order_that_does_not_exist(desk: Desk) -> None:
    (sell,) = of(PlaceOrder, desk.fill(desk.at(980)))
    desk.tell(OrderInDoubt(sell.link_id))
    desk.tell(Stop(False))
    desk.now = Instant(desk.now + 5_000)
    assert of(PlaceOrder, desk.tell(OrderAbsent(sell.link_id))) == []
    assert desk.state.cells[4].slot.is_empty


@pytest.mark.parametrize("reason", [RejectReason.NOT_FOUND, RejectReason.ALREADY_CLOSED])
def test_a_cancel_that_meets_nothing_is_looked_up(desk: Desk, reason: RejectReason) -> None:
    order = desk.at(980)
    desk.tell(Pause())
    assert desk.tell(CancelRefused(order.link_id, reason)) == [LookUpOrder(order.link_id)]
    assert desk.tell(desk.report(order, OrderStatus.OPEN)) == [CancelOrder(order.link_id)]


def test_a_venue_that_refuses_to_cancel_is_not_asked_as_fast_as_it_answers(desk: Desk) -> None:
    order = desk.at(980)
    desk.tell(Pause())
    assert desk.tell(CancelRefused(order.link_id, RejectReason.OTHER)) == []
    assert desk.wait(1_000) == [LookUpOrder(order.link_id)]


def test_a_late_fill_beats_the_cancel(desk: Desk) -> None:
    buy = desk.at(980)
    desk.tell(Stop(False))
    desk.fill(buy)
    assert desk.tell(CancelRefused(buy.link_id, RejectReason.ALREADY_CLOSED)) == []
    assert desk.state.cells[4].base_units > 0
    assert buy.link_id not in desk.placed


# ---------------------------------------------------------------------- entry, pause, stop


def test_the_entry_is_repeated_for_what_is_missing() -> None:
    desk = Desk(grid_config(amount=Decimal(3_000)))
    desk.tell(Start(MIDDLE))
    first = desk.only(OrderKind.MARKET)
    assert first.lots == desk.state.instrument.max_market_lots
    desk.fill(first, lots=1_000, at=MIDDLE)
    desk.end(first, OrderStatus.CANCELLED, filled=1_000)
    second = desk.only(OrderKind.MARKET)
    desk.fill(second, at=MIDDLE)
    while desk.state.status is BotStatus.ENTERING:
        desk.fill(desk.only(OrderKind.MARKET), at=MIDDLE)
    bought = desk.state.sizing.entry_lots * desk.state.instrument.units_per_lot
    assert desk.state.ledger.base_units == bought - bought // 1_000


def test_an_entry_that_never_fills_halts_and_a_start_tries_again() -> None:
    desk = Desk(grid_config())
    desk.tell(Start(MIDDLE))
    for _ in range(8):
        desk.end(desk.only(OrderKind.MARKET), OrderStatus.CANCELLED)
    assert desk.state.status is BotStatus.HALTED
    desk.run(MIDDLE)
    assert desk.state.status is BotStatus.RUNNING


def test_a_refused_entry_is_tried_again_later_and_a_lack_of_money_halts() -> None:
    desk = Desk(grid_config())
    desk.tell(Start(MIDDLE))
    desk.reject(desk.only(OrderKind.MARKET), RejectReason.OTHER)
    (again,) = of(PlaceOrder, desk.wait(1_000))
    desk.reject(again, RejectReason.INSUFFICIENT_BALANCE)
    assert desk.state.status is BotStatus.HALTED
    assert "insufficient_balance" in desk.state.status_reason


def test_a_pause_during_the_entry_goes_on_with_the_entry_after_a_start() -> None:
    desk = Desk(grid_config())
    desk.tell(Start(MIDDLE))
    entry = desk.only(OrderKind.MARKET)
    desk.fill(entry, lots=400, at=MIDDLE)
    desk.tell(Pause())
    desk.end(entry, OrderStatus.CANCELLED, filled=400)
    desk.agree(MIDDLE)
    assert desk.state.status is BotStatus.PAUSED
    desk.tell(Start(MIDDLE))
    assert desk.state.status is BotStatus.ENTERING
    assert desk.only(OrderKind.MARKET).lots == entry.lots - 400
    desk.fill(desk.only(OrderKind.MARKET), at=MIDDLE)
    assert len(desk.placed) == 10


def test_a_stop_with_selling_during_the_entry_sells_what_was_bought() -> None:
    desk = Desk(grid_config())
    desk.tell(Start(MIDDLE))
    entry = desk.only(OrderKind.MARKET)
    desk.fill(entry, lots=1_000, at=MIDDLE)
    desk.tell(Stop(True))
    desk.end(entry, OrderStatus.CANCELLED, filled=1_000)
    desk.agree(MIDDLE)
    exit_order = desk.only(OrderKind.MARKET)
    assert (exit_order.side, exit_order.lots) == (Side.SELL, 999)
    desk.fill(exit_order, at=MIDDLE)
    assert desk.state.status is BotStatus.STOPPED


def test_a_stop_ends_only_when_the_venue_asked_afterwards_lists_nothing(desk: Desk) -> None:
    early = Resynced((), MIDDLE, Instant(desk.now - 1))
    desk.cancel_all(desk.tell(Stop(False)))
    assert not desk.placed
    desk.tell(early)
    assert desk.state.status is BotStatus.STOPPING
    desk.agree(MIDDLE)
    assert desk.state.status is BotStatus.STOPPED


def test_a_slow_venue_proves_the_quiet_too(desk: Desk) -> None:
    desk.cancel_all(desk.tell(Stop(False)))
    asked = desk.now
    assert of(Resync, desk.wait(5_000))
    assert of(Resync, desk.wait(5_000))
    desk.tell(Resynced((), MIDDLE, asked))
    assert desk.state.status is BotStatus.STOPPED


def test_an_order_found_after_the_last_cancel_is_cancelled_before_the_stop_ends(desk: Desk) -> None:
    buy = desk.at(980)
    desk.cancel_all(desk.tell(Stop(False)))
    orphan = desk.report(buy, OrderStatus.OPEN)
    desk.now = Instant(desk.now + 10)
    assert CancelOrder(buy.link_id) in desk.tell(Resynced((orphan,), MIDDLE, desk.now))
    assert desk.state.status is BotStatus.STOPPING
    assert of(Resync, desk.wait(1_000))
    desk.agree(MIDDLE)
    assert desk.state.status is BotStatus.STOPPED


def test_the_last_word_on_the_position_counts(desk: Desk) -> None:
    effects = desk.tell(Stop(False))
    desk.tell(Stop(True))
    desk.cancel_all(effects)
    desk.agree(MIDDLE)
    assert desk.state.status is BotStatus.CLOSING
    desk.tell(Stop(True))
    desk.fill(desk.only(OrderKind.MARKET), at=MIDDLE)
    assert desk.state.status is BotStatus.STOPPED


def test_a_kept_position_goes_on_after_a_start_and_can_be_sold_after_the_stop(desk: Desk) -> None:
    desk.cancel_all(desk.tell(Stop(False)))
    desk.agree(MIDDLE)
    assert desk.tell(Stop(False)) == []
    desk.tell(Start(MIDDLE))
    assert len(desk.placed) == 10
    desk.cancel_all(desk.tell(Stop(False)))
    desk.agree(MIDDLE)
    desk.tell(Stop(True))
    desk.agree(MIDDLE)
    assert desk.only(OrderKind.MARKET).side is Side.SELL


def test_after_stop_and_sell_a_start_sizes_afresh_and_order_names_go_on(desk: Desk) -> None:
    names = {effect.link_id for effect in of(PlaceOrder, desk.effects)}
    desk.cancel_all(desk.tell(Stop(True)))
    desk.agree(MIDDLE)
    desk.fill(desk.only(OrderKind.MARKET), at=MIDDLE)
    desk.effects.clear()
    desk.run(950)
    fresh = {effect.link_id for effect in of(PlaceOrder, desk.effects)}
    assert not names & fresh
    assert {order.ticks for order in desk.placed.values() if order.side is Side.BUY} == {900, 920}


def test_a_closing_that_cannot_be_done_halts_and_a_second_stop_tries_again(desk: Desk) -> None:
    desk.cancel_all(desk.tell(Stop(True)))
    desk.agree(MIDDLE)
    for _ in range(8):
        desk.end(desk.only(OrderKind.MARKET), OrderStatus.CANCELLED)
    assert desk.state.status is BotStatus.HALTED
    desk.tell(Stop(True))
    desk.agree(MIDDLE)
    desk.fill(desk.only(OrderKind.MARKET), at=MIDDLE)
    assert desk.state.status is BotStatus.STOPPED


def test_what_an_unfinished_closing_left_counts_towards_the_next_entry(desk: Desk) -> None:
    held = desk.state.ledger.base_units
    desk.cancel_all(desk.tell(Stop(True)))
    desk.agree(MIDDLE)
    desk.reject(desk.only(OrderKind.MARKET), RejectReason.PERMISSION)
    assert desk.state.status is BotStatus.HALTED
    desk.tell(Start(MIDDLE))
    entry = desk.only(OrderKind.MARKET) if desk.state.status is BotStatus.ENTERING else None
    missing = desk.state.sizing.entry_lots - held // desk.state.instrument.units_per_lot
    assert entry is None or entry.lots == missing


def test_a_start_or_stop_that_means_nothing_changes_nothing(desk: Desk) -> None:
    assert desk.tell(Start(MIDDLE)) == []
    fresh = Desk(grid_config())
    fresh.tell(Pause())
    assert fresh.state.status is BotStatus.NEW
    fresh.tell(Stop(True))
    assert fresh.state.status is BotStatus.STOPPED
    fresh.tell(Stop(True))
    assert fresh.state.status is BotStatus.STOPPED


def test_a_restart_that_the_price_refuses_says_why_and_stays_stopped() -> None:
    desk = Desk(grid_config(amount=Decimal(51)))
    for _ in range(2):
        desk.tell(Start(1_100))
        assert desk.state.status is BotStatus.STOPPED
        assert "at least" in desk.state.status_reason


@pytest.mark.parametrize("paid_in", [PaidIn.BASE, PaidIn.BOTH])
def test_coins_brought_in_are_part_of_the_books(paid_in: PaidIn) -> None:
    base = Decimal(10)
    amounts = {"amount": base} if paid_in is PaidIn.BASE else {"amount": Decimal(600), "base_amount": Decimal(2)}
    desk = Desk(grid_config(paid_in=paid_in, **amounts))
    desk.run(MIDDLE)
    assert desk.state.status is BotStatus.RUNNING
    assert desk.state.base_total() == desk.state.ledger.base_units
    assert len(desk.placed) == 10


# ---------------------------------------------------------------------- after a crash


def test_nothing_is_placed_before_the_venue_has_been_read(desk: Desk) -> None:
    desk.tell(ResyncStarted())
    buy = desk.at(980)
    assert of(PlaceOrder, desk.fill(buy)) == []
    assert [order.ticks for order in of(PlaceOrder, desk.agree(MIDDLE))] == [1_000]


def test_an_order_that_an_earlier_life_placed_is_adopted(desk: Desk) -> None:
    buy = desk.at(980)
    desk.tell(ResyncStarted())
    desk.fill(buy)
    sell = PlaceOrder(LinkId("tg-abcdefgh_5_2_s"), Side.SELL, OrderKind.POST_ONLY, 1_000, buy.lots - 1)
    desk.placed[sell.link_id] = sell
    assert of(PlaceOrder, desk.agree(MIDDLE)) == []
    assert desk.notes(NoteKind.ADOPTED)
    desk.fill(sell)
    assert desk.state.ledger.trips == 1


def test_fills_of_an_adopted_order_wait_for_the_older_ones(desk: Desk) -> None:
    """The stream may tell of the newest order before the pages have told of its predecessor."""
    buy = desk.at(980)
    desk.tell(ResyncStarted())
    sell = PlaceOrder(LinkId("tg-abcdefgh_5_2_s"), Side.SELL, OrderKind.POST_ONLY, 1_000, buy.lots - 1)
    late = desk.execution(sell, sell.lots, 1_000, "newer")
    assert desk.tell(late) == []
    assert desk.tell(late) == []
    desk.fill(buy)
    desk.agree(MIDDLE)
    assert desk.state.ledger.trips == 1
    assert desk.at(980).side is Side.BUY


def test_a_listed_order_of_no_level_is_cancelled(desk: Desk) -> None:
    orphan = PlaceOrder(LinkId("tg-abcdefgh_40_1_b"), Side.BUY, OrderKind.POST_ONLY, 1_700, 10)
    desk.now = Instant(desk.now + 100)
    desk.placed[orphan.link_id] = orphan
    assert CancelOrder(orphan.link_id) in desk.agree(MIDDLE)
    assert desk.notes(NoteKind.ORPHAN)


def test_a_list_older_than_the_present_order_raises_no_alarm(desk: Desk) -> None:
    buy = desk.at(980)
    listed = (desk.report(buy, OrderStatus.OPEN),)
    asked = desk.now
    desk.now = Instant(desk.now + 50)
    desk.fill(buy)
    effects = desk.tell(Resynced(listed, MIDDLE, asked))
    assert of(CancelOrder, effects) == []


def test_orders_that_are_not_listed_are_looked_up(desk: Desk) -> None:
    order = desk.at(980)
    del desk.placed[order.link_id]
    desk.now = Instant(desk.now + 100)
    assert LookUpOrder(order.link_id) in desk.agree(MIDDLE)


def test_a_cancel_that_died_with_the_process_is_made_again(desk: Desk) -> None:
    desk.tell(Stop(False))
    desk.tell(ResyncStarted())
    desk.now = Instant(desk.now + 100)
    assert len(of(CancelOrder, desk.agree(MIDDLE))) == 10


def test_an_order_on_the_wire_of_a_dead_process_is_taken_over_when_it_arrives(desk: Desk) -> None:
    buy = desk.at(980)
    straggler = PlaceOrder(LinkId("tg-abcdefgh_4_2_b"), Side.BUY, OrderKind.POST_ONLY, 980, buy.lots)
    desk.tell(desk.report(straggler, OrderStatus.OPEN))
    assert desk.state.cells[4].slot.generation == 2
    desk.cancel_all(desk.tell(Stop(False)))
    desk.end(straggler, OrderStatus.CANCELLED)
    desk.agree(MIDDLE)
    later = PlaceOrder(LinkId("tg-abcdefgh_4_3_b"), Side.BUY, OrderKind.POST_ONLY, 980, buy.lots)
    assert desk.tell(desk.report(later, OrderStatus.OPEN)) == [CancelOrder(later.link_id)]


def test_an_entry_known_only_in_part_is_not_bought_twice() -> None:
    desk = Desk(grid_config())
    desk.tell(Start(MIDDLE))
    first = desk.only(OrderKind.MARKET)
    desk.tell(ResyncStarted())
    desk.fill(first, lots=400, at=MIDDLE)
    # The lost life had placed a second order for the rest.
    rest = PlaceOrder(LinkId("tg-abcdefgh_entry_2_b"), Side.BUY, OrderKind.MARKET, 0, first.lots - 400)
    desk.placed.clear()
    desk.fill(rest, at=MIDDLE)
    desk.agree(MIDDLE)
    assert desk.state.status is BotStatus.RUNNING
    assert desk.state.entry_left == 0
    assert len(desk.placed) == 10


# ---------------------------------------------------------------------- funding and risk


def test_funding_is_booked_once(desk: Desk) -> None:
    desk = neutral()
    charge = FundingCharged("f1", 10**16, desk.now)  # type: ignore[arg-type]
    desk.tell(charge)
    before = state_hash(desk.state)
    desk.tell(charge)
    assert state_hash(desk.state) == before
    assert desk.state.ledger.funding_units == 10**16
    assert desk.state.ledger.cash_units == -(10**16)


def test_a_level_that_the_market_has_left_behind_waits_and_comes_back() -> None:
    desk = neutral()
    desk.cancel_all(desk.tell(Pause()))
    desk.agree(MIDDLE)
    desk.tell(Start(850))
    buys = sorted(order.ticks for order in desk.placed.values() if order.side is Side.BUY)
    assert buys == []
    desk.tell(Resynced((), MIDDLE, Instant(0)))
    desk.wait(15_000)
    buys = sorted(order.ticks for order in desk.placed.values() if order.side is Side.BUY)
    assert buys == list(range(900, 1_000, 20))


def test_a_neighbour_that_waited_for_our_own_order_is_placed_when_that_is_refused(desk: Desk) -> None:
    (buy,) = of(PlaceOrder, desk.fill(desk.at(1_020)))
    assert of(PlaceOrder, desk.fill(desk.at(980))) == []
    (sell,) = of(PlaceOrder, desk.reject(buy, RejectReason.INSUFFICIENT_BALANCE))
    assert (sell.side, sell.ticks) == (Side.SELL, buy.ticks)


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
