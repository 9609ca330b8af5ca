"""The invariants are quiet while the books hold, and each of the ledger's speaks up when somebody breaks it."""

import pytest

from engine.ids import CompanyId, HotWalletId, Instant
from engine.ledger import templates
from engine.money import AssetId
from storage import ledger
from storage.database import Database
from storage.invariants import INVARIANTS, check
from tests.invariants import assert_books_hold

USDT = AssetId("tron:USDT")
COMPANY = CompanyId("co_a")
AT = Instant(1_000)

PLANTED = {
    "I1 balance is its postings": "UPDATE ledger_account SET balance = balance + 1 WHERE code LIKE 'deposit:%'",
    "I1 debits equal credits": "UPDATE ledger_account SET balance = balance + 1 WHERE code LIKE 'wallet:%'",
    "I1 a transfer moves one asset": "UPDATE ledger_account SET asset = 'tron:TRX' WHERE code LIKE 'deposit:%'",
    "I2 floors hold": "UPDATE ledger_account SET floor = NULL WHERE code LIKE 'deposit:%'",
    "I2 a hold ends once": "UPDATE ledger_transfer SET at_ms = 9999 WHERE phase = 'void'",
    "I2 open holds are listed": "DELETE FROM ledger_hold",
    "I4 postings are for ever": "ALTER TABLE ledger_transfer DISABLE TRIGGER ledger_transfer_is_append_only",
    "I5 corrections are of two people": (
        "INSERT INTO book_correction VALUES "
        "('bc_1', 'proved_loss', 'hw_a', 'tron:USDT', '', 5, 'stolen', 'operator', 1, 'another', 2)"
    ),
    "I4 accounts find their batches": "UPDATE ledger_account SET touched_in = touched_in - 1",
}


@pytest.fixture(scope="module")
async def books(database: Database) -> Database:
    """Give a ledger with a hold that is open and one that has ended."""
    async with database.transaction() as connection:
        await ledger.post(
            connection,
            [
                *templates.incoming_to_funds(HotWalletId("hw_a"), COMPANY, USDT, 100, "tx", AT),
                *templates.fund(COMPANY, USDT, 90, "tx", AT),
                *templates.hold_open(COMPANY, USDT, 10, "open", AT, Instant(5_000)),
                *templates.hold_open(COMPANY, USDT, 20, "ended", AT, Instant(5_000)),
                *templates.hold_release(COMPANY, USDT, "ended", AT),
            ],
        )
    return database


async def test_books_that_hold_are_quiet(books: Database) -> None:
    await assert_books_hold(books)


@pytest.mark.parametrize("name", PLANTED)
async def test_a_planted_breach_is_found_and_named(books: Database, name: str) -> None:
    invariant = next(each for each in INVARIANTS if each.name == name)
    async with books.transaction() as connection:
        undo = connection.transaction()
        await undo.start()
        assert await connection.fetch(invariant.sql) == []
        await connection.execute(f"SET LOCAL session_replication_role = replica; {PLANTED[name]}")
        found = await connection.fetch(invariant.sql)
        await undo.rollback()
    assert found


async def test_every_invariant_of_the_ledger_has_a_breach_planted() -> None:
    assert {each.name for each in INVARIANTS if each.name.startswith("I")} == set(PLANTED)


async def test_a_breach_says_what_should_be_true_and_what_says_otherwise(books: Database) -> None:
    sabotage = "UPDATE ledger_account SET balance = balance {sign} 1 WHERE code = 'deposit:co_a:tron:USDT'"
    async with books.transaction() as connection:
        await connection.execute(sabotage.format(sign="+"))
    try:
        breaches = await check(books)
    finally:
        async with books.transaction() as connection:
            await connection.execute(sabotage.format(sign="-"))
    assert {breach.invariant.name for breach in breaches} == {
        "I1 balance is its postings",
        "I1 debits equal credits",
    }
    assert "code=deposit:co_a:tron:USDT balance=91 posted=90" in str(breaches[0])
