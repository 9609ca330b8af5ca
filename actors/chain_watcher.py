"""Reads one network: every final block in order, each once, and what it brings into the books.

It reads and hands over; what a transfer means is decided in `engine`, and written by `storage.incoming` in one
transaction per block. Nothing that matters is kept in memory: a watcher that died goes on behind the last block
whose transaction was committed. Only final blocks are read, two nodes agreeing; when even those change, it goes
back to the last block that both chains have, and what was credited from the vanished ones is taken back.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence

import msgspec

from actors.node_troubles import NodeTroubles
from engine.errors import Retryable
from engine.ids import Instant
from engine.money import Network
from engine.payments.alarms import AlarmKind, Severity
from engine.payments.chain import Block, BlockRef
from engine.payments.ports import ChainReader
from engine.payments.sighting import Sighting, WatchList, sift
from storage.alarms import Alarms
from storage.chain_cursor import ChainCursor, ForeignParent
from storage.database import Database
from storage.incoming import Incoming
from storage.incoming_reversal import Reversals
from storage.leases import Lease

log = logging.getLogger(__name__)

CRASH_POINTS = (
    "watch.before_head",
    "watch.before_read",
    "watch.after_read",
    "take.written",
    "take.booked",
    "take.requested",
    "take.before_commit",
    "watch.after_commit",
    "roll_back.before",
    "roll_back.before_commit",
    "roll_back.after_commit",
)
"""Where the simulation lets us die: between any two steps."""

_PAGE = 50


class WatcherPolicy(msgspec.Struct, frozen=True):
    """Numbers of a watcher's working."""

    blocks_per_turn: int = 400
    blocks_at_once: int = 8
    """How many blocks are asked for together when we are behind."""
    begin_at: int | None = None
    """At the very first start, the height of the last block that is not read; None: as our first address."""


class WatcherHealth(msgspec.Struct, frozen=True):
    """How far a network is read. `read_age_ms` is how old the last block taken is, by our clock."""

    network: Network
    cursor: BlockRef | None
    head: BlockRef | None
    lag_blocks: int
    read_age_ms: int


class ForkTooDeep(Exception):
    """No block that we remember is on the chain any more: nobody but a person can say what is true."""


