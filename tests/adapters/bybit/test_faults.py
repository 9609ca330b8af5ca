"""Our Bybit adapter when things go wrong: lost answers, dead lines, limits, a wrong clock, a restart."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from adapters.exchanges.bybit.hosts import BybitHosts, single_host
from adapters.exchanges.bybit.trading import BybitTrading
from adapters.exchanges.paper.limits import Limits
from adapters.secrets.keys import ApiKey
from engine.errors import Rejected, RejectReason, Retryable
from engine.ids import Instant, LinkId
from engine.trading.instrument import Instrument, Market
from engine.trading.orders import (
    CancelOrder,
    CancelRefused,
    Execution,
    LookUpOrder,
    OrderAbsent,
    OrderAccepted,
    OrderInDoubt,
    OrderRejected,
    OrderReport,
    OrderStatus,
)
from tests.adapters.house import KEY, Bot, House, attached, eventually, now_ms, open_house


@pytest_asyncio.fixture(loop_scope="session")
async def house() -> AsyncIterator[House]:
    """A venue of its own for each test: most break it."""
    async with open_house() as house, connected(house):
        yield house


@pytest_asyncio.fixture(loop_scope="session")
async def bot(house: House) -> AsyncIterator[Bot]:
    """One bot on linear BTCUSDT."""
    async with attached(house, house.listed(Market.LINEAR)) as bot:
        yield bot


@asynccontextmanager
async def connected(house: House, hosts: BybitHosts | None = None, **options: Any) -> AsyncIterator[BybitTrading]:
    """Connect an adapter with short limits."""
    options = {"recv_window_ms": 1_000, "deadline_s": 1.0} | options
    trading = BybitTrading(hosts or single_host(house.address), KEY, **options)
    house.trading = trading
    await trading.connect()
    try:
        yield trading
    finally:
        await trading.close()


def placements(house: House) -> Counter[str]:
    """Count, by link id, the orders in the venue's own books."""
    account = house.venue.core.records.by_key[KEY.key]
    return Counter(order.link_id for order in account.open.values())


async def test_requests_on_their_way_when_the_line_dies_are_in_doubt_and_settled_by_look_up(
    house: House, bot: Bot
) -> None:
    house.venue.faults.delay_answers(5.0, count=3)
    orders = [bot.order(below=1_000 + number) for number in range(3)]
    for order in orders:
        await bot.submit(order)
    await eventually(lambda: len(placements(house)) == 3, "the venue's books")
    house.venue.drop_sockets("trade")
    for order in orders:
        await bot.heard(order.link_id, OrderInDoubt)
    bot.facts.clear()
    house.trading.submit(bot.instrument, [LookUpOrder(order.link_id) for order in orders])
    for order in orders:
        await bot.report(order.link_id, OrderStatus.OPEN)
    assert set(placements(house).values()) == {1}


async def test_a_cancel_on_its_way_when_the_line_dies_is_refused_as_unanswered(house: House, bot: Bot) -> None:
    order = bot.order()
    await bot.rest(order)
    house.venue.faults.delay_answers(5.0, operation="order.cancel")
    await bot.submit(CancelOrder(order.link_id))
    await bot.report(order.link_id, OrderStatus.CANCELLED)
    house.venue.drop_sockets("trade")
    assert (await bot.heard(order.link_id, CancelRefused)).reason is RejectReason.OTHER


async def test_a_late_answer_is_a_doubt_first_and_an_answer_later(house: House, bot: Bot) -> None:
    house.venue.faults.delay_answers(2.5)
    order = bot.order()
    await bot.submit(order)
    await bot.heard(order.link_id, OrderInDoubt)
    await bot.heard(order.link_id, OrderAccepted)
    assert len(bot.of(order.link_id, OrderInDoubt)) == 1


