"""What a grid bot knows: its intervals, its orders, its inventory and its counters.

A grid of N intervals is N `Cell`s. Cell k buys at level k and sells at level k + 1, one order at a time. A cell
whose home is LONG opens by buying and earns by selling; one whose home is SHORT the other way round. So spot and
long grids are all LONG cells, short grids all SHORT ones, and a neutral grid has SHORT cells above the starting
price and LONG ones below; the orders in the market are the same for all of them.

The state belongs to the machine and is changed in place: copying five hundred cells for each fill would be the
dearest thing on the hot path. Everything else in the engine is frozen.
"""

import hashlib
from enum import StrEnum
from functools import cached_property

import msgspec

from engine.errors import RejectReason
from engine.grid.config import Direction, GridConfig
from engine.grid.sizing import Sizing
from engine.grid.terms import Terms
from engine.ids import BotId, ExecutionId, Instant
from engine.machine import Transitions
from engine.trading.instrument import FeeRates, Instrument
from engine.trading.orders import BUY, SELL, Execution, OrderStatus, Side

NEVER_TICKS = 2**62
"""A price that no market reaches."""


class BotStatus(StrEnum):
    """Where a bot is in its life."""

    NEW = "new"
    AWAITING_TRIGGER = "awaiting_trigger"
    ENTERING = "entering"
    """The market order that acquires the starting inventory is on its way."""
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    STOPPING = "stopping"
    """Orders are being cancelled."""
    CLOSING = "closing"
    """No grid order is left; the position is being closed at market."""
    STOPPED = "stopped"
    HALTED = "halted"
    """The bot cannot go on by itself; the reason says what to do, then start it again."""


MOVES = Transitions(
    {
        BotStatus.NEW: {BotStatus.AWAITING_TRIGGER, BotStatus.ENTERING, BotStatus.RUNNING, BotStatus.STOPPED},
        BotStatus.AWAITING_TRIGGER: {
            BotStatus.ENTERING,
            BotStatus.RUNNING,
            BotStatus.STOPPED,
            BotStatus.PAUSED,
            BotStatus.HALTED,
        },
        BotStatus.ENTERING: {BotStatus.RUNNING, BotStatus.PAUSING, BotStatus.STOPPING, BotStatus.HALTED},
        BotStatus.RUNNING: {BotStatus.PAUSING, BotStatus.STOPPING, BotStatus.HALTED},
        BotStatus.PAUSING: {BotStatus.PAUSED, BotStatus.STOPPING, BotStatus.HALTED},
        BotStatus.PAUSED: {
            BotStatus.RUNNING,
            BotStatus.ENTERING,
            BotStatus.AWAITING_TRIGGER,
            BotStatus.STOPPING,
            BotStatus.STOPPED,
        },
        # An emergency stop may overtake an ordinary one and change its mind about the position.
        BotStatus.STOPPING: {BotStatus.STOPPED, BotStatus.CLOSING, BotStatus.STOPPING, BotStatus.HALTED},
        BotStatus.CLOSING: {BotStatus.STOPPED, BotStatus.STOPPING, BotStatus.HALTED},
        # A start that the present price refuses ends where it began, with the refusal as its reason.
        BotStatus.STOPPED: {
            BotStatus.RUNNING,
            BotStatus.ENTERING,
            BotStatus.AWAITING_TRIGGER,
            BotStatus.STOPPING,
            BotStatus.STOPPED,
        },
        BotStatus.HALTED: {
            BotStatus.RUNNING,
            BotStatus.ENTERING,
            BotStatus.AWAITING_TRIGGER,
            BotStatus.STOPPING,
            BotStatus.STOPPED,
        },
    }
)


class Home(StrEnum):
    """Which way a cell's inventory points when it has one."""

    LONG = "long"
    SHORT = "short"

    @property
    def opening_side(self) -> Side:
        """Give the side that builds inventory."""
        return BUY if self is LONG else SELL


LONG, SHORT = Home


