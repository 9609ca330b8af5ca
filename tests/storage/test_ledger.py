"""The ledger on a real server: what is posted is there once, balances hold, nothing goes below its floor."""

import itertools

import pytest

from engine.ids import CompanyId, HotWalletId, Instant
from engine.ledger import accounts, templates
from engine.ledger.balances import Balance
from engine.ledger.postings import Posted, Posting, Transfer
from engine.money import AssetId
from storage import ledger
from storage.database import Database
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