async def test_while_the_trade_socket_is_away_orders_go_over_rest(house: House, bot: Bot) -> None:
    line = house.trading._trade  # type: ignore[attr-defined]
    line._url = line._url.replace("/v5/trade", "/v5/elsewhere")
    house.venue.drop_sockets("trade")
    await eventually(lambda: house.trading.health()["trade"] == -1, "the trade socket to be down")
    orders = [bot.order(below=1_000 + number) for number in range(12)]
    await bot.submit(*orders)
    for order in orders:
        await bot.report(order.link_id, OrderStatus.OPEN)
        await bot.heard(order.link_id, OrderAccepted)
    await bot.submit(*(CancelOrder(order.link_id) for order in orders))
    for order in orders:
        await bot.report(order.link_id, OrderStatus.CANCELLED)
    line._url = line._url.replace("/v5/elsewhere", "/v5/trade")
    await eventually(lambda: house.trading.health()["trade"] >= 0, "the trade socket to come back", 20)


async def test_a_venue_without_order_sockets_is_served_over_rest(house: House) -> None:
    # As Bybit's demo trading is.
    hosts = single_host(house.address)
    demo = BybitHosts(hosts.rest, hosts.market_rest, hosts.public, hosts.private, None)
    await house.trading.close()
    async with connected(house, demo), attached(house, house.listed(Market.SPOT)) as bot:
        assert house.trading.health().keys() == {"private"}
        order = bot.order()
        await bot.rest(order)
        lost = bot.order()
        house.venue.faults.lose_answers(1)
        await bot.submit(lost)
        await bot.heard(lost.link_id, OrderInDoubt)
        assert placements(house)[lost.link_id] == 1


async def test_requests_that_could_not_leave_are_sent_when_the_venue_is_back(house: House, bot: Bot) -> None:
    away = asyncio.create_task(house.venue.restart(away_s=0.6))
    await eventually(lambda: house.trading.health() == {"private": -1, "trade": -1}, "both sockets to be down")
    orders = [bot.order(below=1_000 + number) for number in range(5)]
    await bot.submit(*orders)
    await away
    for order in orders:
        await bot.heard(order.link_id, OrderAccepted)
    assert not [fact for fact in bot.facts if isinstance(fact, OrderInDoubt | OrderRejected)]
    assert set(placements(house).values()) == {1}
    await eventually(lambda: bot.gaps > 0, "the notice of a gap")


@pytest.mark.parametrize(
    ("code", "accepted"), [(10006, False), (10006, True), (10016, True), (10429, True), (429, False)]
)
async def test_an_ambiguous_code_is_a_doubt_that_only_a_look_up_settles(
    house: House, bot: Bot, code: int, accepted: bool
) -> None:
    order = bot.order()
    house.venue.faults.refuse(code, accepted=accepted)
    await bot.submit(order)
    await bot.heard(order.link_id, OrderInDoubt)
    assert not bot.of(order.link_id, OrderRejected)
    found = await house.trading.find_order(bot.instrument, order.link_id)
    assert (found is not None) is accepted
    # After the pause that the code asks for, the way is open again.
    await bot.rest(bot.order())


async def test_nothing_found_is_not_believed_while_the_order_can_still_arrive(house: House, bot: Bot) -> None:
    order = bot.order()
    house.venue.faults.refuse(10016)
    asked = asyncio.get_running_loop().time()
    await bot.submit(order)
    await bot.heard(order.link_id, OrderInDoubt)
    assert await house.trading.find_order(bot.instrument, order.link_id) is None
    # The receive window of the order, and a second for the venue to show it.
    assert asyncio.get_running_loop().time() - asked >= 2.0


async def test_a_venue_clock_that_jumps_is_measured_anew_and_no_order_is_lost(house: House, bot: Bot) -> None:
    for offset_ms in (-30_000, 45_000):
        house.venue.faults.set_clock_offset(offset_ms)
        orders = [bot.order(below=1_000 + number) for number in range(3)]
        for order in orders:
            await bot.submit(order)
        for order in orders:
            await bot.heard(order.link_id, OrderAccepted)
            assert not bot.of(order.link_id, OrderRejected)
        assert await house.trading.balances(Market.SPOT)


