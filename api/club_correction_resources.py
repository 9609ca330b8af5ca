"""What the API takes and answers about books that differ from their chain, and about booking the difference.

The same promise as in `api/resources.py`: fields are added, never changed.
"""

from decimal import Decimal
from typing import Annotated

import msgspec

from api.club_resources import Amount, Asset, ClubBody
from engine.ids import Instant
from engine.payments.corrections import CorrectionKind


class BreakView(msgspec.Struct, frozen=True):
    """A transfer that should never be, and what it adds to the chain's side."""

    why: str
    transaction: str
    amount: Decimal


class ComparisonView(msgspec.Struct, frozen=True):
    """The newest comparison of one asset at one address, at one block."""

    hot_wallet: str
    token: str
    block: int
    books: Decimal
    chain: Decimal
    unexplained: Decimal
    """What no reason accounts for: above zero when the chain has more than the books."""
    breaks: list[BreakView]
    at_ms: Instant


class ComparisonList(msgspec.Struct, frozen=True):
    """The newest comparisons, by address and asset."""

    items: list[ComparisonView]


class ProposeCorrection(ClubBody, frozen=True):
    """A difference between books and chain, to be booked once another operator agrees."""

    kind: CorrectionKind
    hot_wallet: Annotated[str, msgspec.Meta(min_length=3, max_length=80)]
    token: Asset
    amount: Amount
    reason: Annotated[str, msgspec.Meta(min_length=3, max_length=300)]
    transaction: Annotated[str, msgspec.Meta(max_length=100)] = ""
    """By which a proved loss left; empty where no block tells of it, and for an opening balance."""


class CorrectionView(msgspec.Struct, frozen=True):
    """A correction: proposed by one operator, booked when another has confirmed it."""

    id: str
    kind: CorrectionKind
    hot_wallet: str
    token: str
    transaction: str
    amount: Decimal
    reason: str
    proposed_by: str
    proposed_ms: Instant
    confirmed_by: str
    """Empty: nothing is booked yet."""
    confirmed_ms: Instant | None


class CorrectionList(msgspec.Struct, frozen=True):
    """Corrections, newest first."""

    items: list[CorrectionView]
