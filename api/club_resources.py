"""What the API takes and answers about the club. Amounts are coins as decimal strings, times whole milliseconds.

The same promise as in `api/resources.py`: fields are added, never changed.
"""

from decimal import Decimal
from typing import Annotated

import msgspec

from engine.ids import Instant
from engine.payments.freeze import Scope
from engine.settlement.companies import Role
from engine.settlement.deals import DealStatus, Mode
from engine.settlement.offers import OfferStatus, Side
from engine.settlement.tiers import Tier
from storage.paging import PAGE_ROWS_MAX

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
Id = Annotated[str, msgspec.Meta(min_length=3, max_length=80, pattern=r"^[a-z]{2}_[a-z0-9_:\-]+$")]
Amount = Annotated[Decimal, msgspec.Meta(examples=["1000.50"])]
Asset = Annotated[str, msgspec.Meta(max_length=40, examples=["tron:USDT"])]


class ClubBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a command brings."""


class ActingQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As whom. Only the demo's console may act as a member; everybody else acts as themselves."""

    member: Annotated[str, msgspec.Meta(max_length=40)] = ""


class ClubPageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page of a list, of one company or of all that one sees."""

    company: Annotated[str, msgspec.Meta(max_length=40)] = ""
    cursor: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_ROWS_MAX)] = 50


# ---------------------------------------------------------------------- companies


class HotWalletView(msgspec.Struct, frozen=True):
    """Where a company pays in on a network."""

    id: str
    network: str
    address: str


class Balance(msgspec.Struct, frozen=True):
    """A company's money at the platform in one asset."""

    asset: str
    funds: Decimal
    """Free: pays settlements, becomes deposit, is withdrawn."""
    deposit: Decimal
    """Collateral that gives the limit; without what is held."""
    held: Decimal
    """Of the deposit: held for a case."""
    reserve: Decimal
    """Set aside for trust pairs."""


class CompanyView(msgspec.Struct, frozen=True):
    """A company of the club. Its money is shown to its members and to operators only."""

    id: str
    name: str
    tz: str
    tier: Tier
    status: str
    roles: list[Role]
    """What whoever asks may do for it."""
    hot_wallets: list[HotWalletView]
    balances: list[Balance]


class CompanyList(msgspec.Struct, frozen=True):
    """Companies, by id."""

    items: list[CompanyView]


class CreateCompany(ClubBody, frozen=True):
    """A company that joins the club. It gets an address on each network."""

    id: Annotated[str, msgspec.Meta(pattern=r"^co_[a-z0-9]{2,20}$")]
    name: Word
    tz: Annotated[str, msgspec.Meta(max_length=60, examples=["Europe/Warsaw"])]
    tier: Tier


class SetTier(ClubBody, frozen=True):
    """Another tier. What a company owes already stays; new deals meet the new limits."""

    tier: Tier


class SetMember(ClubBody, frozen=True):
    """A person of a company, in these roles and no others."""

    member: Annotated[str, msgspec.Meta(pattern=r"^mb_[a-z0-9]{2,20}$")]
    name: Word
    roles: list[Role]
    user: Annotated[str, msgspec.Meta(max_length=40)] = ""
    """The account under which they sign in here."""


# ---------------------------------------------------------------------- offers and deals


class MakeOffer(ClubBody, frozen=True):
    """An offer to deliver (sell) or to take (buy) a token."""

    company: Id
    side: Side
    token: Asset
    amount: Amount
    price: Decimal
    expires_ms: Instant
    wallet: Annotated[str, msgspec.Meta(max_length=80)] = ""
    """Where to be paid; for a buy."""


class OfferView(msgspec.Struct, frozen=True):
    """An offer."""

    id: str
    company: str
    side: Side
    network: str
    token: str
    amount: Decimal
    price: Decimal
    status: OfferStatus
    expires_ms: Instant
    created_ms: Instant


class OfferList(msgspec.Struct, frozen=True):
    """Offers, newest first."""

    items: list[OfferView]
    next_cursor: str | None


class OfCompany(ClubBody, frozen=True):
    """For which of one's companies."""

    company: Id


class AcceptOffer(ClubBody, frozen=True):
    """An offer is accepted for a company, to be settled by itself or with the pair's day."""

    company: Id
    mode: Mode = Mode.PASS_THROUGH
    wallet: Annotated[str, msgspec.Meta(max_length=80)] = ""
    """Where to be paid, by who takes the token."""


