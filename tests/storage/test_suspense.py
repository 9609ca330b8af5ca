"""What operators decide about transfers that wait, with the postings and payouts that follow."""

from collections.abc import AsyncIterator

import pytest

from engine.errors import Refusal
from engine.ids import Instant
from engine.ledger import accounts
from engine.payments.incoming import IncomingId
from storage.club_commands import Command
from storage.embedded import EmbeddedPostgres
from storage.incoming import IncomingRow
from storage.rows import AlreadyExistsDifferently
from storage.suspense import Suspense
from tests.storage.club import (
    HOT,
    OWN_ADDRESS,
    OWN_WALLET,
    PAYER,
    START,
    USDT,
    WALLET,
    Club,
    fresh_club,
    pays,
    tx_id,
)

NOW = Instant(START + 5_000_000)


@pytest.fixture
async def club(postgres_server: EmbeddedPostgres) -> AsyncIterator[Club]:
    async with fresh_club(postgres_server, approvals=2) as opened:
        yield opened


def incoming(tx: int) -> IncomingId:
    return IncomingId(f"tron:{tx_id(tx)}:0")


def says(word: str = "one") -> Command:
    return Command("olga", word, NOW)


async def test_two_parts_that_were_too_small_pay_the_deal_together_and_the_rest_is_the_companys(
    club: Club,
) -> None:
    (deal,) = await club.deals(100_000_000)
    await club.take(club.chain.make(pays(60_000_000, 1), pays(50_000_000, 2)))
    suspense = Suspense(club.database)

    too_little = await suspense.to_deal([incoming(1)], deal, says("first"))
    paid = await suspense.to_deal([incoming(1), incoming(2)], deal, says("second"))

    assert isinstance(too_little, Refusal)
    assert too_little.code == "not_enough"
    assert paid == "po_00001"
    assert await club.units(accounts.clearing(deal, USDT.id)) == 100_000_000
    assert await club.units(accounts.funds(PAYER, USDT.id)) == 10_000_000
    assert await club.units(accounts.suspense(HOT, USDT.id)) == 0
    assert await club.value("SELECT status FROM deal") == "paying"
    (payout,) = await club.database.rows("SELECT initiator, approvals, amount_token FROM payout")
    assert tuple(payout) == ("olga", 2, 100_000_000)
    assert (
        await club.value("SELECT count(*) FROM audit WHERE actor = 'olga' AND command = 'incoming.resolve'") == 2
    )


async def test_what_came_late_may_be_given_to_its_deal_after_all(club: Club) -> None:
    (deal,) = await club.deals(100_000_000)
    await club.database.rows("UPDATE deal SET status = 'expired', ended_at_ms = $1 RETURNING 1", START)
    await club.take(club.chain.make(pays(100_000_000, 1)))

    assert await Suspense(club.database).to_deal([incoming(1)], deal, says()) == "po_00001"
    assert await club.value("SELECT status FROM deal") == "paying"


async def test_a_transfer_is_given_to_the_company_once_however_often_it_is_said(club: Club) -> None:
    await club.deals(100_000_000)
    await club.take(club.chain.make(pays(60_000_000, 1)))
    suspense = Suspense(club.database)

    first = await suspense.to_funds(incoming(1), says())
    again = await suspense.to_funds(incoming(1), says())
    another = await suspense.to_funds(incoming(1), says("another"))

    assert isinstance(first, IncomingRow)
    assert first == again
    assert isinstance(another, Refusal)
    assert another.code == "not_in_suspense"
    assert await club.units(accounts.funds(PAYER, USDT.id)) == 60_000_000
    with pytest.raises(AlreadyExistsDifferently):
        await suspense.refund(incoming(1), OWN_WALLET, says())


async def test_a_refund_goes_to_an_address_in_the_companys_own_list_and_needs_approvals(club: Club) -> None:
    await club.deals(100_000_000)
    await club.take(club.chain.make(pays(60_000_000, 1)))
    suspense = Suspense(club.database)

    elsewhere = await suspense.refund(incoming(1), WALLET, says("elsewhere"))
    paid = await suspense.refund(incoming(1), OWN_WALLET, says("own"))

    assert isinstance(elsewhere, Refusal)
    assert elsewhere.code == "not_allowed"
    assert paid == f"po_refund_{incoming(1)}"
    (payout,) = await club.database.rows("SELECT to_address, amount_token, purpose, approvals FROM payout")
    assert tuple(payout) == (OWN_ADDRESS, 60_000_000, "refund", 2)
    assert await club.value("SELECT status FROM incoming_tx") == "refund"


async def test_a_deal_that_has_its_money_and_a_transfer_nobody_knows_are_refused(club: Club) -> None:
    (deal, _) = await club.deals(100_000_000, 500_000_000)
    await club.take(club.chain.make(pays(100_000_000, 1), pays(100_000_000, 2)))
    suspense = Suspense(club.database)

    paid_already = await suspense.to_deal([incoming(2)], deal, says("a"))
    unknown = await suspense.to_funds(incoming(9), says("b"))

    assert isinstance(paid_already, Refusal)
    assert paid_already.code == "not_awaited"
    assert isinstance(unknown, Refusal)
    assert unknown.code == "unknown_incoming"
    assert await club.value("SELECT count(*) FROM payout") == 1
