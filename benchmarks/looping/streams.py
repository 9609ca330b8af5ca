"""The standard input of a client, read without blocking its event loop."""

import asyncio
import sys


async def standard_input() -> asyncio.StreamReader:
    """Give the lines that the stage writes."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader
