"""Books against chain: what explains a difference, what never may, and how sure one look makes us."""

import pytest

from engine.ids import HotWalletId, Instant
from engine.money import AssetId
from engine.payments.chain import BlockRef
from engine.payments.reconcile import NEVER_RIGHT, Difference, Finding, Position, Why, in_words, judge

BLOCK = BlockRef(70, "b70", "b69", Instant(1_000_000))


def position(books: int, chain: int, *differences: Difference) -> Position:
    return Position(HotWalletId("hw_1"), AssetId("tron:USDT"), BLOCK, books, chain, differences)


def because(why: Why, units: int, reference: str = "tx_1") -> Difference:
    return Difference(why, reference, units)


@pytest.mark.parametrize(
    ("seen", "unexplained"),
    [
        pytest.param(position(100, 100), 0, id="the same"),
        pytest.param(position(100, 103), 3, id="the chain has more"),
        pytest.param(position(100, 98), -2, id="the books have more"),
        pytest.param(position(100, 70, because(Why.CAME_SINCE, -30)), 0, id="came after the block"),
        pytest.param(position(100, 140, because(Why.PAID_SINCE, 40)), 0, id="paid after the block"),
        pytest.param(position(100, 60, because(Why.IN_FLIGHT, -40)), 0, id="left, and not booked yet"),
        pytest.param(
            position(100, 75, because(Why.CAME_SINCE, -30), because(Why.FEE_SINCE, 4)), 1, id="not quite explained"
        ),
        pytest.param(position(100, 100, because(Why.VANISHED, -5)), 5, id="a reason that explains nothing"),
        pytest.param(position(0, -(10**30), because(Why.NOT_OURS, -(10**30))), 0, id="sums beyond 64 bits"),
    ],
)
def test_what_no_reason_accounts_for_is_counted_to_the_unit(seen: Position, unexplained: int) -> None:
    assert seen.unexplained_units == unexplained


@pytest.mark.parametrize("why", Why)
def test_a_difference_with_a_good_reason_agrees_and_an_impossible_one_is_broken_at_once(why: Why) -> None:
    seen = position(100, 95, because(why, -5))
    never = {Why.NOT_OURS, Why.DEAD_AND_PAID, Why.NOT_ON_CHAIN}

    assert seen.unexplained_units == 0
    assert judge(seen, was_doubtful=False) is (Finding.BROKEN if why in never else Finding.AGREES)
    assert (why in NEVER_RIGHT) is (why in never)


@pytest.mark.parametrize(
    ("seen", "was_doubtful", "found"),
    [
        (position(100, 100), False, Finding.AGREES),
        (position(100, 100), True, Finding.AGREES),
        (position(100, 99), False, Finding.DOUBTFUL),
        (position(100, 99), True, Finding.BROKEN),
        (position(100, 101), False, Finding.DOUBTFUL),
        (position(100, 101), True, Finding.BROKEN),
        (position(100, 99, because(Why.NOT_OURS, -2)), False, Finding.BROKEN),
    ],
)
def test_one_nodes_word_against_us_counts_the_second_time(
    seen: Position, was_doubtful: bool, found: Finding
) -> None:
    assert judge(seen, was_doubtful) is found


def test_two_impossible_reasons_that_cancel_out_are_still_broken() -> None:
    seen = position(100, 100, because(Why.NOT_OURS, -5), because(Why.NOT_ON_CHAIN, 5, "tx_2"))
    assert seen.unexplained_units == 0
    assert judge(seen, was_doubtful=False) is Finding.BROKEN


def test_only_what_should_never_be_is_impossible_and_in_its_order() -> None:
    stolen, dead = because(Why.NOT_OURS, -5), because(Why.DEAD_AND_PAID, -7, "tx_2")
    assert position(100, 80, stolen, because(Why.IN_FLIGHT, -8), dead).impossible == (stolen, dead)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (position(100, 100), "tron:USDT: books 100, chain 100 at block 70; agrees"),
        (position(100, 98), "tron:USDT: books 100, chain 98 at block 70; -2 unexplained"),
        (position(100, 70, because(Why.CAME_SINCE, -30)), "tron:USDT: books 100, chain 70 at block 70; agrees"),
        (
            position(100, 94, because(Why.NOT_OURS, -5)),
            "tron:USDT: books 100, chain 94 at block 70; -5 not_ours tx_1, -1 unexplained",
        ),
    ],
)
def test_an_operator_reads_what_is_wrong(seen: Position, words: str) -> None:
    assert in_words(seen) == words
