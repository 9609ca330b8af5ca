"""The seed's acceptance of the allow-list: a payout to a new address is refused, at every door."""

from pathlib import Path

import pytest

from engine.errors import Refusal
from engine.ids import CompanyId, DealId, Instant, MemberId, OfferId, PayoutId, WalletId
from engine.money import Network
from engine.payments.allowlist import AllowedWallet
from engine.payments.payout import Purpose, TaskState
from engine.payments.request import NewPayout
from engine.settlement.companies import Role
from engine.settlement.deals import AcceptOffer, Deal, Mode
from engine.settlement.offers import NewOffer, Offer, Side
from storage import address_book, payouts
from storage.address_book import AddressBook, NewWallet
from storage.database import Database
from tests.club import DAY, DOLLAR, HOUR, USDC, USDT, Club, command, fresh, hot_wallet_of, trader_of, wallet_of
from tests.payouts.world import address
from tests.scenarios.club_chain import ClubChain


@pytest.fixture
def chain(own_database: Database, tmp_path: Path) -> ClubChain:
    return ClubChain(own_database, tmp_path)


@pytest.fixture
def club(chain: ClubChain) -> Club:
    return chain.club


async def new_address(club: Club, company: CompanyId) -> AllowedWallet:
    """Add an address to a company's allow-list as its ADMIN does on the site."""
    await club.companies.set_roles(company, trader_of(company), list(Role), "operator")
    wallet = WalletId(fresh("wa"))
    new = NewWallet(wallet, company, Network.TRON, USDT.id, address(wallet))
    added = await AddressBook(club.database).add(new, 7, command(trader_of(company), club.now))
    assert isinstance(added, AllowedWallet), added
    return added


async def prove(club: Club, wallet: WalletId) -> None:
    async with club.database.transaction() as connection:
        assert await address_book.prove(connection, wallet, club.now)


async def accept_to(club: Club, payer: CompanyId, payee: CompanyId, wallet: WalletId) -> Deal | Refusal:
    return await club.accept(await club.offer(payer, 100), payee, wallet=wallet)


async def test_a_payout_to_a_new_address_is_refused_until_it_is_proved_and_has_cooled_off(
    chain: ClubChain, club: Club
) -> None:
    payer, payee = await chain.company(deposit=1_000), await chain.company()
    wallet = await new_address(club, payee)
    refused = await accept_to(club, payer, payee, wallet.id)
    assert isinstance(refused, Refusal)
    assert refused.code == "wallet_not_allowed"
    assert "micro-transfer" in refused.allowed

    await prove(club, wallet.id)
    refused = await accept_to(club, payer, payee, wallet.id)
    assert isinstance(refused, Refusal)
    assert "cooling off" in refused.message
    assert "wait 24 h 00 min" in refused.allowed

    club.now = Instant(club.now + DAY)
    deal = await accept_to(club, payer, payee, wallet.id)
    assert isinstance(deal, Deal)
    assert deal.wallet_id == wallet.id


@pytest.mark.parametrize("whose", ["another company's", "another token's", "nobody's"])
async def test_an_address_that_is_not_the_payees_for_this_token_is_refused(
    chain: ClubChain, club: Club, whose: str
) -> None:
    payer, payee, other = [await chain.company(deposit=1_000) for _ in range(3)]
    wallets = {
        "another company's": wallet_of(other),
        "another token's": wallet_of(payee, USDC),
        "nobody's": WalletId("wa_nobody"),
    }
    refused = await accept_to(club, payer, payee, wallets[whose])
    assert isinstance(refused, Refusal)
    assert refused.code == "wallet_not_allowed"


async def test_a_payee_that_names_no_address_is_refused(chain: ClubChain, club: Club) -> None:
    payer, payee = await chain.company(deposit=1_000), await chain.company()
    offer = await club.offer(payer, 100)
    asked = AcceptOffer(DealId(fresh("de")), offer.id, payee, trader_of(payee), Mode.PASS_THROUGH)
    refused = await club.deals.accept(asked, command(trader_of(payee), club.now))
    assert isinstance(refused, Refusal)
    assert refused.code == "wallet_not_allowed"


async def test_a_revoked_address_is_refused(chain: ClubChain, club: Club) -> None:
    payer, payee = await chain.company(deposit=1_000), await chain.company()
    await club.revoke(wallet_of(payee))
    refused = await accept_to(club, payer, payee, wallet_of(payee))
    assert isinstance(refused, Refusal)
    assert "revoked" in refused.message


