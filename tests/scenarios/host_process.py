"""A bot host in a process of its own, to be killed or suspended: `... -m tests.scenarios.host_process PLAN BOT...`

It ends by itself when its standard input closes, so that it never outlives the test that started it.
"""

import asyncio
import logging
import sys
from pathlib import Path

from actors.host import BotHost


async def main(plan: bytes, bots: list[str]) -> None:
    """Run the bots until told otherwise."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(message)s")
    host = BotHost(plan, "process")
    await host.assign(bots)
    closed = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), closed.set)
    await closed.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).read_bytes(), sys.argv[2:]))
