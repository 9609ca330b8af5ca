"""A host of bots as a process of its own: `python -m benchmarks.soaking.host`, told what to run on its first line.

Inside is `actors.host.BotHost`, the very class that Ray runs; only the restarting of a killed process is the
soak's own. It reports on its standard output what the supervisor would ask for.
"""

import asyncio
import signal
import sys
from base64 import b64decode

import msgspec
import uvloop

from actors.host import BotHost
from actors.messages import HostReport, decode
from engine.ids import BotId

REPORT_EVERY_S = 0.25


class Orders(msgspec.Struct, frozen=True):
    """What a host process is told at its start."""

    name: str
    plan: str
    """The encoded plan, in base 64."""
    bots: list[BotId]


async def run(orders: Orders) -> None:
    """Run the bots until SIGTERM, then let them go in order."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    host = BotHost(b64decode(orders.plan), orders.name)
    await host.assign(list(orders.bots))
    while not stopping.is_set():
        report = decode(await host.report(), HostReport)
        print(msgspec.json.encode(report).decode(), flush=True)
        try:
            async with asyncio.timeout(REPORT_EVERY_S):
                await stopping.wait()
        except TimeoutError:
            continue
    await host.close()


if __name__ == "__main__":
    uvloop.run(run(msgspec.json.decode(sys.stdin.readline(), type=Orders)))