async def test_a_buyers_address_is_looked_at_when_its_offer_is_accepted_not_when_it_was_made(
    chain: ClubChain, club: Club
) -> None:
    buyer, payer = await chain.company(), await chain.company(deposit=1_000)
    offer = await club.offer(buyer, 100, Side.BUY)
    await club.revoke(wallet_of(buyer))
    refused = await club.accept(offer, payer)
    assert isinstance(refused, Refusal)
    assert refused.code == "wallet_not_allowed"


async def test_a_buyer_may_offer_with_a_new_address_and_nobody_can_accept_before_it_is_active(
    chain: ClubChain, club: Club
) -> None:
    buyer, payer = await chain.company(), await chain.company(deposit=1_000)
    wallet = await new_address(club, buyer)
    offer = await _offer_to_buy(club, buyer, wallet.id)
    assert isinstance(await club.accept(offer, payer), Refusal)
    await prove(club, wallet.id)
    club.now = Instant(club.now + DAY)
    assert isinstance(await club.accept(offer, payer), Deal)


async def _offer_to_buy(club: Club, buyer: CompanyId, wallet: WalletId) -> Offer:
    new = NewOffer(
        id=OfferId(fresh("of")),
        company_id=buyer,
        side=Side.BUY,
        network=Network.TRON,
        token=USDT.id,
        amount_token=100 * DOLLAR,
        price=(await club.offer(buyer, 1)).price,
        expires_at_ms=Instant(club.now + 2 * DAY),
        created_by=MemberId(trader_of(buyer)),
        wallet_id=wallet,
    )
    made = await club.offers.make(new, command(trader_of(buyer), club.now))
    assert isinstance(made, Offer)
    return made


async def test_a_withdrawal_to_a_new_address_is_refused(chain: ClubChain, club: Club) -> None:
    company = await chain.company(funds=500)
    wallet = await new_address(club, company)
    async with club.database.transaction() as connection:
        (refused,) = await payouts.request(connection, [_withdrawal(company, wallet, club.now)])
    assert isinstance(refused, Refusal)
    assert refused.code == "not_allowed"
    assert await club.database.value("SELECT count(*) FROM payout") == 0


def _withdrawal(company: CompanyId, wallet: AllowedWallet, now: Instant) -> NewPayout:
    return NewPayout(
        id=PayoutId("po_withdrawal"),
        company_id=company,
        payee_id=company,
        purpose=Purpose.WITHDRAWAL,
        purpose_id="withdrawal",
        network=Network.TRON,
        token=USDT.id,
        units=100 * DOLLAR,
        to_address=wallet.address,
        wallet_id=wallet.id,
        hot_wallet_id=hot_wallet_of(company),
        initiator=trader_of(company),
        at_ms=now,
    )


async def test_an_address_revoked_after_the_close_of_a_day_is_not_paid(chain: ClubChain, club: Club) -> None:
    payer, payee = await chain.company(deposit=1_000, funds=500), await chain.company(deposit=1_000)
    await club.pair(payer, payee)
    deal = await club.deal(payer, payee, 100, Mode.NETTING)
    assert deal.session_id is not None
    (row,) = (await club.close(deal.session_id)).settlements
    assert row.payout_id is not None
    assert await chain.approve(row.payout_id, payer) is None
    await club.revoke(wallet_of(payee))
    await chain.run([payer])
    assert chain.received(wallet_of(payee)) == []
    payout = await chain.payout(row.payout_id)
    assert payout.state is TaskState.QUEUED
    assert {task.waits_for for task in payout.tasks} == {"not_allowed"}


async def test_an_address_that_was_added_an_hour_before_the_close_gets_nothing(
    chain: ClubChain, club: Club
) -> None:
    payer, payee = await chain.company(deposit=1_000, funds=500), await chain.company(deposit=1_000)
    await club.pair(payer, payee)
    deal = await club.deal(payer, payee, 100, Mode.NETTING)
    thief = await new_address(club, payee)
    await prove(club, thief.id)
    club.now = Instant(club.now + HOUR)
    assert deal.session_id is not None
    (row,) = (await club.close(deal.session_id)).settlements
    assert row.wallet_id == wallet_of(payee)
