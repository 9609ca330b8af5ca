"""Processes that run cases side by side, each on a server and a core of its own; reports are put in order again.

`python -m benchmarks.simulating.workers` is one worker: a job per line of standard input, a report per line of
standard output. It ends with its input, so that it never outlives whoever started it.
"""

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle, islice

import msgspec

from benchmarks.harness import ROOT
from benchmarks.simulating.databases import keep_on, server
from benchmarks.simulating.work import Job, Report
from storage.database import Database

WORKERS = 2
LINE_BYTES_MAX = 2**24


class Worker:
    """One process. Jobs one after another."""

    def __init__(self, dsn: str, core: int) -> None:
        self._command = [sys.executable, "-m", "benchmarks.simulating.workers", dsn, str(core)]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=ROOT,
            # Sets of words are walked in the order of their hashes: with a seed of their own, in the same order.
            env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
        )

    async def run(self, job: Job) -> Report:
        """Run one case there. A worker that dies is a finding of its own."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
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
async def workers(
    furnish: Callable[[Database], Awaitable[None]], count: int = WORKERS
) -> AsyncIterator[list[Worker]]:
    """Start workers with a furnished server each, and end them whatever happens."""
    async with AsyncExitStack() as stack:
        started = []
        for core in islice(cycle(_cores()), count):
            worker = Worker(await stack.enter_async_context(server(furnish, core)), core)
            stack.push_async_callback(worker.stop)
            await worker.start()
            started.append(worker)
        yield started


def _cores() -> Sequence[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)


async def share(
    jobs: Iterable[Job], among: list[Worker], until: Callable[[Report], bool] | None = None
) -> list[Report]:
    """Run jobs on whoever is free and give the reports in the jobs' order; begin no more once `until` says so.

    A case that could not be run is run once more.
    """
    waiting = iter(enumerate(jobs))
    done: dict[int, Report] = {}
    stop = False

    async def keep_busy(worker: Worker) -> None:
        nonlocal stop
        for place, job in waiting:
            if stop:
                return
            report = await worker.run(job)
            if report.died:
                # Its clock and its faults are its own, the machine's time-outs are not: a stall of the machine can
                # end a case. It is the same when it is run again, so a mistake of ours shows again.
                report = msgspec.structs.replace(await worker.run(job), repeated=report.died)
            done[place] = report
            stop = stop or (until is not None and until(report))

    async with asyncio.TaskGroup() as group:
        for worker in among:
            group.create_task(keep_busy(worker))
    return [done[place] for place in sorted(done)]


def _serve(dsn: str, core: int) -> None:
    from benchmarks.simulating.cases import Cases  # The world is heavy; the parent never needs it.

    keep_on(core)
    cases = Cases(dsn)
    for line in sys.stdin.buffer:
        job = msgspec.json.decode(line, type=Job)
        began_s = time.perf_counter()
        report = cases.run(job)
        report.took_s = round(time.perf_counter() - began_s, 3)
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    with contextlib.suppress(KeyboardInterrupt):
        _serve(sys.argv[1], int(sys.argv[2]))
