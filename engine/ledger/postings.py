"""Transfers between two accounts of one asset, holds included, and what the ledger answers to each.

A transfer names itself (`id`), so that it exists once: the same id with the same content is answered as before,
with other content it is refused. Transfers of one group are posted together or not at all.
"""

from enum import StrEnum

import msgspec

from engine.ids import Instant, TransferId
from engine.ledger.accounts import Account, AccountCode


class Phase(StrEnum):
    """What a transfer does to balances."""

    POSTED = "posted"
    """Moves money now."""
    PENDING = "pending"
    """Holds it: no longer available where it leaves, not yet there where it goes."""
    POST = "post"
    """Moves what the transfer `resolves` holds, all or a part; the rest of the hold ends."""
    VOID = "void"
    """Ends the hold of the transfer `resolves` without moving anything."""
    EXPIRE = "expire"
    """The same, because the hold's time is up. Only `storage.ledger.expire_holds` says this."""


RESOLVING = frozenset({Phase.POST, Phase.VOID, Phase.EXPIRE})
"""The phases that end a hold."""


class Transfer(msgspec.Struct, frozen=True):
    """One movement from credit to debit in the bookkeeper's sense: `debit` is debited, `credit` is credited.

    For POST and VOID, the accounts are those of the transfer that they resolve, or there is no such hold. A POST
    of 0 units moves all that is held; the units of a VOID say nothing. `at_ms` and `group` are how it was said and
    no part of the content: said again later, a transfer is still the same. Raises ValueError for a combination of
    phase, `resolves` and `expires_at_ms` that means nothing.
    """

    id: TransferId
    kind: str
    """The named movement that it belongs to (`engine.ledger.templates`), as `incoming_credited` or `hold_open`."""
    debit: Account
    credit: Account
    units: int
    reference: str
    """What it is about: a deal's id, a payout task's, an incoming transfer's."""
    at_ms: Instant
    phase: Phase = Phase.POSTED
    resolves: TransferId | None = None
    expires_at_ms: Instant | None = None
    """A hold ends by itself then, unless it is resolved before."""
    group: str = ""
    """Transfers of one group (not empty) are posted together or not at all."""

    def __post_init__(self) -> None:
        if (self.phase in RESOLVING) != (self.resolves is not None):
            raise ValueError(f"{self.id}: a transfer of phase {self.phase} and `resolves` {self.resolves!r}")
        if self.expires_at_ms is not None and self.phase is not Phase.PENDING:
            raise ValueError(f"{self.id}: only what is pending expires")


class Posting(StrEnum):
    """The ledger's answer to one transfer. Everything but the first two is a no, and nothing was posted."""

    OK = "ok"
    EXISTS = "exists"
    """Said before, with the same content: as good as OK."""
    ALREADY_EXISTS_DIFFERENTLY = "already_exists_differently"
    INSUFFICIENT = "insufficient"
    """An account would fall below its floor."""
    NO_SUCH_HOLD = "no_such_hold"
    HOLD_ALREADY_POSTED = "hold_already_posted"
    HOLD_ALREADY_VOIDED = "hold_already_voided"
    HOLD_EXPIRED = "hold_expired"
    """Its time was up, by the `at_ms` of who wanted to resolve it."""
    HOLD_NOT_EXPIRED = "hold_not_expired"
    EXCEEDS_HOLD = "exceeds_hold"
    DIFFERENT_ASSETS = "different_assets"
    SAME_ACCOUNT = "same_account"
    NOT_POSITIVE = "not_positive"
    GROUP_FAILED = "group_failed"
    """Another transfer of its group was refused. What was in the ledger before its group is answered EXISTS."""


_IN_THE_LEDGER = (Posting.OK, Posting.EXISTS)


class Posted(msgspec.Struct, frozen=True, gc=False):
    """The answer to one transfer, with the account that was in the way if one was."""

    id: TransferId
    result: Posting
    account: AccountCode | None = None

    @property
    def ok(self) -> bool:
        """Tell whether the movement is in the ledger."""
        return self.result in _IN_THE_LEDGER
