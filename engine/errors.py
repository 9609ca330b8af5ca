"""What can go wrong outside, sorted into three by what the caller may do next.

    VenueError
    ├── Retryable        nothing happened at the venue; the same call may be made again
    ├── Rejected         the venue said no, definitely; the reason says which no
    └── OutcomeUnknown   it may have happened: ask the venue, never resend blindly

A business "no" of our own rules is a value (`Refusal`), not an exception; exceptions are for bugs and for the
outside world. The third branch is the one that loses money.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec


class RejectReason(StrEnum):
    """Why a venue refused, in words that hold for every venue."""

    INSUFFICIENT_BALANCE = "insufficient_balance"
    WOULD_TAKE_LIQUIDITY = "would_take_liquidity"
    """A post-only order would have crossed the spread."""
    DUPLICATE_LINK_ID = "duplicate_link_id"
    """The venue has seen this order id: the order exists or existed, so look it up."""
    PRICE_OUT_OF_RANGE = "price_out_of_range"
    INVALID_PRICE = "invalid_price"
    INVALID_QUANTITY = "invalid_quantity"
    BELOW_MINIMUM = "below_minimum"
    TOO_MANY_ORDERS = "too_many_orders"
    REDUCE_ONLY = "reduce_only"
    NOT_FOUND = "not_found"
    ALREADY_CLOSED = "already_closed"
    """A cancel or amend met an order that is already filled or cancelled."""
    PERMISSION = "permission"
    """The key is wrong, expired, bound to another address or lacks a right."""
    HALTED = "halted"
    """The instrument does not trade now."""
    OTHER = "other"


class VenueError(Exception):
    """The outside world said no, or said nothing."""


class Retryable(VenueError):
    """Nothing happened at the venue; the same call may be made again, after `retry_after_ms` if given."""

    def __init__(self, message: str, retry_after_ms: int = 0) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class Rejected(VenueError):
    """The venue refused, definitely. `code` is the venue's own number or word, for the log and the screen."""

    def __init__(self, reason: RejectReason, message: str, code: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.code = code


class OutcomeUnknown(VenueError):
    """The request may have taken effect. Only a definite answer of the venue settles it."""


class Refusal(msgspec.Struct, frozen=True):
    """Our own rules said no. A value: returned, stored and shown to the user.

    `code` is stable and machine-readable, `field` names the number that must change, `message` says what was
    given and why it fails, `allowed` what would be accepted; `least` and `most` say it in numbers where it is a
    range.
    """

    code: str
    field: str
    message: str
    allowed: str = ""
    least: Decimal | None = None
    most: Decimal | None = None
