"""Offers and deals in a real database: accepted once, within limits, also when several come at once."""

import asyncio
from decimal import Decimal

import asyncpg
import msgspec
import pytest

from engine.errors import Refusal
from engine.ids import CompanyId, DealId, Instant, TxId
from engine.payments.payout import Purpose
from engine.settlement.companies import CompanyStatus
from engine.settlement.deals import Deal, DealStatus, Mode
from engine.settlement.offers import Offer, OfferStatus, Side
from engine.settlement.tiers import Tier
from storage import deals as table
from storage import exposures
from storage import offers as offer_table
from storage.audit import Audit
from storage.club_commands import Refusals
from storage.database import Database
from storage.deals import Paid
from storage.rows import AlreadyExistsDifferently
from tests.club import (
    DAY,
    DOLLAR,
    HOUR,
    MINUTE,
    NOON,
    USDC,
    USDT,
    Club,
    command,
    fresh,
    hot_wallet_of,
    new_offer,
    trader_of,
    wallet_of,
)


@pytest.fixture
def club(database: Database) -> Club:
    return Club(database)


async def expose(club: Club, company: CompanyId) -> int:
    async with club.database.transaction() as connection:
        return await exposures.open_exposure(connection, company, {asset.id: asset for asset in (USDT, USDC)})


# ---------------------------------------------------------------------- accepting


async def test_an_accepted_offer_to_sell_waits_for_its_makers_transfer(club: Club) -> None:
    maker, taker = await club.company(deposit=1_000), await club.company()
    offer = await club.offer(maker, 1_500)
    deal = await club.accept(offer, taker)
    assert isinstance(deal, Deal)
    assert (deal.payer_company_id, deal.payee_company_id) == (maker, taker)
    assert (deal.status, deal.mode) == (DealStatus.AWAITING_INCOMING, Mode.PASS_THROUGH)
    assert (deal.amount_token, deal.exposure_usd) == (1_500 * DOLLAR, 1_500 * DOLLAR)
    assert (deal.wallet_id, deal.hot_wallet_id) == (wallet_of(taker), hot_wallet_of(maker))
    assert deal.deadline_ms == NOON + HOUR
    assert await club.deals.get(deal.id) == deal
    stored = await club.offers.get(offer.id)
    assert stored is not None
    assert stored.status is OfferStatus.ACCEPTED


async def test_an_accepted_offer_to_buy_waits_for_its_takers_transfer(club: Club) -> None:
    maker, taker = await club.company(), await club.company(deposit=1_000)
    deal = await club.accept(await club.offer(maker, 1_500, Side.BUY), taker)
    assert isinstance(deal, Deal)
    assert (deal.payer_company_id, deal.payee_company_id) == (taker, maker)
    assert (deal.wallet_id, deal.hot_wallet_id) == (wallet_of(maker), hot_wallet_of(taker))


async def test_a_deal_is_written_with_its_audit_entry_and_its_event(club: Club) -> None:
    maker, taker = await club.company(deposit=1_000), await club.company()
    deal = await club.deal(maker, taker, 100)
    entry = (await Audit(club.database).page(target=f"deal:{deal.id}")).items[0]
    assert (entry.actor, entry.command) == (trader_of(taker), "deal.accept")
    assert entry.after["amount_token"] == str(100 * DOLLAR)
    event = await club.database.row("SELECT payload FROM outbox WHERE topic = 'deal' AND key = $1", deal.id)
    assert event is not None
    assert event["payload"]["status"] == "awaiting_incoming"


async def test_the_same_command_twice_gives_the_same_deal(club: Club) -> None:
    maker, taker = await club.company(deposit=1_000), await club.company()
    offer = await club.offer(maker, 100)
    asked = _asked(offer, taker)
    said = command(trader_of(taker), NOON)
    first = await club.deals.accept(asked, said)
    later = msgspec.structs.replace(said, at_ms=Instant(NOON + 5))
    assert await club.deals.accept(asked, later) == first
    assert await expose(club, maker) == 100 * DOLLAR


