"""The nodes of one network: which are healthy, which rest, and what each of them says.

A pool sends questions and keeps count; what an answer means is its chain's business. It decides nothing about
money: what needs two witnesses is asked with `agreed` or `each`, and of nodes that contradict each other none is
believed. Each network has a pool of its own, so that a gateway which refuses one network's questions delays nobody
else's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from engine.errors import OutcomeUnknown, Rejected, Retryable, VenueError
from engine.ids import Instant

Answer = dict[str, Any] | list[Any]
Clock = Callable[[], Instant]
OnTrouble = Callable[[str, str], None]
"""Called with an alarm's kind (`rpc_down`, `rpc_lag`, `rpc_disagreement`) and what was seen, in words."""

QUORUM = 2
"""Independent nodes that must say the same before it is believed, where that many are configured."""
_REST_MS_FIRST, _REST_MS_LONGEST = 500, 30_000
_FAILURES_UNTIL_DOWN = 5
_SMOOTHING = 0.2
_T = TypeVar("_T")


class Transport(Protocol):
    """How a question reaches a node."""

    async def post(self, node: str, path: str, body: dict[str, Any]) -> Answer:
        """Ask one node. `Retryable`: it did not get the question. `OutcomeUnknown`: it may have acted on it.
        `Rejected`: it will not have it, however often it is asked."""
        ...


class NodeHealth(msgspec.Struct, frozen=True):
    """What is known of a node."""

    name: str
    is_resting: bool
    failures: int
    """In a row."""
    latency_ms: float
    """Smoothed over the last answers."""
    head: int
    """Its final head, when it was last asked."""
    lag: int
    """How many blocks the newest of the other nodes is ahead."""
    last_error: str


class _Node:
    def __init__(self, name: str) -> None:
        self.name = name
        self.failures = 0
        self.rests_until = 0
        self.rest_ms = 0
        self.latency_ms = 0.0
        self.head = 0
        self.last_error = ""

    def rest_left_ms(self, now: Instant) -> int:
        """Give how long it still rests. A clock that jumped back does not lengthen the rest."""
        return max(0, min(self.rests_until - now, self.rest_ms))


