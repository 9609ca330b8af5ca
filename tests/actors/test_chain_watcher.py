"""The watcher on the devnet: where it begins, how it goes on after every death, what it does on another fork."""

from pathlib import Path

import pytest

from actors.chain_watcher import CRASH_POINTS, ChainWatcher, ForkTooDeep, WatcherPolicy
from actors.node_troubles import QUIET_MS, NodeTroubles
from adapters.chains.rpc import NodeHealth
from adapters.chains.tron.devnet.chain import Rules
from adapters.chains.tron.devnet.devnet import Devnet
from adapters.chains.tron.devnet.faults import Conduct, Reading, Request, View
from engine.errors import VenueError
from engine.money import Network
from storage.chain_cursor import watcher_lease
from storage.database import Database
from storage.leases import Lease, Leases
from tests.payouts.world import COIN
from tests.scenarios.settlement_world import SettlementWorld


class Died(BaseException):
    """The process ended here."""


@pytest.fixture
async def world(own_database: Database, tmp_path: Path) -> SettlementWorld:
    return await SettlementWorld(own_database, tmp_path).begin()


async def catch_up(watcher: ChainWatcher) -> None:
    while await watcher.turn():
        pass


async def test_the_first_start_reads_what_came_since_the_first_address_was_made(world: SettlementWorld) -> None:
    await world.database.rows("DELETE FROM chain_cursor RETURNING 1")
    await world.database.rows("DELETE FROM chain_block RETURNING 1")
    made_ms = world.now
    await world.database.rows("UPDATE hot_wallet SET created_at_ms = $1 RETURNING 1", made_ms)
    world.produce(30)

    watcher = await world.new_watcher()

    cursor = watcher.health().cursor
    assert cursor is not None
    assert made_ms - world.devnet.rules.block_ms <= cursor.time_ms < made_ms
    await catch_up(watcher)
    assert watcher.health().cursor == watcher.health().head
    assert (watcher.health().network, watcher.health().lag_blocks) == (Network.TRON, 0)


async def test_an_operator_may_say_where_to_begin(world: SettlementWorld) -> None:
    await world.database.rows("DELETE FROM chain_cursor RETURNING 1")
    await world.database.rows("DELETE FROM chain_block RETURNING 1")

    await world.new_watcher(policy=WatcherPolicy(begin_at=3))

    assert await world.cursor_number() == 3


async def test_a_turn_is_bounded_and_says_that_there_is_more(world: SettlementWorld) -> None:
    world.produce(60)
    watcher = await world.new_watcher(policy=WatcherPolicy(blocks_per_turn=20, blocks_at_once=7))
    began = await world.cursor_number()

    assert await watcher.turn() is True
    assert await world.cursor_number() == began + 20


@pytest.mark.parametrize("point", [point for point in CRASH_POINTS if not point.startswith("roll_back")])
async def test_wherever_a_watcher_dies_the_next_one_goes_on_and_each_deal_is_paid_once(
    world: SettlementWorld, point: str
) -> None:
    deals = [await world.deal((10 + n) * COIN) for n in range(3)]
    for n in range(3):
        world.pay_in((10 + n) * COIN)
        world.produce(7)
    world.produce(20)
    deaths = 0

    def crash_point(name: str) -> None:
        nonlocal deaths
        if name == point and deaths < 2:
            deaths += 1
            raise Died(name)

    for life in range(3):
        lease = await _take_over(world, f"life {life}")
        world.watcher = ChainWatcher(
            Network.TRON, world.database, world.chain(), lease, lambda: world.now, crash_point=crash_point
        )
        await world.watcher.boot()
        try:
            await catch_up(world.watcher)
        except Died:
            continue
    assert deaths == 2
    await world.go_on()

    assert {await world.status(deal) for deal in deals} == {"settled"}
    assert sorted(world.transfers_to(world.payee_address)) == [10 * COIN, 11 * COIN, 12 * COIN]
    assert await world.books() == world.chain_says()


async def test_nodes_that_fail_half_of_the_time_delay_the_reading_and_change_nothing(
    world: SettlementWorld,
) -> None:
    deal = await world.deal(5 * COIN)
    world.pay_in(5 * COIN)
    world.produce(40)

    def chooser(request: Request) -> Conduct | None:
        reading = (Reading.ANSWERED, Reading.SILENT, Reading.BROKEN, Reading.ANSWERED)[request.number % 4]
        lags = request.number % 7 == 0
        return Conduct(view=View(lag=3 if lags else 0), reading=reading)

    world.devnet.choose_with(chooser)
    failures = 0
    for _ in range(80):
        world.produce(1)
        try:
            await world.watcher.turn()
        except VenueError:
            failures += 1
    world.devnet.choose_with(None)
    await world.go_on()

    assert failures > 0
    assert await world.status(deal) == "settled"
    assert world.transfers_to(world.payee_address) == [5 * COIN]


