"""What actors say to each other: msgspec Structs as MessagePack bytes.

Pickling a Struct, as Ray would, costs ten to thirty times as much.
"""

from typing import Any, TypeVar

import msgspec

from engine.ids import BotId, Instant

T = TypeVar("T")

_ENCODER = msgspec.msgpack.Encoder(decimal_format="string")


class HostReport(msgspec.Struct, frozen=True):
    """Which bots a host runs, the status of each, and why those that it opens are not running yet."""

    name: str
    running: list[BotId]
    opening: list[BotId]
    statuses: dict[BotId, str]
    waits: dict[BotId, str]
    as_of_ms: Instant


class StopOutcome(msgspec.Struct, frozen=True):
    """What an emergency stop did to one bot. `orders_left` is -1 where the venue did not say."""

    bot: BotId
    stopped: bool
    orders_left: int
    detail: str


class ComponentHealth(msgspec.Struct, frozen=True):
    """How one part is. `age_ms` is the time since its last sign of life."""

    name: str
    ok: bool
    detail: str
    age_ms: int | None = None


class WriterReport(msgspec.Struct, frozen=True):
    """How a single writer is. `turned_ms` is when it last finished a turn; `problem` is empty while it works."""

    name: str
    epoch: int
    turned_ms: Instant
    problem: str


class ClubReport(msgspec.Struct, frozen=True):
    """How one of the club's actors is, with its single writers. `detail` is what it works on, for people."""

    writers: list[WriterReport]
    detail: dict[str, Any]

    @property
    def problem(self) -> str:
        """Give what keeps a writer from working; empty while all do."""
        return next((writer.problem for writer in self.writers if writer.problem), "")


def encode(message: Any) -> bytes:
    """Write a message for another actor."""
    return _ENCODER.encode(message)


def decode(data: bytes, kind: type[T]) -> T:
    """Read a message of a known kind; raise msgspec.ValidationError if it is not one."""
    return msgspec.msgpack.decode(data, type=kind)
