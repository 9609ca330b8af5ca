"""What the API takes and answers about people: accounts, sessions, profiles, invitations, letters, the audit.

The same promise as in `api/resources.py`: fields are added, never changed. No field here ever holds a password, a
token or a seed on its way out, except those that are made to be shown once.
"""

from enum import StrEnum
from typing import Annotated, Any

import msgspec

from engine.access.principals import Role, SessionId
from engine.ids import Instant, UserId
from storage.accounts import AccountRow
from storage.bots import BotRow
from storage.paging import PAGE_ROWS_MAX
from storage.sessions import SessionRow
from storage.users import UserRow

Email = Annotated[
    str,
    msgspec.Meta(
        max_length=254, pattern=r"^[^@\s,;:<>()\"\\]{1,64}@[^@\s,;:<>()\"\\]+$", examples=["ann@example.org"]
    ),
]
Password = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Code = Annotated[
    str, msgspec.Meta(min_length=6, max_length=40, description="A one-time code, or a recovery code.")
]
DisplayName = Annotated[str, msgspec.Meta(max_length=60)]
TimeZone = Annotated[str, msgspec.Meta(max_length=60, examples=["Europe/Berlin"])]


class Locale(StrEnum):
    """A language of the screens and letters."""

    EN = "en"
    RU = "ru"


class Theme(StrEnum):
    """How the screens look."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a command brings. Its repr, like any log line, shows no field: most are secrets."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"


# ---------------------------------------------------------------------- coming in


class SetUp(_Body, frozen=True):
    """The first operator's account."""

    token: Token
    """The word that `trellis up` prints."""
    email: Email
    password: Password
    display_name: DisplayName = ""
    locale: Locale = Locale.EN


class Register(_Body, frozen=True):
    """Somebody who wants to join."""

    email: Email
    password: Password
    locale: Locale = Locale.EN
    invite: Token | None = None
    """Needed where registration is by invitation."""


class Confirm(_Body, frozen=True):
    """A confirmation link that was opened."""

    token: Token


class Login(_Body, frozen=True):
    """Somebody who says who they are."""

    email: Email
    password: Password
    code: Code | None = None


class Recover(_Body, frozen=True):
    """Somebody who has forgotten their password."""

    email: Email


class Reset(_Body, frozen=True):
    """A new password, with the key from a letter."""

    token: Token
    password: Password
    code: Code | None = None


class Accepted(msgspec.Struct, frozen=True):
    """Taken on. The same whether or not there is such an address."""


class Site(msgspec.Struct, frozen=True):
    """What anybody may know of this installation."""

    version: str
    environment: str
    """Whose money: paper, demo, testnet or live."""
    feed: str
    registration: str
    """open, or invite."""
    setup_needed: bool
    """True until the first operator has an account."""


class User(msgspec.Struct, frozen=True):
    """A person, as they see themselves."""

    id: UserId
    email: str
    display_name: str
    locale: str
    time_zone: str
    theme: str
    roles: list[Role]
    totp_enabled: bool


class Session(msgspec.Struct, frozen=True):
    """Who is signed in here."""

    user: User
    csrf: str
    """Sent along as X-CSRF-Token with whatever changes something."""
    expires_in_ms: int
    """How long it is known without a renewal; no moment, because a browser's clock need not be right."""


# ---------------------------------------------------------------------- one's own account


class ChangeProfile(_Body, frozen=True):
    """What to change; what is left out stays."""

    display_name: DisplayName | None = None
    locale: Locale | None = None
    time_zone: TimeZone | None = None
    theme: Theme | None = None


class ChangePassword(_Body, frozen=True):
    """A new password for somebody who knows the old one."""

    current: Password
    new: Password
    code: Code | None = None


class ChangeEmail(_Body, frozen=True):
    """A new address; it counts once its link was opened."""

    password: Password
    email: Email


class BeginTotp(_Body, frozen=True):
    """The wish to use one-time codes."""

    password: Password