async def test_the_same_command_with_another_wish_is_refused(club: Club) -> None:
    maker, taker = await club.company(deposit=1_000), await club.company()
    one, other = await club.offer(maker, 100), await club.offer(maker, 100)
    said = command(trader_of(taker), NOON)
    await club.deals.accept(_asked(one, taker), said)
    with pytest.raises(AlreadyExistsDifferently):
        await club.deals.accept(_asked(other, taker), said)


async def test_a_refusal_is_kept_shown_and_repeated_even_when_its_reason_is_gone(club: Club) -> None:
    maker, taker = await club.company(), await club.company()
    offer = await club.offer(maker, 100)
    asked, said = _asked(offer, taker), command(trader_of(taker), NOON)
    refused = await club.deals.accept(asked, said)
    assert isinstance(refused, Refusal)
    assert refused.code == "over_company_limit"
    await club.deposit(maker, 1_000)
    assert await club.deals.accept(asked, said) == refused
    shown = (await Refusals(club.database).page(target=f"offer:{offer.id}")).items
    assert [(row.name, row.refusal) for row in shown] == [("deal.accept", refused)]
    entry = (await Audit(club.database).page(target=f"offer:{offer.id}")).items[0]
    assert entry.after["refused"]["code"] == "over_company_limit"
    assert isinstance(await club.deals.accept(asked, command(trader_of(taker), NOON)), Deal)


def _asked(offer: Offer, taker: CompanyId) -> table.AcceptOffer:
    return table.AcceptOffer(
        DealId(fresh("de")), offer.id, taker, trader_of(taker), Mode.PASS_THROUGH, wallet_of(taker)
    )


# ---------------------------------------------------------------------- what stands in the way


async def test_a_company_does_not_accept_its_own_offer(club: Club) -> None:
    maker = await club.company(deposit=1_000)
    assert (await club.accept(await club.offer(maker, 100), maker)).code == "own_offer"


async def test_only_a_trader_accepts(club: Club) -> None:
    maker, taker = await club.company(deposit=1_000), await club.company()
    await club.companies.set_roles(taker, trader_of(taker), [], "operator")
    assert (await club.refused(maker, taker, 100)).code == "not_a_trader"


@pytest.mark.parametrize("suspended", ["maker", "taker"])
async def test_a_suspended_company_begins_nothing_new(club: Club, suspended: str) -> None:
    companies = {"maker": await club.company(deposit=1_000), "taker": await club.company()}
    offer = await club.offer(companies["maker"], 100)
    await club.companies.set_status(companies[suspended], CompanyStatus.SUSPENDED, "operator")
    assert (await club.accept(offer, companies["taker"])).code == "company_suspended"


async def test_an_offer_is_accepted_once(club: Club) -> None:
    maker = await club.company(deposit=1_000)
    offer = await club.offer(maker, 100)
    assert isinstance(await club.accept(offer, await club.company()), Deal)
    assert (await club.accept(offer, await club.company())).code == "offer_ended"


async def test_an_offer_ends_with_its_time_to_the_millisecond(club: Club) -> None:
    maker, taker = await club.company(deposit=1_000), await club.company()
    early, late = await club.offer(maker, 100), await club.offer(maker, 100)
    club.now = Instant(NOON + DAY - 1)
    assert isinstance(await club.accept(early, taker), Deal)
    club.now = Instant(NOON + DAY)
    assert (await club.accept(late, taker)).code == "offer_ended"


async def test_a_withdrawn_offer_is_not_accepted(club: Club) -> None:
    maker, taker = await club.company(deposit=1_000), await club.company()
    offer = await club.offer(maker, 100)
    withdrawn = await club.offers.cancel(offer.id, maker, command(trader_of(maker), NOON))
    assert isinstance(withdrawn, Offer)
    assert (await club.accept(offer, taker)).code == "offer_ended"


