"""What an address of the API is: declared once beside its handler, read by the router and by the OpenAPI document.

A handler is an ordinary coroutine whose parameters say what it needs: `services`, `principal` (who asks), the
names in the path, `query` and `body` (Structs), `command_id` (the Idempotency-Key). It answers with a Struct or
raises. Before it is called, its `access` and the owner of whatever its path names are checked: no handler can
forget that.
"""

import asyncio
import inspect
import re
import types
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, get_type_hints

import msgspec
from aiohttp import hdrs, web

from api.problems import ApiProblem, FieldProblem, Kind, invalid
from api.services import Services
from engine.access.principals import Access, Principal
from engine.access.rates import RateClass

READ_LIMIT_S = 8.0
COMMAND_LIMIT_S = 40.0
AMOUNT_DIGITS_MAX = 36
COMMAND_ID_HEADER = "Idempotency-Key"
COMMAND_ID_PATTERN = r"[\x21-\x7e]{1,100}"

Handler = Callable[..., Awaitable[Any]]


class PathName(msgspec.Struct, frozen=True):
    """What a name in a path stands for, and the form of its values."""

    words: str
    pattern: str


PATH_NAMES = {
    "bot": PathName("The bot's id.", r"[a-z2-7]{8}"),
    "account": PathName("The exchange account's id.", r"[a-z0-9_\-]{1,40}"),
    "session": PathName("The session's id.", r"[a-z2-7]{16}"),
    "user": PathName("The person's id.", r"[a-z0-9]{1,40}"),
    "company": PathName("The company's id.", r"co_[a-z0-9]{2,20}"),
    "wallet": PathName("The id of an address in an allow-list.", r"wa_[a-z0-9]{1,40}"),
    "offer": PathName("The offer's id.", r"of_[a-z0-9]{1,40}"),
    "deal": PathName("The deal's id.", r"de_[a-z0-9]{1,40}"),
    "payout": PathName("The payout's id.", r"po_[A-Za-z0-9_:\-]{1,200}"),
    "incoming": PathName("The incoming transfer's id.", r"[a-z0-9:~]{1,200}"),
    "pair": PathName("The trust pair's id.", r"tp_[a-z0-9]{1,40}"),
    "correction": PathName("The id of a correction of the books.", r"bc_[a-z0-9]{1,40}"),
    "freeze": PathName("The freeze's id.", r"[a-zA-Z0-9_:\-]{1,200}"),
    "ledger_account": PathName("The code of an account of the ledger.", r"[a-zA-Z0-9_:\-]{1,200}"),
    "reference": PathName(
        "What entries are about: a deal, a payout's transfer, an incoming one.", r"[\w:.\-]{1,300}"
    ),
}


class Route(msgspec.Struct, frozen=True):
    """One address with one method, and everything that a caller may send and get."""

    method: str
    path: str
    tag: str
    handler: Handler
    status: int
    problems: tuple[int, ...]
    parameters: tuple[str, ...]
    """The names in the path."""
    query: type[msgspec.Struct] | None
    body: type[msgspec.Struct] | None
    answer: Any
    command_id_required: bool | None
    """None: the route takes no Idempotency-Key."""
    rate: RateClass
    is_emergency: bool
    """True: also while the database is away, for whoever was known shortly before."""
    access: Access
    """Who may call it. Whatever belongs to somebody else is not found, whoever may call."""
    media_type: str
    also_as: str
    """Another media type of the answer, where the caller may choose."""
    is_bounded: bool
    """False: a stream or an export, which answers for as long as it takes."""
    mentions: tuple[type[msgspec.Struct], ...]
    """What the answer's text consists of, where it is not one JSON value."""

    @property
    def summary(self) -> str:
        """Give the handler's docstring: what the route does."""
        return inspect.getdoc(self.handler) or ""

    @property
    def limit_s(self) -> float | None:
        """Give the time after which the caller is told to try again; None: it answers for as long as it takes."""
        if not self.is_bounded:
            return None
        return READ_LIMIT_S if self.method == hdrs.METH_GET else COMMAND_LIMIT_S


