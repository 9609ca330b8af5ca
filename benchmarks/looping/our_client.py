"""Our side of the order loop: two real bots in a real host, with risk checks, leases and the journal on.

One bot answers fills, the other follows a rising market. The process is what Ray would run; nothing is left out.
"""

import asyncio
from base64 import b64decode

import msgspec
import uvloop

from actors import wiring
from actors.host import BotHost
from actors.messages import HostReport, decode
from benchmarks.looping.streams import standard_input
from engine.grid.state import BotStatus
from engine.ids import BotId
from storage.bots import Bots, DesiredState
from storage.database import Database

OURS = BotId("loopfill"), BotId("looptick")


class Orders(msgspec.Struct, frozen=True):
    """What the process is told at its start: the encoded plan, in base 64."""

    plan: str


async def run() -> None:
    """Run the two bots; begin the tick bot again at each line; end with the input."""
    reader = await standard_input()
    plan = b64decode(msgspec.json.decode(await reader.readline(), type=Orders).plan)
    host = BotHost(plan, "order-loop")
    async with Database(wiring.decode_plan(plan).dsn, pool_size=1, name="order loop") as database:
        bots = Bots(database)
        await host.assign(list(OURS))
        await _until(host, dict.fromkeys(OURS, BotStatus.RUNNING))
        print("ready", flush=True)
        while await reader.readline():
            for wish, status in (
                (DesiredState.STOPPED_KEEPING, BotStatus.STOPPED),
                (DesiredState.RUNNING, BotStatus.RUNNING),
            ):
                await bots.set_desired(OURS[1], wish, "order loop")
                await host.look(OURS[1])
                await _until(host, {OURS[1]: status})
            print("ready", flush=True)
    await host.close()


async def _until(host: BotHost, wanted: dict[BotId, BotStatus]) -> None:
    async with asyncio.timeout(30):
        while True:
            report = decode(await host.report(), HostReport)
            if not report.opening and all(report.statuses.get(bot) == wanted[bot] for bot in wanted):
                return
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    uvloop.run(run())
