"""One transfer of a payout, from the wish to the proof: what must be done next, or what it waits for.

It decides from facts that are handed in: the task, its live attempt, what the chain says for certain, the gates.
It never decides from a node's answer to a broadcast, never from a clock alone, and never gives up by itself: what
is not proved dead may still pay, so only a proof of death allows another signature (`settlement.md` §2.3).

    queued ──► signing ──► broadcast ──► confirmed
                  ▲            │
                  └────────────┘  proved dead: signed anew
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from engine.ids import DealId, Instant, PayoutId, PayoutTaskId, SettlementId
from engine.machine import Transitions
from engine.payments.allowlist import Standing
from engine.payments.chain import Absent, Included, Outcome, PayoutIntent, Pending, Shortage, SignedPayout

ENGINE = "engine"
"""Who asks for a payout that no member asked for, and who does what the machine does."""


class Purpose(StrEnum):
    """What a payout pays for."""

    PASS_THROUGH = "pass_through"  # noqa: S105  a word, no password
    EOD = "eod"
    REFUND = "refund"
    WITHDRAWAL = "withdrawal"
    CANARY = "canary"


class TaskState(StrEnum):
    """A transfer's state in the words that people see."""

    QUEUED = "queued"
    """Nothing was ever signed for it."""
    SIGNING = "signing"
    """Bytes are being signed, or are signed and have not left yet, or the last ones are proved dead."""
    BROADCAST = "broadcast"
    """Bytes were handed to nodes at least once. Whatever the nodes answered."""
    CONFIRMED = "confirmed"
    FAILED = "failed"
    """A person has decided that it is not to be paid, when it surely was not."""


MOVES = Transitions(
    {
        TaskState.QUEUED: {
            TaskState.SIGNING,
            TaskState.FAILED,
            # The database was restored to a time before the signature; the journal knows that the bytes left.
            TaskState.BROADCAST,
        },
        TaskState.SIGNING: {
            TaskState.BROADCAST,
            TaskState.FAILED,
            # We died between handing the bytes over and noting it; the chain has them.
            TaskState.CONFIRMED,
        },
        TaskState.BROADCAST: {
            TaskState.CONFIRMED,
            # The attempt is proved dead, so the task is signed anew.
            TaskState.SIGNING,
        },
        TaskState.CONFIRMED: set(),
        TaskState.FAILED: set(),
    }
)


_PROGRESS = (TaskState.FAILED, TaskState.QUEUED, TaskState.SIGNING, TaskState.BROADCAST, TaskState.CONFIRMED)


def whole_state(parts: Sequence[TaskState]) -> TaskState:
    """Give a payout's state from those of its transfers: one that failed, else the one furthest back."""
    return min(parts, key=_PROGRESS.index)


class WaitsFor(StrEnum):
    """Why nothing happens to a transfer now, as a code that the screens translate."""

    NOTHING = ""
    APPROVALS = "approvals"
    FROZEN = "frozen"
    COOLING_OFF = "cooling_off"
    NOT_ALLOWED = "not_allowed"
    """The destination is not in the payee's allow-list as it was approved: revoked, or never proved."""
    OVER_CAP = "over_cap"
    OVER_VELOCITY = "over_velocity"
    NO_HOLD = "no_hold"
    """The ledger no longer holds the money for it."""
    ENERGY = "insufficient_energy"
    COIN = "insufficient_coin"
    TOKEN = "insufficient_token"  # noqa: S105  a word, no password
    RECIPIENT_NOT_ACTIVE = "recipient_not_active"
    CHAIN = "chain"
    """The bytes are out and blocks must pass, or the nodes do not answer."""
    REFUSED = "refused"
    """The nodes refuse such a transfer when it is weighed. Somebody must look."""
    PERSON = "person"
    """Too many attempts have failed on the chain: somebody must look."""
    MOVED_OTHERWISE = "moved_otherwise"
    """The chain moved another amount than the bytes said. Somebody must look."""
    BYTES_DIFFER = "bytes_differ"


class Task(msgspec.Struct, frozen=True):
    """What the rules need to know of one transfer. `failures`: attempts that were included and moved nothing."""

    id: PayoutTaskId
    state: TaskState
    units: int
    failures: int = 0


class Attempt(msgspec.Struct, frozen=True):
    """Signed bytes that may pay. `handed_over_at_ms` is the last time they were given to nodes; None: never."""

    intent: PayoutIntent
    signed: SignedPayout
    handed_over_at_ms: Instant | None = None


class Gates(msgspec.Struct, frozen=True):
    """The facts that a signature depends on. Read once before signing, and again when the bytes are written."""

    is_frozen: bool = False
    standing: Standing | None = Standing.ACTIVE
    """None: the destination is not the one of the allow-list's row."""
    approvals_missing: int = 0
    cap_units: int = 0
    room_units: int = 0
    """What the wallet's velocity window still allows."""
    is_held: bool = True
    shortage: Shortage | None = None


