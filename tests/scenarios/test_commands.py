"""What an owner may ask of a live bot, and what a bot does by itself at a price: each time the venue agrees."""

import asyncio
from decimal import Decimal

import msgspec
import pytest

from actors import wiring
from actors.messages import StopOutcome
from actors.views import UnknownBot
from engine.errors import Refusal
from engine.grid.config import Direction, GridConfig, PriceStop, StopAction
from engine.grid.state import BotStatus
from engine.ids import AccountId, BotId
from storage.accounts import Accounts, Environment, NewAccount
from storage.actions import Actions
from storage.bots import DesiredState, NewBot
from storage.rows import AlreadyExistsDifferently
from storage.seed import OPERATOR, PAPER_ACCOUNT
from tests.factories import new_bot_id
from tests.scenarios.desk import desk_of
from tests.scenarios.world import World, eventually

CONFIG = GridConfig(
    symbol="BTCUSDT",
    direction=Direction.SPOT,
    lower=Decimal(59_500),
    upper=Decimal(60_500),
    grids=10,
    amount=Decimal(10_000),
)


async def test_a_bot_stops_and_starts_again_in_every_order(world: World) -> None:
    bot = await world.run()
    await world.walk(59_790, 59_910)
    await world.want(bot, DesiredState.STOPPED_KEEPING)
    await world.has_status(bot, BotStatus.STOPPED)
    await world.assert_reconciled(bot)
    assert not world.open(bot)
    held = world.live(bot).state.base_total()
    assert held > 0

    await world.want(bot, DesiredState.RUNNING)
    await world.trades(bot)
    assert world.live(bot).state.base_total() == held, "what was kept is bought again"
    await world.walk(60_110)
    await world.want(bot, DesiredState.PAUSED)
    await world.has_status(bot, BotStatus.PAUSED)
    assert not world.open(bot)

    await world.want(bot, DesiredState.RUNNING)
    await world.trades(bot)
    await world.want(bot, DesiredState.STOPPED_SELLING)
    await world.has_status(bot, BotStatus.STOPPED)
    await world.assert_reconciled(bot)
    assert world.live(bot).state.base_total() < world.live(bot).state.instrument.units_per_lot

    await world.want(bot, DesiredState.RUNNING)
    await world.trades(bot)
    await world.walk(59_990, 60_130)
    await world.assert_reconciled(bot)


@pytest.mark.parametrize(
    ("action", "status", "keeps"),
    [
        (StopAction.CLOSE, BotStatus.STOPPED, False),
        (StopAction.STOP, BotStatus.STOPPED, True),
        (StopAction.CANCEL, BotStatus.PAUSED, True),
    ],
)
async def test_a_stop_loss_ends_the_bot_for_good(
    world: World, action: StopAction, status: BotStatus, keeps: bool
) -> None:
    bot = await world.run(stop_loss=PriceStop(Decimal(59_400), action))
    await world.walk(59_650, 59_390)
    await world.has_status(bot, status)
    await world.assert_reconciled(bot)
    assert not world.open(bot)
    assert (world.live(bot).state.base_total() >= world.live(bot).state.instrument.units_per_lot) is keeps
    await eventually(lambda: _wanted(world, bot, not_=DesiredState.RUNNING), "the wish follows")
    # The price recovers and the process restarts: neither is a reason to trade again.
    await world.end(world.hosts[0])
    world.move(60_000)
    placed = world.placed(bot)
    await (await world.host()).assign([bot])
    await world.has_status(bot, status)
    await world.settled(bot)
    assert world.placed(bot) == placed
    # Only the owner is.
    await world.want(bot, DesiredState.RUNNING)
    await world.trades(bot)
    await world.assert_reconciled(bot)


