"""Processes that run cases side by side, each on a database of its own; what they report is put in order again.

`python -m benchmarks.simulating.workers` is one worker: a job per line of standard input, a report per line of
standard output. It ends with its input, so that it never outlives whoever started it.
"""

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import msgspec
import uvloop

from benchmarks.harness import ROOT

WORKERS = 2
LINE_BYTES_MAX = 2**24


class Job(msgspec.Struct, frozen=True):
    """One case to run: what `kind` means is said in `cases`."""

    kind: str
    number: int
    name: str = ""
    payouts: int = 20


class Report(msgspec.Struct):
    """What came of one case."""

    job: Job
    digest: str = ""
    took_s: float = 0.0
    findings: list[str] = []
    counts: dict[str, int] = {}
    """Payouts, doubles, losses, stuck and whatever else is counted."""
    faults: dict[str, int] = {}
    crash_points: dict[str, int] = {}

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing was found."""
        return not self.findings


Run = Callable[[Job], Awaitable[Report]]


class Worker:
    """One process. Jobs one after another."""

    def __init__(self, dsn: str, number: int) -> None:
        self._command = [sys.executable, "-m", "benchmarks.simulating.workers", dsn, f"simulation_{number}"]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
        )

    async def run(self, job: Job) -> Report:
        """Run one case there. A worker that dies is a finding of its own."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdin.write(msgspec.json.encode(job) + b"\n")
        line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker died with {await process.wait()} while it ran {job}")
        return msgspec.json.decode(line, type=Report)

    async def stop(self) -> None:
        """End it with its input."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()


@asynccontextmanager
async def workers(dsn: str, count: int = WORKERS) -> AsyncIterator[list[Worker]]:
    """Start workers and end them whatever happens."""
    started = [Worker(dsn, number) for number in range(count)]
    try:
        await asyncio.gather(*(worker.start() for worker in started))
        yield started
    finally:
        await asyncio.gather(*(worker.stop() for worker in started))


async def share(jobs: Iterable[Job], among: list[Worker], until: Callable[[Report], bool] | None = None) -> list[Report]:
    """Run jobs on whoever is free and give the reports in the jobs' order; begin no more once `until` says so."""
    waiting = iter(enumerate(jobs))
    done: dict[int, Report] = {}
    stop = False

    async def keep_busy(worker: Worker) -> None:
        nonlocal stop
        for place, job in waiting:
            if stop:
                return
            done[place] = await worker.run(job)
            stop = stop or (until is not None and until(done[place]))

    async with asyncio.TaskGroup() as group:
        for worker in among:
            group.create_task(keep_busy(worker))
    return [done[place] for place in sorted(done)]


async def _serve(dsn: str, name: str) -> None:
    from benchmarks.simulating.cases import Cases  # The world is heavy; the parent never needs it.

    loop = asyncio.get_running_loop()
    async with Cases.on(dsn, name) as cases:
        while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
            job = msgspec.json.decode(line, type=Job)
            began_s = time.perf_counter()
            report = await cases.run(job)
            report.took_s = round(time.perf_counter() - began_s, 3)
            sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL)
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve(sys.argv[1], sys.argv[2]))
