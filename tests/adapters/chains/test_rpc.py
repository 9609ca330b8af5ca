"""A pool asks, rests what fails, and tells how its nodes are; it never lets one network's trouble be another's."""

import asyncio
from typing import Any

import pytest

from adapters.chains.rpc import Answer, NodePool
from engine.errors import OutcomeUnknown, Rejected, RejectReason, Retryable, VenueError
from engine.ids import Instant


class Nodes:
    """Nodes that answer their name, or what a test has set for them."""

    def __init__(self, *names: str) -> None:
        self.now_ms = 1_000_000
        self.takes_ms = 0
        self.faults: dict[str, Exception] = {}
        self.asked: list[str] = []
        self.troubles: list[tuple[str, str]] = []
        self.pool = NodePool(
            "tron", names, self, lambda: Instant(self.now_ms), lambda *what: self.troubles.append(what)
        )

    async def post(self, node: str, path: str, body: dict[str, Any]) -> Answer:
        self.asked.append(node)
        self.now_ms += self.takes_ms
        await asyncio.sleep(0)
        if node in self.faults:
            raise self.faults[node]
        return {"node": node}

    async def name(self, node: str) -> str:
        return await self.pool.ask(node, "name", {}, lambda answer: str(answer["node"]))

    def health(self, name: str):
        return next(health for health in self.pool.health() if health.name == name)


async def test_the_preferred_node_answers_while_it_can() -> None:
    nodes = Nodes("main", "fallback")
    assert [await nodes.pool.first(nodes.name) for _ in range(3)] == ["main"] * 3
    nodes.faults["main"] = OutcomeUnknown("timeout")
    assert await nodes.pool.first(nodes.name) == "fallback"
    assert await nodes.pool.first(nodes.name) == "fallback"
    assert nodes.asked.count("main") == 4, "it rests after it failed"
    nodes.faults.clear()
    nodes.now_ms += 500
    assert await nodes.pool.first(nodes.name) == "main"


async def test_rests_grow_to_half_a_minute_and_end_with_the_first_answer() -> None:
    nodes = Nodes("main")
    nodes.faults["main"] = OutcomeUnknown("timeout")
    rests = []
    for _ in range(9):
        with pytest.raises(VenueError):
            await nodes.name("main")
        before = nodes.now_ms
        while nodes.health("main").is_resting:
            nodes.now_ms += 500
        rests.append(nodes.now_ms - before)
    assert rests == [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]
    nodes.faults.clear()
    await nodes.name("main")
    assert nodes.health("main").failures == 0


async def test_a_node_that_says_when_to_come_again_is_left_alone_until_then() -> None:
    nodes = Nodes("main")
    nodes.faults["main"] = Retryable("too many questions", 20_000)
    with pytest.raises(Retryable):
        await nodes.name("main")
    nodes.now_ms += 19_999
    with pytest.raises(Retryable, match="rests") as refused:
        await nodes.name("main")
    assert refused.value.retry_after_ms == 1
    assert nodes.asked == ["main"]


async def test_questions_under_way_together_are_one_failure() -> None:
    nodes = Nodes("main")
    nodes.faults["main"] = OutcomeUnknown("timeout")
    await asyncio.gather(*(nodes.name("main") for _ in range(32)), return_exceptions=True)
    assert nodes.health("main").failures == 1
    assert nodes.troubles == []


async def test_a_node_that_keeps_failing_is_reported_once() -> None:
    nodes = Nodes("main", "fallback")
    nodes.faults["main"] = OutcomeUnknown("timeout")
    for _ in range(8):
        await nodes.pool.first(nodes.name)
        nodes.now_ms += 30_000
    assert [kind for kind, _ in nodes.troubles] == ["rpc_down"]
    assert "main of tron failed 5 times" in nodes.troubles[0][1]
    health = nodes.health("main")
    assert (health.failures, health.last_error) == (8, "timeout")


async def test_an_answer_that_makes_no_sense_is_a_failure_like_silence() -> None:
    nodes = Nodes("main")

    def read(answer: Answer) -> str:
        raise ValueError("no block")

    for _ in range(5):
        with pytest.raises(Retryable, match="main: name: no block"):
            await nodes.pool.ask("main", "name", {}, read)
        nodes.now_ms += 30_000
    assert [kind for kind, _ in nodes.troubles] == ["rpc_down"]


async def test_a_node_that_does_not_let_us_in_is_passed_over() -> None:
    nodes = Nodes("main", "fallback")
    nodes.faults["main"] = Rejected(RejectReason.PERMISSION, "the key has expired")
    assert await nodes.pool.first(nodes.name) == "fallback"
    assert nodes.health("main").last_error == "main: the key has expired"


async def test_what_the_question_itself_refuses_is_refused_everywhere() -> None:
    nodes = Nodes("main", "fallback")

    async def no_token(name: str) -> str:
        await nodes.name(name)
        raise Rejected(RejectReason.OTHER, "this contract is no token")

    with pytest.raises(Rejected):
        await nodes.pool.first(no_token)
    assert nodes.asked == ["main"]
    assert nodes.health("main").failures == 0