async def test_when_final_blocks_change_the_money_is_taken_back_and_credited_where_it_comes_again(
    world: SettlementWorld,
) -> None:
    deal = await world.deal(5 * COIN)
    world.pay_in(5 * COIN)
    world.produce(30)
    await catch_up(world.watcher)
    assert await world.status(deal) == "paying"

    world.devnet.fork(30, rewrite_solid=True)
    await world.watcher.turn()
    reversed_then = await world.database.value("SELECT count(*) FROM incoming_tx WHERE status = 'reversed'")
    await world.go_on()

    assert reversed_then == 1
    assert await world.status(deal) == "settled"
    assert world.transfers_to(world.payee_address) == [5 * COIN]
    assert await world.books() == world.chain_says()
    assert await world.database.value("SELECT count(*) FROM audit WHERE command = 'chain.roll_back'") == 1


async def test_when_final_blocks_lose_the_transfer_the_deal_waits_for_it_again(world: SettlementWorld) -> None:
    deal = await world.deal(5 * COIN)
    lost = world.pay_in(5 * COIN)
    world.produce(30)
    await catch_up(world.watcher)

    world.devnet.fork(30, lost={lost}, rewrite_solid=True)
    await world.go_on()

    assert await world.status(deal) == "awaiting_incoming"
    assert await world.books() == world.chain_says()
    assert world.transfers_to(world.payee_address) == []


@pytest.mark.parametrize("point", [point for point in CRASH_POINTS if point.startswith("roll_back")])
async def test_who_dies_while_going_back_has_gone_back_wholly_or_not_at_all(
    world: SettlementWorld, point: str
) -> None:
    deal = await world.deal(5 * COIN)
    world.pay_in(5 * COIN)
    world.produce(30)
    await catch_up(world.watcher)
    world.devnet.fork(30, rewrite_solid=True)

    def crash_point(name: str) -> None:
        if name == point:
            raise Died(name)

    lease = await _take_over(world, "dies")
    dying = ChainWatcher(
        Network.TRON, world.database, world.chain(), lease, lambda: world.now, crash_point=crash_point
    )
    await dying.boot()
    with pytest.raises(Died):
        await catch_up(dying)
    await _take_over(world, "watcher")
    world.watcher = await world.new_watcher()
    await world.go_on()

    assert await world.status(deal) == "settled"
    assert world.transfers_to(world.payee_address) == [5 * COIN]
    assert await world.books() == world.chain_says()


async def test_a_chain_without_a_block_that_we_know_is_nobodys_to_follow_but_a_persons(
    world: SettlementWorld,
) -> None:
    world.devnet = Devnet(lambda: world.now, rules=Rules(seed="another chain"))
    world.devnet.produce(100)
    world.watcher = await world.new_watcher()

    with pytest.raises(ForkTooDeep):
        await world.watcher.turn()

    assert "reorg_after_credit" in await world.alarms()


async def test_alarms_about_nodes_begin_with_a_report_and_end_with_quiet(world: SettlementWorld) -> None:
    node = NodeHealth("main", False, 0, 0.0, 0, 0, "")
    failing = NodeHealth("main", True, 5, 0.0, 0, 0, "silent")
    nodes = [node]
    troubles = NodeTroubles(Network.TRON, world.database, lambda: world.now, lambda: nodes)

    troubles.saw("rpc_lag", "main is 50 blocks behind")
    troubles.saw("rpc_down", "main failed 5 times")
    nodes[:] = [failing]
    await troubles.settle()
    assert await world.alarms() == ["rpc_down", "rpc_lag"]

    world.now += QUIET_MS
    await troubles.settle()
    assert await world.alarms() == ["rpc_down"]

    nodes[:] = [node]
    # A watcher that begins anew finds the alarm that its last life raised.
    await NodeTroubles(Network.TRON, world.database, lambda: world.now, lambda: nodes).settle()
    assert await world.alarms() == []


async def _take_over(world: SettlementWorld, holder: str) -> Lease:
    await world.database.rows(
        "UPDATE leases SET expires_at_ms = 0 WHERE name = $1 RETURNING 1", watcher_lease(Network.TRON)
    )
    lease = await Leases(world.database).acquire(watcher_lease(Network.TRON), holder, 600_000)
    assert lease is not None
    return lease
