"""Where the time goes between a final block and its payouts: marks of the engine, and the devnet's own time.

Everything runs in one thread, the devnet too. So what the devnet takes to answer is measured at its door, and can
be taken away from any stretch of wall time: what is left is the engine, with its database, disk and waiting.
"""

import time
from typing import Any

import msgspec
import orjson

from adapters.chains.rpc import Answer
from adapters.chains.tron.devnet.devnet import Devnet
from engine.errors import OutcomeUnknown

_HEAD = "walletsolidity/getblock"
_BROADCAST = "wallet/broadcasthex"

FINAL, SEEN, HANDED = "final", "seen", "handed over"


class Moment(msgspec.Struct, frozen=True):
    """A point in time: of the wall, and what of it the devnet has used up."""

    wall_ns: int
    devnet_ns: int

    def since(self, earlier: "Moment") -> "Moment":
        """Give the stretch from an earlier moment to this one."""
        return Moment(self.wall_ns - earlier.wall_ns, self.devnet_ns - earlier.devnet_ns)

    @property
    def engine_ns(self) -> int:
        """Give what of a stretch was not the devnet's."""
        return self.wall_ns - self.devnet_ns


class Stopwatch:
    """Marks of one run, in their order, and when each transaction's bytes were first handed to the transport."""

    def __init__(self) -> None:
        self.devnet_ns = 0
        self.marks: list[tuple[str, Moment]] = []
        self.handed: dict[str, Moment] = {}
        """By the bytes in hex, as they are sent."""
        self._awaited: int | None = None

    def now(self) -> Moment:
        """Tell the time."""
        return Moment(time.perf_counter_ns(), self.devnet_ns)

    def begin(self, block: int) -> None:
        """Start a run: this block has just become final."""
        self.marks, self.handed = [(FINAL, self.now())], {}
        self._awaited = block

    def mark(self, name: str) -> None:
        """Note that the engine has come to a point. Fits where the simulation lets the engine crash."""
        self.marks.append((name, self.now()))

    def hand_over(self, content: str) -> None:
        """Note that bytes leave; only the first time counts."""
        if content not in self.handed:
            self.handed[content] = self.now()

    def saw_head(self, number: int) -> None:
        """Note that a node has told its final head."""
        if self._awaited is not None and number >= self._awaited:
            self._awaited = None
            self.mark(SEEN)


class DevnetTransport:
    """Fulfils `adapters.chains.rpc.Transport`: carries questions to the devnet, and stops the time it takes.

    The devnet's time is its answer and the JSON it writes; reading the JSON is the engine's, as it is behind HTTP.
    """

    def __init__(self, devnet: Devnet, stopwatch: Stopwatch) -> None:
        self._devnet = devnet
        self._stopwatch = stopwatch

    async def post(self, node: str, path: str, body: dict[str, Any]) -> Answer:
        """Ask one node."""
        if path == _BROADCAST:
            self._stopwatch.hand_over(body["transaction"])
        began = time.perf_counter_ns()
        answered = self._devnet.node(node).answer(path, body)
        content = msgspec.json.encode(answered.json)
        self._stopwatch.devnet_ns += time.perf_counter_ns() - began
        if answered.status != 200:
            raise OutcomeUnknown(f"{node} answered {answered.status}")
        answer: Answer = orjson.loads(content)
        if path == _HEAD and "id_or_num" not in body and isinstance(answer, dict):
            self._stopwatch.saw_head(answer["block_header"]["raw_data"].get("number", 0))
        return answer
