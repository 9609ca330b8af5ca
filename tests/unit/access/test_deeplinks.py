"""Deeplink tickets: which words and lives they may have, and whom they refuse."""

import hashlib

import msgspec
import pytest

from engine.access import deeplinks
from engine.access.deeplinks import NewTicket, Ticket
from engine.ids import CompanyId, Instant, TelegramId

ANNA, BORIS = TelegramId(7_000_000_001), TelegramId(7_000_000_002)
NOW = Instant(1_000_000)
MINUTE = 60_000
NEW = NewTicket(CompanyId("co_a"), ANNA, "approvals", "approve:po_1", 3 * MINUTE)
TICKET = Ticket(1, CompanyId("co_a"), ANNA, "approvals", "approve:po_1", NOW, Instant(NOW + 3 * MINUTE), None)


@pytest.mark.parametrize("life", [2 * MINUTE, 3 * MINUTE, 5 * MINUTE])
def test_a_ticket_lives_two_to_five_minutes(life: int) -> None:
    assert deeplinks.expires_at(msgspec.structs.replace(NEW, life_ms=life), NOW) == NOW + life


@pytest.mark.parametrize("life", [0, -1, 2 * MINUTE - 1, 5 * MINUTE + 1])
def test_no_ticket_lives_shorter_or_longer(life: int) -> None:
    with pytest.raises(ValueError, match="lives"):
        deeplinks.expires_at(msgspec.structs.replace(NEW, life_ms=life), NOW)


@pytest.mark.parametrize("word", ["a" * 22, "Zz09_-" * 10 + "abcd"])
def test_a_word_is_what_a_link_carries(word: str) -> None:
    deeplinks.check_word(word)


@pytest.mark.parametrize(
    "word", ["", "a" * 21, "a" * 65, "a" * 30 + "=", "a" * 30 + "é", "a" * 30 + " ", "a" * 30 + "\n"]
)
def test_a_word_that_no_link_carries_or_that_could_be_guessed_is_a_mistake(word: str) -> None:
    with pytest.raises(ValueError, match="22 to 64"):
        deeplinks.check_word(word)


def test_only_a_hash_is_kept_of_a_word() -> None:
    assert deeplinks.token_of("word") == hashlib.sha256(b"word").digest()


USED = msgspec.structs.replace(TICKET, used_at_ms=Instant(NOW + 1))


@pytest.mark.parametrize(
    ("ticket", "who", "after_ms", "code"),
    [
        (TICKET, ANNA, 0, None),
        (TICKET, ANNA, 3 * MINUTE - 1, None),
        (TICKET, ANNA, 3 * MINUTE, "expired"),
        (USED, ANNA, 1, "used"),
        (USED, ANNA, 3 * MINUTE, "used"),
        (TICKET, BORIS, 0, "not_yours"),
        (USED, BORIS, 0, "not_yours"),
        (TICKET, BORIS, 3 * MINUTE, "not_yours"),
        (None, ANNA, 0, "unknown_ticket"),
    ],
)
def test_a_ticket_opens_once_in_time_for_its_person(
    ticket: Ticket | None, who: TelegramId, after_ms: int, code: str | None
) -> None:
    refused = deeplinks.refuse(ticket, who, Instant(NOW + after_ms))
    assert (None if refused is None else refused.code) == code
