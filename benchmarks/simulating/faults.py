"""What may go wrong at each edge of the engine, drawn from one seed, and the edges at which it does.

An edge behaves as its real counterpart may at its worst, never worse: a cut connection has committed or has not, a
crash keeps what was written and nothing else. Production code runs unchanged between the edges.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from random import Random

import msgspec

from benchmarks.simulating.trace import Trace
from engine.errors import OutcomeUnknown
from storage.database import Connection, Database


class Crash(BaseException):
    """The process is gone. Not an Exception: no handler of the engine may keep it alive."""


class Odds(msgspec.Struct, frozen=True):
    """How often things go wrong, per thousand chances."""

    broadcast: int = 450
    """Of the broadcasts, how many meet anything but a plain answer."""
    read_fails: int = 25
    empty_list: int = 15
    commit_cut: int = 12
    crash: int = 18
    """Per crash point passed."""
    split_brain: int = 500
    """Of the crashes, how many leave the old life running beside the new one for some turns."""
    node_changes: int = 120
    """Per node and step: begins to lag, flaps, falls onto another fork or comes back."""
    reorganisation: int = 60
    clock_jump: int = 30
    energy_out: int = 30
    people: int = 60
    """Per step: somebody freezes, lifts, revokes, approves twice."""


CALM = Odds(**{name: 0 for name in Odds.__struct_fields__})


class Broadcast(StrEnum):
    """What becomes of bytes that are handed to a node, and what the caller hears."""

    OK = "ok"
    TIMEOUT_ACCEPTED = "timeout, accepted"
    TIMEOUT_LATE = "timeout, late"
    TIMEOUT_DROPPED = "timeout, dropped"
    ERROR_ACCEPTED = "error, accepted"
    DUPLICATE_NOT_ACCEPTED = "duplicate, not accepted"
    BUSY = "busy"
    SERVER_ERROR = "5xx"
    RATE_LIMITED = "429"


UNCLEAR = tuple(outcome for outcome in Broadcast if outcome is not Broadcast.OK)


class Dice:
    """One seed's luck. Every throw that hits is counted under its name."""

    def __init__(self, seed: int, odds: Odds, trace: Trace) -> None:
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
    """The named places at which a process may die. One for each life, so that a ghost's luck is its own."""

    def __init__(self, who: str, decide: Callable[[str], bool], seen: Counter[str], hit: Counter[str]) -> None:
        self._who = who
        self._decide = decide
        self._seen = seen
        self._hit = hit

    def __call__(self, name: str) -> None:
        """Die here, or go on."""
        self._seen[f"{self._who}:{name}"] += 1
        if self._decide(f"{self._who}:{name}"):
            self._hit[f"{self._who}:{name}"] += 1
            raise Crash(name)


class CutDatabase(Database):
    """The engine's own door to PostgreSQL; some of its commits lose their answer, with the work done or not."""

    def __init__(self, dsn: str, dice: Dice, *, pool_size: int = 2, name: str = "simulated") -> None:
        super().__init__(dsn, pool_size=pool_size, name=name)
        self._dice = dice

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Do everything inside or nothing, and sometimes do not say which."""
        lost = self._dice.hits(self._dice.odds.commit_cut)
        done = lost and self._dice.hits(500)
        try:
            async with super().transaction() as connection:
                yield connection
                if lost and not done:
                    raise _Cut
        except _Cut:
            self._dice.note("commit not done, answer lost")
            raise OutcomeUnknown("the commit got no definite answer: the connection was cut before it") from None
        if done:
            self._dice.note("commit done, answer lost")
            raise OutcomeUnknown("the commit got no definite answer: the connection was cut after it")

    def tear(self) -> None:
        """Drop every connection as a dying process does: nothing is rolled back politely."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()


class _Cut(BaseException):
    pass
