"""Deeplink tickets in a real database: used once, whoever comes at the same moment, and never by a stranger."""

import asyncio
import secrets

import pytest

from engine.access.deeplinks import NewTicket, Ticket
from engine.errors import Refusal
from engine.ids import CompanyId, Instant, TelegramId
from storage import deeplinks
from storage.database import Database
from tests.club import NOON, Club

ANNA, BORIS = TelegramId(7_000_000_001), TelegramId(7_000_000_002)
BOT, LIFE_MS = "approvals", 180_000


@pytest.fixture
async def company(database: Database) -> CompanyId:
    return await Club(database).company()


def draw() -> str:
    return secrets.token_urlsafe(32)


async def issued(database: Database, company: CompanyId, now: Instant = NOON) -> str:
    """Issue a ticket to Anna, and give its word."""
    async with database.transaction() as connection:
        return await deeplinks.issue(connection, NewTicket(company, ANNA, BOT, "approve:po_1", LIFE_MS), draw, now)


async def redeem(
    database: Database, word: str, who: TelegramId = ANNA, bot: str = BOT, after_ms: int = 1
) -> Ticket | str:
    """Redeem a ticket: give it, or the code of the refusal."""
    async with database.transaction() as connection:
        answer = await deeplinks.redeem(connection, word, who, bot, Instant(NOON + after_ms))
        return answer.code if isinstance(answer, Refusal) else answer


async def test_a_ticket_is_redeemed_once_for_what_it_was_issued(database: Database, company: CompanyId) -> None:
    word = await issued(database, company)
    ticket = await redeem(database, word)
    assert isinstance(ticket, Ticket)
    assert (ticket.company_id, ticket.tg_id, ticket.bot, ticket.action) == (company, ANNA, BOT, "approve:po_1")
    assert (ticket.created_at_ms, ticket.expires_at_ms, ticket.used_at_ms) == (NOON, NOON + LIFE_MS, NOON + 1)
    assert await redeem(database, word) == "used"


async def test_of_two_redeemers_at_the_same_moment_exactly_one_wins(
    database: Database, company: CompanyId
) -> None:
    for _ in range(20):
        word = await issued(database, company)
        answers = await asyncio.gather(redeem(database, word), redeem(database, word))
        assert sorted("redeemed" if isinstance(answer, Ticket) else answer for answer in answers) == [
            "redeemed",
            "used",
        ]


async def test_who_comes_while_the_first_has_not_committed_waits_and_gets_what_that_one_leaves(
    database: Database, company: CompanyId
) -> None:
    for commits, second in ((True, "used"), (False, "redeemed")):
        word = await issued(database, company)
        async with database.transaction() as connection:
            undo = connection.transaction()
            await undo.start()
            first = await deeplinks.redeem(connection, word, ANNA, BOT, Instant(NOON + 1))
            assert isinstance(first, Ticket)
            waiting = asyncio.create_task(redeem(database, word))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            await (undo.commit() if commits else undo.rollback())
        answer = await waiting
        assert ("redeemed" if isinstance(answer, Ticket) else answer) == second


async def test_a_stranger_does_not_use_a_ticket_up(database: Database, company: CompanyId) -> None:
    word = await issued(database, company)
    assert await redeem(database, word, BORIS) == "not_yours"
    assert isinstance(await redeem(database, word), Ticket)


async def test_a_ticket_of_another_bot_is_unknown_and_stays(database: Database, company: CompanyId) -> None:
    word = await issued(database, company)
    assert await redeem(database, word, bot="treasury") == "unknown_ticket"
    assert isinstance(await redeem(database, word), Ticket)


async def test_a_ticket_ends_with_its_time_and_is_not_used_by_who_comes_late(
    database: Database, company: CompanyId
) -> None:
    word = await issued(database, company)
    assert await redeem(database, word, after_ms=LIFE_MS) == "expired"
    assert isinstance(await redeem(database, word, after_ms=LIFE_MS - 1), Ticket)


@pytest.mark.parametrize("word", ["", "nothing", "a" * 43, "a" * 10_000])
async def test_a_word_that_was_never_given_opens_nothing(
    database: Database, company: CompanyId, word: str
) -> None:
    assert await redeem(database, word) == "unknown_ticket"


async def test_the_word_of_a_ticket_is_nowhere_in_the_database(database: Database, company: CompanyId) -> None:
    word = await issued(database, company)
    rows = await database.rows("SELECT to_jsonb(deeplink_ticket)::text AS text FROM deeplink_ticket")
    assert rows
    assert not any(word in row["text"] or word.encode().hex() in row["text"] for row in rows)


async def test_a_word_that_could_be_guessed_makes_no_ticket(database: Database, company: CompanyId) -> None:
    before = await database.value("SELECT count(*) FROM deeplink_ticket")
    async with database.transaction() as connection:
        with pytest.raises(ValueError, match="22 to 64"):
            await deeplinks.issue(connection, NewTicket(company, ANNA, BOT, "x", LIFE_MS), lambda: "1234", NOON)
    assert await database.value("SELECT count(*) FROM deeplink_ticket") == before


async def test_a_ticket_is_forgotten_a_day_after_its_end(database: Database, company: CompanyId) -> None:
    word = await issued(database, company)
    end = NOON + LIFE_MS
    await issued(database, company, Instant(end + deeplinks.KEPT_MS))
    assert await redeem(database, word, after_ms=LIFE_MS + deeplinks.KEPT_MS) == "expired"
    await issued(database, company, Instant(end + deeplinks.KEPT_MS + 1))
    assert await redeem(database, word, after_ms=LIFE_MS + deeplinks.KEPT_MS) == "unknown_ticket"
