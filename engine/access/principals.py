"""Who asks, and whose things they may reach. Whatever belongs to somebody else does not exist for a user.

It decides by role and owner alone; how somebody proved who they are is the guard's business.
"""

from enum import StrEnum
from typing import NewType

import msgspec

from engine.ids import UserId

SessionId = NewType("SessionId", str)
"""One signed-in browser of one person."""


class Role(StrEnum):
    """What a person may be."""

    USER = "user"
    """Trades with bots and accounts of their own."""
    OPERATOR = "operator"
    """Runs the installation: sees everybody's bots, invites and disables people."""


class Via(StrEnum):
    """How somebody proved who they are."""

    SESSION = "session"
    TOKEN = "token"  # noqa: S105
    """The installation's own token: the console and scripts on this machine."""


class Access(StrEnum):
    """Who may call a route."""

    PUBLIC = "public"
    USER = "user"
    OPERATOR = "operator"


class Principal(msgspec.Struct, frozen=True):
    """Somebody who has proved who they are."""

    user: UserId
    roles: frozenset[Role]
    via: Via
    session: SessionId | None = None

    @property
    def is_operator(self) -> bool:
        """Tell whether everybody's things are theirs to see."""
        return Role.OPERATOR in self.roles

    @property
    def actor(self) -> str:
        """Give the name under which the audit records what they do."""
        return "operator:api" if self.via is Via.TOKEN else f"user:{self.user}"


def may_call(access: Access, principal: Principal | None) -> bool:
    """Tell whether a route is open to whoever asks."""
    match access:
        case Access.PUBLIC:
            return True
        case Access.USER:
            return principal is not None
        case Access.OPERATOR:
            return principal is not None and principal.is_operator


def may_reach(principal: Principal, owner: UserId | None) -> bool:
    """Tell whether what `owner` owns exists for whoever asks."""
    return principal.is_operator or principal.user == owner
