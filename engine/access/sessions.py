"""How long a session and its tokens live, and what a renewal token that comes in means.

A renewal token is used once. Used again within moments it is a second tab of the same browser; used again later
it was stolen, by whoever came first or by whoever comes now, so the whole session ends.
"""

from enum import StrEnum

import msgspec

from engine.ids import Instant

ACCESS_MS = 15 * 60_000
IDLE_MS = 7 * 86_400_000
"""A session that is not renewed for so long is over."""
SESSION_MS = 30 * 86_400_000
"""However busy it is, a session is over after this: sign in again."""
GRACE_MS = 20_000
"""Tabs that woke up together send the same token within this time."""


class RenewalToken(msgspec.Struct, frozen=True):
    """What is known of a renewal token and of its session."""

    expires_at_ms: Instant
    replaced_at_ms: Instant | None
    session_expires_at_ms: Instant
    session_ended_at_ms: Instant | None
    owner_is_active: bool


class Renewal(StrEnum):
    """What a renewal token leads to."""

    ROTATE = "rotate"
    """New tokens; this one is replaced."""
    REPEAT = "repeat"
    """New tokens beside those that another tab has just got."""
    REUSED = "reused"
    """End the session: two hold the same token."""
    OVER = "over"


def judge_renewal(token: RenewalToken, now: Instant) -> Renewal:
    """Decide what a renewal token that comes in means."""
    is_over = (
        token.session_ended_at_ms is not None or token.session_expires_at_ms <= now or not token.owner_is_active
    )
    if is_over:
        return Renewal.OVER
    # Before its own end is looked at: a stolen token does not become harmless by growing old.
    if token.replaced_at_ms is not None:
        return Renewal.REPEAT if now - token.replaced_at_ms <= GRACE_MS else Renewal.REUSED
    return Renewal.OVER if token.expires_at_ms <= now else Renewal.ROTATE


def token_ends(session_expires_at_ms: Instant, now: Instant) -> tuple[Instant, Instant]:
    """Give the ends of a new access and a new renewal token: never after the session's own."""
    return (
        Instant(min(now + ACCESS_MS, session_expires_at_ms)),
        Instant(min(now + IDLE_MS, session_expires_at_ms)),
    )
