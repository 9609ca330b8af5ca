"""The seed's acceptance of EOD: three deals in a trust pair, a settlement by hand, its payout confirmed.

And its second iteration: the day closes by itself, with priority, batching, partial payment and T+1.
"""

from pathlib import Path

import pytest

from actors.trust_session import TrustSession, session_lease
from engine.errors import Refusal
from engine.ids import CompanyId, Instant, PairId, PayoutId, TrustSessionId
from engine.ledger import accounts
from engine.payments.payout import TaskState
from engine.settlement.deals import Deal, DealStatus, Mode
from engine.settlement.eod import SettlementStatus
from engine.settlement.trust_pairs import SessionStatus
from storage.database import Database
from storage.leases import Leases, StaleEpoch
from storage.settlements import CloseReport, SettlementRow
from storage.trust_sessions import TrustSessions
from tests.club import DAY, DOLLAR, HOUR, NOON, USDT, wallet_of
from tests.scenarios.club_chain import ClubChain

CUTOFF = Instant(NOON + 4 * HOUR)  # 17:00 in Warsaw


@pytest.fixture
async def chain(own_database: Database, tmp_path: Path) -> ClubChain:
    return ClubChain(own_database, tmp_path)


async def status(chain: ClubChain, deal: Deal) -> DealStatus:
    found = await chain.club.deals.get(deal.id)
    assert found is not None
    return found.status


async def three_deals(chain: ClubChain, one: CompanyId, other: CompanyId) -> list[Deal]:
    """Trade three times in a pair; at the end the first owes the second 700."""
    return [
        await chain.club.deal(one, other, 1_000, Mode.NETTING),
        await chain.club.deal(other, one, 500, Mode.NETTING),
        await chain.club.deal(one, other, 200, Mode.NETTING),
    ]


async def test_three_deals_in_a_trust_pair_then_settlement_then_payout_confirmed(chain: ClubChain) -> None:
    one, other = await chain.company(deposit=10_000, funds=2_000), await chain.company(deposit=10_000)
    await chain.club.pair(one, other, limit=50_000, reserve_pct=10)
    deals = await three_deals(chain, one, other)
    session = deals[0].session_id
    assert session is not None

    dry = await chain.club.settlements.dry_run([session], chain.club.now, "operator")
    report = await chain.club.close(session)
    assert report == dry
    (row,) = report.settlements
    assert (row.payer_company_id, row.payee_company_id, row.amount_token) == (one, other, 700 * DOLLAR)

    assert row.payout_id is not None
    await chain.run([one], rounds=2)
    assert (await chain.payout(row.payout_id)).state is TaskState.QUEUED, "nobody has approved it"
    assert chain.received(wallet_of(other)) == []

    assert await chain.approve(row.payout_id, one) is None
    await chain.run([one])
    assert (await chain.payout(row.payout_id)).state is TaskState.CONFIRMED
    assert chain.received(wallet_of(other)) == [700], "one payout for three deals"
    assert {await status(chain, deal) for deal in deals} == {DealStatus.SETTLED}
    (settled,) = await chain.club.settlements.of_session(session)
    assert settled.status is SettlementStatus.SETTLED
    assert settled.tx_hash
    assert await chain.club.balance(accounts.funds(one, USDT.id)) == 1_300 * DOLLAR
    assert await chain.club.balance(accounts.clearing(settled.id, USDT.id)) == 0


# ---------------------------------------------------------------------- by itself


class Days:
    """The sessions of one pair, run as their actors run them."""

    def __init__(self, chain: ClubChain, pair: PairId) -> None:
        self._chain = chain
        self._pair = pair

    async def actor(self, day: str) -> TrustSession:
        """Give the actor of a day, in a new life."""
        database = self._chain.club.database
        name = TrustSessionId(f"{self._pair}:{day}")
        lease = await Leases(database).acquire(session_lease(name), "test", 600_000)
        assert lease is not None
        actor = TrustSession(database, name, lease, lambda: self._chain.club.now)
        await actor.boot()
        return actor

    async def settlement(self, day: str) -> SettlementRow | None:
        """Give what a day settled; None when it did not."""
        rows = await self._chain.club.settlements.of_session(TrustSessionId(f"{self._pair}:{day}"))
        return rows[0] if rows else None

    async def is_open(self, day: str) -> bool:
        """Tell whether a day is open."""
        session = await TrustSessions(self._chain.club.database).get(TrustSessionId(f"{self._pair}:{day}"))
        assert session is not None
        return session.status is SessionStatus.OPEN


async def test_a_day_closes_by_itself_at_its_cutoff_and_not_before(chain: ClubChain) -> None:
    one, other = await chain.company(deposit=10_000, funds=2_000), await chain.company(deposit=10_000)
    days = Days(chain, await chain.club.pair(one, other))
    actor = await days.actor("2025-11-22")
    await three_deals(chain, one, other)
    chain.club.now = Instant(CUTOFF - 1)
    assert not await actor.turn()
    assert await days.is_open("2025-11-22")
    chain.club.now = CUTOFF
    assert not await actor.turn()
    assert not await days.is_open("2025-11-22")
    settled = await days.settlement("2025-11-22")
    assert settled is not None
    assert settled.amount_token == 700 * DOLLAR
    assert not await actor.turn(), "a closed day is left alone"


