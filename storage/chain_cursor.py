"""How far each network has been read: the last block taken, by its identity, and the blocks behind it.

A block is taken only on top of the one before it, under the watcher's lease, in the transaction of everything that
follows from it. So nothing is read twice, nothing is left out, and a chain that turns into another one is noticed.
"""

from collections.abc import Sequence

from engine.money import Network
from engine.payments.chain import BlockRef
from storage.database import Connection, Database
from storage.rows import to_row, to_rows

BLOCKS_KEPT = 5_000
"""How many blocks behind the cursor are remembered, four hours on TRON: further back nobody finds the fork."""

_BLOCK = "number, block_id AS id, parent_id, time_ms"


class ForeignParent(Exception):
    """A block does not hang on the last one taken: the chain that we followed is not the chain any more."""

    def __init__(self, ours: BlockRef, theirs: BlockRef) -> None:
        super().__init__(f"block {theirs.number} {theirs.id} does not follow {ours.number} {ours.id}")
        self.ours = ours
        self.theirs = theirs


def watcher_lease(network: Network) -> str:
    """Name the lease that a network's blocks are taken under."""
    return f"watcher:{network}"


async def locked(connection: Connection, network: Network) -> BlockRef:
    """Give the last block taken, and keep it until the transaction ends. LookupError before the first start."""
    record = await connection.fetchrow(
        f"SELECT {_BLOCK} FROM chain_cursor JOIN chain_block USING (network, number, block_id, time_ms) "
        "WHERE network = $1 FOR UPDATE OF chain_cursor",
        network,
    )
    if record is None:
        raise LookupError(f"nobody has said yet where to begin reading {network}")
    return to_row(record, BlockRef)


async def begin(connection: Connection, network: Network, epoch: int, block: BlockRef) -> None:
    """Begin after `block`, if nobody has begun before."""
    done = await connection.execute(
        "INSERT INTO chain_cursor (network, number, block_id, time_ms, epoch) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT DO NOTHING",
        network,
        block.number,
        block.id,
        block.time_ms,
        epoch,
    )
    if done == "INSERT 0 1":
        await _remember(connection, network, [block])


async def advance(connection: Connection, network: Network, epoch: int, blocks: Sequence[BlockRef]) -> None:
    """Move the cursor over consecutive blocks that `locked`'s block is the parent of."""
    await _remember(connection, network, blocks)
    await _set(connection, network, epoch, blocks[-1])
    await connection.execute(
        "DELETE FROM chain_block WHERE network = $1 AND number < $2", network, blocks[-1].number - BLOCKS_KEPT
    )


async def go_back(connection: Connection, network: Network, epoch: int, block: BlockRef) -> None:
    """Set the cursor back to a block behind it, and forget the blocks after that."""
    await connection.execute("DELETE FROM chain_block WHERE network = $1 AND number > $2", network, block.number)
    await _set(connection, network, epoch, block)


async def known(connection: Connection, network: Network, numbers: Sequence[int]) -> dict[int, str]:
    """Give the ids of the blocks taken at these heights, as far as they are remembered."""
    records = await connection.fetch(
        "SELECT number, block_id FROM chain_block WHERE network = $1 AND number = ANY ($2::bigint[])",
        network,
        list(numbers),
    )
    return {record["number"]: record["block_id"] for record in records}


class ChainCursor:
    """The cursor of one network, for reading."""

    def __init__(self, database: Database, network: Network) -> None:
        self._database = database
        self._network = network

    async def at(self) -> BlockRef | None:
        """Give the last block taken; None before the first start."""
        blocks = await self.behind(limit=1)
        return blocks[0] if blocks else None

    async def behind(self, *, below: int | None = None, limit: int = 50) -> list[BlockRef]:
        """List the remembered blocks, newest first."""
        records = await self._database.rows(
            f"SELECT {_BLOCK} FROM chain_block WHERE network = $1 AND ($2::bigint IS NULL OR number < $2) "
            "ORDER BY number DESC LIMIT $3",
            self._network,
            below,
            limit,
        )
        return to_rows(records, BlockRef)


async def _remember(connection: Connection, network: Network, blocks: Sequence[BlockRef]) -> None:
    await connection.execute(
        "INSERT INTO chain_block (network, number, block_id, parent_id, time_ms) "
        "SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[])",
        network,
        [block.number for block in blocks],
        [block.id for block in blocks],
        [block.parent_id for block in blocks],
        [block.time_ms for block in blocks],
    )


async def _set(connection: Connection, network: Network, epoch: int, block: BlockRef) -> None:
    await connection.execute(
        "UPDATE chain_cursor SET number = $2, block_id = $3, time_ms = $4, epoch = $5 WHERE network = $1",
        network,
        block.number,
        block.id,
        block.time_ms,
        epoch,
    )
