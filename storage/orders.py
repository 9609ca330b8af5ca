"""The bots' orders as last heard of, derived from the journal; written with it, read by screens and the API."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from engine.ids import BotId, Instant, LinkId, VenueOrderId
from engine.trading.orders import OrderKind, Side
from storage.database import Connection, Database, transpose
from storage.paging import Key, Page, read_page
from storage.rows import columns, to_row, to_rows


class OrderRow(msgspec.Struct, frozen=True):
    """One order of one bot. `status` is the machine's word; `is_live` tells whether it may rest at the venue."""

    link_id: LinkId
    venue_id: VenueOrderId | None
    level: int | None
    """None for the market orders that enter and leave the position."""
    side: Side
    kind: OrderKind
    price: Decimal | None
    """None for a market order."""
    quantity: Decimal
    filled: Decimal
    status: str
    reason: str
    is_live: bool
    created_at_ms: Instant
    updated_at_ms: Instant
    seq: int
    """The journal entry that this state follows from."""


_COLUMNS = columns(OrderRow)
_BY_CREATION = Key(("created_at_ms", "link_id"), tuple[int, str])


async def write(connection: Connection, bot: BotId, rows: Sequence[OrderRow]) -> None:
    """Write the latest states, in the journal's transaction. A repeated group never turns an order back."""
    if not rows:
        return
    await connection.execute(
        f"""
        INSERT INTO orders (bot, {_COLUMNS})
        SELECT $1, * FROM unnest($2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::numeric[],
                                 $8::numeric[], $9::numeric[], $10::text[], $11::text[], $12::boolean[],
                                 $13::bigint[], $14::bigint[], $15::bigint[])
        ON CONFLICT (link_id) DO UPDATE SET
            venue_id = coalesce(excluded.venue_id, orders.venue_id),
            price = excluded.price,
            quantity = excluded.quantity,
            filled = excluded.filled,
            status = excluded.status,
            reason = excluded.reason,
            is_live = excluded.is_live,
            updated_at_ms = excluded.updated_at_ms,
            seq = excluded.seq
        WHERE orders.bot = excluded.bot AND orders.seq <= excluded.seq
        """,
        bot,
        *transpose(rows),
    )


class Orders:
    """The table of orders."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, link_id: LinkId) -> OrderRow | None:
        """Find one order."""
        record = await self._database.row(f"SELECT {_COLUMNS} FROM orders WHERE link_id = $1", link_id)
        return None if record is None else to_row(record, OrderRow)

    async def live(self, bot: BotId) -> list[OrderRow]:
        """List the orders that may rest at the venue, highest price first."""
        records = await self._database.rows(
            f"SELECT {_COLUMNS} FROM orders WHERE bot = $1 AND is_live ORDER BY price DESC NULLS LAST, link_id",
            bot,
        )
        return to_rows(records, OrderRow)

    async def page(
        self,
        bot: BotId,
        *,
        statuses: list[str] | None = None,
        since_ms: Instant | None = None,
        until_ms: Instant | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[OrderRow]:
        """List orders of a bot, newest first, filtered by whatever is given; `until_ms` is not included."""
        asked = {
            "bot = {}": bot,
            "status = ANY ({})": statuses,
            "created_at_ms >= {}": since_ms,
            "created_at_ms < {}": until_ms,
        }
        return await read_page(
            self._database, f"SELECT {_COLUMNS} FROM orders", asked, _BY_CREATION, OrderRow, cursor, limit
        )
