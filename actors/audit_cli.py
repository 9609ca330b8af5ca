"""`trellis audit`: asks the database whether everything that must be true of it is, and says what is not.

It only reads, and may run beside a running program. The heads of the two chains that it prints belong outside the
database: handed back to a later run, they show whether the end was cut off or the whole was written anew.
"""

import asyncio
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import click

from actors.cli import FAILED, fail, read_settings

if TYPE_CHECKING:
    from actors.settings import Settings
    from storage.audit import AuditHead, AuditReport
    from storage.invariants import Breach


def _head(_context: click.Context, _parameter: click.Parameter, text: str | None) -> "AuditHead | None":
    from storage.audit import AuditHead

    if text is None:
        return None
    if not re.fullmatch(r"\d{1,18}:([0-9a-f]{64})?", text):
        raise click.BadParameter(f"{text!r} is not like 12:9f86d0… as an earlier run printed it")
    seq, _, digest = text.partition(":")
    return AuditHead(int(seq), bytes.fromhex(digest))


@click.command(
    epilog="""\b
    Examples:
      trellis audit
      trellis audit --audit-head 12:9f86d0… --ledger-head 7:60303a…
    """
)
@click.option("--audit-head", callback=_head, help="The commands' chain must still contain this.")
@click.option("--ledger-head", callback=_head, help="The ledger's chain must still contain this.")
def audit(audit_head: "AuditHead | None", ledger_head: "AuditHead | None") -> None:
    """Check every invariant and both chains of hashes. Ends with 1 when anything does not hold."""
    settings = read_settings()
    if not asyncio.run(_audit(settings, audit_head, ledger_head)):
        raise SystemExit(FAILED)


async def _audit(settings: "Settings", audit_head: "AuditHead | None", ledger_head: "AuditHead | None") -> bool:
    from actors.home import UnusableHome
    from engine.errors import VenueError
    from storage.audit import Audit
    from storage.database import Database, DatabaseRefused
    from storage.embedded import EmbeddedPostgresError
    from storage.invariants import check
    from storage.ledger_chain import LedgerChain

    try:
        async with AsyncExitStack() as stack:
            dsn = await _dsn(settings, stack)
            database = await stack.enter_async_context(Database(dsn, pool_size=2, name="trellis audit"))
            breaches = await check(database)
            commands = await Audit(database).verify(audit_head)
            postings = await LedgerChain(database).verify(ledger_head)
    except (DatabaseRefused, EmbeddedPostgresError, UnusableHome, VenueError) as error:
        fail(str(error))
    _show(breaches, {"commands": commands, "postings": postings})
    return not breaches and commands.is_intact and postings.is_intact


async def _dsn(settings: "Settings", stack: AsyncExitStack) -> str:
    """Find the database: the given one, a running program's, or our own, started for as long as we look."""
    from actors.home import AlreadyRunning, Home
    from storage.embedded import EmbeddedPostgres

    if settings.database_url is not None:
        return settings.database_url.value
    home = Home(settings.home)
    server = EmbeddedPostgres(home.postgres)
    try:
        home.claim()
    except AlreadyRunning:
        return server.dsn
    stack.callback(home.release)
    await stack.enter_async_context(server)
    return server.dsn


def _show(breaches: "list[Breach]", chains: "dict[str, AuditReport]") -> None:
    from rich.console import Console
    from rich.table import Table

    from storage.invariants import INVARIANTS

    broken = {breach.invariant.name: breach.rows for breach in breaches}
    table = Table("", "what must be true", "what says otherwise")
    for invariant in INVARIANTS:
        rows = broken.get(invariant.name, [])
        mark = "[red]✗[/red]" if rows else "[green]✓[/green]"
        table.add_row(mark, f"{invariant.name}: {invariant.sentence}", "\n".join(rows))
    for name, report in chains.items():
        mark = "[green]✓[/green]" if report.is_intact else "[red]✗[/red]"
        why = "" if report.is_intact else f"at {report.broken_at}: {report.reason}"
        table.add_row(mark, f"the chain of {name} is whole: {report.rows} steps", why)
    console = Console()
    console.print(table)
    for name, report in chains.items():
        console.print(f"head of {name}: {report.head.seq}:{report.head.hash.hex()}", soft_wrap=True)
