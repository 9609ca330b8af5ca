"""A whole Trellis behind a real socket: PostgreSQL, Ray, the PaperVenue on its model feed, the desk, the API."""

import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from actors.clock import now_ms
from actors.cluster import Cluster
from actors.settings import load
from actors.wiring import Engine, start_engine
from api.app import ApiServer
from api.demo import suggest
from api.guard import Guard
from api.listening import listen_on
from api.services import Programme, Services
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate

TOKEN = "token-of-the-tests-0123456789abcdef"


class Answer:
    """An HTTP answer, read to its end."""

    def __init__(self, status: int, headers: Any, body: Any) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Api:
    """A caller of the API who holds the token, and the installation behind it."""

    def __init__(
        self, address: str, http: aiohttp.ClientSession, engine: Engine, postgres: EmbeddedPostgres
    ) -> None:
        self.address = address
        self.http = http
        self.engine = engine
        self.postgres = postgres
        self.grid: dict[str, Any] = {}

    async def get(self, path: str, **headers: str) -> Answer:
        """Read."""
        return await self.ask("GET", path, headers=headers)

    async def post(self, path: str, body: Any = None, key: str | None = None) -> Answer:
        """Command, under a fresh Idempotency-Key unless one is given."""
        return await self.ask("POST", path, json=body, headers={"Idempotency-Key": key or uuid.uuid4().hex})

    async def ask(self, method: str, path: str, *, token: str | None = TOKEN, **more: Any) -> Answer:
        """Send anything."""
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
        async with self.http.request(method, self.address + path, headers=headers, **more) as response:
            body = await response.read()
            is_json = "json" in response.content_type
            return Answer(
                response.status, response.headers, await response.json(content_type=None) if is_json else body
            )

    async def create(self, name: str = "grid", **changes: Any) -> dict[str, Any]:
        """Create a bot that fits the market."""
        made = await self.post("/api/v1/bots", {"name": name, "config": {**self.grid, **changes}})
        assert made.status == 201, made.body
        bot: dict[str, Any] = made.body
        return bot


@pytest.fixture(scope="session")
async def api(ray_cluster: Cluster) -> AsyncIterator[Api]:
    """Start the installation once for all tests of the API."""
    home = Path(tempfile.mkdtemp(prefix="trellis-api-"))
    postgres = EmbeddedPostgres(home / "postgres")
    dsn = await postgres.start()
    async with Database(dsn, pool_size=1) as database:
        await migrate(database)
    engine = await start_engine(load({"TRELLIS_HOME": str(home), "TRELLIS_FEED": "model"}), dsn)
    listening, address = listen_on("127.0.0.1", 0)
    programme = Programme("0.1.0", "paper", engine.feed_name, "dedicated", address, now_ms())
    server = ApiServer(Services(engine.desk, engine.database, programme), Guard(TOKEN, ("trellis.test",)))
    await server.start(listening)
    try:
        async with aiohttp.ClientSession() as http:
            caller = Api(address, http, engine, postgres)
            caller.grid = _grid(await suggest(engine))
            yield caller
    finally:
        await server.stop()
        await engine.stop()
        await postgres.stop()
        shutil.rmtree(home, ignore_errors=True)


def _grid(suggestion: Any) -> dict[str, Any]:
    """Lay a narrow grid around the price, so that the model's moves fill it within seconds."""
    half = suggestion.price * Decimal("0.01")
    return {
        "symbol": "BTCUSDT",
        "direction": "spot",
        "lower": str((suggestion.price - half).quantize(Decimal(1))),
        "upper": str((suggestion.price + half).quantize(Decimal(1))),
        "grids": 40,
        "amount": "4000",
    }
