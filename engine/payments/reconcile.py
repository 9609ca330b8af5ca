"""Books against chain: what an address holds by our books and by its chain, at one and the same block.

Both sides move all the time, so neither is compared as it is. The chain's balance is that of a final block; the
books are brought to the same block by the differences that have a reason. What is left must be nothing.

Dust and surplus are in the books (`tolerance:`), so they are no difference; tokens that we do not list are in no
books and are not compared.
"""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from engine.ids import HotWalletId
from engine.money import AssetId
from engine.payments.chain import BlockRef


class Why(StrEnum):
    """A reason for books and chain to differ."""

    CAME_SINCE = "came_since"
    """Came in after the block: in the books, not yet in the balance."""
    PAID_SINCE = "paid_since"
    """Paid in a block after it, and the signer has booked it already."""
    IN_FLIGHT = "in_flight"
    """Left in this block or before, and the signer has not booked it yet."""
    FEE_SINCE = "fee_since"
    FEE_UNBOOKED = "fee_unbooked"
    """Burned, and the books had no coin to take it from."""
    VANISHED = "vanished"
    """Its block is gone; the books still have it until the fate of its payout is known."""
    NOT_OURS = "not_ours"
    """Left without a signature of ours: somebody else has the key, or we have forgotten what we signed."""
    DEAD_AND_PAID = "dead_and_paid"
    """Left by bytes that were proved dead: another attempt may have paid the same."""
    NOT_ON_CHAIN = "not_on_chain"
    """Booked as paid, and the chain that we have read does not have it."""
    LOSS_BOOKED = "loss_booked"
    """Left as one of these says, and two operators have booked it as lost."""


NEVER_RIGHT = frozenset({Why.NOT_OURS, Why.DEAD_AND_PAID, Why.NOT_ON_CHAIN})
"""These explain a difference to the unit, and are breaks all the same."""


class Difference(msgspec.Struct, frozen=True):
    """One reason, with what it adds to the chain's side: positive when the chain has more than the books."""

    why: Why
    reference: str
    """The transaction, or the incoming transfer."""
    units: int


class Position(msgspec.Struct, frozen=True):
    """One asset at one address: the books now, the chain at a block, and every reason known between them."""

    hot_wallet: HotWalletId
    asset: AssetId
    block: BlockRef
    ledger_units: int
    chain_units: int
    differences: tuple[Difference, ...] = ()

    @property
    def unexplained_units(self) -> int:
        """Give what no reason accounts for; 0 when all is well."""
        return self.chain_units - self.ledger_units - sum(each.units for each in self.differences)

    @property
    def impossible(self) -> tuple[Difference, ...]:
        """Give the reasons that should never be, without what is booked as lost of them."""
        return never_right(self.differences)


def never_right(differences: Iterable[Difference]) -> tuple[Difference, ...]:
    """Pick the reasons that should never be, each with what is still open of it: a booked loss is settled."""
    known = tuple(differences)
    booked = Counter[str]()
    for each in known:
        if each.why is Why.LOSS_BOOKED:
            booked[each.reference] += each.units
    found = []
    for each in known:
        if each.why in NEVER_RIGHT:
            settled = min(booked[each.reference], max(0, -each.units))
            booked[each.reference] -= settled
            found.append(msgspec.structs.replace(each, units=each.units + settled))
    return tuple(each for each in found if each.units)


class Finding(StrEnum):
    """What a comparison means."""

    AGREES = "agrees"
    DOUBTFUL = "doubtful"
    """Seen once: a node may have told its balance of another block than it said. Look again before acting."""
    BROKEN = "broken"


def judge(position: Position, was_doubtful: bool) -> Finding:
    """Say what a position means, knowing whether the last look at it left a doubt.

    An impossible reason is certain at once, since it comes from blocks. A balance is one node's word, so what it
    says against us counts the second time.
    """
    if position.impossible:
        return Finding.BROKEN
    if position.unexplained_units == 0:
        return Finding.AGREES
    return Finding.BROKEN if was_doubtful else Finding.DOUBTFUL


def in_words(position: Position) -> str:
    """Say for an operator what is wrong."""
    words = [f"{each.units} {each.why} {each.reference}" for each in position.impossible]
    if position.unexplained_units:
        words.append(f"{position.unexplained_units} unexplained")
    held = f"books {position.ledger_units}, chain {position.chain_units} at block {position.block.number}"
    return f"{position.asset}: {held}; {', '.join(words) or 'agrees'}"