async def test_only_its_maker_withdraws_an_offer(club: Club) -> None:
    maker, other = await club.company(), await club.company()
    offer = await club.offer(maker, 100)
    refused = await club.offers.cancel(offer.id, other, command(trader_of(other), NOON))
    assert isinstance(refused, Refusal)
    # Naming the maker's company does not make another's trader the maker's.
    refused = await club.offers.cancel(offer.id, maker, command(trader_of(other), NOON))
    assert isinstance(refused, Refusal)
    assert refused.code == "not_yours"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount_token": 0}, "not_positive"),
        ({"price": Decimal(0)}, "not_positive"),
        ({"price": Decimal("NaN")}, "not_positive"),
        ({"expires_at_ms": NOON}, "bad_expiry"),
        ({"expires_at_ms": NOON + 8 * DAY}, "bad_expiry"),
        ({"token": "tron:TRX"}, "token_not_listed"),
        ({"wallet_id": "wa_x"}, "wallet_not_allowed"),
    ],
)
async def test_an_offer_that_makes_no_sense_is_refused(club: Club, change: dict[str, object], code: str) -> None:
    maker = await club.company()
    new = new_offer(maker, DOLLAR, Side.SELL, USDT, Instant(NOON + DAY))
    refused = await club.offers.make(msgspec.structs.replace(new, **change), command(trader_of(maker), NOON))
    assert isinstance(refused, Refusal)
    assert refused.code == code
    assert await club.offers.get(new.id) is None


# ---------------------------------------------------------------------- limits, in the database


async def test_the_deposit_counts_without_what_is_held_and_over_both_stablecoins(club: Club) -> None:
    maker, taker = await club.company(Tier.S), await club.company()
    await club.deposit(maker, 600, USDT)
    await club.deposit(maker, 400, USDC)
    await club.hold(maker, 100)
    refused = await club.refused(maker, taker, 1_801)
    assert (refused.code, refused.most) == ("over_company_limit", Decimal(1_800))
    await club.deal(maker, taker, 1_800)


async def test_funds_are_no_deposit(club: Club) -> None:
    maker, taker = await club.company(funds=1_000_000), await club.company()
    assert (await club.refused(maker, taker, 1)).code == "over_company_limit"


async def test_a_deal_is_exposure_of_who_pays_until_it_ends(club: Club) -> None:
    maker, taker = await club.company(Tier.S, deposit=1_000), await club.company(Tier.S, deposit=1_000)
    deal = await club.deal(maker, taker, 2_000)
    assert (await expose(club, maker), await expose(club, taker)) == (2_000 * DOLLAR, 0)
    assert (await club.refused(maker, taker, 1)).most == 0
    cancelled = await club.deals.cancel(deal.id, maker, command(trader_of(maker), NOON))
    assert isinstance(cancelled, Deal)
    assert cancelled.status is DealStatus.CANCELLED
    assert await expose(club, maker) == 0
    await club.deal(maker, taker, 2_000)


async def test_of_two_acceptors_at_once_one_gets_the_offer(club: Club) -> None:
    maker = await club.company(deposit=1_000)
    offer = await club.offer(maker, 100)
    takers = [await club.company() for _ in range(4)]
    answers = await asyncio.gather(*(club.accept(offer, taker) for taker in takers))
    assert sum(isinstance(answer, Deal) for answer in answers) == 1
    assert {answer.code for answer in answers if isinstance(answer, Refusal)} == {"offer_ended"}


async def test_of_deals_racing_for_the_last_headroom_exactly_those_that_fit_get_it(club: Club) -> None:
    maker, taker = await club.company(Tier.S, deposit=1_000), await club.company()
    offers = [await club.offer(maker, 600) for _ in range(6)]
    answers = await asyncio.gather(*(club.accept(offer, taker) for offer in offers))
    assert sum(isinstance(answer, Deal) for answer in answers) == 3  # 1,800 of 2,000
    assert {answer.code for answer in answers if isinstance(answer, Refusal)} == {"over_company_limit"}
    assert await expose(club, maker) == 1_800 * DOLLAR


async def test_one_command_said_four_times_at_once_makes_one_deal(club: Club) -> None:
    maker, taker = await club.company(deposit=1_000), await club.company()
    asked = _asked(await club.offer(maker, 100), taker)
    said = command(trader_of(taker), NOON)
    answers = await asyncio.gather(*(club.deals.accept(asked, said) for _ in range(4)))
    assert all(answer == answers[0] for answer in answers)
    assert isinstance(answers[0], Deal)