class TotpSeed(msgspec.Struct, frozen=True):
    """What an authenticator app needs, shown this once."""

    secret: str
    uri: str
    """For the phone's camera, as a QR code."""


class ConfirmTotp(_Body, frozen=True):
    """A first code of a new seed."""

    code: Code


class RecoveryCodes(msgspec.Struct, frozen=True):
    """Codes for the day the phone is lost, each good once, shown this once."""

    recovery_codes: list[str]


class DisableTotp(_Body, frozen=True):
    """The wish to use one-time codes no more."""

    password: Password
    code: Code


class OpenSession(msgspec.Struct, frozen=True):
    """A browser in which one is signed in."""

    id: SessionId
    device: str
    ip: str
    created_ms: Instant
    last_used_ms: Instant
    current: bool


class SessionList(msgspec.Struct, frozen=True):
    """One's open sessions, the last used first."""

    items: list[OpenSession]


class AuditEntry(msgspec.Struct, frozen=True):
    """A recorded command."""

    seq: int
    at_ms: Instant
    actor: str
    command: str
    target: str
    before: Any
    after: Any
    hash: str
    """The chain's hash up to this entry, in hex."""


class Export(msgspec.Struct, frozen=True):
    """Everything that is kept about a person. Executions and orders have lists and CSV files of their own."""

    user: User
    created_ms: Instant
    sessions: list[SessionRow]
    accounts: list[AccountRow]
    bots: list[BotRow]
    audit: list[AuditEntry]
    """What they did, the newest 500."""


# ---------------------------------------------------------------------- for operators


class PageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page of a list."""

    cursor: Annotated[str, msgspec.Meta(max_length=300)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_ROWS_MAX)] = 50


class AuditQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """A page of the audit."""

    target: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    """For example `user:operator` or `bot:k3xq7mzp`."""


class Person(msgspec.Struct, frozen=True):
    """A person, as an operator sees them."""

    id: UserId
    email: str
    display_name: str
    status: str
    """active, or disabled."""
    roles: list[Role]
    created_ms: Instant


class PersonList(msgspec.Struct, frozen=True):
    """People, newest first."""

    items: list[Person]
    next_cursor: str | None


class CreateInvite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An invitation to be made."""

    note: Annotated[str, msgspec.Meta(max_length=200)] = ""
    uses: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    expires_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None


class NewInvite(msgspec.Struct, frozen=True):
    """An invitation's code, shown this once."""

    code: str
    link: str


class Invite(msgspec.Struct, frozen=True):
    """An invitation."""

    id: int
    hint: str
    """How its code begins."""
    note: str
    uses_left: int
    created_by: UserId
    created_ms: Instant
    expires_ms: Instant | None


class InviteList(msgspec.Struct, frozen=True):
    """Invitations, newest first."""

    items: list[Invite]


class Letter(msgspec.Struct, frozen=True):
    """A letter to somebody. Its text and link are forgotten once it was sent."""

    id: int
    to: str
    subject: str
    text: str
    link: str
    created_ms: Instant
    sent_ms: Instant | None
    attempts: int
    last_error: str


class Outbox(msgspec.Struct, frozen=True):
    """Letters, newest first."""

    items: list[Letter]
    next_cursor: str | None
    is_sent_by_mail: bool
    """False: no mail server is set, so whoever reads this hands the letters on."""


def to_user(row: UserRow, totp_enabled: bool) -> User:
    """Describe a person to themselves."""
    return User(
        id=row.id,
        email=row.email or "",
        display_name=row.display_name,
        locale=row.locale,
        time_zone=row.time_zone,
        theme=row.theme,
        roles=row.roles,
        totp_enabled=totp_enabled,
    )


def to_person(row: UserRow) -> Person:
    """Describe a person to an operator."""
    return Person(row.id, row.email or "", row.display_name, row.status, row.roles, row.created_at_ms)
