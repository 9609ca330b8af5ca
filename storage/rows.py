"""What every repository shares in reading rows: turning records into Structs."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, TypeVar

import asyncpg
import msgspec

Row = TypeVar("Row", bound=msgspec.Struct)


class AlreadyExistsDifferently(Exception):
    """The same id came with other content. Saying a thing twice is safe; saying two things is not."""


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
