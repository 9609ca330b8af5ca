"""Trust pairs in a real database: what enabling reserves, what disabling gives back, when terms may change."""

from decimal import Decimal

import asyncpg
import msgspec
import pytest

from engine.errors import Refusal
from engine.ids import CompanyId, Instant, PairId, TrustSessionId
from engine.ledger import accounts
from engine.money import UsdMicros
from engine.settlement.companies import CompanyStatus
from engine.settlement.deals import Mode
from engine.settlement.tiers import Tier
from engine.settlement.trust_pairs import TrustPair
from storage import trust_sessions
from storage.database import Database
from tests.club import DOLLAR, HOUR, NOON, USDC, USDT, Club, command, fresh


@pytest.fixture
def club(database: Database) -> Club:
    return Club(database)


async def two(club: Club, deposit: int = 10_000) -> tuple[CompanyId, CompanyId]:
    return await club.company(Tier.M, deposit=deposit), await club.company(Tier.M, deposit=deposit)


async def reserved(club: Club, company: CompanyId) -> tuple[int, int]:
    """Give what is left of a deposit and what is reserved, in whole USDT."""
    deposit = await club.balance(accounts.deposit(company, USDT.id))
    reserve = await club.balance(accounts.reserve(company, USDT.id))
    return deposit // DOLLAR, reserve // DOLLAR


def operator(club: Club) -> command:
    return command("operator", club.now)


async def test_enabling_reserves_a_part_of_the_daily_limit_on_both_sides(club: Club) -> None:
    one, other = await two(club)
    await club.pair(one, other, limit=20_000, reserve_pct=20)
    assert await reserved(club, one) == (6_000, 4_000)
    assert await reserved(club, other) == (6_000, 4_000)


async def test_the_reserve_reduces_what_the_deposit_gives(club: Club) -> None:
    one, other = await two(club)
    await club.pair(one, other, limit=20_000, reserve_pct=20)
    refused = await club.refused(one, other, 18_001)
    assert (refused.code, refused.most) == ("over_company_limit", Decimal(18_000))


async def test_a_pair_that_one_side_cannot_back_stays_disabled_and_nothing_is_reserved(club: Club) -> None:
    one, other = await club.company(deposit=10_000), await club.company(deposit=1_000)
    pair = await club.pair(one, other, limit=20_000, reserve_pct=20, enable=False)
    refused = await club.pairs.enable(pair, operator(club))
    assert isinstance(refused, Refusal)
    assert refused.code == "deposit_too_small"
    assert "fund 3,000 USD more deposit" in refused.allowed
    assert await reserved(club, one) == (10_000, 0)
    assert await reserved(club, other) == (1_000, 0)
    assert (await club.refused(one, other, 1, Mode.NETTING)).code == "pair_disabled"


async def test_what_is_held_of_a_deposit_is_not_reserved(club: Club) -> None:
    one, other = await two(club)
    await club.hold(one, 6_001)
    pair = await club.pair(one, other, limit=20_000, reserve_pct=20, enable=False)
    assert isinstance(await club.pairs.enable(pair, operator(club)), Refusal)


async def test_a_reserve_is_taken_from_both_stablecoins_the_fuller_first(club: Club) -> None:
    one, other = await club.company(), await club.company(deposit=10_000)
    await club.deposit(one, 1_000, USDT)
    await club.deposit(one, 3_500, USDC)
    await club.pair(one, other, limit=20_000, reserve_pct=20)
    assert await club.balance(accounts.reserve(one, USDC.id)) == 3_500 * DOLLAR
    assert await club.balance(accounts.reserve(one, USDT.id)) == 500 * DOLLAR


async def test_disabling_gives_the_reserve_back_and_enabling_takes_it_again(club: Club) -> None:
    one, other = await two(club)
    pair = await club.pair(one, other, limit=20_000, reserve_pct=20)
    for _ in range(2):
        disabled = await club.pairs.disable(pair, operator(club))
        assert isinstance(disabled, TrustPair)
        assert not disabled.enabled
        assert await reserved(club, one) == (10_000, 0)
        assert isinstance(await club.pairs.enable(pair, operator(club)), TrustPair)
        assert await reserved(club, one) == (6_000, 4_000)


