"""The devnet's benchmark, tiny: that it still runs. No figure is judged here."""

from rich.console import Console

from benchmarks.tron_devnet import show, tron_devnet


def test_every_cost_is_measured() -> None:
    report = tron_devnet(blocks=20, transfers=50)
    assert min(report.empty_block, report.block, report.broadcast, report.reads, report.reorganisation) >= 0
    assert report.machines["revm in process"].transfers_per_s > 0
    console = Console(record=True, width=120)
    show(report, console)
    assert "a reorganisation of 6 blocks" in console.export_text()