@pytest.mark.parametrize("direction", ["spot", "short"])
async def test_a_take_profit_closes_the_position(world: World, direction: str) -> None:
    goal = 60_600 if direction == "spot" else 59_400
    bot = await world.run(direction, take_profit=PriceStop(Decimal(goal)))
    await world.walk(60_000, (60_000 + goal) // 2, goal)
    await world.has_status(bot, BotStatus.STOPPED)
    await world.assert_reconciled(bot)
    assert world.live(bot).snapshot().profit.total > 0


async def test_a_target_profit_closes_everything(world: World) -> None:
    bot = await world.run("long", leverage=3, target_profit=Decimal(60))
    await world.walk(60_150, 60_290, 60_420, 60_560)
    await world.has_status(bot, BotStatus.STOPPED)
    await world.assert_reconciled(bot)
    assert world.live(bot).snapshot().profit.total >= 55, "the market moved on while it was closing"


async def test_an_entry_trigger_waits_for_its_price(world: World) -> None:
    bot = await world.create(trigger_price=Decimal(59_800))
    host = await world.host()
    await host.assign([bot])
    await world.has_status(bot, BotStatus.AWAITING_TRIGGER)
    await world.walk(60_200, 59_900)
    assert not world.placed(bot)
    # A restart while it waits changes nothing.
    await world.end(host)
    await (await world.host()).assign([bot])
    await world.has_status(bot, BotStatus.AWAITING_TRIGGER)
    world.move(59_790)
    await world.trades(bot)
    await world.walk(59_910, 59_690)
    await world.assert_reconciled(bot)


async def test_a_trailing_range_follows_the_market_both_ways(world: World) -> None:
    bot = await world.run(trailing_up_limit=Decimal(61_000), trailing_down_limit=Decimal(59_000))
    await world.walk(60_210, 60_390, 60_510, 60_620, 60_710)
    await eventually(lambda: world.live(bot).state.cells[0].index == 2, "the range has risen by two")
    await world.assert_reconciled(bot)
    await world.walk(60_390, 60_090, 59_810, 59_610, 59_490, 59_390)
    await eventually(lambda: world.live(bot).state.cells[0].index < 0, "the range has fallen")
    await world.assert_reconciled(bot)


async def test_an_emergency_stop_of_one_bot_leaves_the_others(world: World) -> None:
    first, second = await world.run("spot"), await world.run("neutral", leverage=3)
    desk = await desk_of(world)
    outcomes = await desk.emergency_stop("test", first)
    assert [(each.bot, each.stopped, each.orders_left) for each in outcomes] == [(first, True, 0)]
    assert not world.open(first)
    assert len(world.open(second)) == 10
    await eventually(lambda: _wanted(world, first, DesiredState.EMERGENCY_STOPPED), "the stop is recorded")
    await world.has_status(first, BotStatus.STOPPED)
    # The table has bots of other tests too, which nobody runs.
    stopped = {each.bot for each in await desk.emergency_stop("test", None) if each.stopped}
    assert {first, second} <= stopped
    assert not world.account.open
    await eventually(lambda: _wanted(world, second, DesiredState.EMERGENCY_STOPPED), "the stop is recorded")
    await world.assert_reconciled(first, second)
    await desk.close()


async def test_an_emergency_stop_says_of_a_bot_without_a_process_whether_it_has_to_wait_for_one(
    world: World,
) -> None:
    bot, ended = await world.run(), await world.run("neutral", leverage=3)
    desk = await desk_of(world)
    await desk.stop("test", ended, sell=False, command_id="end")
    await eventually(lambda: _has_written(world, ended, "stopped"), "the end is written")
    with pytest.raises(UnknownBot):
        await desk.emergency_stop("test", BotId("zzzzzzzz"))
    for each in (bot, ended):
        await world.hosts[0].release(each)
    assert await desk.emergency_stop("test", ended) == [StopOutcome(ended, True, 0, "it was not running")]
    # Its orders rest at the venue: "nothing was running" would be a lie.
    for chosen in (bot, None):
        outcomes = {each.bot: each for each in await desk.emergency_stop("test", chosen)}
        assert not outcomes[bot].stopped
        assert "no process runs it now" in outcomes[bot].detail
    await eventually(lambda: _wanted(world, bot, DesiredState.EMERGENCY_STOPPED), "the stop is recorded")
    await world.hosts[0].assign([bot])
    await world.has_status(bot, BotStatus.STOPPED)
    assert not world.open(bot)
    await desk.close()


async def test_a_stop_wished_while_no_process_ran_puts_no_order_back(world: World) -> None:
    bot = await world.run()
    await world.end(world.hosts[0])
    await world.bots.set_desired(bot, DesiredState.STOPPED_KEEPING, "test")
    world.move(59_790)
    placed = world.placed(bot)
    await (await world.host()).assign([bot])
    await world.has_status(bot, BotStatus.STOPPED)
    assert world.placed(bot) == placed
    await world.assert_reconciled(bot)


async def test_creating_twice_with_one_command_id_gives_one_bot(world: World) -> None:
    desk = await desk_of(world)
    first = await desk.create("me", PAPER_ACCOUNT, "grid", CONFIG, "command-1")
    again = await desk.create("me", PAPER_ACCOUNT, "grid", CONFIG, "command-1")
    assert first.id == again.id
    with pytest.raises(AlreadyExistsDifferently):
        await desk.create("me", PAPER_ACCOUNT, "another name", CONFIG, "command-1")
    await world.trades(first.id)
    view = await desk.view(first.id)
    assert (view.live, view.status, len([level for level in view.levels if level.order])) == (True, "running", 10)
    await desk.stop("me", first.id, sell=True, command_id="command-2")
    await world.has_status(first.id, BotStatus.STOPPED)
    await world.assert_reconciled(first.id)
    await desk.close()


async def test_a_bot_whose_key_the_venue_refuses_says_so(world: World) -> None:
    stranger = AccountId("stranger")
    account = NewAccount(stranger, OPERATOR, "bybit", Environment.PAPER, "A key that the venue knows otherwise")
    world.venue.create_account(wiring.paper_key(world.plan.home, stranger).key, "another secret")
    await Accounts(world.database).add(account, "test")
    bot = new_bot_id()
    await world.bots.create(NewBot(bot, OPERATOR, stranger, "grid", CONFIG), "test")
    desk = await desk_of(world)
    await world.hosts[0].assign([bot])

    async def said() -> bool:
        view = await desk.view(bot)
        return not view.live and view.status == "new" and "key" in view.status_reason.lower()

    for _ in range(100):
        if await said():
            break
        await asyncio.sleep(0.1)
    assert await said(), (await desk.view(bot)).status_reason
    await desk.close()


async def test_a_config_that_cannot_work_is_refused_with_the_number_and_the_range(world: World) -> None:
    desk = await desk_of(world)
    answers = [
        await desk.create("me", PAPER_ACCOUNT, "grid", config, f"refused-{number}")
        for number, config in enumerate(
            [
                _changed(grids=1),
                _changed(lower=Decimal(60_500)),
                _changed(amount=Decimal(10)),
                _changed(amount=Decimal(5_000_000)),
                _changed(stop_loss=PriceStop(Decimal(60_000))),
            ]
        )
    ]
    for answer, field in zip(answers, ("grids", "upper", "amount", "amount", "stop_loss"), strict=True):
        assert isinstance(answer, list), answer
        assert all(isinstance(each, Refusal) for each in answer)
        named = next(each for each in answer if each.field == field)
        assert named.message
        assert named.allowed
    await desk.close()


async def test_every_action_is_logged_and_every_level_explains_itself(world: World) -> None:
    bot = await world.run()
    world.venue.faults.refuse(10016, accepted=True)
    await world.walk(59_890, 60_010)
    world.venue.faults.refuse(170140)
    await world.walk(60_110)
    levels = world.live(bot).snapshot().levels
    assert len({level.level for level in levels}) == 11
    assert all(level.why for level in levels)
    await world.settled(bot)
    await world.want(bot, DesiredState.STOPPED_SELLING)
    await world.has_status(bot, BotStatus.STOPPED)
    await world.settled(bot)

    lines = (await Actions(world.database).page(bot, limit=200)).items
    told = {line.kind for line in lines}
    assert told >= {"command", "status", "placed", "filled", "cancelling", "cancelled", "rejected", "in_doubt"}
    prefix = f"tg-{bot}_"
    placed = [line.details["order"] for line in lines if line.kind == "placed"]
    assert {link for link in world.account.by_link if link.startswith(prefix)} <= set(placed)
    filled = [line.details["execution"] for line in lines if line.kind == "filled"]
    assert sorted(filled) == sorted(each.exec_id for each in world.executions(bot)), "each fill is told once"
    statuses = [line.text.split(":")[0] for line in reversed(lines) if line.kind == "status"]
    assert statuses == ["entering", "running", "stopping", "closing", "stopped"]


def _changed(**changes: object) -> GridConfig:
    return msgspec.structs.replace(CONFIG, **changes)


async def _has_written(world: World, bot: BotId, status: str) -> bool:
    row = await world.bots.get(bot)
    return row is not None and row.status == status


async def _wanted(
    world: World, bot: BotId, desired: DesiredState | None = None, not_: DesiredState | None = None
) -> bool:
    row = await world.bots.get(bot)
    assert row is not None
    return row.desired_state is desired if desired else row.desired_state is not not_
