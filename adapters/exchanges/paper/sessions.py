"""The venue's WebSockets, whatever is said on them: one door per path, one session per client.

`send` never waits; a reader that falls too far behind is cut off, and will find out what it missed by asking.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import uuid4

import msgspec
from aiohttp import WSMsgType, web

from .codes import Code, Refused
from .model import Account
from .signing import Signer

QUEUE_MESSAGES = 4_096
"""A client that is this many messages behind is cut off."""

IDLE_S = 600
"""A client that sends nothing (no ping either) for this long is closed, as the venue does."""

encode = msgspec.json.Encoder().encode


class Session:
    """One connection: its queue, its account once it has signed in, its topics."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.BaseTransport | None) -> None:
        self.account: Account | None = None
        self.topics: set[str] = set()
        self.connection_id = uuid4().hex
        self.request_ids: set[str] = set()
        self._socket = socket
        self._transport = transport
        self._queue: deque[bytes] = deque()
        self._filled = asyncio.Event()

    def send(self, message: bytes) -> None:
        """Queue a message, or cut the client off if it reads too slowly."""
        if len(self._queue) >= QUEUE_MESSAGES:
            self.cut_off()
            return
        self._queue.append(message)
        self._filled.set()

    def send_later(self, message: bytes, delay_s: float) -> None:
        """Queue a message after a delay; at once when it is zero."""
        if delay_s <= 0:
            self.send(message)
        else:
            asyncio.get_running_loop().call_later(delay_s, self.send, message)

    def cut_off(self) -> None:
        """Drop the connection without a closing handshake, as a failing network does.

        A polite close would wait behind the very queue that is stuck.
        """
        self._queue.clear()
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()

    async def close(self) -> None:
        """Close the connection politely, within a second."""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(1):
                await self._socket.close(code=1001, message=b"going away")

    async def deliver(self) -> None:
        """Send the queue as it fills, until cancelled or cut off."""
        with suppress(ConnectionError):
            while True:
                await self._filled.wait()
                self._filled.clear()
                while self._queue:
                    await self._socket.send_frame(self._queue.popleft(), WSMsgType.TEXT)


class SessionDoor:
    """A WebSocket endpoint: gives each text message of each connection to `on_text`, one after the other."""

    def __init__(
        self,
        path: str,
        on_text: Callable[[Session, str], Awaitable[None]],
        on_end: Callable[[Session], None] | None = None,
    ) -> None:
        self.sessions: set[Session] = set()
        self.route = web.get(path, self._connect)
        self._on_text = on_text
        self._on_end = on_end

    async def _connect(self, request: web.Request) -> web.WebSocketResponse:
        # Deflating every message would cost more than the loopback saves.
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        session = Session(socket, request.transport)
        self.sessions.add(session)
        sender = asyncio.create_task(session.deliver())
        try:
            await self._read(session, socket)
        finally:
            self.sessions.discard(session)
            sender.cancel()
            with suppress(asyncio.CancelledError):
                await sender
            if self._on_end is not None:
                self._on_end(session)
        return socket

    def drop_clients(self) -> int:
        """Cut every connection; tell how many."""
        sessions = tuple(self.sessions)
        for session in sessions:
            session.cut_off()
        return len(sessions)

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(session.close() for session in tuple(self.sessions)))

    async def _read(self, session: Session, socket: web.WebSocketResponse) -> None:
        while True:
            try:
                message = await socket.receive(timeout=IDLE_S)
            except TimeoutError:
                await socket.close()
                return
            if message.type is WSMsgType.TEXT:
                await self._on_text(session, message.data)
            elif message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return


class KeyRing:
    """Finds the account behind a key and checks what it signed."""

    def __init__(self, accounts: dict[str, Account]) -> None:
        self._accounts = accounts
        self._signers: dict[str, Signer] = {}

    def verify(self, key: str, payload: bytes, signature: str) -> Account:
        """Give the account that signed the payload, or refuse."""
        account = self._accounts.get(key)
        if account is None:
            raise Refused(Code.BAD_KEY, "API key is invalid.")
        signer = self._signers.get(key)
        if signer is None:
            signer = self._signers[key] = Signer(account.wallet.secret)
        signer.verify(payload, signature)
        return account

    def verify_socket(self, args: list[str | int], now_ms: int) -> Account:
        """Give the account that signed a socket's `auth`: key, time of expiry, signature."""
        if len(args) != 3:
            raise Refused(Code.PARAMETER, "auth takes a key, an expiry and a signature")
        key, expires, signature = (str(each) for each in args)
        if not expires.isdigit() or int(expires) <= now_ms:
            raise Refused(Code.TIMESTAMP, "expires is in the past or not a time in milliseconds")
        return self.verify(key, f"GET/realtime{expires}".encode(), signature)
