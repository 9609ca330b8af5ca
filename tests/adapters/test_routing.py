"""Facts find their bot, one by one and in order, whoever delivers them."""

import pytest

from adapters.exchanges.routing import Route, Routes
from engine.ids import Instant, LinkId
from engine.trading.orders import OrderAbsent, OrderFact
from tests.adapters.bybit.test_codec import instrument


class Bot:
    """A sink that remembers, and can answer a fact with another one at once."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.inside = 0
        self.answers: dict[str, str] = {}
        self.way: Route[None]

    def on_fact(self, fact: OrderFact, at_ms: Instant) -> None:
        self.inside += 1
        assert self.inside == 1, "the sink was entered twice at a time"
        link = fact.link_id  # type: ignore[union-attr]
        self.heard.append(link)
        if link in self.answers:
            self.way.deliver(absent(self.answers[link]), at_ms)
        self.inside -= 1
        if link == "bad":
            raise RuntimeError("a bot's mistake")

    async def on_gap(self) -> None:
        """Nothing is missed here."""


def route(prefix: str, bot: Bot) -> Route[None]:
    return Route(prefix, instrument(), None, bot.on_fact, bot.on_gap)


def absent(link_id: str) -> OrderAbsent:
    return OrderAbsent(LinkId(link_id))


def test_a_fact_that_a_bot_causes_waits_until_the_bot_has_finished_with_the_one_before() -> None:
    bot = Bot()
    bot.way = route("tg-a_", bot)
    bot.answers = {"1": "2", "2": "3"}
    bot.way.deliver(absent("1"), Instant(1))
    bot.way.deliver(absent("4"), Instant(2))
    assert bot.heard == ["1", "2", "3", "4"]


def test_a_bots_mistake_does_not_stop_what_comes_after() -> None:
    bot = Bot()
    way = route("tg-a_", bot)
    way.deliver(absent("bad"), Instant(1))
    way.deliver(absent("good"), Instant(2))
    assert bot.heard == ["bad", "good"]


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
