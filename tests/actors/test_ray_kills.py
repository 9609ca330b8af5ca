"""The club's Ray actors, killed with SIGKILL while payouts and payments are under way; the chain is witness."""

import tempfile
from pathlib import Path

import pytest

from benchmarks.simulating.ray_kills import kill_actors_often

LIMIT_S = 600
KILLS = 6


@pytest.mark.timeout(LIMIT_S)
@pytest.mark.usefixtures("ray_cluster")
async def test_killed_signers_watcher_supervisor_and_postgres_pay_nothing_twice_and_lose_nothing() -> None:
    with tempfile.TemporaryDirectory(prefix="trellis-ray-kills-", ignore_cleanup_errors=True) as folder:
        report = await kill_actors_often(KILLS, Path(folder))
    assert report.findings == []
    assert report.kills == {"signer actor": 3, "watcher actor": 1, "supervisor actor": 1, "postgres": 1}
    assert report.payouts == report.confirmed == KILLS