async def test_velocity_counts_settled_deals_and_not_cancelled_ones(club: Club) -> None:
    maker, taker = await club.company(Tier.S, deposit=1_000_000), await club.company()
    for _ in range(5):
        deal = await club.deal(maker, taker, 10_000)
        await _settle(club, deal)
    refused = await club.refused(maker, taker, 1)
    assert refused.code == "over_velocity"
    assert "wait 1 h 00 min" in refused.allowed
    club.now = Instant(NOON + HOUR)
    deal = await club.deal(maker, taker, 10_000)
    await club.deals.cancel(deal.id, maker, command(trader_of(maker), club.now))
    club.now = Instant(NOON + HOUR + 1)
    assert (await club.deal(maker, taker, 10_000)).headroom_usd == 10_000 * DOLLAR


async def test_lowering_a_tier_blocks_new_deals_and_leaves_old_ones(club: Club) -> None:
    maker, taker = await club.company(Tier.XL, deposit=100_000), await club.company()
    deal = await club.deal(maker, taker, 400_000)
    await club.companies.set_tier(maker, Tier.S, "operator")
    assert await club.deals.get(deal.id) == deal
    refused = await club.refused(maker, taker, 1)
    assert (refused.code, refused.most) == ("over_open_exposure", Decimal(0))
    await _settle(club, deal)


# ---------------------------------------------------------------------- what happens to deals


async def _settle(club: Club, deal: Deal) -> None:
    async with club.database.transaction() as connection:
        await table.paying(connection, [deal.id], club.now)
        await table.on_paid(connection, [Paid(Purpose.PASS_THROUGH, deal.id, TxId("ab" * 32))], club.now)


async def test_a_deal_is_paid_once_however_often_it_is_said(club: Club) -> None:
    maker, taker = await club.company(deposit=1_000), await club.company()
    deal = await club.deal(maker, taker, 100)
    for _ in range(2):
        await _pay_twice(club, deal)
    settled = await club.deals.get(deal.id)
    assert settled is not None
    assert (settled.status, settled.ended_at_ms) == (DealStatus.SETTLED, NOON)
    events = await club.database.rows("SELECT payload FROM outbox WHERE key = $1 ORDER BY id", deal.id)
    assert [event["payload"]["status"] for event in events] == ["awaiting_incoming", "paying", "settled"]
    assert events[-1]["payload"]["tx_id"] == "ab" * 32


async def _pay_twice(club: Club, deal: Deal) -> None:
    async with club.database.transaction() as connection:
        stored = await connection.fetchval("SELECT status FROM deal WHERE id = $1", deal.id)
        if stored != "settled":
            await table.paying(connection, [deal.id], club.now)
            await table.paying(connection, [deal.id], club.now)
        await table.on_paid(connection, [Paid(Purpose.PASS_THROUGH, deal.id, TxId("ab" * 32))], club.now)


async def test_a_vanished_transfer_lets_its_deal_wait_again(club: Club) -> None:
    maker, taker = await club.company(deposit=1_000), await club.company()
    deal = await club.deal(maker, taker, 100)
    async with club.database.transaction() as connection:
        await table.paying(connection, [deal.id], club.now)
        await table.awaiting_again(connection, [deal.id], club.now)
    assert await club.deals.get(deal.id) == deal


async def test_expected_are_the_open_deals_and_the_ones_that_ended_lately(club: Club) -> None:
    maker, taker = await club.company(Tier.XL, deposit=10_000), await club.company()
    deals = [await club.deal(maker, taker, amount) for amount in (100, 200, 300, 400)]
    await _settle(club, deals[0])
    await club.deals.cancel(deals[1].id, maker, command(trader_of(maker), NOON))
    async with club.database.transaction() as connection:
        lately = await table.expected(connection, [hot_wallet_of(maker)], NOON)
        long_ago = await table.expected(connection, [hot_wallet_of(maker)], Instant(NOON + 1))
        elsewhere = await table.expected(connection, [hot_wallet_of(taker)], NOON)
    assert [deal.id for deal in lately] == [deals[1].id, deals[2].id, deals[3].id]
    assert [deal.id for deal in long_ago] == [deals[2].id, deals[3].id]
    assert elsewhere == []
    assert (lately[1].units, lately[1].payee, lately[1].wallet_id) == (300 * DOLLAR, taker, wallet_of(taker))
    assert lately[1].to_address.startswith("T")


