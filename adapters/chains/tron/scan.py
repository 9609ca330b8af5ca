"""What each node's final chain says of payouts that are under way, and when that is proof.

A block includes a transaction only while its parent's time is before the expiration (java-tron,
`Manager.validateCommon`). So a payout is dead when some final block's parent is past the expiration and none of
the blocks from the reference on, to that one, holds it. One node is believed of its own chain only if that chain
is unbroken: every block read, the first the child of the reference, each the parent of the next. Nothing is
concluded from a node that does not find a transaction, that lags, or that leaves a block out.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import TypeVar

import msgspec

from adapters.chains.rpc import NodePool
from adapters.chains.tron import wire
from adapters.chains.tron.node import TronNodes
from adapters.chains.tron.reader import TronReader
from engine.errors import VenueError
from engine.ids import TxId
from engine.payments.chain import Absent, Block, BlockRef, Included, Outcome, PayoutIntent, Pending

_REMEMBERED_BLOCKS = 600
"""Half an hour of each node's chain: some 25 MB at mainnet's 300 transactions a block."""
_AT_ONCE = 8
"""Questions to one node at the same time while catching up."""
_T = TypeVar("_T")


class Watched(msgspec.Struct, frozen=True):
    """A payout whose bytes may be about."""

    tx_id: TxId
    intent: PayoutIntent


class Dead(msgspec.Struct, frozen=True):
    """One node's chain has passed the payout's last chance, the block `up_to`, without it."""

    up_to: BlockRef


View = Included | Dead | None
"""What one node's chain says of one payout; None: nothing certain yet."""


class _Seen(msgspec.Struct, frozen=True):
    ref: BlockRef
    tx_ids: frozenset[TxId]


class NodeScan:
    """One node's final blocks, each read once for all payouts."""

    def __init__(self, name: str, pool: NodePool, nodes: TronNodes, reader: TronReader) -> None:
        self._name, self._pool, self._nodes, self._reader = name, pool, nodes, reader
        self._blocks: OrderedDict[int, _Seen] = OrderedDict()

    async def views(self, watched: Sequence[Watched]) -> dict[TxId, View]:
        """Say what the node's chain tells of each, nothing where it cannot be read unbroken; raise `VenueError` if
        it does not even tell its head."""
        head = await self._nodes.final_head(self._name)
        if not self._continues_to(head):
            self.forget()
        views: dict[TxId, View] = dict.fromkeys((it.tx_id for it in watched), None)
        for reference, group in _by_reference(watched):
            # A payout whose reference is on no chain, as after a restore of another network's, delays no other.
            with suppress(VenueError):
                run = await self._run(reference, head.number, max(it.intent.expires_at_ms for it in group))
                views |= await self._judge(reference, run, group)
        return views

    async def stands_by(self, deaths: Mapping[TxId, BlockRef]) -> set[TxId]:
        """Give those that the node does not know when it is asked for them by their ids.

        Its blocks were read over minutes; if it was wrong for one moment of them, that is found here.
        """
        for last in {ref.number: ref for ref in deaths.values()}.values():
            if await self._nodes.header(self._name, last.number) != last:
                self.forget()
                raise self._pool.disagree(f"{self._name} has another block {last.number} than before")
        gone: set[TxId] = set()
        for start in range(0, len(deaths), _AT_ONCE):
            some = list(deaths)[start : start + _AT_ONCE]
            known = await _together(self._nodes.knows(self._name, tx_id) for tx_id in some)
            gone |= {tx_id for tx_id, is_known in zip(some, known, strict=True) if not is_known}
        if len(gone) < len(deaths):
            self.forget()
            raise self._pool.disagree(f"{self._name} knows a payout that its blocks leave out")
        return gone

    def forget(self) -> None:
        """Read everything again: what was read may have been another chain than the node has now."""
        self._blocks.clear()

    def _continues_to(self, head: BlockRef) -> bool:
        own, parent = self._blocks.get(head.number), self._blocks.get(head.number - 1)
        return (own is None or own.ref == head) and (parent is None or parent.ref.id == head.parent_id)

    async def _run(self, reference: BlockRef, head: int, expires_at_ms: int) -> list[_Seen]:
        """Give the chain after `reference`: to the head, or to the first block that can include nothing which
        expires at `expires_at_ms`."""
        run: list[_Seen] = []
        parent = reference
        for number in range(reference.number + 1, head + 1):
            if number not in self._blocks:
                await self._fetch(range(number, min(number + _AT_ONCE, head + 1)))
            seen = self._blocks[number]
            if seen.ref.parent_id != parent.id:
                if run:
                    self.forget()
                else:
                    del self._blocks[number]
                raise self._pool.disagree(f"on {self._name}, block {number} is no child of {parent.id}")
            run.append(seen)
            if parent.time_ms >= expires_at_ms:
                break
            parent = seen.ref
        return run

    async def _fetch(self, numbers: Sequence[int]) -> None:
        missing = [number for number in numbers if number not in self._blocks]
        for block in await _together(self._nodes.block(self._name, number) for number in missing):
            self._blocks[block.ref.number] = _Seen(block.ref, wire.tx_ids(block))
        while len(self._blocks) > _REMEMBERED_BLOCKS + len(numbers):
            self._blocks.popitem(last=False)

    async def _judge(
        self, reference: BlockRef, run: Sequence[_Seen], group: Sequence[Watched]
    ) -> dict[TxId, View]:
        wanted = {it.tx_id for it in group}
        holder = {tx_id: seen.ref for seen in run for tx_id in wanted & seen.tx_ids}
        contents: dict[int, Block] = {}
        views: dict[TxId, View] = {}
        for it in group:
            where = holder.get(it.tx_id)
            if where is None:
                views[it.tx_id] = _dead(reference, run, it.intent.expires_at_ms)
                continue
            if where.number not in contents:
                senders = {it.intent.sender for it in group}
                contents[where.number] = await self._reader.block_of(self._name, where.number, senders)
            views[it.tx_id] = self._included(it, where, contents[where.number])
        return views

    def _included(self, it: Watched, where: BlockRef, block: Block) -> Included:
        receipt = next((receipt for receipt in block.receipts if receipt.tx_id == it.tx_id), None)
        if block.ref != where or receipt is None:
            self.forget()
            raise self._pool.spoilt(self._name, f"block {where.number} was another a moment ago")
        intent = it.intent
        moved = sum(
            transfer.units
            for transfer in block.transfers
            if transfer.tx_id == it.tx_id
            and (transfer.contract, transfer.sender, transfer.recipient)
            == (intent.contract, intent.sender, intent.recipient)
        )
        return Included(block=where, receipt=receipt, moved_units=moved)


