"""The chain itself: a block in each slot, what waits for one, what is solid, and reorganisations.

It has no sockets and no threads; the clock is asked for the time and all chance comes from the seed, so the same
seed and calls give the same block ids. Producers are not simulated one by one: what 27 of them agree on arrives as
a number of blocks (`solid_lag`) after which a block never changes.
"""

import hashlib
import random
from collections.abc import Callable, Container, Sequence

import msgspec
from coincurve import PrivateKey

from .addresses import of_key
from .blocks import NO_PARENT, Block, make_block
from .transactions import Transaction
from .world import BLOCKS_KEPT, Decree, Included, Parameters, Refused, World

PRODUCERS = 27
EXPIRATION_MAX_MS = 86_400_000
REFERENCE_WINDOW = 65_536
SIZE_MAX = 500 * 1024

Clock = Callable[[], int]


class Rules(msgspec.Struct, frozen=True):
    """What a devnet is made with. A chain that is restored needs the same."""

    seed: str = "trellis"
    genesis_ms: int = 1_767_225_600_000
    """When the chain begins; a multiple of the block time."""
    block_ms: int = 3_000
    solid_lag: int = 18
    """A block is solid when this many are above it: 19 of 27 producers have then built on it."""
    parameters: Parameters = Parameters()


class Change(msgspec.Struct, frozen=True):
    """What happened to the chain in one step: blocks above `back_to` went (None: none did), then these came."""

    back_to: int | None
    blocks: tuple[Block, ...]


class Sealed(msgspec.Struct, frozen=True):
    """What makes a block again."""

    id: str
    time_ms: int
    witness: bytes
    transactions: tuple[Transaction, ...]
    decrees: tuple[Decree, ...]


class Reorganisation(msgspec.Struct, frozen=True):
    """What a fork did."""

    from_number: int
    abandoned: tuple[Block, ...]
    lost: tuple[str, ...]
    """Transactions that no node remembers."""
    waiting: tuple[str, ...]
    """Transactions that are in no block again yet."""


class _Waiting(msgspec.Struct, frozen=True):
    transaction: Transaction
    from_number: int
    """It is not looked at before this block: it has reached no producer yet."""


