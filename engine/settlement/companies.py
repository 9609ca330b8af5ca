"""Companies of the club and who may do what for them. Facts only: what follows is decided beside this file."""

from enum import StrEnum

import msgspec

from engine.ids import CompanyId, HotWalletId, Instant, MemberId
from engine.money import Network
from engine.settlement.tiers import Tier


class CompanyStatus(StrEnum):
    """Whether a company may begin anything new. What it has begun goes on either way."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class Role(StrEnum):
    """What a member may do for a company."""

    ADMIN = "ADMIN"
    TRADER = "TRADER"
    APPROVER = "APPROVER"


class Company(msgspec.Struct, frozen=True):
    """A member company of the club. `tz` is an IANA name."""

    id: CompanyId
    name: str
    tz: str
    tier: Tier
    status: CompanyStatus
    created_at_ms: Instant

    @property
    def is_active(self) -> bool:
        """Tell whether it may begin something new."""
        return self.status is CompanyStatus.ACTIVE


class Member(msgspec.Struct, frozen=True):
    """A person who acts for companies: a user of the site, somebody in Telegram, or both."""

    id: MemberId
    name: str
    created_at_ms: Instant
    user_id: str | None = None
    tg_id: int | None = None


class HotWallet(msgspec.Struct, frozen=True):
    """The platform's address on a network for one company: what it pays in there is paid out from there."""

    id: HotWalletId
    network: Network
    address: str
    company_id: CompanyId
    created_at_ms: Instant
