"""The order loop, tiny: that every client still makes the very same orders. No figure is judged here."""

import socket
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.harness import Machine, Spread, result, save
from benchmarks.order_loop import LOOPS, PACES, order_loop, show


async def test_every_client_answers_prices_and_fills_with_the_same_orders(folder: Path) -> None:
    report = await order_loop(count=3, rounds=1, part_repeats=20, folder=folder)
    assert report.orders_that_differ == 0
    assert report.orders_compared == 3 * len(LOOPS) * len(PACES) * 6
    for loop in LOOPS:
        for pace in PACES:
            assert all(spread.count == 3 for spread in report.microseconds[loop][pace].values())
    console = Console(record=True, width=140)
    show(report, console)
    assert "72 orders compared, 0 differ" in console.export_text()


def test_a_spread_gives_median_and_tail_in_microseconds() -> None:
    spread = Spread.of([nanoseconds * 1_000 for nanoseconds in range(1, 201)])
    assert (spread.count, spread.median, spread.p99, spread.least) == (200, 100.5, 199.0, 1.0)


def test_a_result_names_machine_and_commit_and_no_host(tmp_path: Path) -> None:
    outcome = result("example", Machine.here(), {"count": 1}, {"figure": 2}, ("msgspec",))
    text = save(outcome, tmp_path).read_text()
    assert outcome.commit in text
    assert outcome.machine.processor in text
    assert socket.gethostname() not in text
    assert str(Path.home()) not in text


@pytest.mark.parametrize("count", [91, 1_000])
async def test_more_ticks_than_the_grid_can_follow_are_refused(count: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most 90"):
        await order_loop(count, 1, 1, tmp_path)
