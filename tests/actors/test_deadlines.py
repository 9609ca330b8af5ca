"""What ends by itself, under a lease: offers, deals and holds; and the alarm of who is over a limit."""

import pytest

from actors.deadlines import DEADLINES_LEASE, Deadlines
from engine.ids import Instant
from engine.ledger import accounts, templates
from engine.settlement.deals import DealStatus
from engine.settlement.offers import OfferStatus
from engine.settlement.tiers import Tier
from storage import ledger
from storage.database import Database
from storage.leases import Leases, StaleEpoch
from tests.club import DAY, DOLLAR, HOUR, USDT, Club


@pytest.fixture
def club(database: Database) -> Club:
    return Club(database)


async def keeper(club: Club) -> Deadlines:
    lease = await Leases(club.database).acquire(DEADLINES_LEASE, "test", 60_000)
    assert lease is not None
    return Deadlines(club.database, lease, lambda: club.now)


async def test_offers_and_deals_end_when_their_time_is_over(club: Club) -> None:
    maker, taker = await club.company(deposit=1_000), await club.company()
    offer, deal = await club.offer(maker, 100), await club.deal(maker, taker, 100)
    deadlines = await keeper(club)
    await deadlines.turn()
    club.now = Instant(club.now + HOUR + 1)
    await deadlines.turn()
    stored = await club.deals.get(deal.id)
    assert stored is not None
    assert (stored.status, stored.ended_at_ms) == (DealStatus.EXPIRED, club.now)
    assert (await club.offers.get(offer.id)) == offer
    club.now = Instant(club.now + DAY)
    assert not await deadlines.turn()
    ended = await club.offers.get(offer.id)
    assert ended is not None
    assert ended.status is OfferStatus.EXPIRED


async def test_a_hold_that_was_not_resolved_in_time_ends(club: Club) -> None:
    company = await club.company(deposit=1_000)
    async with club.database.transaction() as connection:
        hold = templates.hold_open(
            company, USDT.id, 400 * DOLLAR, "case", club.now, expires_at_ms=Instant(club.now + HOUR)
        )
        assert (await ledger.post(connection, hold))[0].ok
    deposit = accounts.deposit(company, USDT.id)
    assert await club.balance(deposit) == 600 * DOLLAR
    club.now = Instant(club.now + HOUR)
    await (await keeper(club)).turn()
    assert await club.balance(deposit) == 1_000 * DOLLAR


async def test_who_is_over_a_limit_is_told(club: Club) -> None:
    maker, taker = await club.company(Tier.M, deposit=100_000), await club.company()
    await club.deal(maker, taker, 50_000)
    await club.companies.set_tier(maker, Tier.S, "operator")
    await (await keeper(club)).turn()
    alarm = await club.database.row("SELECT detail FROM alarm WHERE kind = 'over_limit' AND subject = $1", maker)
    assert alarm is not None
    assert alarm["detail"] == "50,000 USD is open, and 25,000 USD may be"


async def test_an_older_life_ends_nothing(club: Club) -> None:
    maker = await club.company()
    offer = await club.offer(maker, 100)
    old = await keeper(club)
    async with club.database.transaction() as connection:
        await connection.execute("UPDATE leases SET epoch = epoch + 1, holder = 'another'")
    club.now = Instant(club.now + DAY)
    with pytest.raises(StaleEpoch):
        await old.turn()
    assert await club.offers.get(offer.id) == offer
