"""The ledger benchmark, tiny: that both ways of posting end with the same books. No figure is judged here."""

from pathlib import Path

from rich.console import Console

from benchmarks.ledger import Settings, ledger_benchmark, show
from benchmarks.posting.batches import post_batches
from benchmarks.posting.load import Load, Shape, open_accounts
from storage.database import Database

TINY = Settings(
    accounts=20, clients=4, batches=(20, 50), callers=8, seconds=0.05, rounds=1, compared=120, grow=2_000
)


async def test_batches_and_row_locks_end_with_the_same_books(folder: Path) -> None:
    report = await ledger_benchmark(TINY, folder)
    console = Console(record=True, width=140)
    show(report, console)
    assert report.differences == []
    assert report.compared == 2 * TINY.compared
    assert [(each.shape, each.batch) for each in report.rates] == [
        (shape, batch) for shape in Shape for batch in (20, 50)
    ]
    assert set(report.group_commit) == set(Shape)
    assert report.growth[-1].transfers >= TINY.grow
    assert "240 transfers compared, 0 differences" in console.export_text()


async def test_what_several_callers_post_is_counted_once_each(own_database: Database) -> None:
    load = Load(20, seed=4)
    await open_accounts(own_database, load)
    posted, took = await post_batches(own_database, 3, lambda: load.batch(Shape.HOT, 10), 0.3)
    assert posted > 30
    assert posted == await own_database.value("SELECT transfer FROM ledger_head") - len(load.accounts)
    assert took >= 0.3
