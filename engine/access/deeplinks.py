"""Deeplink tickets: a short word in a link opens one action of one bot, once, for one person of one company.

The word travels through chats and screens, so it opens nothing for anybody else and nothing after a few minutes.
Who may redeem a ticket is decided here; what its action then needs is asked again by whoever carries that out.
"""

import hashlib
import re

import msgspec

from engine.access.one_time import MINUTE_MS
from engine.errors import Refusal
from engine.ids import CompanyId, Instant, TelegramId

LIFE_MS_MIN = 2 * MINUTE_MS
"""Shorter, and a slow phone misses it."""
LIFE_MS_MAX = 5 * MINUTE_MS
_WORD = re.compile(r"[A-Za-z0-9_-]{22,64}")
"""What Telegram takes behind `?start=`; 22 such characters are 128 random bits, too many to guess."""


class NewTicket(msgspec.Struct, frozen=True):
    """What a ticket is to open, for whom, and for how long."""

    company_id: CompanyId
    tg_id: TelegramId
    bot: str
    action: str
    life_ms: int


class Ticket(msgspec.Struct, frozen=True):
    """A ticket as it was issued. Its word is not known any more."""

    id: int
    company_id: CompanyId
    tg_id: TelegramId
    bot: str
    action: str
    created_at_ms: Instant
    expires_at_ms: Instant
    used_at_ms: Instant | None


def expires_at(new: NewTicket, now: Instant) -> Instant:
    """Say when a ticket ends; ValueError for a life that no ticket has."""
    if not LIFE_MS_MIN <= new.life_ms <= LIFE_MS_MAX:
        raise ValueError(f"a ticket lives {LIFE_MS_MIN} to {LIFE_MS_MAX} ms, not {new.life_ms}")
    return Instant(now + new.life_ms)


def check_word(word: str) -> None:
    """Raise ValueError for a word that no link can carry, or that could be guessed."""
    if not _WORD.fullmatch(word):
        raise ValueError("a ticket's word is 22 to 64 characters of A-Z, a-z, 0-9, _ and -")


def token_of(word: str) -> bytes:
    """Give the 32 bytes that are kept of a word."""
    return hashlib.sha256(word.encode()).digest()


def refuse(ticket: Ticket | None, tg_id: TelegramId, now: Instant) -> Refusal | None:
    """Say why a ticket opens nothing, or None if it does. A stranger learns only that it is not theirs."""
    if ticket is None:
        return Refusal("unknown_ticket", "ticket", "there is no such ticket", allowed="ask for a new link")
    if ticket.tg_id != tg_id:
        return Refusal("not_yours", "ticket", "this link was made for somebody else")
    if ticket.used_at_ms is not None:
        return Refusal("used", "ticket", "this link was used already", allowed="ask for a new one")
    if now >= ticket.expires_at_ms:
        return Refusal("expired", "ticket", "this link has expired", allowed="ask for a new one")
    return None
