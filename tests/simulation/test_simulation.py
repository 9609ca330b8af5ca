"""The crash simulation in its short form: a hundred worlds, the whole table, planted bugs, real kills, a
restore.
"""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from benchmarks.simulate import Plan, Summary, find, run
from benchmarks.simulating.beginning import furnish
from benchmarks.simulating.planted import PLANTED
from benchmarks.simulating.table import FATES, POINTS, VIEWS
from benchmarks.simulating.work import Job
from benchmarks.simulating.workers import Worker, share, workers

LIMIT_S = 1_800
SEEDS, PAYOUTS, KILLS, TWICE = 100, 20, 20, (4, 17, 23)


@pytest.fixture(scope="module")
async def among() -> AsyncIterator[list[Worker]]:
    """Start two workers for what is run case by case."""
    async with workers(furnish) as started:
        yield started


@pytest.fixture(scope="module")
async def summary() -> Summary:
    """Run the worlds, the table, the kills and the restore once."""
    with tempfile.TemporaryDirectory(prefix="trellis-simulate-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # noqa: ASYNC240  PostgreSQL runs under an account of its own when we are root
        return await run(Plan(seeds=SEEDS, payouts=PAYOUTS, kills=KILLS, ray_kills=0, planted=False), Path(folder))


@pytest.mark.timeout(LIMIT_S)
async def test_a_hundred_worlds_of_twenty_payouts_pay_everything_once_and_lose_nothing(
    summary: Summary, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\n{summary.line}")
    assert summary.findings == []
    assert summary.seeds == SEEDS
    assert summary.counts["payouts"] > SEEDS * 15
    assert summary.counts["transfers"] == summary.counts["confirmed"] + summary.counts["given up"]
    assert sum(summary.faults.values()) > SEEDS * 50
    assert summary.faults["restore"] > 0


@pytest.mark.timeout(LIMIT_S)
async def test_the_whole_table_was_walked_and_every_crash_point_killed_somebody(summary: Summary) -> None:
    signers = [point for point in POINTS if point.startswith("signer")]
    watchers = [point for point in POINTS if point.startswith("watcher")]
    assert summary.cells == (len(signers) * len(FATES) + len(watchers)) * len(VIEWS) > 1_000
    assert set(POINTS) <= set(summary.crash_points)


async def test_a_case_that_cannot_be_run_is_run_again_said_and_ends_no_other(among: list[Worker]) -> None:
    impossible, world = await share([Job("no such kind", 1), Job("seed", 1, payouts=2)], among)
    assert "said nothing" in impossible.repeated
    assert "said nothing" in impossible.died
    assert not impossible.is_clean
    assert world.is_clean
    assert world.counts["payouts"] > 0


@pytest.mark.timeout(LIMIT_S)
async def test_a_seed_that_is_run_again_is_the_same_story_to_the_last_event(among: list[Worker]) -> None:
    once = await share([Job("seed", seed) for seed in TWICE], among)
    again = await share([Job("seed", seed) for seed in TWICE], among)
    assert [report.digest for report in once] == [report.digest for report in again]
    assert len({report.digest for report in once}) == len(TWICE)


@pytest.mark.timeout(LIMIT_S)
@pytest.mark.parametrize("bug", PLANTED)
async def test_each_planted_bug_is_found_within_five_hundred_seeds(bug: str, among: list[Worker]) -> None:
    assert await find(bug, among) > 0


@pytest.mark.timeout(LIMIT_S)
async def test_twenty_real_kills_of_the_engine_and_of_postgres_pay_nothing_twice_and_lose_nothing(
    summary: Summary,
) -> None:
    assert summary.kills is not None
    assert summary.kills.findings == []
    assert sum(summary.kills.kills.values()) == KILLS
    assert summary.kills.kills["postgres"] >= 1


@pytest.mark.timeout(LIMIT_S)
async def test_a_database_restored_to_an_earlier_point_in_mid_flight_pays_nothing_twice_and_loses_nothing(
    summary: Summary,
) -> None:
    assert summary.restore is not None
    assert summary.restore.findings == []
    assert summary.restore.payouts == 6
