"""The floor: a message over loopback TCP to another process and back, with blocking sockets and nothing else."""

import socket
import subprocess
import sys
from time import monotonic_ns, sleep

from benchmarks.harness import ROOT

MESSAGE_BYTES = 300
"""About an order with its frame."""


class Floor:
    """An echo in a process of its own, and the measuring side of it."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "benchmarks.looping.floor", str(port)], cwd=ROOT, stdin=subprocess.PIPE
            )
            # The child connects to us, so that no port is guessed and nothing is waited for.
            server.settimeout(30)
            self._socket, _ = server.accept()
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._message = b"x" * MESSAGE_BYTES

    def measure(self, count: int, gap_s: float) -> list[int]:
        """Give `count` round trips in nanoseconds."""
        times = []
        for _ in range(count):
            if gap_s:
                sleep(gap_s)
            began_ns = monotonic_ns()
            self._socket.sendall(self._message)
            left = MESSAGE_BYTES
            while left:
                left -= len(self._socket.recv(left))
            times.append(monotonic_ns() - began_ns)
        return times

    def close(self) -> None:
        """End the echo."""
        self._socket.close()
        self._process.wait(10)


def echo(port: int) -> None:
    """Send back what comes, until the other side closes."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := line.recv(65_536):
            line.sendall(data)


if __name__ == "__main__":
    echo(int(sys.argv[1]))
