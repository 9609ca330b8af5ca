"""Random words that open doors: drawn by the system's generator, shown once, stored as hashes."""

import hashlib
import secrets

ID_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
TOKEN_BYTES = 32


def draw() -> str:
    """Draw a token of 256 bits."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def draw_word(letters: int) -> str:
    """Draw a word of five bits a letter, easy to read and to type."""
    return "".join(secrets.choice(ID_LETTERS) for _ in range(letters))


def hash_of(token: str) -> bytes:
    """Give what is stored of a token. It is random, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).digest()
