"""What must be done next for a transfer: tables of cases, and properties of the machine as a whole."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.ids import HotWalletId, Instant, PayoutTaskId, TxId
from engine.machine import IllegalMove
from engine.money import AssetId, Network
from engine.payments.allowlist import Standing
from engine.payments.chain import (
    Absent,
    BlockRef,
    Included,
    Outcome,
    PayoutIntent,
    Pending,
    Receipt,
    Shortage,
    SignedPayout,
)
from engine.payments.payout import (
    MOVES,
    Attempt,
    Bury,
    Confirm,
    Gates,
    HandOver,
    Sign,
    SigningRules,
    Step,
    Task,
    TaskState,
    Wait,
    WaitsFor,
    next_step,
    whole_state,
)

NOW = Instant(1_000_000)
EXPIRES = Instant(1_240_000)
UNITS = 500
RULES = SigningRules(rebroadcast_pause_ms=9_000, failures_max=3)
OPEN = Gates(cap_units=1_000, room_units=1_000)
REFERENCE = BlockRef(100, "64", "63", NOW)
INTENT = PayoutIntent(
    task=PayoutTaskId("po_x.1"),
    attempt=1,
    network=Network.TRON,
    asset=AssetId("tron:USDT"),
    contract="TToken",
    hot_wallet=HotWalletId("hw"),
    sender="THot",
    recipient="TThere",
    units=UNITS,
    fee_limit=1,
    expires_at_ms=EXPIRES,
    timestamp_ms=NOW,
    reference=REFERENCE,
)
SIGNED = SignedPayout(TxId("aa"), b"bytes", EXPIRES, 100)


def task(state: TaskState = TaskState.QUEUED, failures: int = 0) -> Task:
    return Task(PayoutTaskId("po_x.1"), state, UNITS, failures)


def attempt(handed_over_at_ms: int | None = NOW) -> Attempt:
    return Attempt(INTENT, SIGNED, None if handed_over_at_ms is None else Instant(handed_over_at_ms))


def block(time_ms: int) -> BlockRef:
    return BlockRef(200, "c8", "c7", Instant(time_ms))


def included(*, succeeded: bool = True, moved: int = UNITS) -> Included:
    return Included(
        block(NOW), Receipt(TxId("aa"), succeeded, "SUCCESS" if succeeded else "OUT_OF_ENERGY", 5), moved
    )


def decide(live: Attempt | None, outcome: Outcome | None, gates: Gates = OPEN, failures: int = 0) -> Step:
    return next_step(task(failures=failures), live, outcome, gates, RULES, NOW)


def test_an_open_task_without_bytes_is_signed() -> None:
    assert decide(None, None) == Sign()


@pytest.mark.parametrize(
    ("closed", "code"),
    [
        ({"is_frozen": True}, WaitsFor.FROZEN),
        ({"approvals_missing": 1}, WaitsFor.APPROVALS),
        ({"standing": Standing.COOLING_OFF}, WaitsFor.COOLING_OFF),
        ({"standing": Standing.CHALLENGED}, WaitsFor.NOT_ALLOWED),
        ({"standing": Standing.LAPSED}, WaitsFor.NOT_ALLOWED),
        ({"standing": Standing.REVOKED}, WaitsFor.NOT_ALLOWED),
        ({"standing": None}, WaitsFor.NOT_ALLOWED),
        ({"cap_units": UNITS - 1}, WaitsFor.OVER_CAP),
        ({"room_units": UNITS - 1}, WaitsFor.OVER_VELOCITY),
        ({"is_held": False}, WaitsFor.NO_HOLD),
        ({"shortage": Shortage.ENERGY}, WaitsFor.ENERGY),
        ({"shortage": Shortage.COIN}, WaitsFor.COIN),
        ({"shortage": Shortage.TOKEN}, WaitsFor.TOKEN),
        ({"shortage": Shortage.RECIPIENT_NOT_ACTIVE}, WaitsFor.RECIPIENT_NOT_ACTIVE),
    ],
)
def test_each_closed_gate_is_named(closed: dict[str, object], code: WaitsFor) -> None:
    assert decide(None, None, msgspec.structs.replace(OPEN, **closed)) == Wait(code)


def test_the_last_unit_below_a_bound_passes() -> None:
    assert decide(None, None, Gates(cap_units=UNITS, room_units=UNITS)) == Sign()


@pytest.mark.parametrize(
    ("failures", "step"), [(2, Sign()), (3, Wait(WaitsFor.PERSON)), (4, Wait(WaitsFor.PERSON))]
)
def test_after_so_many_failures_on_the_chain_a_person_decides(failures: int, step: Step) -> None:
    assert decide(None, None, failures=failures) == step


@pytest.mark.parametrize(
    ("outcome", "step"),
    [
        (included(), Confirm(included())),
        (included(succeeded=False, moved=0), Bury("out_of_energy", included(succeeded=False, moved=0), True)),
        (included(moved=0), Bury("moved_nothing", included(moved=0), True)),
        (included(moved=UNITS - 1), Wait(WaitsFor.MOVED_OTHERWISE)),
        (included(moved=UNITS + 1), Wait(WaitsFor.MOVED_OTHERWISE)),
        (Absent(block(EXPIRES), ("a", "b")), Bury("expired", Absent(block(EXPIRES), ("a", "b")), False)),
        # One millisecond too early, or nobody who has seen it: no proof.
        (Absent(block(EXPIRES - 1), ("a", "b")), Wait(WaitsFor.CHAIN)),
        (Absent(block(EXPIRES), ()), Wait(WaitsFor.CHAIN)),
        (Pending(), Wait(WaitsFor.CHAIN)),
        (None, Wait(WaitsFor.CHAIN)),
    ],
)
def test_what_the_chain_says_decides(outcome: Outcome | None, step: Step) -> None:
    assert decide(attempt(), outcome) == step


@pytest.mark.parametrize(
    ("handed_over_at_ms", "is_frozen", "step"),
    [
        (None, False, HandOver()),
        (None, True, Wait(WaitsFor.FROZEN)),
        (NOW - 8_999, False, Wait(WaitsFor.CHAIN)),
        (NOW - 9_000, False, HandOver()),
        # What has left already may be in a block tomorrow: repeating it changes nothing that a freeze could stop.
        (NOW - 9_000, True, HandOver()),
    ],
)
def test_bytes_are_handed_over_at_once_and_again_after_a_pause(
    handed_over_at_ms: int | None, is_frozen: bool, step: Step
) -> None:
    gates = msgspec.structs.replace(OPEN, is_frozen=is_frozen)
    assert decide(attempt(handed_over_at_ms), Pending(), gates) == step


outcomes = st.one_of(
    st.none(),
    st.just(Pending()),
    st.builds(included, succeeded=st.booleans(), moved=st.integers(0, UNITS + 1)),
    st.builds(
        lambda time_ms, witnesses: Absent(block(time_ms), tuple("ab"[:witnesses])),
        st.integers(0, 2 * EXPIRES),
        st.integers(0, 2),
    ),
)
every_gate = st.builds(
    Gates,
    is_frozen=st.booleans(),
    standing=st.sampled_from([None, *Standing]),
    approvals_missing=st.integers(0, 2),
    cap_units=st.integers(UNITS - 1, UNITS + 1),
    room_units=st.integers(UNITS - 1, UNITS + 1),
    is_held=st.booleans(),
    shortage=st.sampled_from([None, *Shortage]),
)


@given(outcomes, every_gate, st.integers(0, 4), st.one_of(st.none(), st.integers(0, 2 * NOW)), st.booleans())
def test_nothing_is_signed_beside_live_bytes_or_through_a_closed_gate(
    outcome: Outcome | None, gates: Gates, failures: int, handed_over: int | None, is_live: bool
) -> None:
    live = attempt(handed_over) if is_live else None
    step = next_step(task(failures=failures), live, outcome, gates, RULES, NOW)
    if isinstance(step, Sign):
        assert live is None
        assert failures < RULES.failures_max
        assert not gates.is_frozen
        assert gates.standing is Standing.ACTIVE
        assert gates.approvals_missing == 0
        assert min(gates.cap_units, gates.room_units) >= UNITS
        assert gates.is_held
        assert gates.shortage is None
    if isinstance(step, Confirm):
        assert isinstance(outcome, Included)
        assert outcome.receipt.succeeded
        assert outcome.moved_units == UNITS
    if isinstance(step, Bury):
        assert live is not None
        assert isinstance(outcome, Included | Absent)
        if isinstance(outcome, Included):
            assert outcome.moved_units == 0 or not outcome.receipt.succeeded
        else:
            assert outcome.up_to.time_ms >= EXPIRES
    if isinstance(step, HandOver) and handed_over is None:
        assert not gates.is_frozen


@given(st.lists(st.sampled_from(list(TaskState)), max_size=8))
def test_what_is_over_stays_over(path: list[TaskState]) -> None:
    state = TaskState.QUEUED
    for wanted in path:
        if MOVES.allows(state, wanted):
            assert state not in (TaskState.CONFIRMED, TaskState.FAILED)
            state = wanted


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (TaskState.CONFIRMED, TaskState.SIGNING),
        (TaskState.FAILED, TaskState.SIGNING),
        (TaskState.QUEUED, TaskState.CONFIRMED),
        (TaskState.BROADCAST, TaskState.FAILED),
        (TaskState.BROADCAST, TaskState.QUEUED),
    ],
)
def test_a_move_that_skips_a_proof_is_illegal(old: TaskState, new: TaskState) -> None:
    with pytest.raises(IllegalMove):
        MOVES.check(old, new)


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (["confirmed", "confirmed"], "confirmed"),
        (["confirmed", "broadcast"], "broadcast"),
        (["confirmed", "queued", "signing"], "queued"),
        (["confirmed", "failed", "broadcast"], "failed"),
    ],
)
def test_a_payout_is_as_far_as_its_last_part(parts: list[str], whole: str) -> None:
    assert whole_state([TaskState(part) for part in parts]) == whole
