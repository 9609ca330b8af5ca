"""The read benchmark, tiny: that every page's reads are answered. No figure is judged here."""

from pathlib import Path

from rich.console import Console

from benchmarks.read_latency import read_latency, show
from benchmarks.reading.history import Size


async def test_every_read_of_every_page_is_answered(folder: Path) -> None:
    console = Console(record=True, width=140)
    report = await read_latency(Size(owners=2, bots_each=3, fills=40), 4, folder, console)
    show(report, console)
    assert report.failed == 0
    assert report.rows["executions"] == 2 * 3 * 40
    assert report.rows["bot_metrics"] == 2 * 3 * 80
    assert {each.count for each in report.routes.values()} == {4}
    assert "p95 of all reads" in console.export_text()