class DealView(msgspec.Struct, frozen=True):
    """A deal: who pays whom, how much, until when, and how far it is."""

    id: str
    offer: str
    payer: str
    payee: str
    mode: Mode
    network: str
    token: str
    amount: Decimal
    status: DealStatus
    pay_to: str
    """The payer's address at the platform; empty for netting."""
    deadline_ms: Instant | None
    session: str
    exposure_usd: Decimal
    headroom_usd: Decimal
    created_ms: Instant
    ended_ms: Instant | None
    payout: str
    """The payout that the deal becomes; empty for netting."""


class DealList(msgspec.Struct, frozen=True):
    """Deals, newest first."""

    items: list[DealView]
    next_cursor: str | None


# ---------------------------------------------------------------------- allow-list


class AddWallet(ClubBody, frozen=True):
    """An address where a company wants to be paid."""

    company: Id
    token: Asset
    address: Annotated[str, msgspec.Meta(min_length=10, max_length=100)]
    label: Annotated[str, msgspec.Meta(max_length=80)] = ""


class WalletView(msgspec.Struct, frozen=True):
    """An address of the allow-list, and what it waits for."""

    id: str
    company: str
    network: str
    token: str
    address: str
    label: str
    standing: str
    challenge: Decimal | None
    """While it is challenged: transfer exactly this from the address to the company's own at the platform."""
    challenge_until_ms: Instant | None
    active_from_ms: Instant | None
    created_ms: Instant


class WalletList(msgspec.Struct, frozen=True):
    """A company's allow-list, oldest first."""

    items: list[WalletView]


# ---------------------------------------------------------------------- operations


class EnterFreeze(ClubBody, frozen=True):
    """Stop signing, at once. Leaving takes two people."""

    scope: Scope
    reason: Annotated[str, msgspec.Meta(min_length=3, max_length=300)]
    subject: Annotated[str, msgspec.Meta(max_length=80)] = ""
    """The network, the hot wallet or the company; empty for global."""


class FreezeView(msgspec.Struct, frozen=True):
    """Where nothing new is signed, and why."""

    id: str
    scope: Scope
    subject: str
    safe_mode: bool
    """Entered by the machine."""
    reason: str
    entered_by: str
    entered_ms: Instant
    lifted_ms: Instant | None
    lifters: list[str]


class NodeView(msgspec.Struct, frozen=True):
    """A node of a network, as its pool knows it."""

    name: str
    resting: bool
    failures: int
    """In a row."""
    latency_ms: float
    head: int
    lag: int
    last_error: str


class WatcherView(msgspec.Struct, frozen=True):
    """How far a network is read."""

    network: str
    block: int
    head: int
    age_ms: int | None
    """How old the last block that was read is."""
    nodes: list[NodeView]


class ActorView(msgspec.Struct, frozen=True):
    """One of the club's single writers."""

    name: str
    ok: bool
    detail: str
    age_ms: int | None


class ClubStatus(msgspec.Struct, frozen=True):
    """The club at a glance."""

    ok: bool
    demo: str
    """What the demo's set-up does; empty where the money is real."""
    watchers: list[WatcherView]
    actors: list[ActorView]
    tasks: dict[str, int]
    """Transfers of payouts by state."""
    alarms: int
    freezes: list["FreezeView"]


class PayIn(ClubBody, frozen=True):
    """Demo only: a company transfers from its own account to its address at the platform."""

    company: Id
    token: Asset
    amount: Amount


class PaidIn(msgspec.Struct, frozen=True):
    """The transfer on its way."""

    tx: str


class FreezeList(msgspec.Struct, frozen=True):
    """Freezes."""

    items: list[FreezeView]


class AlarmView(msgspec.Struct, frozen=True):
    """What somebody must look at. `runbook` is a page of ours."""

    id: int
    kind: str
    subject: str
    severity: int
    detail: str
    raised_ms: Instant
    cleared_ms: Instant | None
    runbook: str


class AlarmList(msgspec.Struct, frozen=True):
    """Alarms, the gravest first."""

    items: list[AlarmView]


class RefusedView(msgspec.Struct, frozen=True):
    """A command that the rules refused, with the rule."""

    actor: str
    command: str
    target: str
    code: str
    message: str
    allowed: str
    at_ms: Instant


class RefusedList(msgspec.Struct, frozen=True):
    """Refused commands, newest first."""

    items: list[RefusedView]
    next_cursor: str | None
