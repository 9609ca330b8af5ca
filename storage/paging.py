"""Lists, newest first, cut into pages by their key: whatever is added meanwhile, no row comes twice or never.

A statement holds only the conditions that are asked for: a plan for "this, or nothing" is four times slower.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import asyncpg
import msgspec

from storage.database import Database
from storage.rows import to_row

Row = TypeVar("Row", bound=msgspec.Struct)

PAGE_ROWS_MAX = 500


class BadCursor(ValueError):
    """A page cursor was not one of ours."""


class Page(msgspec.Struct, Generic[Row], frozen=True):
    """Some rows, newest first, and the cursor of the next page if there is one."""

    items: list[Row]
    next_cursor: str | None = None


class Bound:
    """The values of a statement. Calling it binds one and gives its place."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def __call__(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"

    def all_of(self, conditions: Mapping[str, Any]) -> str:
        """Join the conditions that have a value; it goes where `{}` is."""
        asked = [words.format(self(value)) for words, value in conditions.items() if value is not None]
        return " AND ".join(asked) or "true"


class Key(msgspec.Struct, frozen=True):
    """The columns by which a list is sorted, which no two of its rows have alike, and the tuple of their types."""

    columns: tuple[str, ...]
    types: Any

    @property
    def newest_first(self) -> str:
        """Say the order in SQL."""
        return ", ".join(f"{column} DESC" for column in self.columns)

    def behind(self, cursor: str | None, bound: Bound) -> str:
        """Say in SQL what comes after a page; everything where there was none. `BadCursor` if it is not ours."""
        if cursor is None:
            return "true"
        last = ", ".join(map(bound, self.read(cursor)))
        return f"({', '.join(self.columns)}) < ({last})"

    def read(self, cursor: str) -> tuple[Any, ...]:
        """Read a cursor: the key of a page's last row. Raise `BadCursor` when it is not ours."""
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            key: tuple[Any, ...] = msgspec.json.decode(raw, type=self.types)
        except (ValueError, msgspec.MsgspecError) as error:
            raise BadCursor("not a cursor of this list") from error
        if any(isinstance(part, int) and not -(2**63) <= part < 2**63 for part in key):
            raise BadCursor("not a cursor of this list")
        return key

    def cut(
        self,
        records: Sequence[asyncpg.Record],
        limit: int,
        kind: type[Row],
        read: Callable[[asyncpg.Record, type[Row]], Row] = to_row,
    ) -> Page[Row]:
        """Make a page of `limit` + 1 records: the last one only says that there are more."""
        items = [read(record, kind) for record in records[:limit]]
        if len(records) <= limit:
            return Page(items)
        key = msgspec.json.encode([records[limit - 1][column] for column in self.columns])
        return Page(items, base64.urlsafe_b64encode(key).decode().rstrip("="))


BY_CREATION = Key(("created_at_ms", "id"), tuple[int, str])
BY_ID = Key(("id",), tuple[int])
BY_PLACE = Key(("seq", "ordinal"), tuple[int, int])
"""By the place in a bot's journal."""


async def read_page(
    database: Database,
    select: str,
    conditions: Mapping[str, Any],
    key: Key,
    kind: type[Row],
    cursor: str | None,
    limit: int,
    read: Callable[[asyncpg.Record, type[Row]], Row] = to_row,
) -> Page[Row]:
    """Read a page of `select`, of the rows for which every condition holds whose value is not None."""
    limit = page_limit(limit)
    bound = Bound()
    where = f"{bound.all_of(conditions)} AND {key.behind(cursor, bound)}"
    records = await database.rows(
        f"{select} WHERE {where} ORDER BY {key.newest_first} LIMIT {bound(limit + 1)}", *bound.values
    )
    return key.cut(records, limit, kind, read)


def page_limit(limit: int) -> int:
    """Bring a wanted page size into the allowed range."""
    return max(1, min(limit, PAGE_ROWS_MAX))