async def test_switching_twice_is_switching_once(club: Club) -> None:
    one, other = await two(club)
    pair = await club.pair(one, other, limit=20_000, reserve_pct=20)
    again = await club.pairs.enable(pair, operator(club))
    assert isinstance(again, TrustPair)
    assert again.reserve_round == 1
    assert await reserved(club, one) == (6_000, 4_000)
    for _ in range(2):
        await club.pairs.disable(pair, operator(club))
    assert await reserved(club, one) == (10_000, 0)


async def test_a_disabled_pair_keeps_its_reserve_until_neither_side_owes(club: Club) -> None:
    one, other = await two(club)
    await club.funds(one, 1_000)
    pair = await club.pair(one, other, limit=20_000, reserve_pct=20)
    deal = await club.deal(one, other, 1_000, Mode.NETTING)
    await club.pairs.disable(pair, operator(club))
    assert (await club.refused(one, other, 1, Mode.NETTING)).code == "pair_disabled"
    assert await reserved(club, one) == (6_000, 4_000)
    assert deal.session_id is not None
    (settlement,) = (await club.close(deal.session_id)).settlements
    assert await reserved(club, one) == (6_000, 4_000), "the payout is on its way"
    await club.paid(settlement.id)
    assert await reserved(club, one) == (10_000, 0)
    assert await reserved(club, other) == (10_000, 0)


async def test_a_pair_enabled_again_before_it_is_quits_keeps_its_reserve(club: Club) -> None:
    one, other = await two(club)
    pair = await club.pair(one, other, limit=20_000, reserve_pct=20)
    await club.deal(one, other, 1_000, Mode.NETTING)
    await club.pairs.disable(pair, operator(club))
    enabled = await club.pairs.enable(pair, operator(club))
    assert isinstance(enabled, TrustPair)
    assert enabled.reserve_round == 1
    assert await reserved(club, one) == (6_000, 4_000)


async def test_the_terms_of_a_pair_change_only_while_it_is_disabled(club: Club) -> None:
    one, other = await two(club)
    pair = await club.pair(one, other, limit=20_000, reserve_pct=20)
    terms = await club.pairs.get(pair)
    assert terms is not None
    higher = msgspec.structs.replace(terms, daily_limit_usd=UsdMicros(40_000 * DOLLAR))
    refused = await club.pairs.agree(higher, operator(club))
    assert isinstance(refused, Refusal)
    assert refused.code == "pair_in_use"
    await club.pairs.disable(pair, operator(club))
    changed = await club.pairs.agree(higher, operator(club))
    assert isinstance(changed, TrustPair)
    assert (changed.daily_limit_usd, changed.enabled) == (40_000 * DOLLAR, False)
    await club.consent(changed)
    await club.pairs.enable(pair, operator(club))
    assert await reserved(club, one) == (2_000, 8_000)


async def test_two_companies_have_one_pair(club: Club) -> None:
    one, other = await two(club)
    await club.pair(one, other)
    second = _pair(one, other)
    refused = await club.pairs.agree(second, operator(club))
    assert isinstance(refused, Refusal)
    assert refused.code == "pair_exists"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tz": "Europe/Warszawa"}, "unknown_zone"),
        ({"cutoff_local": "24:30"}, "bad_cutoff"),
        ({"daily_limit_usd": 0}, "not_positive"),
        ({"reserve_pct": 101}, "bad_reserve"),
    ],
)
async def test_a_pair_that_makes_no_sense_is_refused(club: Club, change: dict[str, object], code: str) -> None:
    one, other = await two(club)
    refused = await club.pairs.agree(msgspec.structs.replace(_pair(one, other), **change), operator(club))
    assert isinstance(refused, Refusal)
    assert refused.code == code


async def test_a_company_has_no_pair_with_itself_and_the_smaller_id_comes_first(club: Club) -> None:
    one, other = sorted(await two(club))
    for pair in (
        _pair(one, one),
        msgspec.structs.replace(_pair(one, other), a_company_id=other, b_company_id=one),
    ):
        refused = await club.pairs.agree(pair, operator(club))
        assert isinstance(refused, Refusal)
        assert refused.code == "bad_pair"


