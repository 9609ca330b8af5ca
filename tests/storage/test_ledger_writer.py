"""Group commit: each caller its own answer, lost answers asked for again, a server that is killed under load."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from engine.errors import OutcomeUnknown, Retryable
from engine.ids import CompanyId, HotWalletId, Instant, TransferId
from engine.ledger import accounts, templates
from engine.ledger.accounts import Account, AccountCode, Normal
from engine.ledger.postings import Posted, Posting, Transfer
from engine.money import AssetId
from storage import database as database_module
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.ledger import Ledger
from storage.ledger_writer import LedgerWriter
from storage.migrate import migrate
from tests.invariants import assert_books_hold
from tests.storage.proxy import BreakingWire, Cut

USDT = AssetId("tron:USDT")
WALLET = HotWalletId("hw_a")
AT = Instant(1_700_000_000_000)


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """Give a folder with a name short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="wire-") as folder:
        yield Path(folder)


def money_in(name: str, units: int = 1) -> list[Transfer]:
    return templates.incoming_to_funds(WALLET, CompanyId(f"co_{name}"), USDT, units, name, AT)


async def test_each_caller_gets_the_answer_to_its_own_transfers(database: Database) -> None:
    async with LedgerWriter(database) as writer:
        await writer.submit(money_in("rich", 1000))
        answers = await asyncio.gather(
            *(
                writer.submit(templates.fund(CompanyId("co_rich"), USDT, 300, f"rich.{number}", AT))
                for number in range(5)
            ),
            writer.submit([]),
            writer.submit(money_in("rich", 1000)),
        )
    assert [[posted.result for posted in each] for each in answers] == [
        *[[Posting.OK]] * 3,
        *[[Posting.INSUFFICIENT]] * 2,
        [],
        [Posting.EXISTS],
    ]


async def test_groups_of_two_callers_have_nothing_to_do_with_each_other(database: Database) -> None:
    fine, poor = money_in("fine"), templates.fund(CompanyId("co_poor"), USDT, 1, "poor", AT)
    grouped = [
        [Transfer(each.id, each.kind, each.debit, each.credit, 1, "r", AT, group="the same") for each in transfers]
        for transfers in (fine, poor)
    ]
    async with LedgerWriter(database) as writer:
        answers = await asyncio.gather(*(writer.submit(transfers) for transfers in grouped))
    assert [posted.result for (posted,) in answers] == [Posting.OK, Posting.INSUFFICIENT]


async def test_one_callers_nonsense_harms_nobody_else(database: Database) -> None:
    wrong = Account(accounts.funds(CompanyId("co_before"), USDT).code, AssetId("tron:TRX"), Normal.CREDIT, 0)
    other = Account(AccountCode("other"), AssetId("tron:TRX"), Normal.CREDIT)
    nonsense = [Transfer(TransferId("nonsense"), "x", wrong, other, 1, "", AT)]
    async with LedgerWriter(database) as writer:
        await writer.submit(money_in("before"))
        first, failed, last = await asyncio.gather(
            writer.submit(money_in("first")),
            writer.submit(nonsense),
            writer.submit(money_in("last")),
            return_exceptions=True,
        )
    assert isinstance(failed, asyncpg.RaiseError)
    assert isinstance(first, list)
    assert isinstance(last, list)
    assert first[0].ok
    assert last[0].ok


@pytest.mark.parametrize("cut", list(Cut))
async def test_a_commit_whose_answer_is_lost_is_repeated_and_counts_once(
    postgres_dsn: str, database: Database, cut: Cut, socket_folder: Path
) -> None:
    name = f"cut-{cut.name}"
    async with (
        BreakingWire(postgres_dsn, socket_folder) as wire,
        Database(wire.dsn, pool_size=1) as shaky,
        LedgerWriter(shaky) as writer,
    ):
        wire.cuts = [cut]
        (answer,) = await writer.submit(money_in(name))
    assert answer.ok
    assert (await Ledger(database).balance(accounts.funds(CompanyId(f"co_{name}"), USDT))).units == 1


async def test_doubt_comes_out_only_after_the_repeats(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch, socket_folder: Path
) -> None:
    monkeypatch.setattr(database_module.Database.repeat, "__kwdefaults__", {"within_s": 0.2})
    async with (
        BreakingWire(postgres_dsn, socket_folder) as wire,
        Database(wire.dsn, pool_size=1) as shaky,
        LedgerWriter(shaky) as writer,
    ):
        wire.cuts = [Cut.AFTER_COMMIT] * 50
        with pytest.raises(OutcomeUnknown):
            await writer.submit(money_in("doubt"))
        wire.cuts = []
        (answer,) = await writer.submit(money_in("doubt"))
    assert answer.result is Posting.EXISTS


async def test_what_was_acknowledged_is_there_once_after_the_server_was_killed_under_load() -> None:
    home = Path(tempfile.mkdtemp(prefix="trellis-kill-"))
    server = EmbeddedPostgres(home)
    acknowledged: list[Posted] = []
    wanted, reached, stopping = 0, asyncio.Event(), asyncio.Event()

    async def call(writer: LedgerWriter, caller: int) -> None:
        number = 0
        while not stopping.is_set():
            number += 1
            transfers = money_in(f"{caller}.{number}")
            while True:
                try:
                    acknowledged.extend(await writer.submit(transfers))
                    if len(acknowledged) >= wanted:
                        reached.set()
                    break
                except (Retryable, OutcomeUnknown):
                    await asyncio.sleep(0.05)

    try:
        await server.start()
        guard = asyncio.create_task(server.keep_running(0.05))
        async with Database(server.dsn, pool_size=2) as database:
            await migrate(database)
            async with LedgerWriter(database) as writer:
                callers = [asyncio.create_task(call(writer, caller)) for caller in range(16)]
                for _ in range(3):
                    wanted = len(acknowledged) + 50
                    reached.clear()
                    await asyncio.wait_for(reached.wait(), 30)
                    assert server.pid is not None
                    os.kill(server.pid, signal.SIGKILL)
                stopping.set()
                await asyncio.gather(*callers)
            # What is left of a killed server serves open connections for a moment; a new one needs the new server.
            await server.start()
            assert all(posted.ok for posted in acknowledged)
            rows = await database.rows("SELECT id FROM ledger_transfer")
            assert sorted(posted.id for posted in acknowledged) == sorted(row["id"] for row in rows)
            assert len({posted.id for posted in acknowledged}) == len(acknowledged) >= 150
            await assert_books_hold(database)
        guard.cancel()
    finally:
        await server.stop()
        shutil.rmtree(home, ignore_errors=True)
