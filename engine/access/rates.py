"""How many requests are answered, by what they cost us and what they are worth to an attacker."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class RateClass(StrEnum):
    """What kind of request it is."""

    READ = "read"
    COMMAND = "command"
    SIGN_IN = "sign-in"
    """Whatever can be guessed: passwords, codes, tokens."""
    MAIL = "mail"
    """Whatever sends somebody a letter."""
    EXPORT = "export"
    """Whatever reads a whole history."""


class Rate(msgspec.Struct, frozen=True):
    """So many requests in a sliding window of so many seconds."""

    count: int
    per_s: int


Rates = Mapping[RateClass, Rate]

PER_ADDRESS: Rates = {
    RateClass.READ: Rate(1_800, 60),
    RateClass.COMMAND: Rate(300, 60),
    RateClass.SIGN_IN: Rate(60, 300),
    RateClass.MAIL: Rate(30, 3_600),
    RateClass.EXPORT: Rate(60, 60),
}
"""For one place in the network: a household or an office sits behind one."""

PER_ACCOUNT: Rates = {
    RateClass.READ: Rate(1_200, 60),
    RateClass.COMMAND: Rate(120, 60),
    RateClass.SIGN_IN: Rate(20, 300),
    RateClass.MAIL: Rate(5, 3_600),
    RateClass.EXPORT: Rate(20, 60),
}
"""For one person, or one address that is asked about."""