def outcome(views: Mapping[str, View], quorum: int) -> Outcome | str:
    """Conclude from what the nodes say of one payout; a text says how they contradict each other.

    One chain that holds the payout is enough to make every proof of its death worthless.
    """
    said = {name: view for name, view in views.items() if view is not None}
    if len(set(said.values())) > 1:
        return "; ".join(f"{_in_words(view)} on {name}" for name, view in said.items())
    if len(said) < quorum:
        return Pending()
    one = next(iter(said.values()))
    return one if isinstance(one, Included) else Absent(up_to=one.up_to, witnesses=tuple(said))


def _in_words(view: Included | Dead) -> str:
    if isinstance(view, Dead):
        return f"dead since block {view.up_to.id}"
    return f"in block {view.block.id} with {view.receipt.result} and {view.moved_units} units moved"


async def outcomes(pool: NodePool, scans: Mapping[str, NodeScan], watched: Sequence[Watched]) -> list[Outcome]:
    """Ask every node's chain, and say of each payout what enough of them prove. Never raises for a node."""
    if not watched:
        return []
    answers = await pool.each(lambda name: scans[name].views(watched))
    told = {name: views for name, views in answers.items() if not isinstance(views, VenueError)}
    found: list[Outcome] = []
    for it in watched:
        one = outcome({name: views[it.tx_id] for name, views in told.items()}, pool.quorum)
        if isinstance(one, str):
            pool.disagree(f"{it.tx_id} is {one}")
            for scan in scans.values():
                scan.forget()
            one = Pending()
        found.append(one)
    deaths = {it.tx_id: one for it, one in zip(watched, found, strict=True) if isinstance(one, Absent)}
    certain = await _confirmed(pool, scans, deaths)
    return [
        Pending() if it.tx_id in deaths and it.tx_id not in certain else one
        for it, one in zip(watched, found, strict=True)
    ]


async def _confirmed(pool: NodePool, scans: Mapping[str, NodeScan], deaths: Mapping[TxId, Absent]) -> set[TxId]:
    """Give those deaths whose every witness stands by its word when it is asked anew, and in another way."""
    if not deaths:
        return set()
    certain = set(deaths)
    witnessed = {
        name: {tx_id: one.up_to for tx_id, one in deaths.items() if name in one.witnesses} for name in pool.names
    }
    for name, stood_by in (await pool.each(lambda name: scans[name].stands_by(witnessed[name]))).items():
        certain -= witnessed[name].keys() - (set() if isinstance(stood_by, VenueError) else stood_by)
    return certain


async def _together(questions: Iterable[Awaitable[_T]]) -> list[_T]:
    """Wait for all answers, then raise the first error if there is one: no question outlives its asker."""
    answers = await asyncio.gather(*questions, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if not isinstance(answer, BaseException)]


def _dead(reference: BlockRef, run: Sequence[_Seen], expires_at_ms: int) -> Dead | None:
    parent = reference
    for seen in run:
        if parent.time_ms >= expires_at_ms:
            return Dead(seen.ref)
        parent = seen.ref
    return None


def _by_reference(watched: Sequence[Watched]) -> Iterator[tuple[BlockRef, list[Watched]]]:
    def reference(it: Watched) -> tuple[int, str]:
        return it.intent.reference.number, it.intent.reference.id

    for _, group in groupby(sorted(watched, key=reference), reference):
        members = list(group)
        yield members[0].intent.reference, members
