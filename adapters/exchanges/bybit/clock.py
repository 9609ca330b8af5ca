"""The venue's clock, as seen from here. Requests are stamped with it at the moment they are sent.

It runs on our monotonic clock between measurements, so a step of the machine's wall clock cannot make the venue
refuse our stamps.
"""

import time
from collections.abc import Awaitable, Callable

_SAMPLES = 3


class VenueClock:
    """Tells the venue's time. Until it is measured it is the machine's wall clock."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()
        self.measured = False

    def now_ms(self) -> int:
        """Give the venue's time now, in milliseconds since the epoch."""
        return (time.monotonic_ns() + self._offset_ns) // 1_000_000

    async def measure(self, ask: Callable[[], Awaitable[int]]) -> None:
        """Ask the venue's time (nanoseconds) a few times; believe the answer that took least.

        The venue is taken to have read its clock halfway between question and answer, so half of the shortest
        round trip bounds the error.
        """
        best_ns, offset_ns = 2**63, self._offset_ns
        for _ in range(_SAMPLES):
            asked = time.monotonic_ns()
            venue_ns = await ask()
            took = time.monotonic_ns() - asked
            if took < best_ns:
                best_ns, offset_ns = took, venue_ns - asked - took // 2
        self._offset_ns = offset_ns
        self.measured = True
