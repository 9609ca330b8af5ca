"""What happened in one run, in order: hashed, so that two runs can be compared, and told, if somebody wants to
read.
"""

import hashlib
from collections.abc import Callable


class Trace:
    """Collects events. The digest is equal exactly when two runs did the same in the same order."""

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        self.moment = 0
        """Grows with every event: an order of things that no clock can upset."""
        self._hash = hashlib.sha256()
        self._tell = tell

    def add(self, who: str, what: str) -> int:
        """Note an event and give its moment."""
        self.moment += 1
        line = f"{self.moment} {who}: {what}"
        self._hash.update(line.encode() + b"\n")
        if self._tell is not None:
            self._tell(line)
        return self.moment

    @property
    def digest(self) -> str:
        """Give the hash of everything so far."""
        return self._hash.hexdigest()
