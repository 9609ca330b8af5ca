"""The token that the devnet's USDT and USDC are, compiled: `contracts/Token.sol`, `contracts/compile.js`."""

import functools
from pathlib import Path
from typing import Any

import msgspec

from .addresses import keccak256

FOLDER = Path(__file__).parent / "contracts"
TRANSFER = keccak256(b"Transfer(address,address,uint256)")


class Artifact(msgspec.Struct, frozen=True):
    """What the compiler made."""

    source_sha256: str
    compiler: str
    abi: list[dict[str, Any]]
    bytecode: str


@functools.cache
def token() -> Artifact:
    """Give the token's artifact."""
    return msgspec.json.decode((FOLDER / "token.json").read_bytes(), type=Artifact)


def token_code(name: str, symbol: str) -> bytes:
    """Give the code that creates a token: the compiler's and the constructor's arguments."""
    return bytes.fromhex(token().bytecode) + _two_strings(name, symbol)


def _two_strings(first: str, second: str) -> bytes:
    """Encode a constructor's two strings: where each begins, then each with its length. (eth_abi takes a second to
    import.)"""
    tails = [word(len(each.encode())) + _padded(each.encode()) for each in (first, second)]
    return word(64) + word(64 + len(tails[0])) + b"".join(tails)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 32)


@functools.cache
def selector(signature: str) -> bytes:
    """Give the four bytes that name a function."""
    return keccak256(signature.encode())[:4]


@functools.cache
def code_hash(code: bytes) -> str:
    """Give the hash by which java-tron tells contracts' codes apart."""
    return keccak256(code).hex()


def word(value: bytes | int) -> bytes:
    """Give an argument, an address of 21 bytes or a number, as 32 bytes."""
    return bytes(12) + value[1:] if isinstance(value, bytes) else value.to_bytes(32)


def call_data(signature: str, *values: bytes | int) -> bytes:
    """Give the data that calls a function with addresses and numbers."""
    return selector(signature) + b"".join(word(each) for each in values)


@functools.cache
def shown_abi() -> list[dict[str, Any]]:
    """Give the ABI in java-tron's spelling."""
    entries = []
    for each in token().abi:
        entry = {key: value for key, value in each.items() if value not in ([], False, "")}
        entry["type"] = each["type"].capitalize()
        if "stateMutability" in each:
            entry["stateMutability"] = each["stateMutability"].capitalize()
        entries.append(entry)
    return entries
