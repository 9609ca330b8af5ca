"""What a bot shows of itself: why each level has an order or none, its profit, its names and its written state."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import RejectReason
from engine.grid.config import Direction
from engine.grid.explain import LevelView, explain
from engine.grid.messages import (
    Pause,
    ResyncStarted,
    Start,
    Stop,
    decode_message,
    encode_message,
)
from engine.grid.orders import link_id, link_prefix, parse_link_id
from engine.grid.pnl import report
from engine.grid.state import OrderPhase, decode_state, encode_state, state_hash
from engine.ids import BotId, ExecutionId, Instant, LinkId
from engine.trading.orders import FundingCharged, OrderInDoubt, OrderStatus, Side
from tests.factories import grid_config
from tests.unit.grid.desk import MIDDLE, Desk, neutral


@pytest.fixture
def desk() -> Desk:
    """Run a neutral grid."""
    return neutral()


def view_at(desk: Desk, price: int) -> LevelView:
    (view,) = [view for view in explain(desk.state, desk.now) if view.price == price]
    return view


# ---------------------------------------------------------------------- explain


def test_a_bot_that_never_started_has_no_levels() -> None:
    assert explain(Desk(grid_config()).state, Instant(0)) == []


def test_every_level_says_why(desk: Desk) -> None:
    views = explain(desk.state, desk.now)
    assert [view.price for view in views] == list(range(90, 112, 2))
    assert all(view.why for view in views)
    empty = view_at(desk, 100)
    assert (empty.side, empty.order, empty.phase) == (None, None, OrderPhase.NONE)
    assert "empty level" in empty.why
    assert view_at(desk, 98).why == "opens interval 4"
    assert view_at(desk, 98).order == desk.at(980).link_id


def test_a_level_explains_each_stage_of_its_order(desk: Desk) -> None:
    desk.fill(desk.at(980))
    sell = desk.at(1_000)
    assert "on its way" in view_at(desk, 100).why
    assert "closes interval 4" in view_at(desk, 100).why
    desk.tell(OrderInDoubt(sell.link_id))
    assert "has not said yet" in view_at(desk, 100).why
    desk.tell(desk.report(sell, OrderStatus.OPEN))
    desk.fill(sell, lots=10)
    assert view_at(desk, 100).filled == Decimal("0.010")
    desk.tell(Pause())
    assert "being cancelled" in view_at(desk, 100).why
    desk.end(sell, OrderStatus.CANCELLED, filled=10)
    assert "pausing" in view_at(desk, 100).why


def test_a_level_explains_a_refusal(desk: Desk) -> None:
    desk.reject(desk.at(980), RejectReason.WOULD_TAKE_LIQUIDITY)
    assert "1 tick(s) behind its level" in view_at(desk, 98).why or "on its way" in view_at(desk, 98).why
    desk.accept_all()
    assert "1 tick(s) behind its level" in view_at(desk, 98).why
    assert view_at(desk, 98).order_price == Decimal("97.9")
    desk.reject(desk.at(960), RejectReason.INSUFFICIENT_BALANCE)
    assert "insufficient_balance" in view_at(desk, 96).why
    order = desk.at(940)
    for _ in range(3):
        desk.reject(order, RejectReason.INVALID_QUANTITY)
        desk.wait(5_000)
        order = desk.placed.get(LinkId(f"tg-abcdefgh_2_{desk.state.cells[2].slot.generation}_b"), order)
    assert "blocked" in view_at(desk, 94).why


def test_a_level_explains_the_window_the_resync_and_our_own_order() -> None:
    desk = Desk(grid_config(live_orders=4))
    desk.run(MIDDLE)
    assert "outside the window of 4" in view_at(desk, 90).why
    desk.fill(desk.at(1_020))
    desk.fill(desk.at(980))
    whys = [view.why for view in explain(desk.state, desk.now)]
    assert any("our own opposite order" in why for why in whys)
    desk.tell(ResyncStarted())
    assert "being read first" in view_at(desk, 90).why


def test_a_level_that_the_range_leaves_says_so() -> None:
    desk = Desk(grid_config(direction=Direction.LONG, trailing_up_limit=Decimal(130)))
    desk.run(MIDDLE)
    desk.reject(desk.at(900), RejectReason.INSUFFICIENT_BALANCE)
    desk.state.shift = 1
    desk.wait(0)
    desk.state.cells[0].slot.wake_ms = Instant(0)
    assert "moving away" in view_at(desk, 90).why


# ---------------------------------------------------------------------- profit and loss


def test_the_report_keeps_grid_profit_and_floating_apart_and_adds_up(desk: Desk) -> None:
    desk.fill(desk.at(980))
    desk.fill(desk.at(1_000))
    desk.fill(desk.at(980))
    desk.tell(FundingCharged(ExecutionId("f"), 5 * 10**17, desk.now))
    profit = report(desk.state, 900, Instant(desk.now + 86_400_000))
    lots = Decimal("0.001") * desk.state.cells[4].lots
    assert profit.grid_profit == 2 * lots
    assert profit.floating == (90 - 98) * lots
    assert profit.fees == (98 + 100 + 98) * lots / 1000
    assert profit.funding == Decimal("0.5")
    assert profit.total == profit.grid_profit + profit.exit_profit + profit.floating - profit.fees - profit.funding
    assert (profit.trips, profit.trades) == (1, 3)
    assert profit.volume == (98 + 100 + 98) * lots
    assert profit.base_inventory == lots
    assert profit.roi == (profit.total / 1000).quantize(Decimal("1e-8"))
    assert profit.apr is not None
    assert profit.apr == (profit.roi * 365).quantize(Decimal("1e-6"))
    assert profit.profit_factor is None
    assert profit.runtime_ms == 86_400_000


def test_the_report_of_a_bot_that_never_started_is_all_zero() -> None:
    profit = report(Desk(grid_config()).state, 1_000, Instant(5))
    assert (profit.total, profit.roi, profit.apr, profit.runtime_ms) == (0, 0, None, 0)


def test_the_profit_factor_is_gains_over_losses() -> None:
    desk = Desk(grid_config(direction=Direction.LONG, trailing_down_limit=Decimal(80)))
    desk.run(1_099)
    ledger = desk.state.ledger
    ledger.gain_units, ledger.loss_units = 30, 20
    assert report(desk.state, 1_099, desk.now).profit_factor == Decimal("1.5")


def test_closing_at_market_is_exit_profit_and_the_drawdown_is_the_deepest_fall() -> None:
    desk = Desk(grid_config(direction=Direction.LONG))
    desk.run(MIDDLE)
    for ticks in (980, 960, 940, 920, 900):
        desk.fill(desk.at(ticks))
    before = report(desk.state, 900, desk.now)
    assert before.max_drawdown > 0
    assert before.max_drawdown == -before.total
    desk.cancel_all(desk.tell(Stop(True)))
    desk.agree(900)
    while desk.placed:
        desk.fill(next(iter(desk.placed.values())), at=900)
    after = report(desk.state, 900, desk.now)
    assert after.floating == 0
    assert after.exit_profit == before.floating
    assert after.grid_profit == before.grid_profit == 0


def test_fees_in_a_third_coin_are_shown_and_kept_out_of_the_total() -> None:
    desk = Desk(grid_config())
    desk.run(MIDDLE)
    total = desk.state.ledger.cash_units
    fill = desk.execution(desk.at(980), 10, 980, "x")
    desk.tell(msgspec.structs.replace(fill, fee_asset="VEN", fee_units=7 * 10**17))
    assert report(desk.state, 980, desk.now).other_fees == {"VEN": Decimal("0.7")}
    assert desk.state.ledger.cash_units == total - desk.state.instrument.value(980, 10)


# ---------------------------------------------------------------------- names and bytes


@settings(deadline=None)
@given(
    st.integers(-9_999, 9_999) | st.sampled_from(("entry", "exit")), st.integers(0, 10**6), st.sampled_from(Side)
)
def test_a_name_says_its_order_within_thirty_six_characters(level: int | str, generation: int, side: Side) -> None:
    link = link_id(BotId("abcdefgh"), level, generation, side)
    assert len(link) <= 36
    assert link.startswith(link_prefix(BotId("abcdefgh")))
    assert parse_link_id(link) == (level, generation, side)


@pytest.mark.parametrize(
    "link", ["", "x", "tg-abcdefgh", "tg-abcdefgh_1_2_x", "tg-abcdefgh_1_b_b", "tg-abcdefgh_one_1_b", "my_1_1_b"]
)
def test_a_name_that_we_did_not_give_is_nobodys(link: str) -> None:
    assert parse_link_id(LinkId(link)) is None


def test_one_bots_prefix_is_no_other_bots() -> None:
    assert not link_id(BotId("abcdefgh"), 1, 1, Side.BUY).startswith(link_prefix(BotId("abcdefg")))


def test_a_state_survives_being_written_and_its_hash_tells_two_states_apart(desk: Desk) -> None:
    again = decode_state(encode_state(desk.state))
    assert again == desk.state
    assert state_hash(again) == state_hash(desk.state)
    desk.fill(desk.at(980))
    assert state_hash(again) != state_hash(desk.state)
    assert decode_state(encode_state(desk.state)) == desk.state
    with pytest.raises(msgspec.ValidationError):
        decode_state(b'{"bot": 1}')


def test_every_message_survives_the_journal_with_amounts_beyond_sixty_four_bits(desk: Desk) -> None:
    fill = desk.execution(desk.at(980), 10, 980, "x")
    big = msgspec.structs.replace(fill, fee_units=-(10**30))
    for message in (
        big,
        Start(5, 2),
        Stop(True),
        Pause(),
        ResyncStarted(),
        desk.report(desk.at(980), OrderStatus.OPEN),
    ):
        assert decode_message(encode_message(message)) == message
