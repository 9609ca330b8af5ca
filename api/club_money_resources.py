"""What the API takes and answers about the club's money: payouts, what arrived, the ledger, the pairs' days.

The same promise as in `api/resources.py`: fields are added, never changed.
"""

from decimal import Decimal
from typing import Annotated

import msgspec

from api.club_resources import Amount, Asset, Balance, ClubBody, Id
from engine.ids import Instant

# ---------------------------------------------------------------------- treasury


class TaskView(msgspec.Struct, frozen=True):
    """One transfer of a payout on its chain."""

    id: str
    part: int
    amount: Decimal
    state: str
    waits_for: str
    """Why nothing happens to it now, as a code; empty when it moves by itself."""
    attempts: int
    tx: str
    confirmed_ms: Instant | None


class PayoutView(msgspec.Struct, frozen=True):
    """A payout: what is approved and paid as one amount."""

    id: str
    company: str
    payee: str
    purpose: str
    purpose_id: str
    network: str
    token: str
    amount: Decimal
    to_address: str
    state: str
    approvals_needed: int
    approved_by: list[str]
    initiator: str
    created_ms: Instant
    tasks: list[TaskView]


class PayoutList(msgspec.Struct, frozen=True):
    """Payouts, newest first."""

    items: list[PayoutView]
    next_cursor: str | None


class ApprovePayout(ClubBody, frozen=True):
    """A yes to exactly this. What is approved is what is written here, not what a screen may show by then."""

    company: Id
    """Whose money it is."""
    token: Asset
    amount: Amount
    to_address: Annotated[str, msgspec.Meta(max_length=100)]


class Approved(msgspec.Struct, frozen=True):
    """The yes that was written down."""

    payout: str
    by: str
    fields_hash: str
    """What exactly was approved: change one field and it is another one."""


class RedirectPayout(ClubBody, frozen=True):
    """Another address of the payee's allow-list. Approvals that were given are void."""

    wallet: Id


class GiveUpPayout(ClubBody, frozen=True):
    """What is not paid will not be; its money is free again."""

    reason: Annotated[str, msgspec.Meta(min_length=3, max_length=300)]


class IncomingView(msgspec.Struct, frozen=True):
    """A transfer that arrived, and what was made of it."""

    id: str
    network: str
    tx: str
    company: str
    token: str
    """Empty: a token that the club does not list; `contract` names it, and `amount` counts its base units."""
    contract: str
    amount: Decimal
    from_address: str
    block: int
    status: str
    reason: str
    place: str
    matched_to: str
    at_ms: Instant
    resolved_by: str


class IncomingList(msgspec.Struct, frozen=True):
    """Incoming transfers, newest first."""

    items: list[IncomingView]
    next_cursor: str | None


class GiveToDeal(ClubBody, frozen=True):
    """Suspended transfers of one company are what a deal waits for."""

    deal: Id
    incoming: Annotated[
        list[Annotated[str, msgspec.Meta(max_length=200)]], msgspec.Meta(min_length=1, max_length=20)
    ]


class Refund(ClubBody, frozen=True):
    """A suspended transfer goes back, to an address of the company's own allow-list."""

    wallet: Id


class Resolved(msgspec.Struct, frozen=True):
    """What became of suspended transfers."""

    payout: str
    """The payout that follows; empty where the money became funds."""


class MoveDeposit(ClubBody, frozen=True):
    """An amount of a company's collateral."""

    company: Id
    token: Asset
    amount: Amount
    hold: Annotated[str, msgspec.Meta(max_length=200)] = ""
    """Which hold, for a release or a penalty."""
    until_ms: Instant | None = None
    """When a hold ends by itself."""


class Moved(msgspec.Struct, frozen=True):
    """A movement that is in the ledger. `reference` names it, and the hold that it made."""

    reference: str
    balances: list[Balance]


