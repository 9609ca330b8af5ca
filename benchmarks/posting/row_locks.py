"""The row-lock loop: what most systems do. Each transfer is a transaction of its own that locks its two accounts.

Written as well as we can: statements prepared once, locks in the order of the codes so that nobody deadlocks, one
query for both accounts. It does what posting one transfer means (idempotency, the floor, both balances) and less
than ours: no holds, no groups, no step of a chain of hashes.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator

import asyncpg

from engine.ledger.postings import Transfer

SEQUENCE = "CREATE SEQUENCE IF NOT EXISTS row_lock_seq START 1000000000"


async def row_lock_loop(
    dsn: str, clients: int, make: Callable[[], Transfer], seconds: float, count: int | None = None
) -> tuple[int, float]:
    """Post for some seconds, or exactly `count` transfers; give how many were posted and how long it took."""
    tickets: Iterator[int] = itertools.count() if count is None else iter(range(count))
    connections = [await asyncpg.connect(dsn) for _ in range(clients)]
    await connections[0].execute(SEQUENCE)
    began = time.perf_counter()
    until = began + seconds
    try:
        posted = await asyncio.gather(*(_work(connection, tickets, make, until) for connection in connections))
    finally:
        took = time.perf_counter() - began
        for connection in connections:
            await connection.close()
    return sum(posted), took


async def _work(
    connection: "asyncpg.Connection[asyncpg.Record]",
    tickets: Iterator[int],
    make: Callable[[], Transfer],
    until: float,
) -> int:
    posted = 0
    for _ in tickets:
        if time.perf_counter() > until:
            break
        posted += await post_one(connection, make())
    return posted


async def post_one(connection: "asyncpg.Connection[asyncpg.Record]", transfer: Transfer) -> bool:
    """Post one transfer between two credit accounts; False when it is there already or not covered."""
    debit, credit, units = transfer.debit.code, transfer.credit.code, transfer.units
    async with connection.transaction():
        rows = await connection.fetch(
            "SELECT code, balance - held AS available, floor FROM ledger_account "
            "WHERE code IN ($1, $2) ORDER BY code FOR UPDATE",
            debit,
            credit,
        )
        payer = next(row for row in rows if row["code"] == debit)
        if payer["floor"] is not None and payer["available"] - units < payer["floor"]:
            return False
        is_new = await connection.fetchval(
            """
            INSERT INTO ledger_transfer (seq, id, kind, debit, credit, units, reference, at_ms, phase)
            VALUES (nextval('row_lock_seq'), $1, $2, $3, $4, $5, $6, $7, 'posted')
            ON CONFLICT (id) DO NOTHING RETURNING true
            """,
            transfer.id,
            transfer.kind,
            debit,
            credit,
            units,
            transfer.reference,
            transfer.at_ms,
        )
        if not is_new:
            return False
        await connection.execute("UPDATE ledger_account SET balance = balance - $2 WHERE code = $1", debit, units)
        await connection.execute("UPDATE ledger_account SET balance = balance + $2 WHERE code = $1", credit, units)
    return True
