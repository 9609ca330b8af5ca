"""What a network's nodes do wrong, as alarms: raised when the pool reports it, over when it has stopped.

The pool reports from the middle of a question and cannot wait for the database; the watcher settles it at the
beginning of each turn.
"""

from collections.abc import Callable, Sequence

from adapters.chains.rpc import NodeHealth
from engine.ids import Instant
from engine.money import Network
from engine.payments.alarms import AlarmKind, Severity
from storage.alarms import Alarms
from storage.database import Database

QUIET_MS = 60_000
"""So long nothing must have been reported for an alarm to be over."""

_KINDS = (AlarmKind.RPC_DOWN, AlarmKind.RPC_LAG, AlarmKind.RPC_DISAGREEMENT)


class NodeTroubles:
    """The alarms about one network's nodes. Give `saw` to the pool as its `on_trouble`, and its `health` to us."""

    def __init__(
        self,
        network: Network,
        database: Database,
        clock: Callable[[], Instant],
        health: Callable[[], Sequence[NodeHealth]] = tuple,
    ) -> None:
        self._network = network
        self._alarms = Alarms(database)
        self._clock = clock
        self._health = health
        self._seen: dict[str, tuple[Instant, str]] = {}
        """When each kind was last reported, and in which words."""
        self._raised: set[str] | None = None
        """The alarms that stand; None before the first look: an earlier life may have raised some."""

    def saw(self, kind: str, what: str) -> None:
        """Take note of a report."""
        self._seen[kind] = (self._clock(), what)

    async def settle(self) -> None:
        """Raise the alarms of what was reported since, and end those that nothing was reported of for a while."""
        now = self._clock()
        if self._raised is None:
            rows = await self._alarms.current()
            self._raised = {row.kind for row in rows if row.subject == self._network and row.kind in _KINDS}
        for kind in _KINDS:
            seen_ms, what = self._seen.get(kind, (Instant(0), ""))
            if self._is_over(kind, seen_ms, now):
                if kind in self._raised:
                    await self._alarms.clear(kind, self._network, now)
                    self._raised.discard(kind)
            elif what and kind not in self._raised:
                await self._alarms.raise_alarm(kind, self._network, Severity.SEV2, what, now)
                self._raised.add(kind)

    def _is_over(self, kind: str, seen_ms: Instant, now: Instant) -> bool:
        if kind == AlarmKind.RPC_DOWN and any(node.failures for node in self._health()):
            # The pool reports a node that is down once. It is up again when it has answered.
            return False
        return now - seen_ms >= QUIET_MS