class Withdraw(ClubBody, frozen=True):
    """Free funds, to be paid to an address of the company's own allow-list."""

    company: Id
    token: Asset
    amount: Amount
    wallet: Id


class EntryView(msgspec.Struct, frozen=True):
    """A transfer in the ledger."""

    seq: int
    id: str
    kind: str
    debit: str
    credit: str
    asset: str
    amount: Decimal
    reference: str
    phase: str
    at_ms: Instant


class Statement(msgspec.Struct, frozen=True):
    """Entries, newest first (of an account), or oldest first (about one thing)."""

    items: list[EntryView]
    next_cursor: str | None = None


class AccountView(msgspec.Struct, frozen=True):
    """An account of the ledger with what it has on its normal side."""

    code: str
    asset: str
    normal: str
    balance: Decimal
    held: Decimal


class AccountTable(msgspec.Struct, frozen=True):
    """Accounts by code."""

    items: list[AccountView]


# ---------------------------------------------------------------------- trust pairs


class AgreePair(ClubBody, frozen=True):
    """Two companies agree to settle their days as one difference."""

    companies: Annotated[list[Id], msgspec.Meta(min_length=2, max_length=2)]
    daily_limit_usd: Decimal
    cutoff: Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", examples=["18:00"])]
    tz: Annotated[str, msgspec.Meta(max_length=60)]
    reserve_pct: Annotated[int, msgspec.Meta(ge=0, le=100)]
    automatic_eod: bool = True


class ConsentToPair(ClubBody, frozen=True):
    """A yes to exactly these terms: to what is written here, not to what a screen may show by then."""

    daily_limit_usd: Decimal
    cutoff: Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", examples=["18:00"])]
    tz: Annotated[str, msgspec.Meta(max_length=60)]
    reserve_pct: Annotated[int, msgspec.Meta(ge=0, le=100)]
    automatic_eod: bool


class ConsentView(msgspec.Struct, frozen=True):
    """Who said yes to a pair's terms as they are now, and for which company."""

    company: str
    member: str
    at_ms: Instant


class PairView(msgspec.Struct, frozen=True):
    """A trust pair. It needs a yes of both companies before it is enabled."""

    id: str
    companies: list[str]
    daily_limit_usd: Decimal
    cutoff: str
    tz: str
    reserve_pct: int
    enabled: bool
    automatic_eod: bool
    consents: list[ConsentView]


class PairList(msgspec.Struct, frozen=True):
    """Trust pairs, by id."""

    items: list[PairView]


class NetView(msgspec.Struct, frozen=True):
    """Who owes whom how much if the session closed now."""

    token: str
    payer: str
    payee: str
    amount: Decimal
    carried_in: Decimal


class SessionView(msgspec.Struct, frozen=True):
    """One day of a pair."""

    id: str
    pair: str
    date: str
    opens_ms: Instant
    cutoff_ms: Instant
    status: str
    closed_ms: Instant | None
    net_now: list[NetView]


class SessionList(msgspec.Struct, frozen=True):
    """Open sessions, the first to be cut off first."""

    items: list[SessionView]


class CloseSessions(ClubBody, frozen=True):
    """Close days by hand, together: older debts are paid first from what there is."""

    sessions: Annotated[
        list[Annotated[str, msgspec.Meta(max_length=80)]], msgspec.Meta(min_length=1, max_length=50)
    ]
    dry_run: bool = False
    """Say what would happen, and change nothing."""


class SettlementView(msgspec.Struct, frozen=True):
    """What one side of a pair owes the other after a close, in one asset, and what became of it."""

    id: str
    session: str
    payer: str
    payee: str
    token: str
    net: Decimal
    amount: Decimal
    """What is paid of it."""
    carried: Decimal
    """What the next session takes over."""
    carried_because: str
    status: str
    payout: str
    tx: str


class CloseView(msgspec.Struct, frozen=True):
    """What a close has done, or would do."""

    dry_run: bool
    sessions: list[str]
    settlements: list[SettlementView]
