"""Which bot a fact belongs to, and the guarantee that each bot hears its facts one by one, in order of arrival."""

import logging
import time
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from adapters.exchanges.background import Background
from engine.ids import Instant
from engine.ports import GapSink, MayPlace, OrderSink, always
from engine.trading.instrument import Instrument
from engine.trading.orders import OrderFact

C = TypeVar("C")
log = logging.getLogger(__name__)


def local_now_ms() -> Instant:
    """Read this machine's clock."""
    return Instant(time.time_ns() // 1_000_000)


class Route(Generic[C]):
    """The way to one bot. `codec` is whatever the adapter needs to know about the bot's instrument.

    What a bot does about a fact can lead to another fact at once (a full queue refuses an order). That one waits
    until the bot has finished with the first, so its sink is never entered twice. No task, no lock.
    """

    __slots__ = (
        "_busy",
        "_on_fact",
        "_waiting",
        "codec",
        "instrument",
        "may_place",
        "on_gap",
        "open",
        "prefix",
    )

    def __init__(
        self,
        prefix: str,
        instrument: Instrument,
        codec: C,
        on_fact: OrderSink,
        on_gap: GapSink,
        may_place: MayPlace = always,
    ) -> None:
        self.prefix = prefix
        self.instrument = instrument
        self.codec = codec
        self.on_gap = on_gap
        self.may_place = may_place
        self.open = True
        self._on_fact = on_fact
        self._waiting: deque[tuple[OrderFact, Instant]] = deque()
        self._busy = False

    def deliver(self, fact: OrderFact, at_ms: Instant) -> None:
        """Give a fact to the bot, now or right after the one that it is busy with."""
        if self._busy:
            self._waiting.append((fact, at_ms))
            return
        self._busy = True
        try:
            self._hand_over(fact, at_ms)
            while self._waiting:
                self._hand_over(*self._waiting.popleft())
        finally:
            self._busy = False

    def _hand_over(self, fact: OrderFact, at_ms: Instant) -> None:
        if not self.open:
            return
        try:
            self._on_fact(fact, at_ms)
        except Exception:
            # One bot's mistake must not silence the others on the same line.
            log.exception("route.sink_failed prefix=%s fact=%s", self.prefix, type(fact).__name__)


class Routes(Generic[C]):
    """The bots of one account, by the beginning of their order ids."""

    def __init__(self) -> None:
        self._routes: dict[str, Route[C]] = {}
        self._lengths: tuple[int, ...] = ()

    def __iter__(self) -> Iterator[Route[C]]:
        return iter(tuple(self._routes.values()))

    def add(self, route: Route[C]) -> None:
        """Add a bot; raise ValueError if another one has the prefix."""
        if not route.prefix:
            raise ValueError("an empty prefix would claim every order of the account")
        if route.prefix in self._routes:
            raise ValueError(f"{route.prefix!r} is attached already")
        self._routes[route.prefix] = route
        self._measure()

    def remove(self, prefix: str) -> None:
        """Forget a bot; facts that wait for it are dropped."""
        if (route := self._routes.pop(prefix, None)) is not None:
            route.open = False
        self._measure()

    def of(self, link_id: str) -> Route[C] | None:
        """Find the bot that an order belongs to; None for orders of others."""
        for length in self._lengths:
            if (route := self._routes.get(link_id[:length])) is not None:
                return route
        return None

    def gap(self, background: Background) -> None:
        """Tell every bot that facts may have been missed, beside the reader, which must go on reading."""
        for route in self:
            background.start(_tell_gap(route), f"gap.{route.prefix}")

    def _measure(self) -> None:
        # Longest first: the more specific of two prefixes wins.
        self._lengths = tuple(sorted({len(prefix) for prefix in self._routes}, reverse=True))


async def _tell_gap(route: Route[C]) -> None:
    if route.open:
        await route.on_gap()
