"""Typed identifiers: a bot's id is never mistaken for an order's id, at no cost at run time."""

from typing import NewType

BotId = NewType("BotId", str)
"""Eight characters of [a-z2-7]: short, because each order id of the bot carries it."""

AccountId = NewType("AccountId", str)
"""One set of exchange credentials: the unit that rate limits, balances and private streams belong to."""

UserId = NewType("UserId", str)
"""Who owns bots and accounts."""

LinkId = NewType("LinkId", str)
"""The order id that we choose (`orderLinkId` at Bybit): at most 36 characters of [A-Za-z0-9_-]."""

VenueOrderId = NewType("VenueOrderId", str)
"""The order id that the venue chose."""

ExecutionId = NewType("ExecutionId", str)
"""The venue's id of one execution; deduplication goes by it."""

Instant = NewType("Instant", int)
"""Milliseconds since the epoch, UTC. Always an argument: the engine has no clock."""
