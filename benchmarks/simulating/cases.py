"""What a worker can run, each case in a process of its own that is forked from a world at its beginning.

The fork is the cheapest copy of a chain there is, and it keeps a planted bug from outliving its case.
"""

import os
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path

import msgspec
import uvloop

from benchmarks.simulating.beginning import network_at_the_beginning
from benchmarks.simulating.databases import Copies, memory
from benchmarks.simulating.faults import Odds
from benchmarks.simulating.network import Network
from benchmarks.simulating.planted import planted
from benchmarks.simulating.table import run_row
from benchmarks.simulating.work import Job, Report
from benchmarks.simulating.world import World

CASE_LIMIT_S = 240.0
Tell = Callable[[str], None]


class Cases:
    """The cases of one worker, on its server."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._network = network_at_the_beginning()

    def run(self, job: Job) -> Report:
        """Run one case in a forked process; one that hangs or dies is a finding."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _live_and_die(lambda: self._run(job, self._network, _say if job.trace else None), writing)
        os.close(writing)
        try:
            return _report_of(job, child, reading)
        finally:
            os.close(reading)

    async def _run(self, job: Job, network: Network, tell: Tell | None) -> Report:
        async with Copies.on(self._dsn) as copies:
            # Journals are synced as in life; where they lie in memory that costs nothing.
            with (
                tempfile.TemporaryDirectory(prefix="trellis-journals-", dir=memory()) as folder,
                planted(job.name) if job.kind == "planted" else nullcontext("") as sql,
            ):
                return await _KINDS[job.kind](job, network, copies, Path(folder), tell, sql)


async def _seed(job: Job, network: Network, copies: Copies, folder: Path, tell: Tell | None, sql: str) -> Report:
    """One seeded run. Restores of the database are rare, so a seed has them or has not."""
    odds = msgspec.structs.replace(Odds(), restore=40 if job.number % 4 == 0 else 0)
    world = World(job.number, network, copies, folder, odds=odds, payouts=job.payouts, tell=tell, before=sql)
    findings = await world.run()
    return Report(
        job,
        digest=world.trace.digest,
        findings=findings.all(),
        counts=world.counts(),
        faults=dict(world.dice.counts),
        crash_points=dict(world.hit),
    )


async def _row(job: Job, network: Network, copies: Copies, folder: Path, tell: Tell | None, sql: str) -> Report:
    return await run_row(job, network, copies, folder, tell)


_KINDS: dict[str, Callable[[Job, Network, Copies, Path, Tell | None, str], Awaitable[Report]]] = {
    "seed": _seed,
    "planted": _seed,
    "table": _row,
}


def _live_and_die(run: Callable[[], Awaitable[Report]], writing: int) -> None:
    code = 1
    try:
        report = uvloop.run(run())  # type: ignore[arg-type]
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(msgspec.json.encode(report))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _report_of(job: Job, child: int, reading: int) -> Report:
    content = bytearray()
    while True:
        ready, _, _ = select.select([reading], [], [], CASE_LIMIT_S)
        if not ready:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return Report(job, findings=[f"hung for {CASE_LIMIT_S:.0f} s"])
        piece = os.read(reading, 65536)
        if not piece:
            break
        content += piece
    _, status = os.waitpid(child, 0)
    if not content:
        return Report(job, died=f"it ended with status {status} and said nothing")
    return msgspec.json.decode(bytes(content), type=Report)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