async def test_a_burst_keeps_to_the_limits_without_a_single_refusal(house: House, bot: Bot) -> None:
    orders = [bot.order(below=1_000 + number) for number in range(50)]
    await bot.submit(*orders)
    for order in orders:
        await bot.report(order.link_id, OrderStatus.OPEN)
    assert not [fact for fact in bot.facts if isinstance(fact, OrderInDoubt | OrderRejected)]


async def test_single_submits_are_gathered_into_batches_when_the_limit_is_reached(house: House, bot: Bot) -> None:
    orders = [bot.order(below=1_000 + number) for number in range(25)]
    for order in orders:
        await bot.submit(order)
    for order in orders:
        await bot.report(order.link_id, OrderStatus.OPEN)
    assert not [fact for fact in bot.facts if isinstance(fact, OrderInDoubt | OrderRejected)]


async def test_cancels_do_not_wait_behind_placements(house: House, bot: Bot) -> None:
    first = bot.order()
    await bot.rest(first)
    orders = [bot.order(below=1_100 + number) for number in range(100)]
    await bot.submit(*orders)
    await bot.submit(CancelOrder(first.link_id))
    await bot.report(first.link_id, OrderStatus.CANCELLED)
    assert len(placements(house)) < 100, "the cancel waited for all placements"
    house.trading.detach(bot.prefix)
    house.trading.attach(bot.prefix, bot.instrument, bot.on_fact, bot.on_gap)


async def test_detaching_drops_what_a_bot_still_had_in_the_queue(house: House) -> None:
    instrument = house.listed(Market.LINEAR)
    bot = Bot(house, instrument)
    house.trading.attach(bot.prefix, instrument, bot.on_fact, bot.on_gap)
    await bot.submit(*(bot.order(below=1_000 + number) for number in range(100)))
    house.trading.detach(bot.prefix)
    await asyncio.sleep(0.2)
    left = len(placements(house))
    assert left < 100
    await asyncio.sleep(1.5)
    assert len(placements(house)) == left


async def test_a_queued_placement_of_a_bot_that_lost_its_right_never_leaves_but_its_cancels_do(
    house: House,
) -> None:
    bot, may_place = Bot(house, house.listed(Market.LINEAR)), True
    house.trading.attach(bot.prefix, bot.instrument, bot.on_fact, bot.on_gap, lambda: may_place)
    first = bot.order()
    await bot.rest(first)
    await bot.submit(*(bot.order(below=1_100 + number) for number in range(60)))
    may_place = False
    await bot.submit(CancelOrder(first.link_id))
    await bot.report(first.link_id, OrderStatus.CANCELLED)
    await asyncio.sleep(1.5)
    # Thirty (ten single, twenty in a batch) were on their way already; the next second's allowance was not used.
    assert len(placements(house)) <= 30


async def test_bots_of_one_account_share_its_limits(house: House, bot: Bot) -> None:
    async with attached(house, bot.instrument) as other:
        mine = [bot.order(below=1_000 + number) for number in range(20)]
        theirs = [other.order(below=1_000 + number) for number in range(20)]
        await asyncio.gather(bot.submit(*mine), other.submit(*theirs))
        for who, orders in ((bot, mine), (other, theirs)):
            for order in orders:
                await who.report(order.link_id, OrderStatus.OPEN)
            assert not [fact for fact in who.facts if isinstance(fact, OrderInDoubt | OrderRejected)]


async def test_missed_private_messages_are_found_by_asking(house: House, bot: Bot) -> None:
    since_ms = Instant(now_ms() - 1_000)
    order = bot.order()
    await bot.rest(order)
    house.venue.faults.miss_messages(2)
    house.trade(bot.instrument, order.ticks - 1)
    await asyncio.sleep(0.2)
    assert not bot.of(order.link_id, Execution)
    listed = await house.trading.executions(bot.instrument, bot.prefix, since_ms)
    assert [fact.link_id for fact in listed if isinstance(fact, Execution)] == [order.link_id]
    found = await house.trading.find_order(bot.instrument, order.link_id)
    assert found is not None
    assert found.status is OrderStatus.FILLED