class SigningRules(msgspec.Struct, frozen=True):
    """Numbers of the machine's patience."""

    rebroadcast_pause_ms: int = 9_000
    failures_max: int = 3
    """After so many attempts that the chain included and refused, a person decides."""


class Sign(msgspec.Struct, frozen=True):
    """Sign new bytes."""


class HandOver(msgspec.Struct, frozen=True):
    """Give the bytes to the nodes, for the first time or again."""


class Confirm(msgspec.Struct, frozen=True):
    """It is paid, for ever."""

    proof: Included


class Bury(msgspec.Struct, frozen=True):
    """The attempt is dead, for ever; the task needs another one. `failed`: the chain included and refused it."""

    because: str
    proof: Included | Absent
    failed: bool


class Wait(msgspec.Struct, frozen=True):
    """Nothing to do now."""

    code: WaitsFor


Step = Sign | HandOver | Confirm | Bury | Wait


def next_step(
    task: Task, live: Attempt | None, outcome: Outcome | None, gates: Gates, rules: SigningRules, now: Instant
) -> Step:
    """Say what must be done for a transfer that is not over. An outcome of None: nobody has asked the chain."""
    if live is not None:
        return _follow(live, outcome or Pending(), gates.is_frozen, rules, now)
    if task.failures >= rules.failures_max:
        return Wait(WaitsFor.PERSON)
    code = held_back_by(task.units, gates)
    return Sign() if code is WaitsFor.NOTHING else Wait(code)


def held_back_by(units: int, gates: Gates) -> WaitsFor:
    """Say which gate is closed for a signature over `units`; NOTHING when all are open."""
    if gates.is_frozen:
        return WaitsFor.FROZEN
    if gates.approvals_missing > 0:
        return WaitsFor.APPROVALS
    if gates.standing is Standing.COOLING_OFF:
        return WaitsFor.COOLING_OFF
    if gates.standing is not Standing.ACTIVE:
        return WaitsFor.NOT_ALLOWED
    if units > gates.cap_units:
        return WaitsFor.OVER_CAP
    if units > gates.room_units:
        return WaitsFor.OVER_VELOCITY
    if not gates.is_held:
        return WaitsFor.NO_HOLD
    return WaitsFor.NOTHING if gates.shortage is None else WaitsFor(gates.shortage)


def verdict(intent: PayoutIntent, outcome: Outcome) -> Confirm | Bury | Wait:
    """Say what the chain's word means for an attempt: paid, dead, or nothing certain yet."""
    match outcome:
        case Included(receipt=receipt, moved_units=moved):
            if receipt.succeeded and moved == intent.units:
                return Confirm(outcome)
            if not receipt.succeeded or moved == 0:
                # A token may answer "no" in a transaction that succeeds: final, and nothing has moved.
                return Bury(receipt.result.lower() if not receipt.succeeded else "moved_nothing", outcome, True)
            return Wait(WaitsFor.MOVED_OTHERWISE)
        case Absent() if is_proof(intent, outcome):
            return Bury("expired", outcome, False)
        case _:
            return Wait(WaitsFor.CHAIN)


def is_proof(intent: PayoutIntent, absent: Absent) -> bool:
    """Tell whether final blocks have passed the expiration: before that, absence proves nothing."""
    return absent.up_to.time_ms >= intent.expires_at_ms and len(absent.witnesses) > 0


def _follow(live: Attempt, outcome: Outcome, is_frozen: bool, rules: SigningRules, now: Instant) -> Step:
    decided = verdict(live.intent, outcome)
    if not isinstance(decided, Wait) or decided.code is not WaitsFor.CHAIN:
        return decided
    if live.handed_over_at_ms is None:
        return Wait(WaitsFor.FROZEN) if is_frozen else HandOver()
    # Repeating bytes that have left is always safe: the chain includes one transaction once.
    return HandOver() if now - live.handed_over_at_ms >= rules.rebroadcast_pause_ms else decided


# ---------------------------------------------------------------------- names


def payout_of_deal(deal: DealId) -> PayoutId:
    """Name the one payout of a pass-through deal."""
    return PayoutId(f"po_{deal.removeprefix('de_')}")


def payout_of_settlement(settlement: SettlementId) -> PayoutId:
    """Name the one payout of a settlement."""
    return PayoutId(f"po_{settlement}")


def payout_of_refund(incoming: str) -> PayoutId:
    """Name the one payout that sends an incoming transfer back."""
    return PayoutId(f"po_refund_{incoming}")


def task_of(payout: PayoutId, part: int) -> PayoutTaskId:
    """Name one transfer of a payout; parts count from 1."""
    return PayoutTaskId(f"{payout}.{part}")
