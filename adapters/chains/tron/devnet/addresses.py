"""Addresses of TRON: 0x41 and the last twenty bytes of the key's hash; base58 with a checksum, or hex, as text.

Inside the devnet an address is its 21 bytes. Texts exist only at its edge.
"""

from functools import lru_cache

import base58
from coincurve import PrivateKey, PublicKey
from Crypto.Hash import keccak

PREFIX = b"\x41"
LENGTH = 21


class BadAddress(ValueError):
    """A text that is no address."""


def keccak256(content: bytes) -> bytes:
    """Hash as the EVM does."""
    return keccak.new(digest_bits=256, data=content).digest()


@lru_cache(maxsize=65536)
def base58_text(address: bytes) -> str:
    """Give the form that begins with T."""
    return base58.b58encode_check(address).decode()


@lru_cache(maxsize=65536)
def parse(text: str) -> bytes:
    """Read base58 or hex; raise BadAddress for anything else."""
    try:
        if len(text) == 2 * LENGTH and text.startswith("41"):
            return bytes.fromhex(text)
        address = base58.b58decode_check(text)
    except (ValueError, TypeError) as error:
        raise BadAddress(f"{text!r} is no address") from error
    if len(address) != LENGTH or not address.startswith(PREFIX):
        raise BadAddress(f"{text!r} is no address of TRON")
    return address


def evm(address: bytes) -> str:
    """Give the form that the EVM uses."""
    return "0x" + address[1:].hex()


def from_evm(text: str) -> bytes:
    """Read the EVM's form."""
    return PREFIX + bytes.fromhex(text[2:])


def of_key(key: PrivateKey) -> bytes:
    """Give the address of a key."""
    return PREFIX + keccak256(key.public_key.format(compressed=False)[1:])[-20:]


@lru_cache(maxsize=8192)
def signer(digest: bytes, signature: bytes) -> bytes:
    """Give the address whose key signed; raise ValueError when no key can have.

    Kept for a while: the same bytes are broadcast again and again, and a recovery is the dearest step of all.
    """
    recovery = signature[64] - 27 if signature[64] >= 27 else signature[64]
    public = PublicKey.from_signature_and_message(signature[:64] + bytes([recovery]), digest, hasher=None)
    return PREFIX + keccak256(public.format(compressed=False)[1:])[-20:]
