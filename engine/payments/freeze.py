"""Where nothing new is signed. One person may stop payouts at once; to let them go again takes several.

A freeze stops signatures and the first broadcast of bytes that are signed already. It does not stop watching, and
bytes that have left may be sent again: they may be in a block tomorrow whether we repeat them or not.
"""

from collections.abc import Iterable, Set
from enum import StrEnum

import msgspec

from engine.ids import CompanyId, HotWalletId
from engine.money import Network

LIFT_QUORUM = 2


class Scope(StrEnum):
    """How much a freeze stops."""

    GLOBAL = "global"
    NETWORK = "network"
    WALLET = "wallet"
    """One hot wallet."""
    COMPANY = "company"
    """What a company pays, and what it is paid."""


class Freeze(msgspec.Struct, frozen=True):
    """A freeze in force. `is_safe_mode`: the machine entered it, because it doubts its own memory or the chain."""

    id: str
    scope: Scope
    subject: str
    is_safe_mode: bool
    reason: str


def stopping(
    freezes: Iterable[Freeze], network: Network, hot_wallet: HotWalletId, companies: Set[CompanyId]
) -> Freeze | None:
    """Give the first freeze that stops a payout of this wallet between these companies, or None."""
    for freeze in freezes:
        match freeze.scope:
            case Scope.GLOBAL:
                return freeze
            case Scope.NETWORK if freeze.subject == network:
                return freeze
            case Scope.WALLET if freeze.subject == hot_wallet:
                return freeze
            case Scope.COMPANY if freeze.subject in companies:
                return freeze
    return None


def may_leave(actors: Set[str], quorum: int = LIFT_QUORUM) -> bool:
    """Tell whether enough different people want a freeze lifted."""
    return len(actors) >= quorum