class Routes:
    """The routes of one module, in the order in which they are declared."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self.items: list[Route] = []

    def get(self, path: str, **more: Any) -> Callable[[Handler], Handler]:
        """Declare a reading route; see `Route` for what may be added."""
        return self._declare(hdrs.METH_GET, path, more)

    def post(self, path: str, **more: Any) -> Callable[[Handler], Handler]:
        """Declare a commanding route; see `Route` for what may be added."""
        return self._declare(hdrs.METH_POST, path, more)

    def patch(self, path: str, **more: Any) -> Callable[[Handler], Handler]:
        """Declare a route that changes the fields it is given; see `Route` for what may be added."""
        return self._declare(hdrs.METH_PATCH, path, more)

    def _declare(self, method: str, path: str, more: dict[str, Any]) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            hints = get_type_hints(handler)
            command_id = hints.get("command_id")
            defaults: dict[str, Any] = {
                "status": 200,
                "problems": (),
                "rate": RateClass.READ if method == hdrs.METH_GET else RateClass.COMMAND,
                "is_emergency": False,
                "access": Access.USER,
                "media_type": "application/json",
                "also_as": "",
                "is_bounded": True,
                "mentions": (),
                "answer": hints["return"],
            }
            self.items.append(
                Route(
                    method=method,
                    path=path,
                    tag=self._tag,
                    handler=handler,
                    parameters=tuple(re.findall(r"{(\w+)}", path)),
                    query=hints.get("query"),
                    body=hints.get("body"),
                    command_id_required=None if command_id is None else not _is_optional(command_id),
                    **(defaults | more),
                )
            )
            return handler

        return add


def to_aiohttp(
    route: Route, services: Services
) -> Callable[[web.Request, Principal | None], Awaitable[web.StreamResponse]]:
    """Make the function that the server calls: read what the handler asks for, call it, write the answer."""
    asked_for = inspect.signature(route.handler).parameters

    async def serve(request: web.Request, principal: Principal | None) -> web.StreamResponse:
        arguments: dict[str, Any] = {"services": services}
        if "principal" in asked_for:
            arguments["principal"] = principal
        for name in route.parameters:
            arguments[name] = _read_id(name, request.match_info[name])
            if principal is not None:
                await services.check_reach(principal, name, arguments[name])
        if route.query is not None:
            arguments["query"] = _read_query(request, route.query)
        if route.body is not None:
            arguments["body"] = await _read_body(request, route.body)
        if route.command_id_required is not None:
            arguments["command_id"] = _read_command_id(request, route.command_id_required)
        if "request" in asked_for:
            arguments["request"] = request
        async with asyncio.timeout(route.limit_s):
            answer = await route.handler(**arguments)
        # A handler that takes the request may write its own answer: cookies, other media types, a stream.
        return answer if isinstance(answer, web.StreamResponse) else json_response(answer, route.status)

    return serve


def json_response(answer: Any, status: int = 200) -> web.Response:
    """Write a Struct as JSON: amounts as decimal strings, times as whole milliseconds."""
    if status == 204:
        return web.Response(status=status)
    return web.Response(status=status, body=msgspec.json.encode(answer), content_type="application/json")


def _read_id(name: str, text: str) -> str:
    """Read an id from the path; what cannot be one is answered like one that nobody has."""
    if not re.fullmatch(PATH_NAMES[name].pattern, text):
        raise ApiProblem(Kind.NOT_FOUND, f"there is no such {name}")
    return text


def _read_query(request: web.Request, kind: type[msgspec.Struct]) -> msgspec.Struct:
    if len(set(request.query)) != len(request.query):
        raise ApiProblem(Kind.MALFORMED, "a parameter is given twice")
    try:
        query = msgspec.convert(dict(request.query), kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error, in_query=True) from None
    for name, value in request.query.items():
        if not value.isprintable():
            raise ApiProblem(
                Kind.MALFORMED, "must be printable", [FieldProblem("must be printable", parameter=name)]
            )
    return query


async def _read_body(request: web.Request, kind: type[msgspec.Struct]) -> msgspec.Struct:
    content = await request.read()
    if content and request.content_type != "application/json":
        raise ApiProblem(Kind.UNSUPPORTED_MEDIA_TYPE)
    try:
        body = msgspec.json.decode(content or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except msgspec.DecodeError as error:
        raise ApiProblem(Kind.MALFORMED, f"the body is not JSON: {error}") from None
    _check_values(body, "#")
    return body


def _check_values(value: Any, pointer: str) -> None:
    """Refuse what the types let through and no exchange knows: NaN, endless amounts, unprintable text."""
    match value:
        case msgspec.Struct():
            for name in value.__struct_fields__:
                _check_values(getattr(value, name), f"{pointer}/{name}")
        case Decimal() if (
            not value.is_finite()
            or len(f"{value:e}") > AMOUNT_DIGITS_MAX
            or abs(value.adjusted()) > AMOUNT_DIGITS_MAX
        ):
            detail = f"must be a number of at most {AMOUNT_DIGITS_MAX} digits"
            raise ApiProblem(Kind.MALFORMED, detail, [FieldProblem(detail, pointer)])
        case str() if not value.isprintable():
            raise ApiProblem(Kind.MALFORMED, "must be printable", [FieldProblem("must be printable", pointer)])
        case _:
            pass


def _read_command_id(request: web.Request, is_required: bool) -> str | None:
    text = request.headers.get(COMMAND_ID_HEADER)
    if text is None and not is_required:
        return None
    if text is None or not re.fullmatch(COMMAND_ID_PATTERN, text):
        detail = (
            f"send {COMMAND_ID_HEADER}: a word of your own of 1 to 100 ASCII characters, "
            "the same when you repeat the command"
        )
        raise ApiProblem(Kind.MALFORMED, detail, [FieldProblem(detail, parameter=COMMAND_ID_HEADER)])
    return text


def _is_optional(hint: Any) -> bool:
    return isinstance(hint, types.UnionType) and type(None) in hint.__args__