class NodePool:
    """The main node of a network and its fallbacks, in this order of preference."""

    def __init__(
        self,
        network: str,
        nodes: Sequence[str],
        transport: Transport,
        clock: Clock,
        on_trouble: OnTrouble,
        lag_blocks_max: int = 40,
    ) -> None:
        """`lag_blocks_max`: how far a node may be behind the newest before it is reported."""
        if not nodes or len(set(nodes)) != len(nodes):
            raise ValueError("a network needs nodes, each with a name of its own")
        self.network = network
        self._transport, self._clock, self._on_trouble = transport, clock, on_trouble
        self._nodes = {name: _Node(name) for name in nodes}
        self._lag_blocks_max = lag_blocks_max

    @property
    def names(self) -> tuple[str, ...]:
        """Give all nodes, the preferred first."""
        return tuple(self._nodes)

    @property
    def quorum(self) -> int:
        """Give how many nodes must agree: two, or the only one."""
        return min(QUORUM, len(self._nodes))

    async def ask(self, name: str, path: str, body: dict[str, Any], read: Callable[[Answer], _T]) -> _T:
        """Ask one node and read its answer; `Retryable` at once while it rests.

        `read` raises ValueError for an answer that makes no sense: the node is then counted as failed.
        """
        node, asked_at = self._nodes[name], self._clock()
        if rest_ms := node.rest_left_ms(asked_at):
            raise Retryable(f"{name} rests after {node.last_error}", rest_ms)
        try:
            answer = await self._transport.post(name, path, body)
            result = read(answer)
        except (Retryable, OutcomeUnknown) as error:
            self._failed(node, error)
            raise
        except Rejected as error:
            # It will not serve us: an expired key of the main node must not stop what the fallback could answer.
            raise self.spoilt(name, str(error)) from error
        except ValueError as error:
            raise self.spoilt(name, f"{path}: {error}") from error
        node.failures, node.rests_until, node.last_error = 0, 0, ""
        node.latency_ms += _SMOOTHING * (self._clock() - asked_at - node.latency_ms)
        return result

    async def first(self, question: Callable[[str], Awaitable[_T]]) -> _T:
        """Put a question to one node after another until one has answered it. For what needs no second witness."""
        last: VenueError | None = None
        for name in self._in_order():
            try:
                return await question(name)
            except (Retryable, OutcomeUnknown) as error:
                last = error
        raise Retryable(f"no node of {self.network} answers: {last}", self._rest_left_ms()) from last

    async def each(
        self, question: Callable[[str], Awaitable[_T]], names: Iterable[str] | None = None
    ) -> dict[str, _T | VenueError]:
        """Put a question to these nodes at once, or to all; one that fails is answered for by its error."""

        async def one(name: str) -> _T | VenueError:
            try:
                return await question(name)
            except VenueError as error:
                return error

        asked = list(self._nodes if names is None else names)
        return dict(zip(asked, await asyncio.gather(*map(one, asked)), strict=True))

    async def agreed(self, question: Callable[[str], Awaitable[_T]], what: str) -> _T:
        """Put a question to as many nodes as must agree, and to the next where one fails; give their one answer.

        Raise `Retryable` when too few answer, and when two answers differ (which is reported too).
        """
        answers: dict[str, _T] = {}
        errors: list[VenueError] = []
        waiting = self._in_order()
        while waiting and len(answers) < self.quorum:
            missing = self.quorum - len(answers)
            asked, waiting = waiting[:missing], waiting[missing:]
            for name, answer in (await self.each(question, asked)).items():
                if isinstance(answer, VenueError):
                    errors.append(answer)
                else:
                    answers[name] = answer
        if len(answers) < self.quorum:
            raise Retryable(f"{what}: too few nodes of {self.network} answer: {errors[-1]}", self._rest_left_ms())
        one, *others = answers.values()
        if any(other != one for other in others):
            raise self.disagree(f"{what} is not the same on {' and '.join(answers)}")
        return one

    def saw_head(self, name: str, number: int) -> None:
        """Remember a node's final head; report it while it is far behind the others."""
        node = self._nodes[name]
        node.head = number
        if (lag := self._lag(node)) > self._lag_blocks_max:
            self._on_trouble("rpc_lag", f"{name} is {lag} blocks behind the newest node of {self.network}")

    def head_seen(self, name: str) -> int:
        """Give a node's final head as it last told it, 0 before."""
        return self._nodes[name].head

    def spoilt(self, name: str, what: str) -> Retryable:
        """Count an answer that cannot be used as a failure of its node; give the error to raise."""
        error = Retryable(f"{name}: {what}")
        self._failed(self._nodes[name], error)
        return error

    def disagree(self, what: str) -> Retryable:
        """Report that nodes contradict each other; give the error to raise. Nothing is decided meanwhile."""
        self._on_trouble("rpc_disagreement", f"{self.network}: {what}")
        return Retryable(f"the nodes of {self.network} disagree: {what}", _REST_MS_FIRST)

    def health(self) -> tuple[NodeHealth, ...]:
        """Give what is known of each node, the preferred first."""
        now = self._clock()
        return tuple(
            NodeHealth(
                name=node.name,
                is_resting=node.rest_left_ms(now) > 0,
                failures=node.failures,
                latency_ms=node.latency_ms,
                head=node.head,
                lag=self._lag(node),
                last_error=node.last_error,
            )
            for node in self._nodes.values()
        )

    def _in_order(self) -> list[str]:
        """Give the nodes as they are preferred, but those that rest or are far behind two others last: one that
        makes a head up does not come first by it."""
        now = self._clock()
        heads = sorted((node.head for node in self._nodes.values()), reverse=True)
        newest_of_two = heads[self.quorum - 1]

        def drawback(node: _Node) -> tuple[bool, bool]:
            return node.rest_left_ms(now) > 0, newest_of_two - node.head > self._lag_blocks_max

        return [node.name for node in sorted(self._nodes.values(), key=drawback)]

    def _lag(self, node: _Node) -> int:
        return max(other.head for other in self._nodes.values()) - node.head

    def _failed(self, node: _Node, error: VenueError) -> None:
        now = self._clock()
        node.last_error = str(error)
        if node.rest_left_ms(now):
            return  # A question that was under way when the node failed: the same failure, seen once more.
        node.failures += 1
        node.rest_ms = min(_REST_MS_FIRST << min(node.failures - 1, 16), _REST_MS_LONGEST)
        if isinstance(error, Retryable):
            node.rest_ms = max(node.rest_ms, min(error.retry_after_ms, _REST_MS_LONGEST))
        node.rests_until = now + node.rest_ms
        if node.failures == _FAILURES_UNTIL_DOWN:
            self._on_trouble("rpc_down", f"{node.name} of {self.network} failed {node.failures} times: {error}")

    def _rest_left_ms(self) -> int:
        now = self._clock()
        return min(node.rest_left_ms(now) for node in self._nodes.values())
