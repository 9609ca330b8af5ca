"""The seed's acceptance of deposits and limits: what is over is blocked, and the pair's reserve counts.

Read with `company_limit_usd = deposit_available_usd × k_base` beside it. The tiers' numbers are in
`engine.settlement.tiers`; here a company of tier S with a deposit of 5,000 USDT may have 10,000 USD open.
"""

from decimal import Decimal

import pytest

from engine.errors import Refusal
from engine.ids import CompanyId
from engine.settlement.deals import Deal, Mode
from engine.settlement.tiers import TIERS, Tier
from storage.club_commands import Refusals
from storage.database import Database
from tests.club import DOLLAR, USDC, Club, command, trader_of


@pytest.fixture
def club(database: Database) -> Club:
    return Club(database)


@pytest.fixture
async def payee(club: Club) -> CompanyId:
    return await club.company(Tier.XL)


async def test_limits_block_what_is_over_and_let_through_what_is_not(club: Club, payee: CompanyId) -> None:
    payer = await club.company(Tier.S, deposit=5_000)
    await club.deal(payer, payee, 6_000)
    refused = await club.refused(payer, payee, 4_001)
    assert (refused.code, refused.most) == ("over_company_limit", Decimal(4_000))
    await club.deal(payer, payee, 4_000)


@pytest.mark.parametrize("tier", list(Tier))
async def test_each_tier_has_its_factor(club: Club, payee: CompanyId, tier: Tier) -> None:
    payer = await club.company(tier, deposit=1_000)
    limit = int(1_000 * TIERS[tier].k)
    refused = await club.refused(payer, payee, limit + 1)
    assert (refused.code, refused.most) == ("over_company_limit", Decimal(limit))
    await club.deal(payer, payee, limit)


@pytest.mark.parametrize("tier", list(Tier))
async def test_each_tier_has_its_cap_of_one_deal(club: Club, payee: CompanyId, tier: Tier) -> None:
    payer = await club.company(tier, deposit=10_000_000)
    cap = TIERS[tier].cap_per_deal // DOLLAR
    assert (await club.refused(payer, payee, cap + 1)).code == "over_cap_per_deal"
    await club.deal(payer, payee, cap)


async def test_the_cap_on_open_exposure_holds_whatever_the_deposit(club: Club, payee: CompanyId) -> None:
    payer = await club.company(Tier.S, deposit=10_000_000)
    for _ in range(2):
        await club.deal(payer, payee, 10_000)
    refused = await club.refused(payer, payee, 5_001)
    assert (refused.code, refused.most) == ("over_open_exposure", Decimal(5_000))


async def test_the_reserve_of_a_pair_is_taken_into_account(club: Club, payee: CompanyId) -> None:
    payer = await club.company(Tier.S, deposit=5_000)
    other = await club.company(Tier.S, deposit=5_000)
    await club.pair(payer, other, limit=10_000, reserve_pct=20)
    # 20 % of 10,000 are reserved: 3,000 of the deposit are left, and twice that may be open.
    refused = await club.refused(payer, payee, 6_001)
    assert (refused.code, refused.most) == ("over_company_limit", Decimal(6_000))
    await club.deal(payer, payee, 6_000)


async def test_the_no_says_which_limit_what_is_left_and_what_would_lift_it(club: Club, payee: CompanyId) -> None:
    payer = await club.company(Tier.S, deposit=1_000)
    await club.deal(payer, payee, 500)
    refused = await club.refused(payer, payee, 4_000)
    assert refused == Refusal(
        code="over_company_limit",
        field="amount_token",
        message="4,000 USD is too much: an available deposit of 1,000 USD gives a limit of 2,000 USD, "
        "and 500 USD is open",
        allowed="1,500 USD or less now; fund 1,250 USDT more deposit, or settle what is open",
        most=Decimal("1500.000000"),
    )
    assert refused in [row.refusal for row in (await Refusals(club.database).page()).items], "it is kept and shown"


async def test_funding_what_the_no_asks_for_lifts_it(club: Club, payee: CompanyId) -> None:
    payer = await club.company(Tier.S, deposit=1_000)
    await club.refused(payer, payee, 4_500)
    await club.deposit(payer, 1_250)
    await club.deal(payer, payee, 4_500)


async def test_a_deal_and_a_days_deals_share_one_limit(club: Club, payee: CompanyId) -> None:
    payer, partner = await club.company(Tier.S, deposit=5_000), await club.company(Tier.S, deposit=5_000)
    await club.pair(payer, partner)
    await club.deal(payer, partner, 6_000, Mode.NETTING)
    assert (await club.refused(payer, payee, 4_001)).code == "over_company_limit"
    assert (await club.refused(payer, partner, 4_001, Mode.NETTING)).code == "over_company_limit"
    await club.deal(payer, payee, 4_000)


async def test_what_is_owed_after_a_day_still_counts_until_it_is_paid(club: Club, payee: CompanyId) -> None:
    payer = await club.company(Tier.S, deposit=5_000, funds=500)
    partner = await club.company(Tier.S, deposit=5_000)
    await club.pair(payer, partner)
    await club.deal(partner, payer, 4_000, Mode.NETTING)
    deal = await club.deal(payer, partner, 10_000, Mode.NETTING)
    assert deal.session_id is not None
    (row,) = (await club.close(deal.session_id)).settlements
    # 6,000 remain of 10,000: what was set off is no exposure any more.
    refused = await club.refused(payer, payee, 4_001)
    assert (refused.code, refused.most) == ("over_company_limit", Decimal(4_000))
    await club.paid(row.id)
    assert (await club.refused(payer, payee, 4_501)).most == Decimal(4_500)


async def test_the_limits_are_of_who_pays_not_of_who_offers(club: Club) -> None:
    rich, poor = await club.company(Tier.S, deposit=5_000), await club.company(Tier.S)
    assert isinstance(await club.accept(await club.offer(rich, 100), poor), Deal)
    refused = await club.accept(await club.offer(poor, 100), rich)
    assert isinstance(refused, Refusal)
    assert refused.code == "over_company_limit"


async def test_usdc_and_usdt_count_one_dollar_each(club: Club, payee: CompanyId) -> None:
    payer = await club.company(Tier.S)
    await club.deposit(payer, 2_000, USDC)
    await club.deal(payer, payee, 1_500)
    await club.deal(payer, payee, 2_500, asset=USDC)
    assert (await club.refused(payer, payee, 1)).most == 0


async def test_a_cancelled_deal_gives_its_room_back(club: Club, payee: CompanyId) -> None:
    payer = await club.company(Tier.S, deposit=5_000)
    deal = await club.deal(payer, payee, 10_000)
    assert (await club.refused(payer, payee, 1)).most == 0
    await club.deals.cancel(deal.id, payer, command(trader_of(payer), club.now))
    await club.deal(payer, payee, 10_000)
