"""The table of legal moves that every state machine here starts from."""

from collections.abc import Mapping, Set
from typing import Generic, TypeVar

S = TypeVar("S")


class IllegalMove(Exception):
    """A machine tried a move that its table does not list: a bug, never a business answer."""


class Transitions(Generic[S]):
    """Which state may follow which."""

    def __init__(self, table: Mapping[S, Set[S]]) -> None:
        self._table = table

    def allows(self, old: S, new: S) -> bool:
        """Tell whether `new` may follow `old`."""
        return new in self._table.get(old, frozenset())

    def check(self, old: S, new: S) -> S:
        """Give `new` back if it may follow `old`; raise IllegalMove otherwise."""
        if not self.allows(old, new):
            raise IllegalMove(f"{old} may not become {new}")
        return new
