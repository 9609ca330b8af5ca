"""Passwords: hashed with argon2id beside the loop, compared in a time that tells nothing, measured by lists."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn  # type: ignore[import-untyped]

from engine.access.passwords import LENGTH_MAX, judge
from engine.errors import Refusal

MEMORY_KIB = 19_456
TIME_COST = 2
"""OWASP's smallest setting for argon2id: a tenth of a second and 19 MB for each guess."""
AT_ONCE = 2
"""However many sign in together, so much of the machine is theirs; the others wait their turn."""
MEASURED_LENGTH = 72
"""Measuring grows with the cube of the length, and nobody guesses further."""


class Passwords:
    """Hashes and compares, a few at a time."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=1)
        self._turns = asyncio.Semaphore(AT_ONCE)
        # Compared with when there is no such account, so that this takes as long as a wrong password.
        self._nobody = self._hasher.hash("nobody's password")

    async def hash(self, password: str) -> str:
        """Give what is stored of a password."""
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def is_right(self, stored: str | None, password: str) -> bool:
        """Compare a password; None stands for nobody's and is never right."""
        async with self._turns:
            is_equal = await asyncio.to_thread(self._verify, stored or self._nobody, password[: LENGTH_MAX + 1])
        return is_equal and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Tell whether a hash was made with other costs than today's."""
        return self._hasher.check_needs_rehash(stored)

    async def judge(self, password: str, personal: list[str], field: str) -> list[Refusal]:
        """Say why a password may not be used; `personal` is what a guesser knows of its owner."""
        return judge(password, await asyncio.to_thread(_score, password, personal), field)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False


def _score(password: str, personal: list[str]) -> int:
    if not password:
        return 0
    known = [word for text in ("trellis", *personal) for word in (text, *text.replace("@", " ").split()) if word]
    score: int = zxcvbn(password[:MEASURED_LENGTH], user_inputs=known)["score"]
    return score
