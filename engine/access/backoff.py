"""How long a guesser waits after wrong passwords or codes: not at all at first, then twice as long each time.

It is counted for an account from one place, so that a stranger who guesses cannot lock its owner out.
"""

from engine.ids import Instant

FREE_FAILURES = 5
FIRST_WAIT_MS = 2_000
LONGEST_WAIT_MS = 15 * 60_000
FORGET_MS = 24 * 3_600_000
"""Failures are forgotten after a day without any."""


def wait_ms(failures: int, last_at_ms: Instant, now: Instant) -> int:
    """Give the time that must still pass before the next attempt is looked at; 0 when it may be made."""
    if failures < FREE_FAILURES or now - last_at_ms > FORGET_MS:
        return 0
    # Bounded before it is doubled: somebody may try for years.
    doublings = min(failures - FREE_FAILURES, 20)
    pause = min(FIRST_WAIT_MS << doublings, LONGEST_WAIT_MS)
    return max(0, last_at_ms + pause - now)
