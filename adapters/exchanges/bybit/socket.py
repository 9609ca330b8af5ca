"""A WebSocket that never gives up: connects, greets, reads, and starts again when the line dies.

It decides when a line is dead (closed, or silent for too long although we ping) and how long to wait before the
next try. It never replays: what was missed while the line was away is for its owner to find out.
"""

import asyncio
import logging
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import aiohttp

log = logging.getLogger(__name__)

PING_S = 20.0
STALE_S = 45.0
"""Two pings without an answer, and a little: a line that looks open can have been dead for hours."""
_GREETING_S = 10.0
_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 0.1, 15.0
_STABLE_S = 30.0
_PING = b'{"op":"ping"}'

Connection = aiohttp.ClientWebSocketResponse[bool]


class GreetingRefused(Exception):
    """The venue answered, and refused who we are or what we ask for."""


class VenueSocket(ABC):
    """One line to the venue. `run` keeps it up until it is cancelled."""

    def __init__(
        self,
        name: str,
        url: str,
        http: Callable[[], aiohttp.ClientSession],
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
        self._http = http
        self._ping_s, self._stale_s = ping_s, stale_s
        self._connection: Connection | None = None
        self._heard_at = 0.0
        self._handling = False

    @abstractmethod
    async def greet(self, connection: Connection) -> None:
        """Authenticate and subscribe; return once the venue agrees, raise `GreetingRefused` if it does not."""

    @abstractmethod
    async def received(self, message: bytes) -> None:
        """Handle one message. The next one waits until this returns."""

    async def went_up(self) -> None:  # noqa: B027  most lines have nothing to do
        """React to the line being usable."""

    async def went_down(self) -> None:  # noqa: B027
        """React to the line being gone."""

    @property
    def silent_ms(self) -> int:
        """Tell how long ago the last message arrived; -1 when the line is down."""
        return int((time.monotonic() - self._heard_at) * 1000) if self._connection is not None else -1

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
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                log.warning("socket.failed name=%s error=%s", self.name, type(error).__name__)
            except Exception:
                # A mistake, here or in a library. It costs the line, never the will to come back.
                log.exception("socket.broke name=%s", self.name)
            self.tried.set()
            failures = 0 if time.monotonic() - started_s > _STABLE_S else failures + 1
            # Jitter over the whole span, so that many lines cut at once do not return at once.
            ceiling_s = min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2 ** min(failures, 10))
            await asyncio.sleep(random.uniform(ceiling_s / 2, ceiling_s))  # noqa: S311

    async def drop(self) -> None:
        """Cut the line; `run` makes a new one."""
        if (connection := self._connection) is not None:
            await connection.close()

    async def _live_once(self) -> None:
        timeout = aiohttp.ClientWSTimeout(ws_close=1.0)
        async with self._http().ws_connect(self._url, timeout=timeout, decode_text=False, max_msg_size=0) as line:
            async with asyncio.timeout(_GREETING_S):
                await self.greet(line)
            self.refused = None
            self._heard_at = time.monotonic()
            self._connection = line
            self.up.set()
            watchdog = asyncio.create_task(self._watch(line), name=f"{self.name}.watch")
            try:
                await self.went_up()
                self.tried.set()
                log.info("socket.up name=%s", self.name)
                await self._read(line)
            finally:
                self._connection = None
                self.up.clear()
                watchdog.cancel()
                log.info("socket.down name=%s code=%s", self.name, line.close_code)
                await self.went_down()

    async def _read(self, line: Connection) -> None:
        while True:
            message = await line.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            self._heard_at = time.monotonic()
            self._handling = True
            try:
                await self.received(message.data)
            finally:
                self._handling = False

    async def _watch(self, line: Connection) -> None:
        """Ping, and close the line when nothing comes back."""
        step_s = min(self._ping_s, self._stale_s / 4)
        next_ping_s = time.monotonic() + self._ping_s
        while True:
            await asyncio.sleep(step_s)
            now_s = time.monotonic()
            # While a message is being handled, silence says something about us and nothing about the line.
            if not self._handling and now_s - self._heard_at > self._stale_s:
                log.warning("socket.stale name=%s", self.name)
                await line.close()
                return
            if now_s >= next_ping_s:
                next_ping_s = now_s + self._ping_s
                try:
                    await line.send_frame(_PING, aiohttp.WSMsgType.TEXT)
                except (aiohttp.ClientError, OSError):
                    return  # The reader sees the same and ends the line.


async def expect_text(line: Connection) -> bytes:
    """Read one message of a greeting; raise if the line closes instead."""
    message = await line.receive()
    if message.type is not aiohttp.WSMsgType.TEXT:
        raise ConnectionResetError("closed during the greeting")
    data: bytes = message.data
    return data
