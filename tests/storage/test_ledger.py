"""The ledger on a real server: what is posted is there once, balances hold, nothing goes below its floor."""

import asyncio
import itertools

import asyncpg
import msgspec
import pytest

from engine.ids import CompanyId, HotWalletId, Instant, TransferId
from engine.ledger import accounts, templates
from engine.ledger.accounts import Account, AccountCode, Normal
from engine.ledger.balances import Balance
from engine.ledger.postings import Posted, Posting, Transfer
from engine.money import AssetId
from storage import ledger
from storage.audit import AuditHead
from storage.database import Connection, Database
from storage.ledger import Ledger
from storage.ledger_chain import LedgerChain

USDT = AssetId("tron:USDT")
WALLET = HotWalletId("hw_a")
AT = Instant(1_700_000_000_000)
_numbers = itertools.count(1)


@pytest.fixture
def company() -> CompanyId:
    return CompanyId(f"co_{next(_numbers)}")


async def say(database: Database, *transfers: Transfer) -> list[Posted]:
    async with database.transaction() as connection:
        return await ledger.post(connection, transfers)


async def test_money_moves_from_wallet_to_funds_to_deposit(database: Database, company: CompanyId) -> None:
    incoming = templates.incoming_to_funds(WALLET, company, USDT, 1000, f"tx-{company}", AT)
    answers = await say(database, *incoming, *templates.fund(company, USDT, 400, company, AT))
    assert [answer.result for answer in answers] == [Posting.OK, Posting.OK]
    async with database.transaction() as connection:
        found = await ledger.balances(connection, [accounts.funds(company, USDT), accounts.deposit(company, USDT)])
    assert list(found.values()) == [Balance(600, 0), Balance(400, 0)]
    again = await say(database, *incoming, *templates.fund(company, USDT, 401, company, AT))
    assert [answer.result for answer in again] == [Posting.EXISTS, Posting.ALREADY_EXISTS_DIFFERENTLY]
    over = await say(database, *templates.fund(company, USDT, 601, f"more-{company}", AT))
    assert [(answer.result, answer.account) for answer in over] == [
        (Posting.INSUFFICIENT, accounts.funds(company, USDT).code)
    ]


async def test_a_hold_lowers_what_is_available_and_ends_once(database: Database, company: CompanyId) -> None:
    await say(
        database,
        *templates.incoming_to_funds(WALLET, company, USDT, 1000, f"tx-{company}", AT),
        *templates.fund(company, USDT, 1000, company, AT),
        *templates.hold_open(company, USDT, 300, company, AT),
    )
    answers = await say(
        database,
        *templates.penalty(company, USDT, 100, company, AT),
        *templates.hold_release(company, USDT, company, AT),
    )
    assert [answer.result for answer in answers] == [Posting.OK, Posting.HOLD_ALREADY_POSTED]
    async with database.transaction() as connection:
        found = await ledger.balances(connection, [accounts.deposit(company, USDT)])
    assert list(found.values()) == [Balance(900, 0)]


# ---------------------------------------------------------------------- the chain


async def test_the_chain_holds_whatever_was_posted(database: Database, company: CompanyId) -> None:
    odd = CompanyId('co_"\\\t\x1f\x7f{,}é\u2028NULL')
    await say(database, *templates.incoming_to_funds(WALLET, odd, USDT, 2**200, f"tx-{company}", AT))
    refused = templates.fund(CompanyId("co_poor"), USDT, 1, company, AT)
    await say(database, *refused)
    await say(database, *refused, *templates.fund(odd, USDT, 1, company, AT))
    report = await LedgerChain(database).verify(await LedgerChain(database).head())
    assert report.is_intact, report
    assert report.rows >= 3


async def posted(database: Database, company: CompanyId) -> None:
    """Post three batches: money in, a mixed one with refusals and a hold, its end."""
    await say(database, *templates.incoming_to_funds(WALLET, company, USDT, 1000, f"tx-{company}", AT))
    await say(
        database,
        *templates.fund(company, USDT, 400, company, AT),
        *templates.fund(company, USDT, 4000, f"more-{company}", AT),
        *templates.hold_open(company, USDT, 300, company, AT, Instant(AT + 10)),
    )
    await say(database, *templates.hold_release(company, USDT, company, AT))


async def behind_its_back(connection: Connection, sql: str) -> None:
    """Do what an administrator with full rights could do."""
    await connection.execute(f"SET LOCAL session_replication_role = replica; {sql}")


