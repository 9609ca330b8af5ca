"""One command starts everything; one more makes a bot; Ctrl-C leaves nothing behind; the next start continues.

The walk-through of the README, with the console as a person uses it. Two starts, because each takes seconds.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
READY_LIMIT_S = 120.0
"""Far above the 30 s that are promised on a quiet machine: this is not the place that measures."""
STOP_LIMIT_S = 60.0


class Installation:
    """A home folder, and the program that runs on it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.screen = home / "screen.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self._family: dict[int, psutil.Process] = {}

    def up(self) -> str:
        """Start, wait until it is ready, and give what the screen says."""
        with self.screen.open("wb") as screen:
            # A group of its own, as a terminal gives: Ctrl-C reaches every process in it.
            self._process = subprocess.Popen(
                [sys.executable, str(ROOT / "trellis.py"), "up"],
                cwd=self.home,
                env=self._environ(),
                stdout=screen,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_LIMIT_S
        while "Ctrl-C stops everything" not in (text := self.screen.read_text()):
            assert self._process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.2)
        return text

    def end(self, how: signal.Signals) -> str:
        """Press Ctrl-C (or tell it to end), wait, and give what the screen says."""
        assert self._process is not None
        self._family = {each.pid: each for each in psutil.Process(self._process.pid).children(recursive=True)}
        assert len(self._family) > 10
        os.killpg(self._process.pid, how)
        assert self._process.wait(STOP_LIMIT_S) == 0, self.screen.read_text()
        return self.screen.read_text()

    def left_behind(self) -> list[str]:
        """List processes of the ended program that still run."""
        left = []
        for process in self._family.values():
            try:
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    left.append(f"{process.pid} {process.cmdline()}")
            except psutil.NoSuchProcess:
                continue
        return left

    def kill(self) -> None:
        """End whatever is left, for a test that failed."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)

    def trellis(self, *arguments: str, code: int = 0) -> str:
        """Run another command beside it and give what it prints."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "trellis.py"), *arguments],
            cwd=self.home,
            env=self._environ(),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def json(self, *arguments: str) -> Any:
        """Run another command for its JSON."""
        return json.loads(self.trellis(*arguments, "--json"))

    def until(self, holds: Callable[[], Any]) -> Any:
        """Ask until something holds."""
        for _ in range(120):
            if found := holds():
                return found
            time.sleep(0.25)
        raise AssertionError(self.trellis("bots", "list"))

    def _environ(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("TRELLIS_", "RAY_"))}
        more = {"TRELLIS_HOME": str(self.home), "TRELLIS_API_PORT": "0", "TRELLIS_FEED": "model", "COLUMNS": "140"}
        return {**clean, **more}


@pytest.fixture
def installation() -> Iterator[Installation]:
    """Give a fresh installation."""
    home = Path(tempfile.mkdtemp(prefix="trellis-up-"))
    made = Installation(home)
    try:
        yield made
    finally:
        made.kill()
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.timeout(420)
def test_everything_starts_trades_stops_without_a_trace_and_continues(installation: Installation) -> None:
    it = installation
    screen = it.up()
    assert re.search(r"Trellis is ready after \d+\.\d s", screen)
    for words in ("PostgreSQL", "Ray", "Paper venue", "API", "model", "PAPER MONEY", "bots watch", "bots create"):
        assert words in screen
    demo = re.search(r"Demo bot .* ([a-z2-7]{8}) trades BTCUSDT", screen)
    assert demo is not None

    # One more command, as the screen gives it, makes a bot.
    suggested = next(line for line in screen.splitlines() if " bots create " in line)
    bot = it.json(*suggested.split()[1:])["id"]
    it.until(lambda: it.json("bots", "show", bot)["bot"]["status"] == "running")
    it.until(lambda: it.json("bots", "show", bot)["bot"]["open_orders"] >= 18)
    assert {each["id"] for each in it.json("bots", "list")["items"]} == {demo[1], bot}
    assert it.json("status")["ok"]
    assert "PAPER MONEY" in it.trellis("status")
    shown = it.trellis("bots", "show", bot)
    for words in ("grid profit", "floating", "fees", "funding", "total", "opens interval", "model"):
        assert words in shown
    assert "already runs on" in it.trellis("up", code=1)
    assert "there is no such bot" in it.trellis("bots", "show", "no bot's id", code=1)
    assert "there is no bot zzzzzzzz" in it.trellis("bots", "emergency-stop", "zzzzzzzz", code=1)
    assert "grids: 1 grids cannot be run (allowed: 2 to 500)" in it.trellis(
        "bots", "create", "BTCUSDT", "--lower", "1", "--upper", "2", "--grids", "1", "--amount", "1", code=1
    )
    watched(it, bot)
    before = it.json("bots", "show", bot)

    screen = it.end(signal.SIGINT)
    assert "Stopping; nothing is lost" in screen
    assert it.left_behind() == []
    assert "not running" in it.trellis("status", code=3)

    screen = it.up()
    assert "2 of 2 wanted running" in screen
    assert "not needed: there are bots" in screen
    it.until(lambda: it.json("bots", "show", bot)["bot"]["open_orders"] >= 18)
    after = it.json("bots", "show", bot)
    # The orders that rested at the venue are the same ones, and no execution is gone.
    orders = [{level["order"] for level in page["levels"] if level["order"]} for page in (before, after)]
    assert len(orders[0] & orders[1]) >= 10
    assert after["bot"]["profit"]["trades"] >= before["bot"]["profit"]["trades"] >= 1
    # A bot whose process is still opening ends by its row, and may have ended before it could be listed.
    it.until(lambda: all(each["live"] for each in it.json("bots", "list")["items"]))
    outcome = it.json("bots", "emergency-stop", "--all")
    assert outcome["all_stopped"]
    assert {item["bot"] for item in outcome["items"]} == {demo[1], bot}
    it.end(signal.SIGTERM)
    assert it.left_behind() == []


def watched(it: Installation, bot: str) -> None:
    """Look at the live view for a moment; Ctrl-C ends the view, not the bot."""
    view = subprocess.Popen(
        [sys.executable, str(ROOT / "trellis.py"), "bots", "watch", bot],
        cwd=it.home,
        env=it._environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # Only a program that has come so far looks at anything.
    it.until(lambda: bool(psutil.Process(view.pid).net_connections()))
    time.sleep(2.0)
    view.send_signal(signal.SIGINT)
    text, _ = view.communicate(timeout=20)
    assert view.returncode == 0, text
    assert "grid profit" in text
    assert it.json("bots", "show", bot)["bot"]["status"] == "running"
