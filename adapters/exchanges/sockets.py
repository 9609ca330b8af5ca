"""Sockets for aiohttp on uvloop: safe against an attempt to connect that is cancelled half way.

uvloop takes a connected socket over by its number only. When the attempt is cancelled (a time limit, a bot that is
let go), it closes the number, while the Python object still believes to own it and closes it once more when it is
collected: by then the number may belong to another connection, which is cut and whose number no new connection can
use (MagicStack/uvloop#738). After a process has been suspended, all its time limits end at once, and this happens.
"""

import socket

import aiohttp
from aiohttp.connector import AddrInfoType


class HandedOverSocket(socket.socket):
    """A socket that is closed by whoever holds it, never by the garbage collector."""

    def __del__(self) -> None:
        """Forget the number: if nobody has closed it, a leaked one does less harm than one closed twice."""
        self.detach()


def connector() -> aiohttp.TCPConnector:
    """Make the connector that every HTTP session of ours should have."""
    return aiohttp.TCPConnector(socket_factory=_make)


def _make(address: AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    return HandedOverSocket(family, kind, protocol)