class OrderPhase(StrEnum):
    """What we believe about the one order of a slot."""

    NONE = "none"
    SENT = "sent"
    """On its way; no answer yet."""
    LIVE = "live"
    CANCELLING = "cancelling"
    UNKNOWN = "unknown"
    """It may or may not exist. Only a definite answer of the venue ends this."""


NO_ORDER, SENT, LIVE, CANCELLING, UNKNOWN = OrderPhase
RUNNING = BotStatus.RUNNING
"""By themselves, as `engine.trading.orders.BUY` is: the machine asks for them most often."""


class Slot(msgspec.Struct):
    """The place of one order. It holds at most one order at a time, and remembers the last one's number."""

    generation: int = 0
    """Counts the orders ever named here; never goes back, so a name is never used for two decisions."""
    phase: OrderPhase = OrderPhase.NONE
    side: Side = Side.BUY
    ticks: int = 0
    lots: int = 0
    filled: int = 0
    sent_ms: Instant = Instant(0)
    final_status: OrderStatus | None = None
    """The venue's last word on the order, kept while executions that it counts are still missing."""
    final_filled: int = 0
    final_reason: RejectReason | None = None
    seen: list[ExecutionId] = msgspec.field(default_factory=list)
    """Executions of this order that are already applied."""
    cancel_is_ours: bool = False
    resent: bool = False
    """More than one request bore this name, so a refusal of one says nothing about the others."""
    name_is_taken: bool = False
    """The venue refused the order because it knows its name already."""
    rejects: int = 0
    """Refusals in a row with the same reason."""
    reject_reason: RejectReason | None = None
    wake_ms: Instant = Instant(0)
    """When to try again or ask again; 0: never."""

    @property
    def is_empty(self) -> bool:
        """Tell whether no order of this slot can be at the venue."""
        return self.phase is NO_ORDER


class Cell(msgspec.Struct):
    """One interval of the grid: buys at level `index`, sells at level `index + 1`."""

    index: int
    home: Home
    side: Side
    """The order that the cell wants next."""
    lots: int
    """What the opening order trades."""
    slot: Slot = msgspec.field(default_factory=Slot)
    opened_lots: int = 0
    """Lots executed in the opening leg under way."""
    base_units: int = 0
    """Inventory in base-coin units, after fees taken in the base coin; negative for a short."""
    cost_units: int = 0
    """What that inventory cost in quote-coin units; negative for a short (what its sale brought)."""
    trip_gross_units: int = 0
    trip_fee_units: int = 0
    trip_lots: int = 0
    opened_ms: Instant = Instant(0)
    requotes: int = 0
    """Ticks behind its level at which the next order is placed, after post-only refusals."""
    blocked: bool = False
    """Refused so often for one reason that only a start, of the bot or of its process, tries again."""

    @property
    def is_opening(self) -> bool:
        """Tell whether the next order builds inventory."""
        return (self.side is BUY) is (self.home is LONG)


class Ledger(msgspec.Struct):
    """Profit and loss from executions alone, in quote-coin units. Exact: nothing is rounded away."""

    grid_profit_units: int = 0
    """Realised by closing legs of cells, before fees."""
    exit_profit_units: int = 0
    """Realised by closing the position at market, before fees."""
    fee_units: int = 0
    """All fees; those taken in the base coin at the price of their execution."""
    funding_units: int = 0
    """Paid; negative if received."""
    cash_units: int = 0
    """Change of the quote coin by executions, quote-coin fees and funding."""
    base_units: int = 0
    """Change of the base coin by executions and base-coin fees, plus what the trader brought in."""
    trips: int = 0
    trades: int = 0
    volume_units: int = 0
    gain_units: int = 0
    """Sum of the net results of the round trips that earned."""
    loss_units: int = 0
    """Sum of the net results of those that lost, as a positive number."""
    other_fees: dict[str, int] = msgspec.field(default_factory=dict)
    """Fees taken in a third coin, which have no price here: units by asset, kept out of the total."""
    reinvested_units: int = 0
    peak_units: int = 0
    drawdown_units: int = 0
    """The deepest fall of the total result from an earlier peak."""


