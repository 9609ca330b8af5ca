"""The HTTP server: each request passes the guard, its route, and the one place where errors become answers."""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from actors.desk import UnknownAccount, UnknownBot
from api import problems
from api.guard import Guard
from api.openapi import document
from api.problems import ApiProblem, FieldProblem, Kind
from api.routes import all_routes
from api.routing import Route, to_aiohttp
from api.services import Services

log = logging.getLogger(__name__)

BODY_BYTES_MAX = 64 * 1024
STOP_LIMIT_S = 3.0
UNMATCHED = "unmatched"

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiServer:
    """Serves one desk until it is stopped."""

    def __init__(self, services: Services, guard: Guard) -> None:
        self._services = services
        self._runner = web.AppRunner(make_app(services, guard), access_log=None, shutdown_timeout=STOP_LIMIT_S)
        self._stream: asyncio.Task[None] | None = None

    async def start(self, listening: socket.socket) -> None:
        """Serve on a socket that `api.listening` has bound."""
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()
        self._stream = asyncio.create_task(self._services.stream.run(), name="live stream")

    async def stop(self) -> None:
        """End the streams, let requests in progress finish for a bounded time, close the port."""
        self._services.stream.close()
        await self._runner.cleanup()
        if self._stream is not None:
            self._stream.cancel()
            with suppress(asyncio.CancelledError):
                await self._stream


def make_app(services: Services, guard: Guard) -> web.Application:
    """Put the routes behind the guard."""
    app = web.Application(middlewares=[_answering(services, guard)], client_max_size=BODY_BYTES_MAX)
    routes = all_routes()
    services.openapi = document(routes, services.programme.version)
    for route in routes:
        app.router.add_route(route.method, route.path, _guarded(route, guard, to_aiohttp(route, services)))
    return app


def _guarded(route: Route, guard: Guard, serve: Serve) -> Serve:
    if not route.needs_token:
        return serve

    async def serve_holder(request: web.Request) -> web.StreamResponse:
        guard.check_token(request)
        return await serve(request)

    return serve_holder


def _answering(services: Services, guard: Guard) -> Middleware:
    """Make the outermost layer: whatever happens inside, the caller gets an answer of a known form."""

    @web.middleware
    async def answer(request: web.Request, handler: Serve) -> web.StreamResponse:
        started = time.perf_counter()
        try:
            guard.check_origin(request)
            response = await handler(request)
        except ConnectionError:
            raise  # Whoever asked has gone.
        except Exception as error:
            response = problems.to_response(_sort(error))
            if isinstance(error, web.HTTPMethodNotAllowed):
                response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
        took_s = time.perf_counter() - started
        if not response.prepared:
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers[hdrs.CACHE_CONTROL] = "no-store"
            # A stream's time is how long its screen stayed, not how fast we answered.
            services.meters.count_request(request.method, _route_of(request), response.status, took_s)
        log.info(
            "api.request method=%s path=%s status=%s took_ms=%.1f",
            request.method,
            request.rel_url.raw_path,
            response.status,
            took_s * 1000,
        )
        return response

    return answer


def _sort(error: Exception) -> ApiProblem:
    match error:
        case UnknownBot():
            return ApiProblem(Kind.NOT_FOUND, f"there is no bot {error}")
        case UnknownAccount():
            detail = f"there is no account {error}"
            return ApiProblem(Kind.REFUSED, detail, [FieldProblem(detail, "#/account", code="unknown_account")])
        case _:
            return problems.sort(error)


def _route_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return UNMATCHED if resource is None else resource.canonical