TAMPERINGS = (
    "UPDATE ledger_transfer SET units = units + 1 WHERE seq = 2",
    "UPDATE ledger_transfer SET kind = 'gift' WHERE seq = 2",
    "UPDATE ledger_transfer SET reference = '' WHERE seq = 2",
    "UPDATE ledger_transfer SET at_ms = 0 WHERE seq = 2",
    "UPDATE ledger_transfer SET id = 'x' WHERE seq = 2",
    "UPDATE ledger_transfer SET debit = credit, credit = debit WHERE seq = 2",
    "UPDATE ledger_transfer SET credit = 'penalties:tron:USDT' WHERE seq = 2",
    "UPDATE ledger_transfer SET expires_at_ms = NULL WHERE phase = 'pending'",
    "UPDATE ledger_transfer SET phase = 'expire' WHERE phase = 'void'",
    "DELETE FROM ledger_transfer WHERE seq = 2",
    "DELETE FROM ledger_transfer WHERE seq = (SELECT max(seq) FROM ledger_transfer)",
    "INSERT INTO ledger_transfer (seq, id, kind, debit, credit, units, reference, at_ms, phase) "
    "SELECT seq + 99, 'x', kind, debit, credit, units, reference, at_ms, phase FROM ledger_transfer WHERE seq = 2",
    "INSERT INTO ledger_transfer (seq, id, kind, debit, credit, units, reference, at_ms, phase) "
    "SELECT -seq, 'x', kind, debit, credit, units, reference, at_ms, phase FROM ledger_transfer WHERE seq = 2",
    "DELETE FROM ledger_batch WHERE seq = 2",
    "DELETE FROM ledger_batch WHERE seq = (SELECT max(seq) FROM ledger_batch)",
    "UPDATE ledger_batch SET hash = sha256(hash) WHERE seq = 2",
    "UPDATE ledger_batch SET before = array_fill(7::bigint, ARRAY[cardinality(before)]) WHERE seq = 2",
    "UPDATE ledger_head SET hash = sha256(hash)",
    "UPDATE ledger_account SET floor = NULL WHERE code LIKE 'deposit:%'",
    "UPDATE ledger_account SET normal = 'debit' WHERE code LIKE 'deposit:%'",
    "DELETE FROM ledger_account WHERE code LIKE 'deposit:%'",
    "INSERT INTO ledger_account (code, asset, normal, opened_in) VALUES ('x', 'y', 'credit', 0)",
)


async def test_every_tampering_breaks_the_chain(database: Database, company: CompanyId) -> None:
    await posted(database, company)
    assert (await LedgerChain(database).verify()).is_intact
    unseen = []
    for sql in TAMPERINGS:
        # Undone each time, so it is looked at from within the transaction that did it.
        async with database.transaction() as connection:
            savepoint = connection.transaction()
            await savepoint.start()
            await behind_its_back(connection, sql)
            if (await LedgerChain(_Within(connection)).verify()).is_intact:  # type: ignore[arg-type]  # reads alike
                unseen.append(sql)
            await savepoint.rollback()
    assert unseen == []


