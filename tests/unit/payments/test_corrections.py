"""Corrections of the books: how much may be booked, by whom, and what that posts."""

import msgspec
import pytest

from engine.errors import Refusal
from engine.ids import CorrectionId, HotWalletId, Instant
from engine.ledger import accounts
from engine.money import Asset, AssetId, Network
from engine.payments import corrections
from engine.payments.chain import BlockRef
from engine.payments.corrections import Correction, CorrectionKind, open_units
from engine.payments.reconcile import Difference, Finding, Position, Why, judge

OPENING, LOSS = CorrectionKind.OPENING_BALANCE, CorrectionKind.PROVED_LOSS
USDT = Asset(AssetId("tron:USDT"), Network.TRON, "USDT", "TUsdt", 6, True)
HOT = HotWalletId("hw_1")
BLOCK = BlockRef(70, "b70", "b69", Instant(1_000_000))
PROPOSED = Correction(
    CorrectionId("bc_1"), LOSS, HOT, USDT.id, "tx_1", 5_000_000, "the key was known", "operator:a", Instant(1_000)
)


def position(books: int, chain: int, *differences: Difference) -> Position:
    return Position(HOT, USDT.id, BLOCK, books, chain, differences)


def left(units: int, tx: str = "tx_1", why: Why = Why.NOT_OURS) -> Difference:
    return Difference(why, tx, -units)


def lost(units: int, tx: str = "tx_1") -> Difference:
    return Difference(Why.LOSS_BOOKED, tx, units)


@pytest.mark.parametrize(
    ("kind", "tx", "seen", "most"),
    [
        pytest.param(OPENING, "", position(100, 130), 30, id="more on the chain"),
        pytest.param(OPENING, "", position(100, 70), 0, id="less is no opening balance"),
        pytest.param(OPENING, "tx_1", position(100, 130), 0, id="what a transfer brought is no opening balance"),
        pytest.param(OPENING, "", position(100, 130, Difference(Why.CAME_SINCE, "in", 30)), 0, id="explained"),
        pytest.param(
            OPENING,
            "tx_1",
            position(100, 130, Difference(Why.NOT_ON_CHAIN, "tx_1", 30)),
            0,
            id="a payout that the chain does not have is no money of the operator's",
        ),
        pytest.param(LOSS, "", position(100, 70), 30, id="less on the chain, and no block tells why"),
        pytest.param(LOSS, "", position(100, 130), 0, id="more is no loss"),
        pytest.param(LOSS, "tx_1", position(100, 70, left(30)), 30, id="left without a signature"),
        pytest.param(
            LOSS, "tx_1", position(100, 70, left(30, why=Why.DEAD_AND_PAID)), 30, id="paid by dead bytes"
        ),
        pytest.param(LOSS, "tx_1", position(100, 70, left(30, why=Why.IN_FLIGHT)), 0, id="a payout under way"),
        pytest.param(LOSS, "", position(100, 70, left(30)), 0, id="its transaction must be named"),
        pytest.param(LOSS, "tx_2", position(100, 70, left(30)), 0, id="another transaction"),
        pytest.param(LOSS, "tx_1", position(100, 50, left(30), left(20)), 50, id="two transfers in one"),
        pytest.param(LOSS, "tx_1", position(90, 70, left(30), lost(10)), 20, id="the rest of a booked loss"),
        pytest.param(LOSS, "tx_1", position(70, 70, left(30), lost(30)), 0, id="a booked loss"),
    ],
)
def test_no_more_is_booked_than_the_comparison_leaves_open(
    kind: CorrectionKind, tx: str, seen: Position, most: int
) -> None:
    assert open_units(kind, tx, seen) == most


@pytest.mark.parametrize(
    ("units", "seen", "code"),
    [
        (5_000_000, position(9_000_000, 4_000_000, left(5_000_000)), None),
        (5_000_001, position(9_000_000, 4_000_000, left(5_000_000)), "no_such_difference"),
        (1, position(9_000_000, 9_000_000), "no_such_difference"),
        (1, None, "no_such_difference"),
        (0, position(9_000_000, 4_000_000, left(5_000_000)), "not_positive"),
        (-1, position(9_000_000, 4_000_000, left(5_000_000)), "not_positive"),
    ],
)
def test_an_amount_that_the_comparison_does_not_name_is_refused(
    units: int, seen: Position | None, code: str | None
) -> None:
    refused = corrections.refuse(msgspec.structs.replace(PROPOSED, amount_token=units), seen, USDT)
    assert (None if refused is None else refused.code) == code


def test_a_refused_amount_is_answered_with_what_the_difference_is() -> None:
    seen = position(9_000_000, 4_000_000, left(5_000_000))
    refused = corrections.refuse(msgspec.structs.replace(PROPOSED, amount_token=6_000_000), seen, USDT)
    assert isinstance(refused, Refusal)
    assert "at block 70 the chain of hw_1 has 5 USDT less than the books by tx_1" in refused.message
    assert refused.most == 5


@pytest.mark.parametrize(
    ("change", "actor", "at", "code"),
    [
        ({}, "operator:b", 2_000, None),
        ({}, "operator:b", 1_000 + corrections.PROPOSAL_LIFE_MS, None),
        ({}, "operator:b", 1_001 + corrections.PROPOSAL_LIFE_MS, "proposal_expired"),
        ({}, "operator:a", 2_000, "same_operator"),
        ({"confirmed_by": "operator:b", "confirmed_at_ms": 1_500}, "operator:c", 2_000, "already_booked"),
    ],
)
def test_a_second_operator_confirms_within_a_day_and_once(
    change: dict[str, object], actor: str, at: int, code: str | None
) -> None:
    refused = corrections.refuse_second(msgspec.structs.replace(PROPOSED, **change), actor, Instant(at))
    assert (None if refused is None else refused.code) == code


@pytest.mark.parametrize(
    ("kind", "id", "debit", "credit"),
    [
        (OPENING, "owner_put_in:bc_1", accounts.wallet(HOT, USDT.id), accounts.owner(USDT.id)),
        (LOSS, "proved_loss:bc_1", accounts.losses(USDT.id), accounts.wallet(HOT, USDT.id)),
    ],
)
def test_a_correction_moves_the_operators_money_and_nobody_elses(
    kind: CorrectionKind, id: str, debit: accounts.Account, credit: accounts.Account
) -> None:
    (posted,) = corrections.movement(msgspec.structs.replace(PROPOSED, kind=kind), Instant(9))
    assert (posted.id, posted.debit, posted.credit, posted.units) == (id, debit, credit, 5_000_000)


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        pytest.param(position(70, 70, left(30), lost(30)), Finding.AGREES, id="a booked loss is settled"),
        pytest.param(position(70, 100, lost(30)), Finding.AGREES, id="an older block that had it still"),
        pytest.param(position(80, 70, left(30), lost(20)), Finding.BROKEN, id="a part of it is not"),
        pytest.param(
            position(70, 70, left(30), lost(30, "tx_2")), Finding.BROKEN, id="another's loss settles nothing"
        ),
        pytest.param(
            position(70, 40, left(30), lost(30), left(30, "tx_2")),
            Finding.BROKEN,
            id="a second theft is another one",
        ),
    ],
)
def test_a_booked_loss_ends_the_break_that_it_answers_and_no_other(seen: Position, found: Finding) -> None:
    assert judge(seen, was_doubtful=False) is found
