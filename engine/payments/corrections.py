"""Corrections of an address's books: what no block will ever explain, booked because two operators say so.

Money that lay on an address before we began is the operator's; money that left it by no payout is the operator's
loss. Neither is ever more than what the last comparison of books and chain has left open, and no correction
touches what companies own.
"""

from enum import StrEnum

import msgspec

from engine.errors import Refusal
from engine.ids import CorrectionId, HotWalletId, Instant
from engine.ledger import templates
from engine.ledger.postings import Transfer
from engine.money import Asset, AssetId, coins
from engine.payments.reconcile import Position

PROPOSAL_LIFE_MS = 24 * 3_600_000
"""A proposal is about the difference of its day: a later one may have another reason."""


class CorrectionKind(StrEnum):
    """Why books and chain differ for good."""

    OPENING_BALANCE = "opening_balance"
    """More on the chain: it was there before we began."""
    PROVED_LOSS = "proved_loss"
    """Less on the chain: it left, and no payout of ours is the reason."""


class NewCorrection(msgspec.Struct, frozen=True):
    """What an operator proposes to book."""

    id: CorrectionId
    kind: CorrectionKind
    hot_wallet_id: HotWalletId
    token: AssetId
    tx_hash: str
    """By which a proved loss left; empty where no block tells of it, and for an opening balance."""
    amount_token: int
    reason: str


class Correction(msgspec.Struct, frozen=True):
    """A correction as proposed by one operator, and as booked once another has confirmed it."""

    id: CorrectionId
    kind: CorrectionKind
    hot_wallet_id: HotWalletId
    token: AssetId
    tx_hash: str
    amount_token: int
    reason: str
    proposed_by: str
    proposed_at_ms: Instant
    confirmed_by: str | None = None
    confirmed_at_ms: Instant | None = None


def open_units(kind: CorrectionKind, tx_hash: str, position: Position) -> int:
    """Give how much a correction may book at most: what the comparison leaves open for it."""
    if kind is CorrectionKind.OPENING_BALANCE:
        return 0 if tx_hash else max(0, position.unexplained_units)
    if not tx_hash:
        return max(0, -position.unexplained_units)
    return max(0, -sum(each.units for each in position.impossible if each.reference == tx_hash))


def refuse(new: NewCorrection | Correction, position: Position | None, asset: Asset) -> Refusal | None:
    """Say why an amount may not be booked, or None if books and chain differ by as much.

    `position` compares the books of now with the last block that was compared; None where there is none.
    """
    if new.amount_token <= 0:
        return Refusal("not_positive", "amount", "an amount above zero is needed")
    if position is None:
        words = f"{new.token} of {new.hot_wallet_id} was not compared with its chain lately"
        return Refusal("no_such_difference", "amount", words, allowed="what the next comparison shows")
    most = open_units(new.kind, new.tx_hash, position)
    if new.amount_token <= most:
        return None
    side = "more" if new.kind is CorrectionKind.OPENING_BALANCE else "less"
    by = f" by {new.tx_hash}" if new.tx_hash else ""
    shown = f"{coins(asset, most).normalize():f} {asset.symbol}"
    return Refusal(
        "no_such_difference",
        "amount",
        f"at block {position.block.number} the chain of {new.hot_wallet_id} has {shown} {side} than the books{by}",
        allowed=f"at most {shown}" if most else "nothing of this kind",
        most=coins(asset, most),
    )


def refuse_second(correction: Correction, actor: str, now: Instant) -> Refusal | None:
    """Say why somebody may not confirm a proposal, or None if they may."""
    if correction.confirmed_at_ms is not None:
        return Refusal(
            "already_booked", "correction", f"{correction.id} is booked: {correction.confirmed_by} agreed"
        )
    if actor == correction.proposed_by:
        return Refusal(
            "same_operator", "actor", f"{actor} proposed {correction.id}: another operator must confirm it"
        )
    if now - correction.proposed_at_ms > PROPOSAL_LIFE_MS:
        words = f"{correction.id} was proposed more than a day ago"
        return Refusal("proposal_expired", "correction", words, allowed="propose it again")
    return None


def movement(correction: Correction, at: Instant) -> list[Transfer]:
    """Give what a confirmed correction posts."""
    post = {
        CorrectionKind.OPENING_BALANCE: templates.owner_put_in,
        CorrectionKind.PROVED_LOSS: templates.proved_loss,
    }[correction.kind]
    return post(correction.hot_wallet_id, correction.token, correction.amount_token, correction.id, at)
