"""The HTTP server: each request passes the guard, its route, and the one place where errors become answers."""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from actors.venues import UnknownAccount
from actors.views import UnknownBot
from api import problems
from api.guard import RATE_HEADERS, Guard
from api.guides import Guides
from api.openapi import document
from api.pages import Pages
from api.problems import ApiProblem, FieldProblem, Kind
from api.routes import all_routes
from api.routing import Route, to_aiohttp
from api.services import Services
from engine.access.principals import Principal

log = logging.getLogger(__name__)

BODY_BYTES_MAX = 64 * 1024
STOP_LIMIT_S = 3.0
UNMATCHED = "unmatched"
CLIENT_HAS_GONE = 499
"""As nginx counts it. Nobody reads this answer."""

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # An answer of the API is data: nothing in it runs, frames it, or is framed by it.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    hdrs.CACHE_CONTROL: "no-store",
}

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]
ServeTo = Callable[[web.Request, Principal | None], Awaitable[web.StreamResponse]]


class ApiServer:
    """Serves one desk until it is stopped."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._runner = web.AppRunner(make_app(services), access_log=None, shutdown_timeout=STOP_LIMIT_S)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, listening: socket.socket) -> None:
        """Serve on a socket that `api.listening` has bound."""
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()
        self._tasks = [
            asyncio.create_task(self._services.stream.run(), name="live stream"),
            asyncio.create_task(self._services.people.keep_tidy(), name="tidying"),
        ]

    async def stop(self) -> None:
        """End the streams, let requests in progress finish for a bounded time, close the port."""
        self._services.stream.close()
        await self._runner.cleanup()
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def make_app(services: Services) -> web.Application:
    """Put the routes behind the guard."""
    guard = services.guard
    app = web.Application(middlewares=[_answering(services, guard)], client_max_size=BODY_BYTES_MAX)
    routes = all_routes()
    services.openapi = document(routes, services.programme.version)
    for route in routes:
        app.router.add_route(route.method, route.path, _guarded(route, guard, to_aiohttp(route, services)))
    Guides().add_to(app)
    Pages().add_to(app)
    return app


def _guarded(route: Route, guard: Guard, serve: ServeTo) -> Serve:
    async def admit_and_serve(request: web.Request) -> web.StreamResponse:
        return await serve(
            request, await guard.admit(request, route.access, route.rate, is_emergency=route.is_emergency)
        )

    return admit_and_serve


def _answering(services: Services, guard: Guard) -> Middleware:
    """Make the outermost layer: whatever happens inside, the caller gets an answer of a known form."""

    @web.middleware
    async def answer(request: web.Request, handler: Serve) -> web.StreamResponse:
        started = time.perf_counter()
        try:
            guard.check_origin(request)
            response = await handler(request)
        except ConnectionError:
            # Whoever asked has gone. Raised on, it would be logged as an error of ours.
            return web.Response(status=CLIENT_HAS_GONE)
        except Exception as error:
            response = problems.to_response(_sort(error))
            if isinstance(error, web.HTTPMethodNotAllowed):
                response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
        took_s = time.perf_counter() - started
        if not response.prepared:
            _dress(response, request, services)
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


def _dress(response: web.StreamResponse, request: web.Request, services: Services) -> None:
    """Put on what every answer wears; the pages bring a policy of their own."""
    for name, value in SAFE_HEADERS.items():
        response.headers.setdefault(name, value)
    if services.people.site.is_secure:
        response.headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    response.headers.update(request.get(RATE_HEADERS, {}))


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
