"""What a cancelled attempt to connect leaves behind on uvloop."""

import asyncio
import gc
import os
import socket

import uvloop

from adapters.exchanges.sockets import HandedOverSocket, connector


async def is_number_closed_again(kind: type[socket.socket]) -> bool:
    """Cancel a connection half way, give its number to somebody else, and see whether he still has it."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    line = kind(socket.AF_INET, socket.SOCK_STREAM)
    line.setblocking(False)
    await loop.sock_connect(line, server.sockets[0].getsockname())
    number = line.fileno()
    connecting = asyncio.create_task(loop.create_connection(asyncio.Protocol, sock=line))
    await asyncio.sleep(0)
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
    await asyncio.sleep(0.05)
    ends = os.pipe()
    assert number in ends, "uvloop has closed the number, so that it is the next one to be given out"
    del line, connecting
    gc.collect()
    try:
        os.fstat(number)
    except OSError:
        return True
    finally:
        for end in ends:
            try:
                os.close(end)
            except OSError:
                assert end == number
        server.close()
    return False


def test_a_cancelled_connection_does_not_close_somebody_elses() -> None:
    # Found by the soak, in a process that had been suspended: it could never open a connection again.
    assert not uvloop.run(is_number_closed_again(HandedOverSocket))


async def test_our_sessions_connect_with_such_sockets() -> None:
    async with connector() as made:
        assert made._socket_factory is not None
        with made._socket_factory((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0))) as line:
            assert isinstance(line, HandedOverSocket)
