"""One-time codes of an authenticator app (RFC 6238), and recovery codes for the day it is lost."""

import hmac

import pyotp

from api.access.tokens import draw_word
from engine.ids import Instant

ISSUER = "Trellis"
STEP_MS = 30_000
STEPS_AROUND = 1
"""Clocks of phones differ by some seconds, and typing takes some."""
RECOVERY_CODES = 10


def draw_seed() -> str:
    """Draw a seed of 160 bits."""
    return pyotp.random_base32()


def address(seed: str, email: str) -> str:
    """Write the address that a phone reads as a QR code."""
    return pyotp.TOTP(seed).provisioning_uri(name=email, issuer_name=ISSUER)


def step_of(seed: str, code: str, now: Instant) -> int | None:
    """Give the time step that a code belongs to; None if it is wrong or of another time."""
    totp, current = pyotp.TOTP(seed), now // STEP_MS
    found = None
    for step in range(current - STEPS_AROUND, current + STEPS_AROUND + 1):
        if hmac.compare_digest(totp.generate_otp(step), code):
            found = step
    return found


def draw_recovery_codes() -> list[str]:
    """Draw codes of 80 bits, in groups that a person can copy from paper."""
    words = (draw_word(16) for _ in range(RECOVERY_CODES))
    return ["-".join(word[start : start + 4] for start in range(0, 16, 4)) for word in words]


def tidy(code: str) -> str:
    """Bring a typed code to the form in which it was given."""
    bare = code.replace(" ", "").replace("-", "").lower()
    return bare if bare.isdigit() else "-".join(bare[start : start + 4] for start in range(0, len(bare), 4))
