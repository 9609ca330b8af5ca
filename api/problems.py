"""Errors as the caller reads them: RFC 9457 problem documents, each of a stable kind.

It decides which kind an exception is and what may be said about it. An error that nobody foresaw says only that:
its text may hold what is not the caller's business, and goes to the log.
"""

import logging
import re
from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum

import msgspec
from aiohttp import web

from engine.errors import OutcomeUnknown, Refusal, Rejected, Retryable
from storage.bots import AccountRemoved, BotArchived, BotInUse
from storage.paging import BadCursor
from storage.payout_memory import DatabaseRestored
from storage.rows import AlreadyExistsDifferently

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2


class Kind(StrEnum):
    """What went wrong. The value ends the problem's `type`, and never changes its meaning."""

    MALFORMED = "malformed"
    UNAUTHORISED = "unauthorised"
    FORBIDDEN = "forbidden"
    FOREIGN_ORIGIN = "foreign-origin"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    CONFLICT = "conflict"
    DIFFERENT_CONTENT = "different-content"
    TOO_LARGE = "too-large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    MISDIRECTED = "misdirected"
    REFUSED = "refused"
    TOO_MANY = "too-many"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"
    OUTCOME_UNKNOWN = "outcome-unknown"


_STATUS_AND_TITLE: dict[Kind, tuple[int, str]] = {
    Kind.MALFORMED: (400, "The request does not have the expected form"),
    Kind.UNAUTHORISED: (401, "Nobody is signed in, or the token is wrong"),
    Kind.FORBIDDEN: (403, "This is not for you to do"),
    Kind.FOREIGN_ORIGIN: (403, "The request comes from a page of another site"),
    Kind.NOT_FOUND: (404, "There is no such thing"),
    Kind.METHOD_NOT_ALLOWED: (405, "This address does not know that method"),
    Kind.CONFLICT: (409, "It cannot be done as things stand"),
    Kind.DIFFERENT_CONTENT: (409, "The same command came before with other content"),
    Kind.TOO_LARGE: (413, "The request is too large"),
    Kind.UNSUPPORTED_MEDIA_TYPE: (415, "The body must be application/json"),
    Kind.MISDIRECTED: (421, "This host name is not ours"),
    Kind.REFUSED: (422, "The rules say no"),
    Kind.TOO_MANY: (429, "Too many requests: wait a little"),
    Kind.INTERNAL: (500, "Something unforeseen happened; the log has the details"),
    Kind.UNAVAILABLE: (503, "Not available now; nothing happened, try again"),
    Kind.OUTCOME_UNKNOWN: (503, "It may have happened: look, then repeat with the same Idempotency-Key"),
}

# The first kind of a status stands for it where nothing more is known.
_KIND_OF_STATUS = {status: kind for kind, (status, _) in reversed(_STATUS_AND_TITLE.items())}


class FieldProblem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wrong with one value. `pointer` is a JSON pointer into the body, as a URI fragment."""

    detail: str
    pointer: str = ""
    parameter: str = ""
    """The name of a query parameter or header, where it is not the body."""
    code: str = ""
    allowed: str = ""
    least: Decimal | None = None
    most: Decimal | None = None
    """What would be accepted, as numbers where it is a range."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = ""
    code: str = ""
    """Which of several reasons of one type, where a program must tell them apart (`session_expired`)."""
    errors: list[FieldProblem] = []


class ApiProblem(Exception):
    """Answer the request with a problem document."""

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        errors: Iterable[FieldProblem] = (),
        *,
        code: str = "",
        retry_after_s: int = RETRY_AFTER_S,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.retry_after_s = retry_after_s
        status, title = _STATUS_AND_TITLE[kind]
        self.problem = Problem(f"urn:trellis:problem:{kind}", title, status, detail, code, list(errors))


def refused(refusals: list[Refusal], within: str = "") -> ApiProblem:
    """Turn the engine's refusals into a problem that points into the body, or into the part `within` of it."""
    place = f"#/{within}/" if within else "#/"
    errors = [
        FieldProblem(
            each.message,
            f"{place}{each.field}",
            code=each.code,
            allowed=each.allowed,
            least=each.least,
            most=each.most,
        )
        for each in refusals
    ]
    return ApiProblem(Kind.REFUSED, "; ".join(each.message for each in refusals), errors)


def invalid(error: msgspec.ValidationError, *, in_query: bool = False) -> ApiProblem:
    """Say where a value does not have the expected form. msgspec stops at the first one."""
    message, _, path = str(error).rpartition(" - at `")
    message, path = (message, path.rstrip("`")) if message else (str(error), "$")
    keys = re.findall(r"[^.$\[\]]+", path)
    if in_query:
        return ApiProblem(Kind.MALFORMED, message, [FieldProblem(message, parameter=".".join(keys))])
    pointer = "#" + "".join(f"/{key}" for key in keys)
    return ApiProblem(Kind.MALFORMED, message, [FieldProblem(message, pointer)])


def sort(error: Exception) -> ApiProblem:
    """Give the problem that an exception amounts to."""
    match error:
        case ApiProblem():
            return error
        case BotInUse():
            return ApiProblem(Kind.CONFLICT, str(error), code="bot_running")
        case BotArchived():
            return ApiProblem(Kind.CONFLICT, str(error), code="bot_archived")
        case AccountRemoved():
            return ApiProblem(Kind.CONFLICT, str(error), code="account_removed")
        case AlreadyExistsDifferently():
            return ApiProblem(Kind.DIFFERENT_CONTENT, str(error))
        case BadCursor():
            return ApiProblem(Kind.MALFORMED, str(error), [FieldProblem(str(error), parameter="cursor")])
        case Rejected():
            return ApiProblem(Kind.REFUSED, str(error), [FieldProblem(str(error), code=error.reason.value)])
        case TimeoutError() | Retryable() | DatabaseRestored():
            return ApiProblem(Kind.UNAVAILABLE, str(error) or "no answer in time")
        case OutcomeUnknown():
            return ApiProblem(Kind.OUTCOME_UNKNOWN, str(error))
        case web.HTTPException():
            kind = _KIND_OF_STATUS.get(error.status, Kind.INTERNAL if error.status >= 500 else Kind.MALFORMED)
            return ApiProblem(kind)
        case _:
            log.error("api.unforeseen", exc_info=error)
            return ApiProblem(Kind.INTERNAL)


def to_response(error: ApiProblem) -> web.Response:
    """Write the problem document, with the headers that its status asks for."""
    response = web.Response(
        status=error.problem.status, body=msgspec.json.encode(error.problem), content_type=MEDIA_TYPE
    )
    if error.kind is Kind.UNAUTHORISED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="trellis"'
    if error.problem.status in (429, 503):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def titles(statuses: Iterable[int]) -> dict[int, str]:
    """Give the title of each status, for the description of the API."""
    return {status: _STATUS_AND_TITLE[_KIND_OF_STATUS[status]][1] for status in statuses}
