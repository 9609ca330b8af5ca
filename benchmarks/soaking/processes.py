"""The processes of a soak: PostgreSQL, the venue and the hosts of bots, each started again when it was killed.

It knows how each is started, killed and told to be well again. When and why is `troubles`' business.
"""

import asyncio
import logging
import signal
import sys
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from actors import wiring
from actors.clock import now_ms
from actors.home import Home
from actors.messages import HostReport
from benchmarks.harness import ROOT, shared_ticks
from benchmarks.soaking.host import Orders
from engine.ids import BotId
from storage.embedded import EmbeddedPostgres

log = logging.getLogger(__name__)

START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0
SILENT_MS = 10_000
LEASE_TTL_MS = 3_000
"""Shorter than in production, so that a soak sees many take-overs."""


class VenueProcess:
    """The PaperVenue in a process of its own, on one port through all its lives."""

    def __init__(self, state_dir: Path, speed: float, markets: Sequence[str]) -> None:
        self._state_dir = state_dir
        self._speed = speed
        self._markets = markets
        self._process: asyncio.subprocess.Process | None = None
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        self.port = 0
        self.feed = ""

    @property
    def pid(self) -> int:
        """Give the process id of the present life."""
        assert self._process is not None
        return self._process.pid

    @property
    def address(self) -> str:
        """Give the base address."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start, or start again after a kill; return when it answers."""
        command = ["-m", "adapters.exchanges.paper", "--state-dir", str(self._state_dir), "--port", str(self.port)]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *command, *self._feed(), cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(START_LIMIT_S):
            line = await self._process.stdout.readline()
        ready = msgspec.json.decode(line)
        self.port, self.feed = int(ready["http"].rpartition(":")[2]), ready["feed"]

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self._process is not None
        self._process.kill()

    async def died(self) -> None:
        """Wait until the process is gone."""
        assert self._process is not None
        await self._process.wait()

    async def stop(self) -> None:
        """End it in order."""
        await self._http.close()
        await _end(self._process)

    async def get(self, path: str) -> Any:
        """Ask the venue's own books; raise OSError or aiohttp.ClientError while it is away."""
        async with self._http.get(self.address + path) as reply:
            reply.raise_for_status()
            return msgspec.json.decode(await reply.read())

    async def post(self, path: str, **body: Any) -> Any:
        """Tell the operator's door something."""
        async with self._http.post(self.address + path, json=body) as reply:
            reply.raise_for_status()
            return msgspec.json.decode(await reply.read())

    async def market_ms(self) -> int:
        """Give the market's time: the stamp of the last trade; 0 before the first one."""
        market = self._markets[0]
        reply = await self.get(f"/v5/market/recent-trade?category={market}&symbol=BTCUSDT&limit=1")
        rows = reply["result"]["list"]
        return int(rows[0]["time"]) if rows else 0

    def _feed(self) -> list[str]:
        folder = shared_ticks()
        files = {"spot": "spot_btcusdt_20240808.gz", "linear": "usdm_btcusdt_20240808.gz"}
        symbols = ["--symbols", "BTCUSDT", "--speed", str(self._speed)]
        if folder is None:
            return [*symbols, "--feed", "model"]
        named = [f"{market}:BTCUSDT={folder / files[market]}" for market in self._markets]
        return [*symbols, "--feed", "replay", "--recording", *named]


class HostProcess:
    """A process that runs some bots; another life of it, under another name, runs the same ones."""

    def __init__(self, number: int, plan: wiring.Plan, bots: Sequence[BotId]) -> None:
        self.number = number
        self.bots = list(bots)
        self.lives = 0
        self.report: HostReport | None = None
        self._reported = asyncio.Condition()
        self._plan = plan
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def is_well(self) -> bool:
        """Tell whether every bot of it runs and has read the venue's view, by its own latest report."""
        report = self.report
        return report is not None and not report.opening and set(report.running) >= set(self.bots)

    @property
    def is_silent(self) -> bool:
        """Tell whether the process hangs: it reports several times a second as long as its loop turns."""
        return self.report is None or now_ms() - self.report.as_of_ms > SILENT_MS

    async def start(self) -> None:
        """Start a life, whether or not an earlier one still breathes."""
        self.lives += 1
        self.report = None
        plan = b64encode(wiring.encode_plan(self._plan)).decode()
        orders = Orders(f"host-{self.number}.{self.lives}", plan, self.bots)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.soaking.host",
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(orders) + b"\n")
        self._reader = asyncio.create_task(self._listen(self._process))

    def kill(self) -> None:
        """End the present life with SIGKILL."""
        assert self._process is not None
        self._process.kill()

    async def died(self) -> None:
        """Wait until the present life is gone."""
        assert self._process is not None
        await self._process.wait()

    def freeze(self) -> asyncio.subprocess.Process:
        """Stop the present life in its tracks, and give it out of hand: it may be woken beside its successor."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        return self._process

    async def well(self, within_s: float) -> None:
        """Wait until every bot runs; raise TimeoutError if that takes too long."""
        async with asyncio.timeout(within_s), self._reported:
            await self._reported.wait_for(lambda: self.is_well)

    async def stop(self) -> None:
        """Let the bots go in order: what they did is in the journal afterwards."""
        await _end(self._process)
        if self._reader is not None:
            await self._reader

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            if process is self._process:
                self.report = msgspec.json.decode(line, type=HostReport)
                async with self._reported:
                    self._reported.notify_all()


class Processes:
    """Everything that runs in a soak. `start` once, `stop` once."""

    def __init__(self, folder: Path, speed: float, markets: Sequence[str]) -> None:
        self.home = Home(folder)
        self.home.create()
        self.postgres = EmbeddedPostgres(self.home.postgres)
        self.venue = VenueProcess(self.home.venue, speed, markets)
        self.hosts: list[HostProcess] = []

    async def start_venue_and_database(self) -> str:
        """Start what the hosts need; give the dsn."""
        dsn = await self.postgres.start()
        await self.venue.start()
        return dsn

    async def start_hosts(self, dsn: str, shares: Sequence[Sequence[BotId]]) -> None:
        """Start one host for each share of the bots, and wait until all of them run."""
        plan = wiring.Plan(
            dsn=dsn,
            home=self.home.path,
            bots_per_host=max(map(len, shares)),
            log_level="info",
            paper_port=self.venue.port,
            paper_node="",
            lease_ttl_ms=LEASE_TTL_MS,
        )
        self.hosts = [HostProcess(number, plan, bots) for number, bots in enumerate(shares)]
        for host in self.hosts:
            await host.start()
        for host in self.hosts:
            await host.well(START_LIMIT_S)

    async def stop_hosts(self) -> None:
        """Let every bot go in order."""
        await asyncio.gather(*(host.stop() for host in self.hosts))

    async def stop(self) -> None:
        """End everything that is left."""
        await self.stop_hosts()
        await self.venue.stop()
        await self.postgres.stop()


async def _end(process: asyncio.subprocess.Process | None) -> None:
    if process is None or process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await process.wait()
    except TimeoutError:
        log.warning("soak.did_not_end pid=%s", process.pid)
        process.kill()
        await process.wait()
