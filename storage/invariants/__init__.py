"""What must be true of the database at all times, each as one query that finds nothing.

`trellis audit` asks them all, and so do every boot, the restore drill and every test that moves money. They only
read, and rest on the tables alone: not on the code that filled them. A row that one finds is a breach, and the
columns say of what. The letters are those of `settlement.md`: I money, P payouts, L limits, N netting, W incoming.
"""

import msgspec

from storage.database import Database, sorted_errors
from storage.invariants.incoming import INCOMING
from storage.invariants.ledger import LEDGER
from storage.invariants.model import Invariant
from storage.invariants.payouts import PAYOUTS
from storage.invariants.sessions import SESSIONS
from storage.invariants.trust import TRUST

__all__ = ["INVARIANTS", "Breach", "Invariant", "check"]

INVARIANTS: tuple[Invariant, ...] = (*LEDGER, *PAYOUTS, *TRUST, *SESSIONS, *INCOMING)

SHOWN_MAX = 20
LIMIT_S = 600.0


class Breach(msgspec.Struct, frozen=True):
    """An invariant that does not hold, with some of the rows that say so."""

    invariant: Invariant
    rows: list[str]

    def __str__(self) -> str:
        return f"{self.invariant.name} is broken ({self.invariant.sentence}): {'; '.join(self.rows)}"


async def check(database: Database, invariants: tuple[Invariant, ...] = INVARIANTS) -> list[Breach]:
    """Ask every invariant and give those that do not hold. Reads only; all of them see the same moment.

    `Retryable` when the database does not answer. Long ledgers take long: each query has minutes, not seconds.
    """
    connection = await database.dedicated()
    try:
        with sorted_errors():
            await connection.execute("SET statement_timeout = 0; SET transaction_timeout = 0")
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                found = [
                    (
                        invariant,
                        await connection.fetch(
                            f"SELECT * FROM ({invariant.sql}) AS breach LIMIT {SHOWN_MAX}", timeout=LIMIT_S
                        ),
                    )
                    for invariant in invariants
                ]
    finally:
        connection.terminate()
    return [
        Breach(invariant, [" ".join(f"{name}={value}" for name, value in row.items()) for row in rows])
        for invariant, rows in found
        if rows
    ]