class GridState(msgspec.Struct, dict=True):
    """One bot, whole: from its own state and the venue's facts alone it can go on after any crash."""

    bot: BotId
    config: GridConfig
    instrument: Instrument
    fees: FeeRates
    status: BotStatus = BotStatus.NEW
    status_reason: str = ""
    sizing: Sizing | None = None
    cells: list[Cell] = msgspec.field(default_factory=list)
    """Lowest interval first, without gaps in `index`."""
    newest_generation: int = 0
    """The highest number in any name that a level of this grid has ever had, as far as we remember."""
    entry: Slot = msgspec.field(default_factory=Slot)
    entry_left: int = 0
    exit: Slot = msgspec.field(default_factory=Slot)
    loose_base_units: int = 0
    """Inventory that belongs to no cell: fractions of a lot, and what is being closed at market."""
    loose_cost_units: int = 0
    ledger: Ledger = msgspec.field(default_factory=Ledger)
    last_ticks: int = 0
    sell_on_stop: bool = False
    syncing: bool = False
    """Held back after a start of the process, until the venue's view has been read."""
    shift: int = 0
    """A trailing shift under way: +1 up, -1 down."""
    trigger_is_above: bool = False
    """Whether the entry trigger lay above the market when the bot began to wait for it."""
    watch_low: int = 0
    watch_high: int = NEVER_TICKS
    """Prices at or beyond these two concern the bot; the shell sends no others."""
    wake_ms: Instant = Instant(0)
    """When the shell must send `Woke`; 0: never."""
    quiet_since_ms: Instant = Instant(0)
    """When the last order of a stopping bot was over; its proof is a view of the venue read after that."""
    started_ms: Instant = Instant(0)
    last_execution_ms: Instant = Instant(0)
    funding_seen: list[ExecutionId] = msgspec.field(default_factory=list)
    held: list[Execution] = msgspec.field(default_factory=list)
    """While syncing: executions of orders newer than our memory, until all older ones have been read."""
    stray_executions: int = 0
    """Executions of orders that no level of this grid can have placed; not booked."""
    command_version: int = 0
    """The owner's last wish that was carried out. A restart repeats no older one: what a stop-loss has ended
    stays ended until the owner wants it again."""

    def __post_init__(self) -> None:
        """Count what a state did not know that was written down before the field existed."""
        self.newest_generation = max([self.newest_generation, *(cell.slot.generation for cell in self.cells)])

    @cached_property
    def terms(self) -> Terms:
        """Give the config in ticks and units. Not a field: it is neither written down nor part of the hash."""
        return Terms(self.config, self.instrument, self.fees)

    @property
    def is_spot(self) -> bool:
        """Tell whether the bot trades for cash."""
        return self.config.direction is Direction.SPOT

    def base_total(self) -> int:
        """Add up the inventory in base-coin units; the ledger must agree."""
        return sum(cell.base_units for cell in self.cells) + self.loose_base_units

    def cost_total(self) -> int:
        """Add up what the inventory cost, in quote-coin units."""
        return sum(cell.cost_units for cell in self.cells) + self.loose_cost_units


def new_state(bot: BotId, config: GridConfig, instrument: Instrument, fees: FeeRates) -> GridState:
    """Make the state of a bot that has done nothing yet."""
    return GridState(bot=bot, config=config, instrument=instrument, fees=fees)


# JSON, not MessagePack: a few dollars in base units are already more than 64 bits, where MessagePack ends.
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(GridState)


def encode_state(state: GridState) -> bytes:
    """Write a state down."""
    return _ENCODER.encode(state)


def decode_state(data: bytes) -> GridState:
    """Read a state back; raise msgspec.ValidationError if it is not one."""
    return _DECODER.decode(data)


def state_hash(state: GridState) -> str:
    """Give the fingerprint by which two states are told equal: a replayed journal must lead to the same one."""
    return hashlib.sha256(encode_state(state)).hexdigest()