class _Within:
    """Reads as a `Database` does, through a transaction that is under way."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def rows(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        return await self._connection.fetch(sql, *arguments)

    async def row(self, sql: str, *arguments: object) -> asyncpg.Record | None:
        return await self._connection.fetchrow(sql, *arguments)

    async def value(self, sql: str, *arguments: object) -> object:
        return await self._connection.fetchval(sql, *arguments)


async def test_an_end_that_was_cut_off_is_found_by_the_head_that_was_kept_outside(
    database: Database, company: CompanyId
) -> None:
    await posted(database, company)
    anchor = await LedgerChain(database).head()
    assert (await LedgerChain(database).verify(AuditHead(anchor.seq, b"another"))).broken_at == anchor.seq
    report = await LedgerChain(database).verify(AuditHead(anchor.seq + 1, anchor.hash))
    assert report.broken_at == anchor.seq + 1
    assert "shorter" in report.reason


# ---------------------------------------------------------------------- holds and corrections


async def test_a_hold_whose_time_is_up_still_holds_until_it_is_ended(
    database: Database, company: CompanyId
) -> None:
    until = Instant(AT + 10)
    (hold,) = templates.hold_open(company, USDT, 300, company, AT, until)
    await say(
        database,
        *templates.incoming_to_funds(WALLET, company, USDT, 300, f"tx-{company}", AT),
        *templates.fund(company, USDT, 300, company, AT),
        hold,
    )
    (late,) = await say(database, *templates.penalty(company, USDT, 0, company, until))
    assert late.result is Posting.HOLD_EXPIRED
    books = Ledger(database)
    assert (await books.balance(accounts.deposit(company, USDT))).available == 0
    async with database.transaction() as connection:
        assert await ledger.expire_holds(connection, Instant(until - 1)) == []
        assert await ledger.expire_holds(connection, until) == [hold.id]
        assert await ledger.expire_holds(connection, until) == []
    assert (await books.balance(accounts.deposit(company, USDT))).available == 300
    (later,) = await say(database, *templates.hold_release(company, USDT, company, AT))
    assert later.result is Posting.HOLD_EXPIRED


async def test_a_mistake_is_reversed_once_and_both_stay_in_the_books(
    database: Database, company: CompanyId
) -> None:
    mistake = templates.incoming_to_funds(WALLET, company, USDT, 70, f"tx-{company}", AT)
    await say(database, *mistake)
    await say(database, *templates.reversal(mistake[0], Instant(AT + 1)))
    (again,) = await say(database, *templates.reversal(mistake[0], Instant(AT + 2)))
    assert again.result is Posting.EXISTS
    assert [entry.kind for entry in await Ledger(database).about(f"tx-{company}")] == [
        "incoming_to_funds",
        "reversal",
    ]
    assert (await Ledger(database).balance(accounts.funds(company, USDT))).units == 0


async def test_an_account_that_is_named_with_another_asset_is_a_bug(
    database: Database, company: CompanyId
) -> None:
    await say(database, *templates.incoming_to_funds(WALLET, company, USDT, 5, f"tx-{company}", AT))
    wrong = Account(accounts.funds(company, USDT).code, AssetId("tron:TRX"), Normal.CREDIT, 0)
    other = Account(AccountCode(f"other:{company}"), AssetId("tron:TRX"), Normal.CREDIT)
    with pytest.raises(asyncpg.RaiseError, match="another asset"):
        await say(database, Transfer(TransferId(f"x:{company}"), "x", other, wrong, 1, "", AT))


# ---------------------------------------------------------------------- reading


async def test_a_statement_lists_an_accounts_transfers_newest_first_over_pages_and_batches(
    database: Database, company: CompanyId
) -> None:
    await say(database, *templates.incoming_to_funds(WALLET, company, USDT, 1000, f"tx-{company}", AT))
    for number in range(7):
        other = CompanyId(f"{company}-other-{number}")
        await say(
            database,
            *templates.fund(company, USDT, 1, f"{company}.{number}.a", AT),
            *templates.incoming_to_funds(WALLET, other, USDT, 1, f"tx-{other}", AT),
            *templates.fund(company, USDT, 1, f"{company}.{number}.b", AT),
        )
    found, cursor = [], None
    while True:
        page = await Ledger(database).statement(accounts.funds(company, USDT), cursor=cursor, limit=4)
        found += [entry.reference for entry in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    expected = [f"{company}.{number}.{part}" for number in reversed(range(7)) for part in "ba"]
    assert found == [*expected, f"tx-{company}"]
    assert (await Ledger(database).statement(AccountCode("nobody's"))).items == []


async def test_entries_and_accounts_are_whole_numbers(database: Database, company: CompanyId) -> None:
    (incoming,) = templates.incoming_to_funds(WALLET, company, USDT, 10**30, f"tx-{company}", AT)
    await say(database, incoming)
    entry = await Ledger(database).entry(incoming.id)
    assert entry is not None
    assert (entry.units, entry.debit, entry.asset) == (10**30, incoming.debit.code, USDT)
    (row,) = await Ledger(database).accounts(f"funds:{company}:")
    assert (row.balance, row.floor, row.normal) == (10**30, 0, Normal.CREDIT)
    assert await Ledger(database).entry(TransferId("nothing")) is None


@pytest.mark.parametrize(
    "text", ["", "NULL", '"', "\\", "a,b", "{}", "two\nlines", "\t", "\x7f", "Ünïcödé 中 🐈", '\\"']
)
async def test_a_reference_is_kept_letter_by_letter(database: Database, company: CompanyId, text: str) -> None:
    (plain,) = templates.incoming_to_funds(WALLET, company, USDT, 1, f"tx-{company}", AT)
    odd = msgspec.structs.replace(plain, id=TransferId(f"{plain.id}{text}!"), reference=f"{company}{text}")
    await say(database, plain, odd)
    assert [entry.id for entry in await Ledger(database).about(odd.reference)] == [odd.id]
    assert [answer.result for answer in await say(database, odd)] == [Posting.EXISTS]


async def test_the_seeds_see_their_deposit_and_its_ledger(database: Database, company: CompanyId) -> None:
    await posted(database, company)
    await say(
        database,
        *templates.reserve_trust(company, USDT, 50, company, AT),
        *templates.reserve_release(company, USDT, 50, company, AT),
        *templates.adjustment(company, USDT, -5, company, AT),
    )
    (deposit,) = await database.rows("SELECT * FROM deposit WHERE company_id = $1", company)
    assert (deposit["token"], deposit["network"], deposit["balance_token"]) == (USDT, "tron", 395)
    lines = await database.rows("SELECT * FROM deposit_ledger WHERE company_id = $1 ORDER BY id", company)
    assert {(line["type"], int(line["amount_token"])) for line in lines} == {
        ("fund", 400),
        ("hold_open", 300),
        ("hold_release", 300),
        ("reserve_trust", 50),
        ("reserve_trust", -50),
        ("adjustment", -5),
    }
    assert {(line["ref"], line["token"], line["created_at"]) for line in lines} == {(company, USDT, AT)}


async def test_whoever_has_the_turn_decides_alone(database: Database, company: CompanyId) -> None:
    """Two read the same balance and would both spend it; the turn lets the second see what the first did."""
    await say(database, *templates.incoming_to_funds(WALLET, company, USDT, 100, f"tx-{company}", AT))

    async def spend_all(reference: str) -> bool:
        async with database.transaction() as connection:
            await ledger.take_turn(connection)
            funds = accounts.funds(company, USDT)
            if (await ledger.balances(connection, [funds]))[funds.code].available < 100:
                return False
            (answer,) = await ledger.post(connection, templates.fund(company, USDT, 100, reference, AT))
            assert answer.ok
            return True

    spent = await asyncio.gather(*(spend_all(f"{company}.{number}") for number in range(6)))
    assert sum(spent) == 1