class Chain:
    """Blocks, and what waits to be in one."""

    def __init__(self, rules: Rules, clock: Clock, genesis: Sequence[Decree]) -> None:
        self.rules = rules
        self.clock = clock
        self.keys = [_producer_key(rules.seed, number) for number in range(PRODUCERS)]
        self.producers = [of_key(key) for key in self.keys]
        self.head_world = World(rules.parameters)
        self._past_world = World(rules.parameters)
        self.blocks: list[Block] = []
        self.included_in: dict[str, int] = {}
        """The number of the block that holds a transaction."""
        self.waiting: dict[str, _Waiting] = {}
        self.abandoned: tuple[Block, ...] = ()
        """The branch that the last reorganisation left."""
        self.listener: Callable[[Change], None] = lambda change: None
        self._decrees: list[Decree] = []
        self._forks = 0
        self._turn = 0
        self._solid = 0
        self._append(rules.genesis_ms, self.producers[0], genesis, ())

    # ------------------------------------------------------------------ reading

    @property
    def head(self) -> Block:
        """Give the newest block."""
        return self.blocks[-1]

    @property
    def solid_number(self) -> int:
        """Give the number of the newest block that never changes."""
        return self._solid

    def world_at(self, number: int) -> World:
        """Give the state after a block, to look at only. Cheap at the head and near where was asked last."""
        if number >= self.head.number:
            return self.head_world
        past = self._past_world
        if past.height - number > BLOCKS_KEPT:
            past = self._past_world = World(self.rules.parameters)
        elif past.height > number:
            past.go_back(number)
        while past.height < number:
            block = self.blocks[past.height + 1]
            past.open(block.time_ms, block.decrees)
            for included in block.included:
                past.apply(included.transaction)
        return past

    # ------------------------------------------------------------------ what waits

    def push(self, transaction: Transaction) -> None:
        """Take a transaction in as a node does; raise Refused with java-tron's reason, in java-tron's order."""
        self.head_world.check_permission(transaction)
        self._check_reference(transaction)
        self._check_size_and_expiration(transaction)
        if transaction.id in self.included_in or self._is_near(transaction.id):
            raise Refused("DUP_TRANSACTION_ERROR", "Dup transaction.")
        self.head_world.check(transaction, self.head.time_ms)
        self.waiting[transaction.id] = _Waiting(transaction, 0)

    def push_later(self, transaction: Transaction, blocks: int) -> None:
        """Let a transaction reach the producers only after some blocks, unless it was there before."""
        if transaction.id not in self.included_in and transaction.id not in self.waiting:
            self.waiting[transaction.id] = _Waiting(transaction, self.head.number + 1 + blocks)

    def _is_near(self, transaction_id: str) -> bool:
        """Tell whether a transaction may be in the next block. One that is still on its way no node knows."""
        found = self.waiting.get(transaction_id)
        return found is not None and found.from_number <= self.head.number + 1

    def pending(self) -> dict[str, Transaction]:
        """Give what nodes know and no block holds, by id."""
        return {name: each.transaction for name, each in self.waiting.items() if self._is_near(name)}

    def decree(self, decree: Decree) -> None:
        """Have something done at the beginning of the next block."""
        self._decrees.append(decree)

    def _check_reference(self, transaction: Transaction) -> None:
        low = int.from_bytes(transaction.raw.reference_bytes)
        number = self.head.number - (self.head.number - low) % REFERENCE_WINDOW
        if (
            len(transaction.raw.reference_bytes) != 2
            or number < 0
            or bytes.fromhex(self.blocks[number].id[16:32]) != transaction.raw.reference_hash
        ):
            raise Refused("TAPOS_ERROR", "Tapos check error.")

    def _check_size_and_expiration(self, transaction: Transaction) -> None:
        if transaction.size > SIZE_MAX:
            raise Refused("TOO_BIG_TRANSACTION_ERROR", "Transaction size is too big.")
        if not 0 < transaction.raw.expiration_ms - self.head.time_ms <= EXPIRATION_MAX_MS:
            raise Refused("TRANSACTION_EXPIRATION_ERROR", "Transaction expired")

    # ------------------------------------------------------------------ blocks

    def produce(self) -> Block:
        """Make the block of the clock's slot, or of the next free one if that slot has its block."""
        decrees, self._decrees = self._decrees, []
        block = self._next(self._slot(), decrees)
        self.listener(Change(None, (block,)))
        return block

    def _slot(self) -> int:
        since = self.clock() - self.rules.genesis_ms
        now = self.rules.genesis_ms + since // self.rules.block_ms * self.rules.block_ms
        return max(now, self.head.time_ms + self.rules.block_ms)

    def _next(self, time_ms: int, decrees: Sequence[Decree], among: Container[str] | None = None) -> Block:
        """Make a block of what waits; `among` limits it to some transactions."""
        number = self.head.number + 1
        ready = [
            each.transaction
            for each in self.waiting.values()
            if each.from_number <= number and (among is None or each.transaction.id in among)
        ]
        slot = (time_ms - self.rules.genesis_ms) // self.rules.block_ms
        block = self._append(time_ms, self.producers[(slot + self._turn) % PRODUCERS], decrees, ready)
        for transaction in ready:
            # What a producer cannot include it forgets, whatever the reason.
            self.waiting.pop(transaction.id, None)
        return block

    def _append(
        self, time_ms: int, producer: bytes, decrees: Sequence[Decree], ready: Sequence[Transaction]
    ) -> Block:
        world = self.head_world
        world.open(time_ms, decrees)
        included = [done for each in ready if (done := self._include(world, each)) is not None]
        number = len(self.blocks)
        parent_id = self.blocks[-1].id if self.blocks else NO_PARENT
        block = make_block(number, parent_id, time_ms, producer, included, decrees)
        self.blocks.append(block)
        for each in included:
            self.included_in[each.transaction.id] = number
        self._solid = max(self._solid, number - self.rules.solid_lag)
        return block

    def _include(self, world: World, transaction: Transaction) -> Included | None:
        # The next slot counts, not the time that the block gets: so java-tron checks what is in a block.
        if transaction.raw.expiration_ms < self.head.time_ms + self.rules.block_ms:
            return None
        try:
            self._check_reference(transaction)
            self._check_size_and_expiration(transaction)
            if transaction.id in self.included_in:
                return None
            return world.apply(transaction)
        except Refused:
            return None

    # ------------------------------------------------------------------ reorganisations

    def fork(
        self,
        depth: int,
        *,
        drop_share: float = 0.0,
        delay_share: float = 0.5,
        lost: Container[str] = (),
        rewrite_solid: bool = False,
    ) -> Reorganisation:
        """Replace the newest blocks by others of the same slots.

        Of their transactions those in `lost`, and each other one by the chance `drop_share`, are forgotten by all
        nodes; of the rest some are in the new blocks and others (`delay_share`) wait again. Solid blocks are never
        replaced: ValueError, unless `rewrite_solid` orders the disaster that TRON has never seen.
        """
        to_number = self.head.number - depth
        if depth < 1 or to_number < 0 or (to_number < self.solid_number and not rewrite_solid):
            raise ValueError(f"{depth} blocks back from {self.head.number}: block {self.solid_number} is solid")
        abandoned = self._go_back(to_number)
        chance = random.Random(f"{self.rules.seed}/fork/{self._forks}")  # noqa: S311  repeatable, no secret
        survivors: list[Transaction] = []
        forgotten: list[Transaction] = []
        for block in abandoned:
            for included in block.included:
                is_lost = included.transaction.id in lost or chance.random() < drop_share
                (forgotten if is_lost else survivors).append(included.transaction)
        # Those of the old blocks come first, as java-tron pushes them again before anything new.
        again = {each.id: _Waiting(each, 0) for each in survivors}
        self.waiting = again | self.waiting
        prompt = [each.id for each in survivors if chance.random() >= delay_share]
        fresh = [self._replace(block, prompt, chance) for block in abandoned]
        self.abandoned = abandoned
        self.listener(Change(to_number, tuple(fresh)))
        return Reorganisation(
            to_number + 1,
            abandoned,
            tuple(each.id for each in forgotten),
            tuple(each.id for each in survivors if each.id in self.waiting),
        )

    def _replace(self, block: Block, prompt: list[str], chance: random.Random) -> Block:
        now = {name for name in prompt if chance.random() < 0.5}
        return self._next(block.time_ms, block.decrees, now)

    def _go_back(self, number: int) -> tuple[Block, ...]:
        self.head_world.go_back(number)
        if self._past_world.height > number:
            self._past_world.go_back(number)
        gone = tuple(self.blocks[number + 1 :])
        del self.blocks[number + 1 :]
        for block in gone:
            for included in block.included:
                del self.included_in[included.transaction.id]
        self._solid = min(self._solid, number)
        self._forks += 1
        self._turn += 1  # Other producers than before, so that the same transactions make another block.
        return gone

    # ------------------------------------------------------------------ a restart

    def replay(self, back_to: int | None, blocks: Sequence[Sealed]) -> None:
        """Do again what a chain with the same rules did once; raise ValueError if that gives another block."""
        if back_to is not None:
            self.abandoned = self._go_back(back_to)
        for block in blocks:
            again = self._append(block.time_ms, block.witness, block.decrees, block.transactions)
            if again.id != block.id:
                raise ValueError(f"block {again.number} is {again.id} now and was {block.id}")


def _producer_key(seed: str, number: int) -> PrivateKey:
    return PrivateKey(hashlib.sha256(f"{seed}/producer/{number}".encode()).digest())
