"""A client in a process of its own, as the stage sees it: told its part, said "again" to, and ended."""

import asyncio
import sys
from collections.abc import Sequence

import msgspec

from benchmarks.harness import ROOT

READY_LIMIT_S = 180.0


class Client:
    """One process. It answers each line it is told with a line of its own when that is done."""

    def __init__(self, name: str, module: str, *arguments: str) -> None:
        self.name = name
        self._command = ["-m", module, *arguments]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, part: msgspec.Struct) -> None:
        """Start the process and give it its part; return when it is ready to react."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._command,
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        await self._say(msgspec.json.encode(part))

    async def again(self) -> None:
        """Have the tick grid begun again."""
        await self._say(b"again")

    async def stop(self) -> None:
        """End the process."""
        if self._process is None or self._process.returncode is not None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _say(self, line: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + b"\n")
        async with asyncio.timeout(READY_LIMIT_S):
            while (answer := await self._process.stdout.readline()) != b"ready\n":
                if not answer:
                    raise RuntimeError(f"{self.name} has ended")


def peers() -> Sequence[Client]:
    """Make the clients that we are compared with."""
    return [
        Client("our stack without the bot", "benchmarks.looping.bare_client"),
        Client("pybit WebSocket", "benchmarks.looping.pybit_client", "socket"),
        Client("pybit HTTP", "benchmarks.looping.pybit_client", "http"),
        Client("ccxt WebSocket", "benchmarks.looping.ccxt_client", "socket"),
        Client("ccxt HTTP", "benchmarks.looping.ccxt_client", "http"),
    ]
