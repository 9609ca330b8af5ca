"""The form of an invariant."""

import msgspec


class Invariant(msgspec.Struct, frozen=True):
    """Something that is always true. `sql` is a SELECT of what contradicts it."""

    name: str
    sentence: str
    sql: str
