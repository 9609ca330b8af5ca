"""TRON's addresses in their three forms: text for people, 21 bytes in contracts, 20 bytes in the virtual machine.

The text form is base58check: it starts with T, and four of its bytes are a checksum. Text that does not check is
refused here, before it can become a destination.
"""

from functools import lru_cache

import base58
from coincurve import PublicKey
from tronpy.keys import public_key_to_addr

_PREFIX = b"\x41"
_BYTES = 21
_TEXT_LENGTH = 34
_REMEMBERED = 16_384
"""Base58 costs 20 µs of pure Python; wallets return."""


class BadAddress(ValueError):
    """Text or bytes that are no TRON address."""


@lru_cache(_REMEMBERED)
def raw(text: str) -> bytes:
    """Give an address's 21 bytes; raise `BadAddress` if the text is not base58check of an address."""
    if len(text) != _TEXT_LENGTH or not text.startswith("T"):
        raise BadAddress(f"{text!r} is no TRON address: it has 34 characters and starts with T")
    try:
        decoded = base58.b58decode_check(text)
    except ValueError:
        raise BadAddress(f"{text!r} is no TRON address: its checksum is wrong, a character is mistyped") from None
    if len(decoded) != _BYTES or decoded[:1] != _PREFIX:
        raise BadAddress(f"{text!r} is no TRON address: it does not begin with 0x41")
    return decoded


@lru_cache(_REMEMBERED)
def text(address: bytes) -> str:
    """Give the text form of 21 bytes, or of the virtual machine's 20; raise `BadAddress` for anything else."""
    whole = _PREFIX + address if len(address) == _BYTES - 1 else address
    if len(whole) != _BYTES or whole[:1] != _PREFIX:
        raise BadAddress(f"{address.hex()} is no TRON address: 20 bytes, or 21 that begin with 0x41")
    return base58.b58encode_check(whole).decode()


def machine(address: str) -> bytes:
    """Give the 20 bytes that contracts and logs use."""
    return raw(address)[1:]


def word(address: str) -> bytes:
    """Give an address as an argument or an indexed log field: 32 bytes, zeros first."""
    return machine(address).rjust(32, b"\0")


def from_hex(digits: str) -> str:
    """Give the text form of hex digits as nodes write them, with or without the leading 41."""
    try:
        return text(bytes.fromhex(digits))
    except (ValueError, TypeError):
        raise BadAddress(f"{digits!r} is no TRON address in hex") from None


def of_key(key: PublicKey) -> str:
    """Give the address that a public key owns."""
    return text(public_key_to_addr(key.format(compressed=False)[1:]))
