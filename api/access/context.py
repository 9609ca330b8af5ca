"""What signing in, enrolling and changing an account have in common: the site's rules, and what they hand back."""

from enum import StrEnum
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from engine.access.principals import SessionId
from engine.ids import Instant, UserId


class Registration(StrEnum):
    """Who may register."""

    OPEN = "open"
    INVITE = "invite"


class Site(msgspec.Struct, frozen=True):
    """How the world reaches this installation, and who may join it."""

    public_url: str
    """What links in letters begin with."""
    registration: Registration = Registration.OPEN
    sends_mail: bool = False
    """False: letters wait for the operator to read them."""

    @property
    def is_secure(self) -> bool:
        """Tell whether browsers reach us over TLS."""
        return urlsplit(self.public_url).scheme == "https"


class Client(msgspec.Struct, frozen=True):
    """Where a request comes from, as its owner will recognise it in the list of sessions."""

    device: str
    ip: str


class Grant(msgspec.Struct, frozen=True):
    """A session that has just begun or was renewed, with the tokens that only its browser will know."""

    user: UserId
    session: SessionId
    access: str
    refresh: str
    expires_at_ms: Instant
    """The end of the access token."""
    csrf: str

    def __repr__(self) -> str:
        return f"Grant({self.session!r}, user={self.user!r}, ***)"


class Seals(Protocol):
    """Seals secrets for one place in the database."""

    def seal(self, plain: bytes, *place: str) -> bytes:
        """Give what may be stored."""
        ...

    def open(self, content: bytes, *place: str) -> bytes:
        """Give back what was sealed for this very place."""
        ...
