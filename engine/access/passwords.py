"""Which passwords are good enough: long, and not easily guessed. No composition rules, no forced changes.

How many guesses a password takes is measured elsewhere (it needs lists of common passwords) and given here.
"""

from engine.errors import Refusal

LENGTH_MIN = 10
LENGTH_MAX = 256
SCORE_MIN = 3
"""Of 0 to 4, in the scale of zxcvbn: 3 takes a hundred million guesses."""


def judge(password: str, score: int, field: str) -> list[Refusal]:
    """Say why a password may not be used; an empty list is a yes. The password itself is never repeated."""
    allowed = f"{LENGTH_MIN} to {LENGTH_MAX} characters, for example four words that do not belong together"
    if len(password) < LENGTH_MIN:
        return [Refusal("password_too_short", field, f"has fewer than {LENGTH_MIN} characters", allowed)]
    if len(password) > LENGTH_MAX:
        return [Refusal("password_too_long", field, f"has more than {LENGTH_MAX} characters", allowed)]
    if score < SCORE_MIN:
        message = "is easily guessed: it is common, repetitive, or made of your name or address"
        return [Refusal("password_too_common", field, message, allowed)]
    return []
