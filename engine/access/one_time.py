"""What a one-time token opens, and for how long."""

from enum import StrEnum

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


class Purpose(StrEnum):
    """What a one-time token is for; it opens nothing else."""

    SET_UP = "set_up"
    """Make the first operator's account."""
    REGISTER = "register"
    RECOVER = "recover"
    CHANGE_EMAIL = "change_email"


LIFE_MS = {
    Purpose.SET_UP: 24 * HOUR_MS,
    Purpose.REGISTER: 24 * HOUR_MS,
    # Whoever reads the mailbox later must not find a key in it.
    Purpose.RECOVER: 10 * MINUTE_MS,
    Purpose.CHANGE_EMAIL: 24 * HOUR_MS,
}