async def test_what_was_carried_is_paid_the_next_day_although_nobody_traded(chain: ClubChain) -> None:
    one, other = await chain.company(deposit=10_000, funds=300), await chain.company(deposit=10_000)
    days = Days(chain, await chain.club.pair(one, other))
    deals = await three_deals(chain, one, other)
    chain.club.now = CUTOFF
    await (await days.actor("2025-11-22")).turn()
    today = await days.settlement("2025-11-22")
    assert today is not None
    assert (today.amount_token, today.carried_token) == (300 * DOLLAR, 400 * DOLLAR)
    assert today.payout_id is not None
    await chain.approve(today.payout_id, one)
    await chain.run([one])
    assert await status(chain, deals[0]) is DealStatus.NETTED

    await chain.club.funds(one, 1_000)
    chain.devnet.give_token("USDT", chain.hot_address(one), 1_000 * DOLLAR)
    tomorrow = await days.actor("2025-11-23")
    chain.let_time_pass(DAY)
    await tomorrow.turn()
    rest = await days.settlement("2025-11-23")
    assert rest is not None
    assert (rest.amount_token, rest.carried_in_token) == (400 * DOLLAR, 400 * DOLLAR)
    assert rest.payout_id is not None
    await chain.approve(rest.payout_id, one)
    await chain.run([one])
    assert chain.received(wallet_of(other)) == [300, 400]
    assert {await status(chain, deal) for deal in deals} == {DealStatus.SETTLED}


async def test_days_that_were_missed_are_closed_one_after_the_other(chain: ClubChain) -> None:
    one, other = await chain.company(deposit=10_000, funds=1_000), await chain.company(deposit=10_000)
    days = Days(chain, await chain.club.pair(one, other))
    await chain.club.deal(one, other, 100, Mode.NETTING)
    chain.club.now = CUTOFF
    await chain.club.deal(one, other, 200, Mode.NETTING)
    chain.club.now = Instant(CUTOFF + 3 * DAY)
    later = await days.actor("2025-11-23")
    assert await later.turn(), "the day before had to be closed first"
    assert not await days.is_open("2025-11-22")
    assert not await later.turn()
    assert not await days.is_open("2025-11-23")


async def test_pairs_that_end_together_are_paid_together_the_larger_debt_first(chain: ClubChain) -> None:
    payer = await chain.company(deposit=10_000, funds=600)
    small, large = await chain.company(), await chain.company()
    first = Days(chain, await chain.club.pair(payer, small))
    second = Days(chain, await chain.club.pair(payer, large))
    await chain.club.deal(payer, small, 300, Mode.NETTING)
    await chain.club.deal(payer, large, 500, Mode.NETTING)
    actor = await first.actor("2025-11-22")
    chain.club.now = CUTOFF
    await actor.turn()
    paid = [await days.settlement("2025-11-22") for days in (second, first)]
    assert [row.amount_token // DOLLAR for row in paid if row is not None] == [500, 100]


async def test_a_pair_whose_days_are_closed_by_hand_waits_for_the_hand(chain: ClubChain) -> None:
    one, other = await chain.company(deposit=10_000, funds=2_000), await chain.company(deposit=10_000)
    pair = await chain.club.pair(one, other, automatic_eod=False)
    days = Days(chain, pair)
    deals = await three_deals(chain, one, other)
    chain.club.now = Instant(CUTOFF + HOUR)
    actor = await days.actor("2025-11-22")
    assert not await actor.turn()
    assert await days.is_open("2025-11-22")
    assert deals[0].session_id is not None
    assert isinstance(await chain.club.close(deals[0].session_id), CloseReport)


async def test_an_older_life_of_a_session_closes_nothing(chain: ClubChain) -> None:
    one, other = await chain.company(deposit=10_000, funds=2_000), await chain.company(deposit=10_000)
    days = Days(chain, await chain.club.pair(one, other))
    old = await days.actor("2025-11-22")
    await three_deals(chain, one, other)
    async with chain.club.database.transaction() as connection:
        await connection.execute("UPDATE leases SET epoch = epoch + 1, holder = 'another'")
    chain.club.now = CUTOFF
    with pytest.raises(StaleEpoch):
        await old.turn()
    assert await days.is_open("2025-11-22")


async def test_the_payee_does_not_approve_what_the_payer_pays(chain: ClubChain) -> None:
    one, other = await chain.company(deposit=10_000, funds=2_000), await chain.company(deposit=10_000)
    await chain.club.pair(one, other)
    deals = await three_deals(chain, one, other)
    assert deals[0].session_id is not None
    (row,) = (await chain.club.close(deals[0].session_id)).settlements
    refused = await chain.approve(PayoutId(row.payout_id or ""), other)
    assert isinstance(refused, Refusal)