async def test_a_deal_whose_payer_does_not_pay_expires(club: Club) -> None:
    maker, taker = await club.company(deposit=1_000), await club.company()
    deal = await club.deal(maker, taker, 100)
    assert deal.deadline_ms is not None
    assert deal.id not in await _expire(club, deal.deadline_ms)
    assert deal.id in await _expire(club, Instant(deal.deadline_ms + 1))
    assert await expose(club, maker) == 0


async def test_a_deal_does_not_expire_before_its_chain_was_read_up_to_the_deadline(club: Club) -> None:
    maker, taker = await club.company(deposit=1_000), await club.company()
    deal = await club.deal(maker, taker, 100)
    assert deal.deadline_ms is not None
    await _read_chain_up_to(club, deal.deadline_ms)
    assert deal.id not in await _expire(club, Instant(deal.deadline_ms + 10 * MINUTE))
    await _read_chain_up_to(club, Instant(deal.deadline_ms + 1))
    assert deal.id in await _expire(club, Instant(deal.deadline_ms + 10 * MINUTE))
    async with club.database.transaction() as connection:
        await connection.execute("DELETE FROM chain_cursor")


async def _expire(club: Club, now: Instant) -> list[DealId]:
    async with club.database.transaction() as connection:
        return await table.expire(connection, now)


async def _read_chain_up_to(club: Club, time_ms: Instant) -> None:
    async with club.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO chain_cursor (network, number, block_id, time_ms, epoch) VALUES ('tron', 1, 'b', $1, 1) "
            "ON CONFLICT (network) DO UPDATE SET time_ms = excluded.time_ms",
            time_ms,
        )


async def test_only_who_pays_calls_a_deal_off_and_only_before_the_money_came(club: Club) -> None:
    maker, taker = await club.company(deposit=1_000), await club.company()
    deal = await club.deal(maker, taker, 100)
    assert (await club.deals.cancel(deal.id, taker, command(trader_of(taker), NOON))).code == "not_yours"
    assert (await club.deals.cancel(deal.id, maker, command(trader_of(taker), NOON))).code == "not_yours"
    async with club.database.transaction() as connection:
        await table.paying(connection, [deal.id], NOON)
    assert (await club.deals.cancel(deal.id, maker, command(trader_of(maker), NOON))).code == "deal_under_way"


async def test_offers_run_out(club: Club) -> None:
    maker = await club.company()
    offer = await club.offer(maker, 100)
    async with club.database.transaction() as connection:
        assert offer.id not in await offer_table.expire(connection, Instant(NOON + DAY - 1))
        assert offer.id in await offer_table.expire(connection, Instant(NOON + DAY))


# ---------------------------------------------------------------------- what the database itself refuses


@pytest.mark.parametrize("change", ["amount_token = amount_token + 1", "payee_company_id = maker_company_id"])
async def test_the_terms_of_a_deal_never_change(club: Club, change: str) -> None:
    maker, taker = await club.company(deposit=1_000), await club.company()
    deal = await club.deal(maker, taker, 100)
    with pytest.raises(asyncpg.PostgresError, match="are agreed"):
        async with club.database.transaction() as connection:
            await connection.execute(f"UPDATE deal SET {change} WHERE id = $1", deal.id)


async def test_no_deal_is_written_beyond_its_payers_headroom(club: Club) -> None:
    maker, taker = await club.company(deposit=1_000), await club.company()
    deal = await club.deal(maker, taker, 100)
    assert deal.headroom_usd == 3_000 * DOLLAR
    with pytest.raises(asyncpg.CheckViolationError):
        async with club.database.transaction() as connection:
            await connection.execute(
                "INSERT INTO deal SELECT (jsonb_populate_record(deal, "
                "jsonb_build_object('id', 'de_x', 'headroom_usd', 99))).* FROM deal WHERE id = $1",
                deal.id,
            )


async def test_amounts_of_eighteen_decimals_survive(club: Club) -> None:
    maker = await club.company()
    huge = 10**40 + 7
    new = new_offer(maker, huge, Side.SELL, USDT, Instant(NOON + DAY))
    made = await club.offers.make(new, command(trader_of(maker), NOON))
    assert isinstance(made, Offer)
    stored = await club.offers.get(new.id)
    assert stored is not None
    assert stored.amount_token == huge