class ChainWatcher:
    """The watcher of one network. Plain: whoever runs it (`actors.leased`) holds the lease and calls it.

    A call that fails has left nothing that the next call does not find. `Retryable`, `OutcomeUnknown`: call again.
    `StaleEpoch`: another one has the network, stop. `ForkTooDeep`: stop, an operator must look.
    """

    def __init__(
        self,
        network: Network,
        database: Database,
        reader: ChainReader,
        lease: Lease,
        clock: Callable[[], Instant],
        incoming: Incoming | None = None,
        troubles: NodeTroubles | None = None,
        policy: WatcherPolicy | None = None,
        crash_point: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._network = network
        self._reader = reader
        self._epoch = lease.epoch
        self._clock = clock
        self._incoming = incoming or Incoming(database)
        self._reversals = Reversals(database)
        self._troubles = troubles
        self._policy = policy or WatcherPolicy()
        self._crash_point = crash_point
        self._cursors = ChainCursor(database, network)
        self._alarms = Alarms(database)
        self._head: BlockRef | None = None
        self._cursor: BlockRef | None = None

    def health(self) -> WatcherHealth:
        """Say how far the network is read, as of the last turn."""
        head, cursor = self._head, self._cursor
        behind = 0 if head is None or cursor is None else max(0, head.number - cursor.number)
        age_ms = 0 if cursor is None else max(0, self._clock() - cursor.time_ms)
        return WatcherHealth(self._network, cursor, head, behind, age_ms)

    async def boot(self) -> None:
        """Find the last block taken; at the very first start, begin where the first of our addresses was made.

        Whoever was told an address may have paid to it before we ran for the first time. What happened before it
        was made is not ours to book.
        """
        self._cursor = await self._cursors.at()
        if self._cursor is None:
            first = await self._first_block()
            await self._incoming.begin(self._network, self._epoch, first)
            self._cursor = await self._cursors.at()
            log.info("watcher.begins network=%s block=%s", self._network, first.number)

    async def _first_block(self) -> BlockRef:
        """Give the newest final block that is older than every address of ours: reading begins behind it."""
        if self._policy.begin_at is not None:
            return await self._reader.header(self._policy.begin_at)
        newest = await self._reader.final_head()
        made_ms = await self._incoming.oldest_address_ms(self._network)
        if made_ms is None or newest.time_ms < made_ms:
            return newest
        low, high = 0, newest.number
        while high - low > 1:
            middle = (low + high) // 2
            if (await self._reader.header(middle)).time_ms < made_ms:
                low = middle
            else:
                high = middle
        return await self._reader.header(low)

    async def turn(self) -> bool:
        """Take the final blocks after the last one taken, a bounded number. True: there are more."""
        if self._troubles is not None:
            await self._troubles.settle()
        self._crash_point("watch.before_head")
        head = self._head = await self._reader.final_head()
        # After the head: an address that somebody has paid to in these blocks was listed before they were made.
        watched = await self._incoming.watch_list(self._network)
        await self._reversals.settle_waiting(self._network, self._epoch, self._clock())
        try:
            await self._go_on(head, watched)
        except ForeignParent as error:
            await self._go_back(error)
            return True
        return self._cursor is not None and self._cursor.number < head.number

    def stop(self) -> None:
        """Let go: there is nothing that only one life may hold."""

    # ------------------------------------------------------------------ forwards

    async def _go_on(self, head: BlockRef, watched: WatchList) -> None:
        cursor = self._cursor = await self._at()
        if head.number <= cursor.number:
            await self._compare(head, cursor)
        last = min(head.number, cursor.number + self._policy.blocks_per_turn)
        while cursor.number < last:
            numbers = range(cursor.number + 1, min(last, cursor.number + self._policy.blocks_at_once) + 1)
            self._crash_point("watch.before_read")
            blocks = await self._read(numbers, watched)
            self._crash_point("watch.after_read")
            for group in grouped([sift(block, watched) for block in blocks]):
                taken = await self._incoming.take(watched, self._epoch, group, self._clock(), self._crash_point)
                cursor = self._cursor = taken.cursor
                self._crash_point("watch.after_commit")

    async def _read(self, numbers: Sequence[int], watched: WatchList) -> list[Block]:
        """Read consecutive blocks at once; what fails is read again later, with those after it."""
        answers = await asyncio.gather(
            *(self._reader.block(number, touching=watched.wallets.keys()) for number in numbers),
            return_exceptions=True,
        )
        blocks: list[Block] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                if blocks and isinstance(answer, Retryable):
                    break
                raise answer
            blocks.append(answer)
        return blocks

    async def _at(self) -> BlockRef:
        cursor = await self._cursors.at()
        if cursor is None:
            raise LookupError(f"nobody has said yet where to begin reading {self._network}")
        return cursor

    # ------------------------------------------------------------------ backwards

    async def _compare(self, head: BlockRef, cursor: BlockRef) -> None:
        """See that a head which is not ahead of us is a block that we have taken."""
        (ours,) = await self._cursors.behind(below=head.number + 1, limit=1) or (None,)
        if ours is not None and ours.number == head.number and ours.id != head.id:
            raise ForeignParent(cursor, head)

    async def _go_back(self, error: ForeignParent) -> None:
        """Find the last block that both chains have, and take back what came after it on ours."""
        log.error("watcher.chain_changed network=%s error=%s", self._network, error)
        common = await self._common_ancestor()
        if common.number >= error.ours.number:
            raise Retryable(f"{error}, and yet the latter is on the chain: the nodes contradict themselves")
        self._crash_point("roll_back.before")
        await self._reversals.roll_back_to(self._network, self._epoch, common, self._clock(), self._crash_point)
        self._cursor = common
        self._crash_point("roll_back.after_commit")

    async def _common_ancestor(self) -> BlockRef:
        below = None if self._head is None else self._head.number + 1
        while blocks := await self._cursors.behind(below=below, limit=_PAGE):
            for block in blocks:
                if (await self._reader.header(block.number)).id == block.id:
                    return block
            below = blocks[-1].number
        detail = f"no block of {self._network} that we remember is on the chain any more"
        await self._alarms.raise_alarm(
            AlarmKind.REORG_AFTER_CREDIT, self._network, Severity.SEV1, detail, self._clock()
        )
        raise ForkTooDeep(detail)


def grouped(sightings: Sequence[Sighting]) -> Iterator[list[Sighting]]:
    """Cut blocks into transactions: one that concerns us ends its group, those before it cost nothing more."""
    group: list[Sighting] = []
    for sighting in sightings:
        group.append(sighting)
        if sighting:
            yield group
            group = []
    if group:
        yield group
