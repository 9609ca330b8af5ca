"""What one node shows: the chain with a view laid over it. Only blocks are found here; JSON is made elsewhere."""

from collections.abc import Iterator, Sequence

from .blocks import NO_PARENT, Block, make_block
from .chain import Chain
from .faults import View
from .world import Included, World

BRANCH_BLOCKS_MAX = 20_000


class Scene:
    """The chain through one view."""

    def __init__(self, chain: Chain, branches: "Branches", view: View) -> None:
        self._chain = chain
        self._branches = branches
        self.view = view

    @property
    def head_number(self) -> int:
        """Give the newest block that the node has."""
        if self.view.on_abandoned and self._chain.abandoned:
            return max(0, self._chain.abandoned[-1].number - self.view.lag)
        return max(0, self._chain.head.number - self.view.lag)

    @property
    def solid_number(self) -> int:
        """Give the newest block that the node calls solid."""
        solid = self._chain.solid_number
        if self.view.on_abandoned and self._chain.abandoned:
            # Too few producers are on that branch to make any of its blocks solid.
            solid = min(solid, self._chain.abandoned[0].number - 1)
        return max(0, solid - self.view.lag)

    def limit(self, *, solid: bool) -> int:
        """Give the newest number that may be shown."""
        return self.solid_number if solid else self.head_number

    def block(self, number: int) -> Block | None:
        """Give a block as the node has it, whole; None where it has none."""
        if not 0 <= number <= self.head_number or number in self.view.missing:
            return None
        return self.known(number)

    def known(self, number: int) -> Block:
        """Give a block that the node knows of, even if it lacks its content."""
        view = self.view
        if view.on_abandoned and self._chain.abandoned and number >= self._chain.abandoned[0].number:
            return self._chain.abandoned[number - self._chain.abandoned[0].number]
        if view.branch_from is None or number < view.branch_from:
            return self._chain.blocks[number]
        return self._branches.block(view.branch_from, number)

    def shown(self, block: Block) -> Iterator[Included]:
        """Give the transactions of a block that the node admits to."""
        if self.view.withholds_all:
            return
        for each in block.included:
            if each.transaction.id not in self.view.withheld:
                yield each

    def find(self, transaction_id: str, *, solid: bool) -> tuple[Block, Included] | None:
        """Find a transaction and its block."""
        number = self._chain.included_in.get(transaction_id)
        numbers = [] if number is None else [number]
        if self.view.on_abandoned:
            numbers += [each.number for each in self._chain.abandoned]
        for each in numbers:
            block = self.block(each) if each <= self.limit(solid=solid) else None
            if block is None:
                continue
            for included in self.shown(block):
                if included.transaction.id == transaction_id:
                    return block, included
        return None

    def world(self, *, solid: bool) -> World:
        """Give the state that the node answers from. Another branch's state is the chain's own at that height."""
        return self._chain.world_at(min(self.limit(solid=solid), self._chain.head.number))


class Branches:
    """Chains that never were: from a number on the same transactions by other producers, so with other ids."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._made: dict[tuple[int, str], Block] = {}

    def block(self, first: int, number: int) -> Block:
        """Give the block at a height of the branch that begins at `first`."""
        blocks = self._chain.blocks
        known = number
        while known >= first and (first, blocks[known].id) not in self._made:
            known -= 1
        if len(self._made) > BRANCH_BLOCKS_MAX:
            self._made.clear()
            known = first - 1
        parent_id = self._made[first, blocks[known].id].id if known >= first else _id_before(blocks, first)
        for each in range(known + 1, number + 1):
            made = self._other(blocks[each], parent_id)
            self._made[first, blocks[each].id] = made
            parent_id = made.id
        return self._made[first, blocks[number].id]

    def _other(self, true: Block, parent_id: str) -> Block:
        producers = self._chain.producers
        producer = producers[(producers.index(true.witness) + 1) % len(producers)]
        return make_block(true.number, parent_id, true.time_ms, producer, true.included, true.decrees)


def _id_before(blocks: Sequence[Block], first: int) -> str:
    return blocks[first - 1].id if first else NO_PARENT
