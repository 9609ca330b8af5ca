"""A WebSocket that never gives up: connects, greets, reads, and starts again when the line dies.

It decides when a line is dead (closed, or silent for too long although we ping) and how long to wait before the
next try. It never replays: what was missed while the line was away is for its owner to find out.

From the socket to `received` there is no task and no queue: a message is handled in the very callback in which its
bytes arrive, and what it makes us send leaves from there.
"""

import asyncio
import logging
import random
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

log = logging.getLogger(__name__)
_library_log = logging.getLogger("picows.venue")
# It tells of every connection; what concerns us of that is told here, with the line's name.
_library_log.setLevel(logging.ERROR)

PING_S = 20.0
STALE_S = 45.0
"""Two pings without an answer, and a little: a line that looks open can have been dead for hours."""
_GREETING_S = 10.0
_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 0.1, 15.0
_STABLE_S = 30.0
_PING = b'{"op":"ping"}'

_MESSAGE_MAX_BYTES = 64 * 2**20
_TEXT, _CONTINUATION, _CLOSE = WSMsgType.TEXT, WSMsgType.CONTINUATION, WSMsgType.CLOSE


class GreetingRefused(Exception):
    """The venue answered, and refused who we are or what we ask for."""


class Connection(WSListener):
    """One life of a line: until `hand_to` its messages are waited for, from then on they are handed over."""

    def __init__(self) -> None:
        self.heard_at = time.monotonic()
        self._transport: WSTransport | None = None
        self._waiting: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._handle: Callable[[bytes], None] = self._keep
        self._parts: list[bytes] = []

    @property
    def closed(self) -> bool:
        """Tell whether what is sent now would certainly not arrive."""
        return self._transport is None or self._transport.is_disconnected

    def send(self, message: bytes) -> None:
        """Write a text message, at once where the socket takes it. What a dying line swallows, nobody is told."""
        if self._transport is not None:
            self._transport.send(_TEXT, message)

    async def receive(self) -> bytes:
        """Wait for a message of a greeting; raise ConnectionResetError if the line closes instead."""
        while not self._waiting:
            if self.closed:
                raise ConnectionResetError("closed during the greeting")
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()

    def hand_to(self, handle: Callable[[bytes], None]) -> None:
        """Handle what has arrived and not been waited for, then every message as it arrives."""
        self._handle = handle
        while self._waiting:
            handle(self._waiting.popleft())

    def close(self) -> None:
        """Cut the line. A farewell that a dead line cannot take is not waited for."""
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.send_close()
            self._transport.disconnect(graceful=False)

    # ------------------------------------------------------------------ called by the transport

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Hand a message over; a mistake in its handling costs the line (see `VenueSocket.run`)."""
        self.heard_at = time.monotonic()
        kind = frame.msg_type
        if kind == _TEXT and frame.fin:
            self._handle(frame.get_payload_as_bytes())
        elif kind in (_TEXT, _CONTINUATION):
            self._parts.append(frame.get_payload_as_bytes())
            if frame.fin:
                message = b"".join(self._parts)
                self._parts.clear()
                self._handle(message)
        elif kind == _CLOSE:
            self.close()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """End a wait that can no longer succeed."""
        self._arrived.set()

    def _keep(self, message: bytes) -> None:
        self._waiting.append(message)
        self._arrived.set()


class VenueSocket(ABC):
    """One line to the venue. `run` keeps it up until it is cancelled."""

    def __init__(
        self,
        name: str,
        url: str,
        ping_s: float = PING_S,
        stale_s: float = STALE_S,
    ) -> None:
        self.name = name
        self.refused: GreetingRefused | None = None
        """Why the last greeting was refused; None after one that was not."""
        self.tried = asyncio.Event()
        """Set once the first attempt is over, either way."""
        self.up = asyncio.Event()
        self._url = url
        self._ping_s, self._stale_s = ping_s, stale_s
        self._connection: Connection | None = None

    @abstractmethod
    async def greet(self, connection: Connection) -> None:
        """Authenticate and subscribe; return once the venue agrees, raise `GreetingRefused` if it does not."""

    @abstractmethod
    def received(self, message: bytes) -> None:
        """Handle one message."""

    def went_up(self) -> None:  # noqa: B027  most lines have nothing to do
        """React to the line being usable."""

    def went_down(self) -> None:  # noqa: B027  most lines have nothing to do
        """React to the line being gone."""

    @property
    def silent_ms(self) -> int:
        """Tell how long ago the last message arrived; -1 when the line is down."""
        line = self._connection
        return -1 if line is None else int((time.monotonic() - line.heard_at) * 1000)

    async def run(self) -> None:
        """Keep the line up, endlessly."""
        failures = 0
        while True:
            started_s = time.monotonic()
            try:
                await self._live_once()
            except GreetingRefused as error:
                self.refused = error
                log.error("socket.refused name=%s reason=%s", self.name, error)
            except (WSError, OSError, TimeoutError) as error:
                log.warning("socket.failed name=%s error=%s", self.name, type(error).__name__)
            except Exception:
                # A mistake, here or in a library. It costs the line, never the will to come back.
                log.exception("socket.broke name=%s", self.name)
            self.tried.set()
            failures = 0 if time.monotonic() - started_s > _STABLE_S else failures + 1
            # Jitter over the whole span, so that many lines cut at once do not return at once.
            ceiling_s = min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2 ** min(failures, 10))
            await asyncio.sleep(random.uniform(ceiling_s / 2, ceiling_s))  # noqa: S311

    def drop(self) -> None:
        """Cut the line; `run` makes a new one."""
        if self._connection is not None:
            self._connection.close()

    async def _live_once(self) -> None:
        line = Connection()
        # The loop's own transports, which are proven under TLS; picows writes past them where it can.
        transport, _ = await ws_connect(
            lambda: line,
            self._url,
            websocket_handshake_timeout=_GREETING_S,
            max_frame_size=_MESSAGE_MAX_BYTES,
            proxy=_proxy(self._url),
            logger_name=_library_log,
            use_aiofastnet=False,
        )
        watchdog: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(_GREETING_S):
                await self.greet(line)
            self.refused = None
            self._connection = line
            self.up.set()
            watchdog = asyncio.create_task(self._watch(line), name=f"{self.name}.watch")
            self.went_up()
            self.tried.set()
            log.info("socket.up name=%s", self.name)
            line.hand_to(self.received)
            await transport.wait_disconnected()
        finally:
            line.close()
            if watchdog is not None:
                self._connection = None
                self.up.clear()
                watchdog.cancel()
                log.info("socket.down name=%s", self.name)
                self.went_down()

    async def _watch(self, line: Connection) -> None:
        """Ping, and close the line when nothing comes back."""
        step_s = min(self._ping_s, self._stale_s / 4)
        next_ping_s = time.monotonic() + self._ping_s
        while True:
            await asyncio.sleep(step_s)
            now_s = time.monotonic()
            if now_s - line.heard_at > self._stale_s:
                log.warning("socket.stale name=%s", self.name)
                line.close()
                return
            if now_s >= next_ping_s:
                next_ping_s = now_s + self._ping_s
                line.send(_PING)


def _proxy(url: str) -> str | None:
    """Give the proxy that the environment names for an address (`wss_proxy`, `no_proxy`)."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
