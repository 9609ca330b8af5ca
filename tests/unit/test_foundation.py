"""The small words that every part shares: legal moves, and what may be done after an error."""

import pytest

from engine.errors import OutcomeUnknown, Refusal, Rejected, RejectReason, Retryable, VenueError
from engine.machine import IllegalMove, Transitions


def test_only_listed_moves_are_legal() -> None:
    moves = Transitions({"open": {"closed"}})
    assert moves.check("open", "closed") == "closed"
    assert not moves.allows("closed", "open")
    with pytest.raises(IllegalMove, match="closed may not become open"):
        moves.check("closed", "open")


def test_an_error_says_what_may_be_done_next() -> None:
    assert Retryable("later", retry_after_ms=50).retry_after_ms == 50
    rejected = Rejected(RejectReason.BELOW_MINIMUM, "too small", "170140")
    assert (rejected.reason, rejected.code, str(rejected)) == (RejectReason.BELOW_MINIMUM, "170140", "too small")
    assert all(issubclass(kind, VenueError) for kind in (Retryable, Rejected, OutcomeUnknown))


def test_a_refusal_is_a_value() -> None:
    assert Refusal("code", "field", "message") == Refusal("code", "field", "message", "")
