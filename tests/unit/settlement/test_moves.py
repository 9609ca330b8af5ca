"""What offers and deals may turn into: the whole table, so that a new move is a decision and not a slip."""

import itertools

import pytest

from engine.machine import IllegalMove
from engine.settlement import deals, offers
from engine.settlement.deals import EXPOSED, DealStatus
from engine.settlement.offers import OfferStatus

DEAL_MOVES = """
    awaiting_incoming > paying cancelled expired
    paying            > settled awaiting_incoming cancelled
    in_session        > netted
    netted            > settled
    settled           >
    cancelled         > paying
    expired           > paying
"""
OFFER_MOVES = """
    open      > accepted cancelled expired
    accepted  >
    cancelled >
    expired   >
"""


def table(text: str) -> dict[str, set[str]]:
    rows = (line.split(">") for line in text.strip().splitlines())
    return {old.strip(): set(new.split()) for old, new in rows}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(DealStatus, DealStatus)))
def test_deals_make_just_these_moves(old: DealStatus, new: DealStatus) -> None:
    assert deals.MOVES.allows(old, new) == (new in table(DEAL_MOVES)[old])


@pytest.mark.parametrize(("old", "new"), list(itertools.product(OfferStatus, OfferStatus)))
def test_offers_make_just_these_moves(old: OfferStatus, new: OfferStatus) -> None:
    assert offers.MOVES.allows(old, new) == (new in table(OFFER_MOVES)[old])


def test_what_is_settled_is_settled_for_ever() -> None:
    with pytest.raises(IllegalMove):
        deals.MOVES.check(DealStatus.SETTLED, DealStatus.PAYING)


def test_a_deal_is_exposure_until_it_ends_or_its_day_is_netted() -> None:
    assert set(DealStatus) - EXPOSED == {
        DealStatus.NETTED,
        DealStatus.SETTLED,
        DealStatus.CANCELLED,
        DealStatus.EXPIRED,
    }