async def test_a_line_that_says_nothing_is_closed_and_made_anew(house: House) -> None:
    await house.trading.close()
    # Pings an hour apart: to the watchdog the line is as silent as a dead one.
    async with (
        connected(house, ping_s=3600.0, stale_s=0.6),
        attached(house, house.listed(Market.LINEAR)) as bot,
    ):
        await eventually(lambda: bot.gaps >= 1, "the watchdog")


async def test_pings_keep_a_quiet_line_up(house: House) -> None:
    await house.trading.close()
    async with connected(house, ping_s=0.1, stale_s=0.6), attached(house, house.listed(Market.LINEAR)) as bot:
        await asyncio.sleep(1.5)
        assert bot.gaps == 0
        assert all(0 <= silent_ms < 600 for silent_ms in house.trading.health().values())


async def test_a_wrong_key_is_refused_at_the_door_and_shown_nowhere(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    trading = BybitTrading(single_host(house.address), ApiKey("wrong-key-xyz", "wrong-secret-xyz"))
    with caplog.at_level(logging.DEBUG), pytest.raises(Rejected) as refused:
        await trading.connect()
    assert refused.value.reason is RejectReason.PERMISSION
    with pytest.raises(Rejected):
        await trading.balances(Market.SPOT)
    with pytest.raises(Rejected):
        await trading.permissions()
    await trading.close()
    assert "xyz" not in caplog.text
    assert "xyz" not in str(refused.value) + repr(trading)


async def test_a_venue_that_is_away_is_retryable_at_connect() -> None:
    trading = BybitTrading(single_host("http://127.0.0.1:9"), KEY, connect_timeout_s=1.0)
    with pytest.raises(Retryable):
        await trading.connect()
    await trading.close()


async def test_a_ban_stops_everything() -> None:
    async with open_house(Limits(ip_per_5s=12)) as house, connected(house) as trading:
        answers = await asyncio.gather(*(trading.balances(Market.SPOT) for _ in range(20)), return_exceptions=True)
        assert any(isinstance(answer, Retryable) for answer in answers)
        # From now on nothing is even tried, neither questions nor orders.
        with pytest.raises(Retryable, match="banned"):
            await trading.balances(Market.SPOT)
        bot = Bot(house, house.listed(Market.LINEAR))
        trading.attach(bot.prefix, bot.instrument, bot.on_fact, bot.on_gap)
        await bot.submit(bot.order())
        await asyncio.sleep(0.3)
        assert bot.facts == []
        assert not placements(house)


async def test_closing_drops_the_queue_and_reports_what_was_on_its_way(house: House) -> None:
    instrument = house.listed(Market.LINEAR)
    bot = Bot(house, instrument)
    house.trading.attach(bot.prefix, instrument, bot.on_fact, bot.on_gap)
    house.venue.faults.delay_answers(5.0)
    order = bot.order()
    await bot.submit(order)
    await eventually(lambda: placements(house)[order.link_id] == 1, "the venue's books")
    await house.trading.close()
    assert [type(fact) for fact in bot.facts if not isinstance(fact, OrderReport)] == [OrderInDoubt]


async def test_many_doubts_are_settled_together_each_named_twice_at_most(
    house: House, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: Counter[str] = Counter()
    ask = house.trading.ask_order  # type: ignore[attr-defined]  # Not of the port: what look-ups ask the adapter.

    async def counted(instrument: Instrument, link_id: LinkId) -> OrderReport | None:
        named[link_id] += 1
        return await ask(instrument, link_id)

    monkeypatch.setattr(house.trading, "ask_order", counted)
    resting = [bot.order(below=1_000 + number) for number in range(30)]
    house.place(bot.instrument, resting)
    never = [bot.link_id() for _ in range(10)]
    bot.facts.clear()
    await bot.submit(*(LookUpOrder(order.link_id) for order in resting), *(LookUpOrder(name) for name in never))
    for order in resting:
        await bot.heard(order.link_id, OrderReport)
    for link_id in never:
        await bot.heard(link_id, OrderAbsent)
    assert not set(named) & {order.link_id for order in resting}, "the list of open orders has told of them"
    assert set(named) == set(never)
    assert max(named.values()) <= 2
