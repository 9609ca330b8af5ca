"""Maker and checker: who may approve a payout, what exactly is approved, and when that is enough.

An approval is bound to the hash of what will be paid. Change one of these fields and the hash is another one, so
the approvals given before count for nothing. Roles are facts of the present: who is an approver no longer, does
not count any longer either.
"""

import hashlib
from collections.abc import Iterable, Set

import msgspec

from engine.errors import Refusal
from engine.ids import MemberId, PayoutId
from engine.money import AssetId, Network


class PayoutFields(msgspec.Struct, frozen=True):
    """What people approve."""

    id: PayoutId
    network: Network
    asset: AssetId
    units: int
    destination: str


class Approval(msgspec.Struct, frozen=True):
    """One person's yes to one content."""

    member: MemberId
    fields_hash: bytes


def fields_hash(fields: PayoutFields) -> bytes:
    """Give the 32 bytes that an approval is bound to."""
    # A JSON array: no two contents can be written alike, as they could with the fields merely joined.
    words = [fields.id, fields.network, fields.asset, str(fields.units), fields.destination]
    return hashlib.sha256(msgspec.json.encode(words)).digest()


def valid_approvers(
    given: Iterable[Approval], wanted: bytes, approvers: Set[MemberId], initiator: str
) -> frozenset[MemberId]:
    """Give who counts: distinct people who are APPROVERs now, said yes to just this, and did not ask for it."""
    said_yes = {approval.member for approval in given if approval.fields_hash == wanted}
    return frozenset(member for member in said_yes if member in approvers and member != initiator)


def missing(
    required: int, given: Iterable[Approval], wanted: bytes, approvers: Set[MemberId], initiator: str
) -> int:
    """Give how many approvals are still missing; 0 when there are enough."""
    return max(0, required - len(valid_approvers(given, wanted, approvers, initiator)))


def refuse_approver(member: MemberId, approvers: Set[MemberId], initiator: str) -> Refusal | None:
    """Say why a person may not approve, or None if they may."""
    if member == initiator:
        return Refusal("approver_is_initiator", "member", f"{member} asked for this payout: another must approve")
    if member not in approvers:
        return Refusal("not_an_approver", "member", f"{member} is no APPROVER of the company whose money it is")
    return None
