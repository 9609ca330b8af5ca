"""TRON as its nodes agree on it: the final head, final blocks with all they moved, balances.

What money follows from is asked of two nodes and must be the same on both, where two are configured: the head,
each header, each block's transfers and receipts. A node that is behind or says nothing delays; a node that says
something else stops the reading and is reported.
"""

from collections.abc import Collection, Mapping

from adapters.chains.rpc import NodePool
from adapters.chains.tron import blocks
from adapters.chains.tron.node import TronNodes
from engine.errors import Retryable, VenueError
from engine.payments.chain import Block, BlockRef


class TronReader:
    """Fulfils `engine.payments.ports.ChainReader` for TRON."""

    def __init__(self, pool: NodePool) -> None:
        self._pool = pool
        self._nodes = TronNodes(pool)

    async def final_head(self) -> BlockRef:
        """Give the newest final block that enough nodes have, and that is the same on all that have it."""
        heads = self._enough(await self._pool.each(self._nodes.final_head), "the final head")
        # The second newest head of all is the newest block that two nodes have.
        number = sorted((head.number for head in heads.values()), reverse=True)[self._pool.quorum - 1]

        async def there(name: str) -> BlockRef:
            head = heads[name]
            return head if head.number == number else await self._nodes.header(name, number)

        have_it = [name for name, head in heads.items() if head.number >= number]
        same = self._enough(await self._pool.each(there, have_it), f"block {number}")
        one, *others = same.values()
        if any(other != one for other in others):
            raise self._pool.disagree(f"block {number} is not the same on {' and '.join(same)}")
        return one

    async def block(self, number: int, touching: Collection[str] | None = None) -> Block:
        """Give a final block as two nodes tell it. With `touching`, only what concerns these addresses.

        `Retryable` while too few nodes have all of it: each must have the block final, and one info for each of
        its transactions. Whether its parent is the block before is the caller's to check: it knows its cursor.
        """
        return await self._pool.agreed(lambda name: self.block_of(name, number, touching), f"block {number}")

    async def block_of(self, name: str, number: int, touching: Collection[str] | None = None) -> Block:
        """Give a final block as one node tells it."""
        block = await self._nodes.block(name, number)
        infos = await self._nodes.infos(name, block)
        try:
            return blocks.assemble(block, infos, touching)
        except (ValueError, KeyError, TypeError) as error:
            raise self._pool.spoilt(name, f"block {number} cannot be read: {error!r}") from error

    async def header(self, number: int) -> BlockRef:
        """Give a final block without its content, as two nodes tell it."""
        return await self._pool.agreed(lambda name: self._nodes.header(name, number), f"block {number}")

    async def balance(self, address: str, contract: str) -> int:
        """Give an address's balance at the final head of the first node that answers; "" asks for TRX, in sun."""
        if contract:
            return await self._pool.first(
                lambda name: self._nodes.token_balance(name, contract, address, final=True)
            )
        account = await self._pool.first(lambda name: self._nodes.account(name, address, final=True))
        return account.balance if account else 0

    def _enough(self, answers: Mapping[str, BlockRef | VenueError], what: str) -> dict[str, BlockRef]:
        told = {name: answer for name, answer in answers.items() if isinstance(answer, BlockRef)}
        if len(told) < self._pool.quorum:
            errors = "; ".join(str(answer) for answer in answers.values() if isinstance(answer, VenueError))
            raise Retryable(f"too few nodes of {self._pool.network} tell {what}: {errors}")
        return told
