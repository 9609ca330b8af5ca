"""Blocks as java-tron names them: an id is number and header hash, so it commits to all blocks before."""

import hashlib
from collections.abc import Sequence

import msgspec

from .protobuf import field
from .transactions import Transaction
from .world import Decree, Included

VERSION = 31
NO_PARENT = "00" * 32


class Block(msgspec.Struct, frozen=True):
    """A block with what it did."""

    number: int
    id: str
    parent_id: str
    time_ms: int
    witness: bytes
    """The producer's address."""
    root: bytes
    included: tuple[Included, ...] = ()
    decrees: tuple[Decree, ...] = ()

    @property
    def header(self) -> bytes:
        """Give the bytes whose hash is the id, and which the producer signs."""
        return _header(self.number, self.time_ms, self.parent_id, self.witness, self.root)


def make_block(
    number: int,
    parent_id: str,
    time_ms: int,
    witness: bytes,
    included: Sequence[Included] = (),
    decrees: Sequence[Decree] = (),
) -> Block:
    """Seal a block."""
    root = merkle_root([each.transaction for each in included])
    digest = hashlib.sha256(_header(number, time_ms, parent_id, witness, root)).digest()
    block_id = (number.to_bytes(8) + digest[8:]).hex()
    return Block(number, block_id, parent_id, time_ms, witness, root, tuple(included), tuple(decrees))


def merkle_root(transactions: Sequence[Transaction]) -> bytes:
    """Hash the transactions, signatures too, into one root; nothing gives zeros."""
    level = [hashlib.sha256(each.content).digest() for each in transactions]
    while len(level) > 1:
        pairs = [hashlib.sha256(level[at] + level[at + 1]).digest() for at in range(0, len(level) - 1, 2)]
        level = pairs + level[2 * len(pairs) :]
    return level[0] if level else bytes(32)


def _header(number: int, time_ms: int, parent_id: str, witness: bytes, root: bytes) -> bytes:
    return b"".join(
        (
            field(1, time_ms),
            field(2, root),
            field(3, bytes.fromhex(parent_id)),
            field(7, number),
            field(9, witness),
            field(10, VERSION),
        )
    )
