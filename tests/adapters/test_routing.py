"""Facts find their bot, one by one and in order, whoever delivers them."""

import asyncio

import pytest

from adapters.exchanges.routing import Route, Routes
from engine.ids import Instant, LinkId
from engine.trading.orders import OrderAbsent, OrderFact
from tests.adapters.bybit.test_codec import instrument


class Bot:
    """A sink that can be made to wait."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.inside = 0
        self.gaps = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def on_fact(self, fact: OrderFact, at_ms: Instant) -> None:
        self.inside += 1
        assert self.inside == 1, "the sink was entered twice at a time"
        await self.go_on.wait()
        self.heard.append(fact.link_id)  # type: ignore[union-attr]
        self.inside -= 1
        if fact.link_id == "bad":  # type: ignore[union-attr]
            raise RuntimeError("a bot's mistake")

    async def on_gap(self) -> None:
        self.gaps += 1


def route(prefix: str, bot: Bot) -> Route[None]:
    return Route(prefix, instrument(), None, bot.on_fact, bot.on_gap)


def absent(link_id: str) -> OrderAbsent:
    return OrderAbsent(LinkId(link_id))


async def test_facts_from_two_readers_arrive_one_by_one_in_order() -> None:
    bot = Bot()
    bot.go_on.clear()
    way = route("tg-a_", bot)
    first = asyncio.create_task(way.deliver(absent("1"), Instant(1)))
    await asyncio.sleep(0)
    await way.deliver(absent("2"), Instant(2))  # Another reader: it does not wait for the bot.
    await way.deliver(absent("3"), Instant(3))
    assert bot.heard == []
    bot.go_on.set()
    await first
    assert bot.heard == ["1", "2", "3"]


async def test_a_bots_mistake_does_not_stop_what_comes_after() -> None:
    bot = Bot()
    way = route("tg-a_", bot)
    await way.deliver(absent("bad"), Instant(1))
    await way.deliver(absent("good"), Instant(2))
    assert bot.heard == ["bad", "good"]


async def test_a_bot_that_hangs_is_told_of_the_gap_instead_of_filling_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("adapters.exchanges.routing._WAITING_MAX", 2)
    bot = Bot()
    bot.go_on.clear()
    way = route("tg-a_", bot)
    first = asyncio.create_task(way.deliver(absent("1"), Instant(1)))
    await asyncio.sleep(0)
    for number in range(2, 6):
        await way.deliver(absent(str(number)), Instant(number))
    bot.go_on.set()
    await first
    assert bot.heard == ["1", "2", "3"]
    assert bot.gaps == 1


def test_orders_go_to_the_bot_whose_prefix_they_carry_and_foreign_ones_to_nobody() -> None:
    routes: Routes[None] = Routes()
    a, b = route("tg-a_", Bot()), route("tg-bb_", Bot())
    routes.add(a)
    routes.add(b)
    assert routes.of("tg-a_1_0_b") is a
    assert routes.of("tg-bb_1_0_b") is b
    assert routes.of("tg-c_1_0_b") is None
    assert routes.of("") is None
    routes.remove("tg-a_")
    assert routes.of("tg-a_1_0_b") is None


def test_a_prefix_is_attached_once_and_never_empty() -> None:
    routes: Routes[None] = Routes()
    routes.add(route("tg-a_", Bot()))
    with pytest.raises(ValueError, match="attached already"):
        routes.add(route("tg-a_", Bot()))
    with pytest.raises(ValueError, match="every order"):
        routes.add(route("", Bot()))
