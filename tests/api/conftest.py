"""A whole Trellis behind a real socket: PostgreSQL, Ray, the PaperVenue on its model feed, the desk, the API."""

import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from actors.clock import now_ms
from actors.sealing import Seals
from actors.settings import load
from actors.wiring import Engine, start_engine
from api.access.context import Site
from api.access.limits import RequestLimits
from api.app import ApiServer
from api.demo import suggest
from api.listening import listen_on
from api.services import Programme, Services, assemble
from engine.access.rates import Rate, RateClass
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate

TOKEN = "token-of-the-tests-0123456789abcdef"
NO_LIMITS = {kind: Rate(1_000_000, 60) for kind in RateClass}
"""All tests come from one address."""


class Answer:
    """An HTTP answer, read to its end."""

    def __init__(self, status: int, headers: Any, body: Any) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Api:
    """A caller of the API who holds the token, and the installation behind it."""

    def __init__(
        self,
        address: str,
        http: aiohttp.ClientSession,
        engine: Engine,
        postgres: EmbeddedPostgres,
        services: Services,
    ) -> None:
        self.address = address
        self.http = http
        self.engine = engine
        self.services = services
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


@asynccontextmanager
async def an_installation() -> AsyncIterator[Api]:
    """Start a whole installation on the session's Ray; tests/conftest.py does so once for all who ask."""
    home = Path(tempfile.mkdtemp(prefix="trellis-api-"))
    postgres = EmbeddedPostgres(home / "postgres")
    dsn = await postgres.start()
    async with Database(dsn, pool_size=1) as database:
        await migrate(database)
    settings = load({"TRELLIS_HOME": str(home), "TRELLIS_FEED": "model", "TRELLIS_CLUB": "demo"})
    engine = await start_engine(settings, dsn)
    try:
        async with serving(engine) as (address, services), aiohttp.ClientSession() as http:
            caller = Api(address, http, engine, postgres, services)
            caller.grid = _grid(await suggest(engine))
            yield caller
    finally:
        await engine.stop()
        await postgres.stop()
        shutil.rmtree(home, ignore_errors=True)


@asynccontextmanager
async def serving(
    engine: Engine, site: Site | None = None, limits: RequestLimits | None = None, proxies: tuple[str, ...] = ()
) -> AsyncIterator[tuple[str, Services]]:
    """Serve an installation on a port of its own, under rules of its own."""
    listening, address = listen_on("127.0.0.1", 0)
    services = assemble(
        engine.desk,
        engine.database,
        Programme("0.1.0", "paper", engine.feed_name, "dedicated", address, now_ms()),
        token=TOKEN,
        hosts=("trellis.test",),
        seals=Seals(engine.plan),
        site=site,
        limits=limits or RequestLimits(NO_LIMITS, NO_LIMITS),
        proxies=proxies,
        club=engine.club,
    )
    server = ApiServer(services)
    await server.start(listening)
    try:
        yield address, services
    finally:
        await server.stop()


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
