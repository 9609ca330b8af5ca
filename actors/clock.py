"""The one place where the shells read the time of day."""

import time

from engine.ids import Instant


def now_ms() -> Instant:
    """Give the time now, in milliseconds UTC."""
    return Instant(time.time_ns() // 1_000_000)
