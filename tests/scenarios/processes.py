"""Bot hosts in processes of their own, started for one test and gone after it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from actors import wiring
from engine.ids import BotId
from tests.scenarios.world import World

REPOSITORY = Path(__file__).parents[2]


class HostProcess:
    """One process that runs bots."""

    def __init__(self, world: World, bots: tuple[BotId, ...]) -> None:
        plan = world.plan.home / "plan"
        plan.write_bytes(wiring.encode_plan(world.plan))
        self.started_at = time.monotonic()
        with (world.plan.home / "hosts.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.scenarios.host_process", str(plan), *bots],
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    def send(self, signal_number: int) -> None:
        """Send a signal."""
        os.kill(self._process.pid, signal_number)

    def kill(self) -> float:
        """Kill it on the spot and give the time at which it was gone."""
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait(10)
        return time.monotonic()

    def suspend(self) -> None:
        """Stop it in the middle of whatever it does."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on as if nothing had happened."""
        self.send(signal.SIGCONT)


@contextmanager
def host_process(world: World, *bots: BotId) -> Iterator[HostProcess]:
    """Run bots in a process of their own."""
    process = HostProcess(world, bots)
    try:
        yield process
    finally:
        process.kill()
