"""The wire between the venue and every client: a process that passes bytes on and stamps those that matter.

The venue is Python too, and works on after it has pushed and before it reads. Stamped in its own process, each
client's figure would hold a share of that work. Here a push is stamped when it leaves for the client, and an order
when its bytes arrive; between the two lie two ways through the kernel, as in the floor, and the client.
"""

import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from mmap import mmap
from tempfile import TemporaryFile
from time import monotonic_ns

from benchmarks.harness import ROOT

_EXECUTION, _TRADE, _ORDER = range(3)
_SIZE = 3 * 8
_CHUNK = 1 << 16


class Wire:
    """The venue's side of the process. One client is active at a time, so the last stamps are its own."""

    def __init__(self, venue_port: int) -> None:
        with TemporaryFile() as file:
            file.truncate(_SIZE)
            self._stamps = memoryview(mmap(file.fileno(), _SIZE)).cast("q")
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "benchmarks.looping.wire", str(venue_port), str(file.fileno())],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[file.fileno()],
            )
            assert self._process.stdout is not None
            self.port = int(self._process.stdout.readline())

    @property
    def execution_ns(self) -> int:
        """Tell when the last execution left for a client."""
        return self._stamps[_EXECUTION]

    @property
    def trade_ns(self) -> int:
        """Tell when the last public trade left for a client."""
        return self._stamps[_TRADE]

    @property
    def order_ns(self) -> int:
        """Tell when the last order arrived from a client."""
        return self._stamps[_ORDER]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class _Pass:
    """Everything in the process: listens, connects through, passes on."""

    def __init__(self, venue_port: int, stamps: memoryview) -> None:
        self._venue_port = venue_port
        self._stamps = stamps
        self._ready = selectors.DefaultSelector()
        self._ends: dict[socket.socket, tuple[socket.socket, bool]] = {}
        """The other end of each socket, and whether it is the client's."""

    def run(self) -> None:
        """Pass on until the standard input ends."""
        door = socket.create_server(("127.0.0.1", 0))
        self._ready.register(door, selectors.EVENT_READ)
        self._ready.register(sys.stdin, selectors.EVENT_READ)
        print(door.getsockname()[1], flush=True)
        while True:
            for key, _ in self._ready.select():
                if key.fileobj is sys.stdin:
                    return
                if key.fileobj is door:
                    self._connect(door.accept()[0])
                elif key.fileobj in self._ends:
                    assert isinstance(key.fileobj, socket.socket)
                    self._pass_on(key.fileobj)

    def _connect(self, client: socket.socket) -> None:
        venue = socket.create_connection(("127.0.0.1", self._venue_port))
        for end, other, is_client in ((client, venue, True), (venue, client, False)):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._ends[end] = other, is_client
            self._ready.register(end, selectors.EVENT_READ)

    def _pass_on(self, end: socket.socket) -> None:
        other, is_client = self._ends[end]
        try:
            data = end.recv(_CHUNK)
            now_ns = monotonic_ns()
            if is_client:
                if _holds_order(data):
                    self._stamps[_ORDER] = now_ns
            elif b'"topic":"execution"' in data:
                self._stamps[_EXECUTION] = monotonic_ns()
            elif b'"topic":"publicTrade' in data:
                self._stamps[_TRADE] = monotonic_ns()
            if data:
                other.sendall(data)
                return
        except OSError:
            pass
        for each in (end, other):
            self._ready.unregister(each)
            del self._ends[each]
            each.close()


def _holds_order(data: bytes) -> bool:
    """Tell whether a client's bytes place an order, over HTTP or in a masked frame."""
    return b"POST /v5/order/create" in data or any(b'"order.create' in text for text in _unmasked(data))


def _unmasked(data: bytes) -> Iterator[bytes]:
    """Read the WebSocket frames of a client. None of ours is split, and none is longer than 64 KiB."""
    while len(data) > 6 and data[0] & 0x70 == 0 and data[1] & 0x80:
        size, start = data[1] & 0x7F, 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        mask, text = data[start : start + 4], data[start + 4 : start + 4 + size]
        pattern = (mask * (size // 4 + 1))[: len(text)]
        yield (int.from_bytes(text, "big") ^ int.from_bytes(pattern, "big")).to_bytes(len(text), "big")
        data = data[start + 4 + size :]


if __name__ == "__main__":
    _Pass(int(sys.argv[1]), memoryview(mmap(int(sys.argv[2]), _SIZE)).cast("q")).run()