async def test_when_nobody_answers_the_caller_learns_when_to_come_again() -> None:
    nodes = Nodes("main", "fallback")
    nodes.faults = {"main": Retryable("busy", 9_000), "fallback": Retryable("busy", 3_000)}
    with pytest.raises(Retryable, match="no node of tron answers") as refused:
        await nodes.pool.first(nodes.name)
    assert refused.value.retry_after_ms == 3_000


async def test_an_agreement_needs_two_and_takes_the_next_where_one_fails() -> None:
    nodes = Nodes("one", "two", "three")

    async def same(name: str) -> int:
        await nodes.name(name)
        return 7

    assert await nodes.pool.agreed(same, "the number") == 7
    assert nodes.asked == ["one", "two"]
    nodes.faults["one"] = OutcomeUnknown("timeout")
    nodes.asked.clear()
    assert await nodes.pool.agreed(same, "the number") == 7
    assert nodes.asked == ["one", "two", "three"]
    nodes.faults["two"] = OutcomeUnknown("timeout")
    with pytest.raises(Retryable, match="the number: too few nodes"):
        await nodes.pool.agreed(same, "the number")


async def test_two_answers_that_differ_are_reported_and_none_is_given() -> None:
    nodes = Nodes("one", "two")
    with pytest.raises(Retryable, match="disagree: the name is not the same on one and two"):
        await nodes.pool.agreed(nodes.name, "the name")
    assert [kind for kind, _ in nodes.troubles] == ["rpc_disagreement"]


async def test_an_only_node_agrees_with_itself() -> None:
    nodes = Nodes("only")
    assert nodes.pool.quorum == 1
    assert await nodes.pool.agreed(nodes.name, "the name") == "only"


async def test_each_node_answers_for_itself_or_by_its_error() -> None:
    nodes = Nodes("main", "fallback")
    nodes.faults["main"] = OutcomeUnknown("timeout")
    answers = await nodes.pool.each(nodes.name)
    assert isinstance(answers["main"], OutcomeUnknown)
    assert answers["fallback"] == "fallback"


async def test_lag_is_counted_against_the_newest_and_reported_beyond_its_limit() -> None:
    nodes = Nodes("main", "fallback")
    nodes.pool.saw_head("main", 1_000)
    nodes.pool.saw_head("fallback", 960)
    assert (nodes.health("fallback").lag, nodes.troubles) == (40, [])
    nodes.pool.saw_head("fallback", 959)
    assert [kind for kind, _ in nodes.troubles] == ["rpc_lag"]


async def test_a_node_that_is_far_behind_is_asked_last() -> None:
    nodes = Nodes("one", "two", "three")
    nodes.pool.saw_head("two", 1_000)
    nodes.pool.saw_head("three", 1_000)
    nodes.pool.saw_head("one", 959)
    assert await nodes.pool.first(nodes.name) == "two"
    nodes.faults = {"two": OutcomeUnknown("timeout"), "three": OutcomeUnknown("timeout")}
    assert await nodes.pool.first(nodes.name) == "one"
    nodes.pool.saw_head("one", 990)
    nodes.faults.clear()
    nodes.now_ms += 500
    assert await nodes.pool.first(nodes.name) == "one"
    nodes.pool.saw_head("three", 10**9)
    assert await nodes.pool.first(nodes.name) == "one", "a head that only one node has moves nobody back"


async def test_latency_is_smoothed() -> None:
    nodes = Nodes("main")
    nodes.takes_ms = 100
    for _ in range(30):
        await nodes.name("main")
    assert 99 < nodes.health("main").latency_ms <= 100


async def test_a_clock_that_jumps_back_does_not_lengthen_a_rest() -> None:
    nodes = Nodes("main")
    nodes.faults["main"] = OutcomeUnknown("timeout")
    with pytest.raises(OutcomeUnknown):
        await nodes.name("main")
    nodes.now_ms -= 120_000
    with pytest.raises(Retryable) as refused:
        await nodes.name("main")
    assert refused.value.retry_after_ms == 500


async def test_one_networks_rest_is_not_anothers() -> None:
    nodes = Nodes("shared gateway")
    other = NodePool("other", ["shared gateway"], nodes, lambda: Instant(nodes.now_ms), lambda *what: None)
    nodes.faults["shared gateway"] = Retryable("too many questions", 20_000)
    with pytest.raises(Retryable):
        await nodes.name("shared gateway")
    nodes.faults.clear()
    assert await other.ask("shared gateway", "name", {}, lambda answer: answer["node"]) == "shared gateway"


@pytest.mark.parametrize("names", [(), ("one", "one")])
def test_a_pool_without_nodes_or_with_one_twice_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="name of its own"):
        Nodes(*names)
