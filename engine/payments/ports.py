"""What payouts and watchers ask of a chain. `adapters/chains` fulfils it; `actors/wiring.py` chooses.

Errors: a call raises only `Retryable`, `Rejected` or `OutcomeUnknown` (`engine.errors`). Disagreement between
nodes is `Retryable`: nothing is decided until they agree.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from engine.payments.chain import (
    Block,
    BlockRef,
    BroadcastAnswer,
    Outcome,
    PayoutIntent,
    Preflight,
    SignedPayout,
)


class ChainReader(Protocol):
    """One network, read through its nodes. Everything it gives is final: below the depth of any reorganisation."""

    async def final_head(self) -> BlockRef:
        """Give the newest final block on which enough nodes agree."""
        ...

    async def block(self, number: int, touching: Collection[str] | None = None) -> Block:
        """Give a final block with what it moved; `Retryable` while too few nodes surely have all of it.

        With `touching`, only transfers of any token from or to these addresses, and receipts that they paid for:
        a block of thousands then costs little more than reading it. Whether its parent is the caller's last block
        is the caller's to check.
        """
        ...

    async def header(self, number: int) -> BlockRef:
        """Give a final block without its content."""
        ...

    async def balance(self, address: str, contract: str) -> int:
        """Give an address's balance at the final head; "" asks for the network's own coin."""
        ...


class PayoutChain(ChainReader, Protocol):
    """One network, as a signer uses it."""

    async def reference(self) -> BlockRef:
        """Give a final block, agreed between nodes, to hang transactions on. Its time is the chain's own clock."""
        ...

    async def preflight(self, sender: str, recipient: str, contract: str, units: int) -> Preflight:
        """Weigh one transfer: fees in the worst case, what the wallet has, what it lacks."""
        ...

    def build(self, intent: PayoutIntent) -> bytes:
        """Make the unsigned bytes, locally: no node takes part."""
        ...

    def check(self, content: bytes, intent: PayoutIntent) -> None:
        """Decode unsigned or signed bytes and compare every field; raise `BytesDiffer` at the first difference."""
        ...

    def digest(self, unsigned: bytes) -> bytes:
        """Give the 32 bytes that a key signs; in hex they are the transaction's id on TRON."""
        ...

    def assemble(self, unsigned: bytes, signature: bytes, intent: PayoutIntent) -> SignedPayout:
        """Join bytes and signature; raise `BytesDiffer` unless the signature is the sender's over these bytes."""
        ...

    async def broadcast(self, signed: Sequence[SignedPayout]) -> list[BroadcastAnswer]:
        """Hand bytes to the nodes. Any number of times; the answers decide nothing. Never raises for a node."""
        ...

    async def outcomes(self, signed: Sequence[SignedPayout], intents: Sequence[PayoutIntent]) -> list[Outcome]:
        """Say of each what is certain now. `Absent` only with the proof of `settlement.md` §2.3."""
        ...


class BytesDiffer(Exception):
    """Bytes do not say what was intended. They are not signed, or not sent: a bug or an attack, never routine."""


class KeyHolder(Protocol):
    """The one holder of a hot wallet's key."""

    @property
    def address(self) -> str:
        """Give the wallet's address."""
        ...

    def sign(self, digest: bytes) -> bytes:
        """Sign 32 bytes; 65 bytes r, s, v."""
        ...

    def wipe(self) -> None:
        """Overwrite the key. Signing afterwards raises RuntimeError."""
        ...