async def test_a_suspended_company_enables_no_pair(club: Club) -> None:
    one, other = await two(club)
    pair = await club.pair(one, other, enable=False)
    await club.companies.set_status(one, CompanyStatus.SUSPENDED, "operator")
    refused = await club.pairs.enable(pair, operator(club))
    assert isinstance(refused, Refusal)
    assert refused.code == "company_suspended"


def _pair(one: CompanyId, other: CompanyId) -> TrustPair:
    smaller, larger = sorted((one, other))
    limit = UsdMicros(DOLLAR)
    return TrustPair(PairId(fresh("tp")), smaller, larger, limit, "17:00", "Europe/Warsaw", 10, True, NOON)


# ---------------------------------------------------------------------- the pair's days


async def test_a_netting_deal_joins_the_session_whose_hours_it_is(club: Club) -> None:
    one, other = await two(club)
    pair = await club.pair(one, other)
    deal = await club.deal(one, other, 100, Mode.NETTING)
    assert deal.session_id == f"{pair}:2025-11-22"
    assert (deal.wallet_id, deal.hot_wallet_id, deal.deadline_ms) == (None, None, None)


async def test_a_deal_at_the_cutoff_joins_the_next_session(club: Club) -> None:
    one, other = await two(club)
    pair = await club.pair(one, other)
    cutoff = NOON + 4 * HOUR  # 17:00 in Warsaw
    club.now = Instant(cutoff - 1)
    assert (await club.deal(one, other, 100, Mode.NETTING)).session_id == f"{pair}:2025-11-22"
    club.now = Instant(cutoff)
    assert (await club.deal(one, other, 100, Mode.NETTING)).session_id == f"{pair}:2025-11-23"


async def test_after_a_close_by_hand_a_deal_of_the_same_day_joins_the_next_session(club: Club) -> None:
    one, other = await two(club)
    pair = await club.pair(one, other)
    first = await club.deal(one, other, 100, Mode.NETTING)
    assert first.session_id is not None
    await club.close(first.session_id)
    assert (await club.deal(one, other, 100, Mode.NETTING)).session_id == f"{pair}:2025-11-23"


async def test_the_gross_of_a_session_stays_within_the_daily_limit(club: Club) -> None:
    one, other = await two(club)
    await club.pair(one, other, limit=1_000)
    await club.deal(one, other, 600, Mode.NETTING)
    refused = await club.refused(other, one, 500, Mode.NETTING)
    assert (refused.code, refused.most) == ("over_pair_daily_limit", Decimal(400))
    await club.deal(other, one, 400, Mode.NETTING)
    await club.deal(other, one, 500)  # By itself it is no part of the pair's day.


async def test_a_refused_deal_opens_no_session(club: Club) -> None:
    one, other = await two(club)
    pair = await club.pair(one, other, limit=10)
    await club.refused(one, other, 11, Mode.NETTING)
    async with club.database.transaction() as connection:
        assert await trust_sessions.get(connection, TrustSessionId(f"{pair}:2025-11-22")) is None


async def test_a_deal_is_not_moved_into_a_closed_session_nor_out_of_one(club: Club) -> None:
    one, other = await two(club)
    await club.pair(one, other)
    deal = await club.deal(one, other, 100, Mode.NETTING)
    assert deal.session_id is not None
    await club.close(deal.session_id)
    with pytest.raises(asyncpg.PostgresError, match="is closed"):
        async with club.database.transaction() as connection:
            await connection.execute(
                'INSERT INTO deal SELECT (jsonb_populate_record(deal, \'{"id": "de_x"}\')).* '
                "FROM deal WHERE id = $1",
                deal.id,
            )
    with pytest.raises(asyncpg.PostgresError, match="are agreed"):
        async with club.database.transaction() as connection:
            await connection.execute("UPDATE deal SET session_id = NULL WHERE id = $1", deal.id)
    with pytest.raises(asyncpg.PostgresError, match="append-only"):
        async with club.database.transaction() as connection:
            await connection.execute(
                "UPDATE trust_session SET status = 'open', closed_at_ms = NULL WHERE id = $1", deal.session_id
            )
