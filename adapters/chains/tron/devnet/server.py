"""The devnet behind HTTP: a loopback port for each node, blocks on a timer, the operator's door beside them.

Everything happens in one thread: a request is answered from a chain that stands still. Silence is real silence: a
client's patience ends it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from .admin import Admin
from .devnet import Devnet
from .nodes import SILENT, Node

log = logging.getLogger(__name__)

SILENCE_S = 120.0
BODY_BYTES_MAX = 4 * 2**20

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Serves one devnet. Start it, stop it; between the two `addresses` says where each node listens."""

    def __init__(self, devnet: Devnet, *, host: str = "127.0.0.1", produces: bool = True) -> None:
        self.devnet = devnet
        self.addresses: dict[str, str] = {}
        self.produces = produces
        """Whether the timer makes blocks. Drills that make their own turn it off."""
        self._host = host
        self._admin = Admin(self)
        self._runners: list[web.AppRunner] = []
        self._timer: asyncio.Task[None] | None = None

    async def start(self, port: int = 0) -> None:
        """Open the doors: the first node on `port`, each other one on the next; with 0 on any free ones."""
        for at, (name, node) in enumerate(self.devnet.nodes.items()):
            application = web.Application(client_max_size=BODY_BYTES_MAX)
            application.add_routes([*self._admin.routes(), web.route("*", "/{path:.*}", _door(node))])
            runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=1)
            await runner.setup()
            self._runners.append(runner)
            site = web.TCPSite(runner, self._host, port + at if port else 0)
            await site.start()
            self.addresses[name] = f"http://{self._host}:{runner.addresses[0][1]}"
        self._timer = asyncio.create_task(self._produce_for_ever(), name="devnet blocks")

    async def stop(self) -> None:
        """Close the doors; a request that is being kept in silence ends."""
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.gather(self._timer, return_exceptions=True)
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def _produce_for_ever(self) -> None:
        try:
            while True:
                await asyncio.sleep(self._until_next_slot_s())
                if self.produces:
                    self.devnet.produce()
        except Exception:
            # A chain that stands still says why: a full disk, most likely, which the journal meets.
            log.exception("devnet.stopped head=%d", self.devnet.head.number)
            raise

    def _until_next_slot_s(self) -> float:
        block_ms = self.devnet.rules.block_ms
        since_ms = self.devnet.chain.clock() - self.devnet.rules.genesis_ms
        wait_ms = block_ms - since_ms % block_ms
        ahead_ms = self.devnet.head.time_ms - self.devnet.chain.clock()  # After blocks that were ordered by hand.
        return max(wait_ms, ahead_ms) / 1_000


def _door(node: Node) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            body = await _body(request)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            return _json(200, {"Error": f"class com.alibaba.fastjson.JSONException : {error}"})
        answer = node.answer(request.path, body)
        if answer.status == SILENT:
            await asyncio.sleep(SILENCE_S)
            return web.Response(status=504)
        return _json(answer.status, answer.json)

    return handle


async def _body(request: web.Request) -> dict[str, Any]:
    """Read what java-tron reads: a query, a form or JSON, whatever the client says that it is."""
    content = await request.read()
    if not content.strip():
        return dict(request.query)
    return msgspec.json.decode(content, type=dict[str, Any])


def _json(status: int, content: Any) -> web.Response:
    if content is None:
        return web.Response(status=status)
    return web.Response(status=status, body=msgspec.json.encode(content), content_type="application/json")
