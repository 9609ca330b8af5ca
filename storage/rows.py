"""What every repository shares in reading rows: turning records into Structs, and paging newest first by key."""

import base64
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Generic, TypeVar

import asyncpg
import msgspec

Row = TypeVar("Row", bound=msgspec.Struct)

PAGE_ROWS_MAX = 500


class AlreadyExistsDifferently(Exception):
    """The same id came with other content. Saying a thing twice is safe; saying two things is not."""


class BadCursor(ValueError):
    """A page cursor was not one of ours."""


class Page(msgspec.Struct, Generic[Row], frozen=True):
    """Some rows, newest first, and the cursor of the next page if there is one."""

    items: list[Row]
    next_cursor: str | None = None


def to_row(record: asyncpg.Record, kind: type[Row]) -> Row:
    """Read a record whose columns are named as the fields of `kind`."""
    return msgspec.convert(dict(record), kind)


def to_rows(records: Iterable[asyncpg.Record], kind: type[Row]) -> list[Row]:
    """Read many records."""
    return [msgspec.convert(dict(record), kind) for record in records]


def to_money_row(record: asyncpg.Record, kind: type[Row]) -> Row:
    """Read a record of the club: amounts of base units are the NUMERIC columns whose names end in `_token`."""
    return msgspec.convert(
        {
            name: int(value) if name.endswith("_token") and isinstance(value, Decimal) else value
            for name, value in record.items()
        },
        kind,
    )


def to_plain(row: msgspec.Struct) -> dict[str, Any]:
    """Write a row of the club as data for JSON, its amounts as strings: many a reader's numbers end at 53 bits."""
    return {
        name: str(value) if name.endswith("_token") and value is not None else msgspec.to_builtins(value)
        for name, value in msgspec.structs.asdict(row).items()
    }


def columns(kind: type[msgspec.Struct]) -> str:
    """List the columns that a Struct is read from."""
    return ", ".join(kind.__struct_fields__)


def page_of(
    records: list[asyncpg.Record],
    kind: type[Row],
    limit: int,
    key: tuple[str, str],
    read: Callable[[asyncpg.Record, type[Row]], Row] = to_row,
) -> Page[Row]:
    """Cut a page from `limit` + 1 records ordered by `key`, newest first."""
    items = [read(record, kind) for record in records[:limit]]
    if len(records) <= limit:
        return Page(items)
    last = records[limit - 1]
    return Page(items, encode_cursor([last[name] for name in key]))


def encode_cursor(key: list[Any]) -> str:
    """Write the key of a page's last row as a word for a URL."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def decode_cursor(cursor: str | None, first: type, second: type) -> tuple[Any, Any]:
    """Read a cursor back; (None, None) where there is none. Raise `BadCursor` when it is not ours."""
    if cursor is None:
        return None, None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        key: tuple[Any, Any] = msgspec.json.decode(raw, type=tuple[first, second])  # type: ignore[valid-type]  # a type made of values
    except (ValueError, msgspec.MsgspecError) as error:
        raise BadCursor("not a cursor of this list") from error
    if any(isinstance(part, int) and not -(2**63) <= part < 2**63 for part in key):
        raise BadCursor("not a cursor of this list")
    return key


def page_limit(limit: int) -> int:
    """Bring a wanted page size into the allowed range."""
    return max(1, min(limit, PAGE_ROWS_MAX))
