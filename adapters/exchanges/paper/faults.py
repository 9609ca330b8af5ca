"""Faults on demand, for tests and drills: what can go wrong between a client and a venue, switched on by name.

It only keeps what was ordered; the doors (HTTP, sockets) ask it and misbehave accordingly. An `operation` is
written as on the trade socket (`order.create`); over HTTP `/v5/order/create` is the same operation.
"""

from collections import deque
from enum import StrEnum

import msgspec


class FaultKind(StrEnum):
    """What happens to the next matching request."""

    LOSE_ANSWER = "lose_answer"
    """Carried out, never answered: HTTP closes the connection, a socket stays silent."""
    DELAY_ANSWER = "delay_answer"
    """Carried out, answered `delay_s` later."""
    REFUSE = "refuse"
    """Answered with `code` instead; carried out all the same when `accepted`."""


class Fault(msgspec.Struct, frozen=True):
    """One fault for one request. `code` 429 stands for the HTTP status; other codes are return codes."""

    kind: FaultKind
    operation: str = ""
    """Which operation it waits for; empty for any private one."""
    delay_s: float = 0.0
    code: int = 0
    accepted: bool = False


class Faults:
    """The faults in waiting."""

    def __init__(self) -> None:
        self.clock_offset_ms = 0
        """How far the venue's clock is off."""
        self.missed_messages = 0
        """How many private stream messages are still to be swallowed."""
        self._waiting: deque[Fault] = deque()

    def lose_answers(self, count: int = 1, operation: str = "order.create") -> None:
        """Carry out the next requests without answering them."""
        self._waiting.extend([Fault(FaultKind.LOSE_ANSWER, operation)] * count)

    def delay_answers(self, delay_s: float, count: int = 1, operation: str = "order.create") -> None:
        """Answer the next requests late."""
        self._waiting.extend([Fault(FaultKind.DELAY_ANSWER, operation, delay_s=delay_s)] * count)

    def refuse(self, code: int, count: int = 1, operation: str = "order.create", accepted: bool = False) -> None:
        """Answer the next requests with a code (10006, 10016, 429), having carried them out or not."""
        fault = Fault(FaultKind.REFUSE, operation, code=code, accepted=accepted)
        self._waiting.extend([fault] * count)

    def miss_messages(self, count: int) -> None:
        """Swallow the next private stream messages."""
        self.missed_messages += count

    def set_clock_offset(self, offset_ms: int) -> None:
        """Put the venue's clock ahead (positive) or behind."""
        self.clock_offset_ms = offset_ms

    def clear(self) -> None:
        """Call off everything in waiting."""
        self._waiting.clear()
        self.missed_messages = 0
        self.clock_offset_ms = 0

    def take(self, operation: str) -> Fault | None:
        """Give the fault that this request meets, if one waits for it."""
        if not self._waiting:
            return None
        for fault in self._waiting:
            if fault.operation in ("", operation):
                self._waiting.remove(fault)
                return fault
        return None

    def swallow(self) -> bool:
        """Tell whether the private message about to be sent is to be missed."""
        if not self.missed_messages:
            return False
        self.missed_messages -= 1
        return True
