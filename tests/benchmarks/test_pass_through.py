"""The pass-through benchmark, tiny: every credit still becomes one payout, and every phase is there. No figure is
judged here."""

from pathlib import Path

from rich.console import Console

from benchmarks.pass_through import pass_through, show


async def test_every_credit_of_a_block_becomes_one_confirmed_payout(folder: Path) -> None:
    console = Console(record=True, width=140)
    report = await pass_through({1: 1, 4: 1}, folder, console)
    show(report, console)
    assert report.differences == []
    assert report.payouts_compared == 1 + 1 + 4
    for size in report.sizes:
        assert 0 < size.engine.p50 <= size.engine.p99 <= size.wall.longest
        assert size.engine.p50 <= size.engine_since_final.p50
        assert {"watch.after_commit", "persist.after_commit", "journal.after_write"} <= size.phases.keys()
    assert "6 payouts compared, 0 differences" in console.export_text()
