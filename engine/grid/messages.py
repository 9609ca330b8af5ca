"""What goes into a grid bot's `step` and what comes out, beside the facts and effects of its orders."""

from enum import StrEnum

import msgspec

from engine.ids import Instant
from engine.trading.orders import (
    CancelOrder,
    LookUpOrder,
    OrderFact,
    OrderReport,
    PlaceOrder,
    Side,
)

# ---------------------------------------------------------------------- in: commands


class Start(msgspec.Struct, frozen=True, tag=True):
    """Begin, or begin again after a stop or a pause. `price_ticks` is the market now."""

    price_ticks: int
    version: int = 0
    """The owner's wish that this carries out, counted; the state remembers the last one (see `GridState`)."""


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Cancel every order and end; close the position at market if `sell`, keep it otherwise."""

    sell: bool
    reason: str = "you asked"
    version: int = 0


class Pause(msgspec.Struct, frozen=True, tag=True):
    """Cancel every order and wait for `Start`."""

    reason: str = "you asked"
    version: int = 0


# ---------------------------------------------------------------------- in: facts


class PriceMoved(msgspec.Struct, frozen=True, tag=True):
    """The market traded at this price. The shell sends it only when the price leaves the watched band."""

    ticks: int


class Woke(msgspec.Struct, frozen=True, tag=True):
    """The time that the machine asked to be woken at has come."""


class ResyncStarted(msgspec.Struct, frozen=True, tag=True):
    """After a start of the process: hold back every order until the venue's own view has been read."""


class Resynced(msgspec.Struct, frozen=True, tag=True):
    """The venue's own view: every open order of ours, read at `asked_ms` or later, after all executions."""

    open_orders: tuple[OrderReport, ...]
    price_ticks: int
    asked_ms: Instant


# ---------------------------------------------------------------------- out: effects


class Resync(msgspec.Struct, frozen=True, tag=True):
    """Read executions and open orders from the venue, then answer with them and `Resynced`."""

    reason: str


class NoteKind(StrEnum):
    """What the machine decided. Orders and executions speak for themselves and need no note."""

    STATUS = "status"
    STOP_HIT = "stop_hit"
    REQUOTED = "requoted"
    BLOCKED = "blocked"
    WAITING = "waiting"
    ADOPTED = "adopted"
    ORPHAN = "orphan"
    SHIFTED = "shifted"
    DUST = "dust"
    RISK = "risk"


class Note(msgspec.Struct, frozen=True, tag=True):
    """A line for the bot's log. `level` is the level index it concerns, or None for the whole bot."""

    kind: NoteKind
    text: str
    level: int | None = None


class TripClosed(msgspec.Struct, frozen=True, tag=True):
    """One round trip of one grid interval is complete. Amounts in quote-coin units."""

    level: int
    """The lower level of the interval."""
    opened_by: Side
    lots: int
    gross_units: int
    fee_units: int
    opened_ms: Instant
    closed_ms: Instant


GridMessage = OrderFact | Start | Stop | Pause | PriceMoved | Woke | ResyncStarted | Resynced
GridEffect = PlaceOrder | CancelOrder | LookUpOrder | Resync | Note | TripClosed


# JSON, not MessagePack: a fee of ten dollars in base units is already more than 64 bits, where MessagePack ends.
_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[GridMessage] = msgspec.json.Decoder(GridMessage)


def encode_message(message: GridMessage) -> bytes:
    """Write a message down for the journal."""
    return _ENCODER.encode(message)


def decode_message(data: bytes) -> GridMessage:
    """Read a journalled message back; raise msgspec.ValidationError if it is not one."""
    return _DECODER.decode(data)
