"""The one line at the end of every test that moves money."""

from storage.audit import Audit
from storage.database import Database
from storage.invariants import check
from storage.ledger_chain import LedgerChain


async def assert_books_hold(database: Database) -> None:
    """Fail unless every invariant holds and both chains are intact."""
    breaches = [str(breach) for breach in await check(database)]
    for name, report in (
        ("audit", await Audit(database).verify()),
        ("ledger", await LedgerChain(database).verify()),
    ):
        if not report.is_intact:
            breaches.append(f"the {name} chain breaks at {report.broken_at}: {report.reason}")
    assert not breaches, "\n".join(breaches)
