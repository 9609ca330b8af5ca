"""The private HTTP door: who asks, may he, what does the venue answer, and which fault gets in the way.

Signatures are checked over the raw query or body exactly as received. A business refusal travels with status 200;
only a banned address (403) and the drill of HTTP 429 use another.
"""

import asyncio
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from .codes import Code, Refused
from .faults import Fault, FaultKind
from .limits import RateLimiter
from .model import Account
from .operations import TOO_MANY, Answer, OrderOperations
from .queries import Queries
from .sessions import KeyRing, encode
from .settings import Settings
from .signing import DEFAULT_RECV_WINDOW_MS, check_time
from .venue import Venue

ORDER_POSTS = (
    "order.create",
    "order.amend",
    "order.cancel",
    "order.cancel-all",
    "order.create-batch",
    "order.amend-batch",
    "order.cancel-batch",
    "order.pre-check",
)


class PrivateRest:
    """Serves the signed endpoints under `/v5`."""

    def __init__(
        self,
        venue: Venue,
        operations: OrderOperations,
        queries: Queries,
        settings: Settings,
        keys: KeyRing,
        limiter: RateLimiter,
    ) -> None:
        self._venue = venue
        self._operations = operations
        self._queries = queries
        self._settings = settings
        self._keys = keys
        self._limiter = limiter

    def routes(self) -> list[web.RouteDef]:
        """Give the routes of every private endpoint."""
        return [
            *(web.get(_path(name), self._handle) for name in self._queries.handlers),
            *(web.post(_path(name), self._handle) for name in (*ORDER_POSTS, *self._settings.names())),
        ]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path, _, raw_query = request.raw_path.partition("?")
        operation = path.removeprefix("/v5/").replace("/", ".")
        payload = await request.read() if request.method == "POST" else raw_query.encode()
        try:
            account = self._authenticate(request, payload)
        except Refused as refused:
            return self._respond(Answer(refused.code, refused.message))
        fault = self._venue.faults.take(operation)
        if fault is not None and fault.kind is FaultKind.REFUSE and not fault.accepted:
            return self._respond_refused(fault)
        answer = self._execute(account, operation, payload)
        if fault is not None:
            return await self._respond_faulty(request, answer, fault)
        return self._respond(answer)

    def _authenticate(self, request: web.Request, payload: bytes) -> Account:
        headers = request.headers
        key, timestamp = headers.get("X-BAPI-API-KEY", ""), headers.get("X-BAPI-TIMESTAMP", "")
        window = headers.get("X-BAPI-RECV-WINDOW", "")
        check_time(timestamp, window or str(DEFAULT_RECV_WINDOW_MS), self._venue.now_ms())
        signed = f"{timestamp}{key}{window}".encode() + payload
        return self._keys.verify(key, signed, headers.get("X-BAPI-SIGN", ""))

    def _execute(self, account: Account, operation: str, payload: bytes) -> Answer:
        if self._operations.knows(operation):
            return self._operations.execute(account, operation, payload)
        is_query = operation in self._queries.handlers
        query = dict(parse_qsl(payload.decode(), keep_blank_values=True)) if is_query else {}
        category = query.get("category", "")
        allowance = self._limiter.use(account.uid, operation, category, self._venue.now_ms())
        if not allowance.granted:
            return Answer(Code.RATE_LIMIT, TOO_MANY, allowance=allowance)
        try:
            if is_query:
                result = self._queries.answer(account, operation, query)
            else:
                result = self._settings.execute(account, operation, payload)
        except Refused as refused:
            return Answer(refused.code, refused.message, allowance=allowance)
        return Answer(Code.OK, "OK", result, allowance=allowance)

    def _respond(self, answer: Answer) -> web.Response:
        envelope: dict[str, Any] = {
            "retCode": int(answer.code),
            "retMsg": answer.message,
            "result": answer.result,
            "retExtInfo": answer.ext,
            "time": self._venue.now_ms(),
        }
        headers = None if answer.allowance is None else answer.allowance.headers()
        return web.Response(body=encode(envelope), content_type="application/json", headers=headers)

    def _respond_refused(self, fault: Fault) -> web.Response:
        if fault.code == 429:
            return web.Response(status=429, text="Too Many Requests")
        return self._respond(Answer(fault.code, TOO_MANY if fault.code == Code.RATE_LIMIT else "Server error."))

    async def _respond_faulty(self, request: web.Request, answer: Answer, fault: Fault) -> web.StreamResponse:
        """The request was carried out; now let its answer go wrong."""
        match fault.kind:
            case FaultKind.REFUSE:
                return self._respond_refused(fault)
            case FaultKind.LOSE_ANSWER:
                if request.transport is not None:
                    request.transport.close()
                return self._respond(answer)
            case FaultKind.DELAY_ANSWER:
                await asyncio.sleep(fault.delay_s)
                return self._respond(answer)


def ip_guard(venue: Venue, limiter: RateLimiter) -> Middleware:
    """Make the middleware that counts requests by address and shuts out who asks too often."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/v5/"):
            admit = limiter.admit_socket if "Upgrade" in request.headers else limiter.admit
            if not admit(request.remote or "", venue.now_ms()):
                return web.Response(status=403, text="Forbidden: access too frequent")
        return await handler(request)

    return guard


async def no_such_path(request: web.Request) -> web.Response:
    """Answer a path that the venue does not know."""
    body = msgspec.json.encode({"retCode": int(Code.BAD_PATH), "retMsg": "Route not found.", "result": {}})
    return web.Response(body=body, content_type="application/json", status=404)


def _path(operation: str) -> str:
    return "/v5/" + operation.replace(".", "/")
