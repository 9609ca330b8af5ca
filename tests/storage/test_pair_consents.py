"""Consents to trust pairs in a real database: nobody enables a pair that not both companies have said yes to."""

import asyncio

import msgspec
import pytest

from engine.errors import Refusal
from engine.ids import MemberId, PairId
from engine.money import UsdMicros
from engine.settlement.companies import Member, Role
from engine.settlement.trust_pairs import TrustPair
from storage.audit import Audit
from storage.database import Database
from storage.rows import AlreadyExistsDifferently
from tests.club import DOLLAR, NOON, Club, admin_of, command, fresh, trader_of


@pytest.fixture
def club(database: Database) -> Club:
    return Club(database)


async def agreed(club: Club) -> TrustPair:
    """Let an operator write down the terms of two companies that have not said anything yet."""
    smaller, larger = sorted([await club.company(deposit=1_000), await club.company(deposit=1_000)])
    limit = UsdMicros(10_000 * DOLLAR)
    pair = TrustPair(PairId(fresh("tp")), smaller, larger, limit, "17:00", "Europe/Warsaw", 10, True, NOON)
    assert await club.pairs.agree(pair, command("operator", club.now)) == pair
    return pair


async def say_yes(club: Club, pair: TrustPair, member: MemberId) -> TrustPair | Refusal:
    return await club.pairs.consent(pair.terms, command(member, club.now))


async def enable(club: Club, pair: TrustPair) -> TrustPair | Refusal:
    return await club.pairs.enable(pair.id, command("operator", club.now))


def refused(answer: TrustPair | Refusal) -> Refusal:
    assert isinstance(answer, Refusal), answer
    return answer


async def test_an_operator_alone_enables_no_pair(club: Club) -> None:
    pair = await agreed(club)
    refusal = refused(await enable(club, pair))
    assert refusal.code == "consent_missing"
    assert all(company in refusal.message for company in pair.companies)
    await say_yes(club, pair, admin_of(pair.a_company_id))
    refusal = refused(await enable(club, pair))
    assert pair.a_company_id not in refusal.message
    assert f"an ADMIN of {pair.b_company_id} consent" in refusal.allowed
    await say_yes(club, pair, admin_of(pair.b_company_id))
    enabled = await enable(club, pair)
    assert isinstance(enabled, TrustPair)
    assert enabled.enabled


async def test_a_yes_is_shown_with_who_gave_it_for_which_company(club: Club) -> None:
    pair = await agreed(club)
    await say_yes(club, pair, admin_of(pair.b_company_id))
    (given,) = await club.pairs.consents([pair])
    assert (given.pair_id, given.company_id, given.member_id) == (
        pair.id,
        pair.b_company_id,
        admin_of(pair.b_company_id),
    )


async def test_only_an_admin_of_one_of_the_two_companies_says_yes(club: Club) -> None:
    pair, third = await agreed(club), await club.company()
    for member in (trader_of(pair.a_company_id), admin_of(third), MemberId("operator")):
        assert refused(await say_yes(club, pair, member)).code == "not_an_admin"
    assert await club.pairs.consents([pair]) == []


async def test_a_pair_that_nobody_has_written_down_is_unknown(club: Club) -> None:
    pair = await agreed(club)
    unknown = msgspec.structs.replace(pair, id=PairId(fresh("tp")))
    assert refused(await say_yes(club, unknown, admin_of(pair.a_company_id))).code == "unknown_pair"


async def test_a_yes_to_other_terms_than_are_written_down_is_refused(club: Club) -> None:
    pair = await agreed(club)
    shown = msgspec.structs.replace(pair, daily_limit_usd=UsdMicros(DOLLAR))
    assert refused(await say_yes(club, shown, admin_of(pair.a_company_id))).code == "terms_changed"


async def test_changed_terms_void_every_yes_also_when_they_are_changed_back(club: Club) -> None:
    pair = await agreed(club)
    await club.consent(pair)
    other = msgspec.structs.replace(pair, reserve_pct=11)
    for terms in (other, pair):
        assert isinstance(await club.pairs.agree(terms, command("operator", club.now)), TrustPair)
        assert await club.pairs.consents([terms]) == []
        assert refused(await enable(club, terms)).code == "consent_missing"
    await club.consent(pair)
    assert isinstance(await enable(club, pair), TrustPair)


async def test_the_same_terms_said_again_void_nothing(club: Club) -> None:
    pair = await agreed(club)
    await club.consent(pair)
    await club.pairs.agree(pair, command("operator", club.now))
    assert isinstance(await enable(club, pair), TrustPair)


async def test_the_yes_of_who_is_an_admin_no_longer_does_not_count(club: Club) -> None:
    pair = await agreed(club)
    await club.consent(pair)
    await club.companies.set_roles(pair.a_company_id, admin_of(pair.a_company_id), [Role.TRADER], "operator")
    assert pair.a_company_id in refused(await enable(club, pair)).message
    assert [each.company_id for each in await club.pairs.consents([pair])] == [pair.b_company_id]


async def test_who_becomes_an_admin_of_the_other_company_has_not_said_yes_for_it(club: Club) -> None:
    pair = await agreed(club)
    member = MemberId(fresh("mb"))
    await club.companies.add_member(Member(member, "two hats", club.now))
    await club.companies.set_roles(pair.a_company_id, member, [Role.ADMIN], "operator")
    await say_yes(club, pair, member)
    await club.companies.set_roles(pair.b_company_id, member, [Role.ADMIN], "operator")
    assert pair.b_company_id in refused(await enable(club, pair)).message
    await say_yes(club, pair, member)
    assert isinstance(await enable(club, pair), TrustPair)


async def test_a_yes_that_is_said_twice_is_recorded_once(club: Club) -> None:
    pair = await agreed(club)
    said = command(admin_of(pair.a_company_id), club.now)
    for _ in range(2):
        assert await club.pairs.consent(pair.terms, said) == pair
    entries = (await Audit(club.database).page(target=f"pair:{pair.id}")).items
    assert [entry.command for entry in entries] == ["pair.consent", "pair.agree"]
    events = await club.database.rows(
        "SELECT payload FROM outbox WHERE topic = 'pair.consented' AND key = $1", pair.id
    )
    assert [event["payload"]["companies"] for event in events] == [[pair.a_company_id]]
    other = msgspec.structs.replace(pair.terms, reserve_pct=0)
    with pytest.raises(AlreadyExistsDifferently):
        await club.pairs.consent(other, said)


async def test_a_yes_and_a_change_at_the_same_moment_leave_no_yes_to_the_old_terms(club: Club) -> None:
    for _ in range(10):
        pair = await agreed(club)
        other = msgspec.structs.replace(pair, reserve_pct=50)
        await asyncio.gather(
            say_yes(club, pair, admin_of(pair.a_company_id)),
            say_yes(club, pair, admin_of(pair.b_company_id)),
            club.pairs.agree(other, command("operator", club.now)),
        )
        assert await club.pairs.consents([other]) == []
        assert refused(await enable(club, other)).code == "consent_missing"
