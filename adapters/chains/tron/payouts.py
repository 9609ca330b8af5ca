"""TRON as a signer uses it: bytes made and checked locally, handed to every node, and what became of them.

Nothing here decides. A node's word on a broadcast is passed on as a word; a payout is included or dead only by the
proof in `scan`.
"""

import asyncio
from collections.abc import Iterator, Sequence

from adapters.chains.rpc import Clock, NodePool
from adapters.chains.tron import codec, scan
from adapters.chains.tron.fees import SUN, FeeDesk
from adapters.chains.tron.reader import TronReader
from adapters.chains.tron.scan import NodeScan, Watched
from engine.errors import VenueError
from engine.payments.chain import BlockRef, BroadcastAnswer, Outcome, PayoutIntent, Preflight, SignedPayout

_SENDING_AT_ONCE = 16
"""Requests to one node at the same time: more only wait at the gateway."""
_BEST_FIRST = (BroadcastAnswer.TAKEN, BroadcastAnswer.KNOWN, BroadcastAnswer.REFUSED, BroadcastAnswer.SILENT)


class TronPayouts(TronReader):
    """Fulfils `engine.payments.ports.PayoutChain` for TRON."""

    def __init__(
        self, pool: NodePool, clock: Clock, fee_limit_max: int = 100 * SUN, permission_id: int = 0
    ) -> None:
        """`fee_limit_max` in sun: what one transfer may ever cost. `permission_id`: which permission of the hot
        wallet's account its key signs for; an active one (2) that allows transfers only cannot change the account.
        """
        super().__init__(pool)
        self._fees = FeeDesk(pool, clock, fee_limit_max)
        self._permission_id = permission_id
        self._scans = {name: NodeScan(name, pool, self._nodes, self) for name in pool.names}

    async def reference(self) -> BlockRef:
        """Give the newest final block that the nodes agree on. Its time is the chain's own clock."""
        return await self.final_head()

    async def preflight(self, sender: str, recipient: str, contract: str, units: int) -> Preflight:
        """Weigh one transfer; `Rejected` if the token's contract would refuse it whatever is paid."""
        return await self._fees.preflight(sender, recipient, contract, units)

    def build(self, intent: PayoutIntent) -> bytes:
        """Make the raw data, locally. ValueError for an intent that no transfer can carry out."""
        return codec.encode(codec.transfer_of(intent, self._permission_id))

    def check(self, content: bytes, intent: PayoutIntent) -> None:
        """Compare raw data or a signed transaction with the intent; `BytesDiffer` names the field."""
        codec.check(content, intent, self._permission_id)

    def digest(self, unsigned: bytes) -> bytes:
        """Give what the key signs; in hex it is the transaction's id."""
        return codec.digest(unsigned)

    def assemble(self, unsigned: bytes, signature: bytes, intent: PayoutIntent) -> SignedPayout:
        """Join raw data and signature and check the whole; `BytesDiffer` unless it is the sender's payout."""
        content = codec.join(unsigned, signature)
        self.check(content, intent)
        return SignedPayout(
            tx_id=codec.tx_id(unsigned),
            content=content,
            expires_at_ms=intent.expires_at_ms,
            reference_number=intent.reference.number,
        )

    async def broadcast(self, signed: Sequence[SignedPayout]) -> list[BroadcastAnswer]:
        """Hand the same bytes to every node that does not rest; give the best word on each.

        Safe any number of times: the chain includes an id once. Never raises for a node.
        """
        told = await asyncio.gather(*(self._send_to(name, signed) for name in self._pool.names))
        return [min(words, key=_BEST_FIRST.index) for words in zip(*told, strict=True)]

    async def outcomes(self, signed: Sequence[SignedPayout], intents: Sequence[PayoutIntent]) -> list[Outcome]:
        """Say of each what is certain now; `Pending` whenever a node is silent, behind or contradicted."""
        watched = [Watched(it.tx_id, intent) for it, intent in zip(signed, intents, strict=True)]
        return await scan.outcomes(self._pool, self._scans, watched)

    async def _send_to(self, name: str, signed: Sequence[SignedPayout]) -> list[BroadcastAnswer]:
        """Send to one node, a few at a time. Once it fails it rests, and what is left is silence at once."""
        words = [BroadcastAnswer.SILENT] * len(signed)
        left = iter(enumerate(signed))

        async def send_rest(left: Iterator[tuple[int, SignedPayout]]) -> None:
            for index, payout in left:
                try:
                    words[index] = await self._nodes.broadcast(name, payout.content)
                except VenueError:
                    words[index] = BroadcastAnswer.SILENT

        await asyncio.gather(*(send_rest(left) for _ in range(min(_SENDING_AT_ONCE, len(signed)))))
        return words
