"""Pages of rows, newest first, and the cursors between them. A cursor names the last row given: none repeats."""

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, unquote

from .codes import Code, Refused

SPAN_MAX_MS = 7 * 86_400_000
"""History is asked for in spans of at most seven days."""

Query = dict[str, str]


class Numbered(Protocol):
    """A record with its place in the venue's one sequence."""

    seq: int


_Row = TypeVar("_Row", bound=Numbered)


def page(rows: Iterable[_Row], query: Query, default: int, most: int) -> tuple[list[_Row], str]:
    """Cut one page out of rows that come newest first; give it with the cursor of the next ("" at the end)."""
    limit = whole_number(query, "limit", default)
    if not 1 <= limit <= most:
        raise Refused(Code.PARAMETER, f"params error: limit must be between 1 and {most}")
    before = _read_cursor(query.get("cursor", ""))
    found: list[_Row] = []
    for row in rows:
        if before is not None and row.seq >= before:
            continue
        if len(found) == limit:
            return found, _write_cursor(found[-1].seq)
        found.append(row)
    return found, ""


def span(query: Query, now_ms: int) -> tuple[int, int]:
    """Give the asked time span, both ends included; refuse more than seven days. Without one: the last seven."""
    start, end = whole_number(query, "startTime", 0), whole_number(query, "endTime", 0)
    if start and end and end - start > SPAN_MAX_MS:
        raise Refused(Code.PARAMETER, "params error: the span between startTime and endTime exceeds 7 days")
    if start:
        return start, end or start + SPAN_MAX_MS
    return (end or now_ms) - SPAN_MAX_MS, end or now_ms + SPAN_MAX_MS


def whole_number(query: Query, name: str, default: int) -> int:
    """Read a whole number of the query."""
    text = query.get(name, "")
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise Refused(Code.PARAMETER, f"params error: {name} invalid") from None


def listed(rows: list[Any], cursor: str, category: str) -> dict[str, Any]:
    """Wrap a page in the usual result."""
    return {"category": category, "list": rows, "nextPageCursor": cursor}


def _write_cursor(seq: int) -> str:
    # The colon and comma are there to be escaped: the venue's cursors arrive URL-encoded and must go back as such.
    return quote(f"seq:{seq},1", safe="")


def _read_cursor(text: str) -> int | None:
    if not text:
        return None
    head, _, rest = unquote(text).partition(":")
    digits = rest.partition(",")[0]
    if head != "seq" or not digits.isdigit():
        raise Refused(Code.PARAMETER, "params error: cursor invalid")
    return int(digits)
