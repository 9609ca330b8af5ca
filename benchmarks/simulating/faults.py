"""What may go wrong at each edge of the engine, drawn from one seed, and the edges at which it does.

An edge behaves as its real counterpart may at its worst, never worse: a cut connection has committed or has not, a
crash keeps what was written and nothing else. Production code runs unchanged between the edges.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import msgspec

from benchmarks.simulating.trace import Trace
from engine.errors import OutcomeUnknown, Retryable
from storage.database import Connection, Database


class Crash(BaseException):
    """The process is gone. Not an Exception: no handler of the engine may keep it alive."""


class Odds(msgspec.Struct, frozen=True):
    """How often things go wrong, per thousand chances."""

    broadcast: int = 450
    """Of the requests that hand bytes to a node, how many meet anything but a plain answer."""
    all_nodes: int = 500
    """Of those, how many meet the same at every node: the way to all of them is one cable."""
    reading: int = 25
    """Of the requests that only read: silence, 429, 5xx."""
    empty_list: int = 10
    commit_cut: int = 12
    crash: int = 12
    """Per crash point that is passed."""
    split_brain: int = 500
    """Of the crashes, how many leave the old life running beside the new one for some turns."""
    node_changes: int = 100
    """Per node and step: it begins to lag, flaps, falls onto another fork, or is well again."""
    reorganisation: int = 60
    clock_jump: int = 30
    energy_price: int = 25
    """Per step: energy becomes so dear that what is signed already runs out of it."""
    people: int = 90
    """Per step: somebody freezes, lifts, revokes, redirects, changes the cap."""
    restore: int = 0
    """Per step: the database is restored to an earlier time."""


CALM = Odds(**dict.fromkeys(Odds.__struct_fields__, 0))


class Dice:
    """One seed's luck. Every fault that happens is counted under its name."""

    def __init__(self, seed: int | str, odds: Odds, trace: Trace) -> None:
        self.random = Random(seed)  # noqa: S311  for repeating, not for secrets
        self.odds = odds
        self.counts: Counter[str] = Counter()
        self._trace = trace

    def hits(self, per_thousand: int) -> bool:
        """Throw once."""
        return per_thousand > 0 and self.random.randrange(1000) < per_thousand

    def note(self, kind: str, detail: str = "") -> None:
        """Count a fault and tell it."""
        self.counts[kind] += 1
        self._trace.add("fault", f"{kind} {detail}".rstrip())


class CrashPoints:
    """The named places at which one life may end. `decide` says where."""

    def __init__(self, who: str, decide: Callable[[str], bool], passed: Counter[str], hit: Counter[str]) -> None:
        self._who = who
        self._decide = decide
        self._passed = passed
        self._hit = hit

    def __call__(self, name: str) -> None:
        """Die here, or go on."""
        place = f"{self._who}:{name}"
        self._passed[place] += 1
        if self._decide(place):
            self._hit[place] += 1
            raise Crash(place)


class CutDatabase(Database):
    """The engine's own door to PostgreSQL; some of its commits lose their answer, with the work done or not.

    All lives draw on one pool: a connection that a dying life leaves behind is rolled back either way, and a new
    one costs more than everything that is done over it. `kills` tears real ones.
    """

    def __init__(self, house: Database, dice: Dice) -> None:
        super().__init__("", name="simulated")
        self._house = house
        self._dice = dice
        self._is_torn = False

    async def open(self) -> None:
        """Need nothing: the house is open."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Do everything inside or nothing, and sometimes do not say which."""
        is_cut = self._dice.hits(self._dice.odds.commit_cut)
        is_done = is_cut and self._dice.hits(500)
        try:
            async with super().transaction() as connection:
                yield connection
                if is_cut and not is_done:
                    raise _Cut
        except _Cut:
            self._dice.note("commit lost, answer lost")
            raise OutcomeUnknown("the commit got no definite answer: the connection was cut before it") from None
        if is_done:
            self._dice.note("commit done, answer lost")
            raise OutcomeUnknown("the commit got no definite answer: the connection was cut after it")

    def tear(self) -> None:
        """Let nothing through any more."""
        self._is_torn = True

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._is_torn:
            raise Retryable("the process is gone")
        async with self._house._connection() as connection:
            yield connection


class _Cut(BaseException):
    pass
