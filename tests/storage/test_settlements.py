"""The close of a day in a real database: netted, paid as far as the money goes, carried, and the same when dry."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from engine.errors import Refusal
from engine.ids import CompanyId, Instant, PairId, TrustSessionId
from engine.ledger import accounts
from engine.payments.payout import Purpose, payout_of_settlement
from engine.settlement.deals import Deal, Mode
from engine.settlement.eod import CarriedBecause, SettlementStatus
from storage import exposures
from storage.audit import Audit
from storage.database import Database
from storage.deals import Paid, on_paid
from storage.settlements import CloseReport, SettlementRow
from tests.club import DAY, DOLLAR, HOUR, NOON, USDC, USDT, Club, command, hot_wallet_of, wallet_of

CUTOFF = Instant(NOON + 4 * HOUR)


@pytest.fixture
def club(database: Database) -> Club:
    return Club(database)


async def net_of(
    club: Club, one: CompanyId, other: CompanyId, there: Sequence[int], back: Sequence[int] = ()
) -> tuple[list[Deal], TrustSessionId]:
    """Let one company sell to another, and the other back, in the session that is open; in whole USDT."""
    deals = [await club.deal(one, other, coins, Mode.NETTING) for coins in there]
    deals += [await club.deal(other, one, coins, Mode.NETTING) for coins in back]
    session = deals[0].session_id
    assert session is not None
    return deals, session


async def pair_with(club: Club, *, funds: int) -> tuple[CompanyId, CompanyId, PairId]:
    """Make a pair whose first company has free funds."""
    one = await club.company(deposit=100_000, funds=funds)
    other = await club.company(deposit=100_000)
    return one, other, await club.pair(one, other)


async def statuses(club: Club, deals: Sequence[Deal]) -> set[str]:
    found = [await club.deals.get(deal.id) for deal in deals]
    return {deal.status for deal in found if deal is not None}


async def owed(club: Club, company: CompanyId) -> int:
    async with club.database.transaction() as connection:
        listed = {asset.id: asset for asset in (USDT, USDC)}
        return await exposures.open_exposure(connection, company, listed) // DOLLAR


async def funds_of(club: Club, company: CompanyId) -> int:
    return await club.balance(accounts.funds(company, USDT.id)) // DOLLAR


def amounts(row: SettlementRow) -> tuple[int, int, int]:
    """Give what is owed, paid and carried, in whole coins."""
    return row.net_token // DOLLAR, row.amount_token // DOLLAR, row.carried_token // DOLLAR


async def test_a_days_deals_become_one_payout_of_the_difference(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=1_000)
    deals, session = await net_of(club, one, other, [500, 300], [200])
    (row,) = (await club.close(session)).settlements
    assert (row.payer_company_id, row.payee_company_id) == (one, other)
    assert amounts(row) == (600, 600, 0)
    assert (row.status, row.wallet_id, row.carried_because) == (SettlementStatus.QUEUED, wallet_of(other), "")
    assert await funds_of(club, one) == 400
    payout = await club.database.row("SELECT * FROM payout WHERE id = $1", row.payout_id)
    assert payout is not None
    assert (payout["purpose"], payout["purpose_id"]) == ("eod", row.id)
    assert (payout["company_id"], payout["payee_id"]) == (one, other)
    assert (payout["hot_wallet_id"], payout["wallet_id"]) == (hot_wallet_of(one), wallet_of(other))
    assert payout["amount_token"] == 600 * DOLLAR
    assert await statuses(club, deals) == {"netted"}
    assert (await owed(club, one), await owed(club, other)) == (600, 0)


async def test_a_paid_settlement_settles_its_deals_once(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=1_000)
    deals, session = await net_of(club, one, other, [500], [200])
    (row,) = (await club.close(session)).settlements
    await club.paid(row.id)
    tx = await club.database.value(
        "SELECT tx_hash FROM payout_task WHERE payout_id = $1", payout_of_settlement(row.id)
    )
    async with club.database.transaction() as connection:
        await on_paid(connection, [Paid(Purpose.EOD, row.id, tx)], Instant(club.now + DAY))
    assert await statuses(club, deals) == {"settled"}
    (paid,) = await club.settlements.of_session(session)
    assert (paid.status, paid.tx_hash, paid.settled_at_ms) == (SettlementStatus.SETTLED, tx, club.now)
    assert await owed(club, one) == 0


async def test_a_day_that_nets_to_nothing_is_settled_at_once_without_a_payout(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=0)
    deals, session = await net_of(club, one, other, [500], [300, 200])
    (row,) = (await club.close(session)).settlements
    assert amounts(row) == (0, 0, 0)
    assert (row.status, row.payout_id) == (SettlementStatus.SETTLED, None)
    assert await statuses(club, deals) == {"settled"}


async def test_each_asset_is_netted_by_itself(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=1_000)
    await club.funds(other, 1_000, USDC)
    deals, session = await net_of(club, one, other, [500])
    deals.append(await club.deal(other, one, 300, Mode.NETTING, USDC))
    by_asset = {row.token: row for row in (await club.close(session)).settlements}
    assert amounts(by_asset[USDT.id]) == (500, 500, 0)
    assert amounts(by_asset[USDC.id]) == (300, 300, 0)
    assert by_asset[USDC.id].payer_company_id == other
    await club.paid(by_asset[USDT.id].id)
    assert await statuses(club, deals[:1]) == {"settled"}
    assert await statuses(club, deals[1:]) == {"netted"}


async def test_who_is_short_pays_what_is_there_and_the_rest_the_next_day(club: Club) -> None:
    one, other, pair = await pair_with(club, funds=400)
    deals, session = await net_of(club, one, other, [1_000])
    (row,) = (await club.close(session)).settlements
    assert amounts(row) == (1_000, 400, 600)
    assert row.carried_because == CarriedBecause.SHORT
    await club.paid(row.id)
    assert await statuses(club, deals) == {"netted"}, "600 are still owed"
    assert await owed(club, one) == 600

    club.now = CUTOFF
    await club.funds(one, 5_000)
    later, tomorrow = await net_of(club, one, other, [50])
    assert tomorrow == f"{pair}:2025-11-23"
    (rest,) = (await club.close(tomorrow)).settlements
    assert amounts(rest) == (650, 650, 0)
    assert (rest.carried_from, rest.carried_in_token) == (row.id, 600 * DOLLAR)
    assert rest.since_ms == row.since_ms == CUTOFF
    assert await owed(club, one) == 650
    await club.paid(rest.id)
    assert await statuses(club, deals + later) == {"settled"}
    assert await owed(club, one) == 0


async def test_who_has_nothing_pays_nothing_and_no_payout_is_made(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=0)
    deals, session = await net_of(club, one, other, [1_000])
    (row,) = (await club.close(session)).settlements
    assert amounts(row) == (1_000, 0, 1_000)
    assert (row.status, row.payout_id, row.wallet_id) == (SettlementStatus.CARRIED, None, None)
    assert await statuses(club, deals) == {"netted"}
    assert await owed(club, one) == 1_000


async def test_a_day_without_deals_still_pays_what_was_carried_into_it(club: Club) -> None:
    one, other, pair = await pair_with(club, funds=0)
    deals, session = await net_of(club, one, other, [1_000])
    await club.close(session)
    await club.funds(one, 1_000)
    club.now = CUTOFF
    tomorrow = TrustSessionId(f"{pair}:2025-11-23")
    await club.open(tomorrow)
    (rest,) = (await club.close(tomorrow)).settlements
    assert amounts(rest) == (1_000, 1_000, 0)
    await club.paid(rest.id)
    assert await statuses(club, deals) == {"settled"}


async def test_deals_the_other_way_set_a_carried_rest_off(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=0)
    await club.funds(other, 1_000)
    deals, session = await net_of(club, one, other, [1_000])
    await club.close(session)
    club.now = CUTOFF
    later, tomorrow = await net_of(club, other, one, [1_300])
    (row,) = (await club.close(tomorrow)).settlements
    assert row.payer_company_id == other
    assert amounts(row) == (300, 300, 0)
    assert row.carried_in_token == -1_000 * DOLLAR
    assert row.since_ms == CUTOFF + DAY, "who owes now has owed since today"
    assert (await owed(club, one), await owed(club, other)) == (0, 300)
    await club.paid(row.id)
    assert await statuses(club, deals + later) == {"settled"}


async def test_an_earlier_payout_on_its_way_keeps_its_own_day_open_and_no_later_one(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=400)
    first, session = await net_of(club, one, other, [1_000])
    (row,) = (await club.close(session)).settlements
    club.now = CUTOFF
    await club.funds(one, 600)
    second, tomorrow = await net_of(club, one, other, [100], [100])
    (rest,) = (await club.close(tomorrow)).settlements
    await club.paid(rest.id)
    assert await statuses(club, second) == {"settled"}
    assert await statuses(club, first) == {"netted"}, "the first payout is not confirmed yet"
    await club.paid(row.id)
    assert await statuses(club, first) == {"settled"}


async def test_where_debts_compete_the_oldest_is_paid_first_and_then_the_larger(club: Club) -> None:
    payer = await club.company(deposit=100_000)
    old, large, small = [await club.company() for _ in range(3)]
    pairs = [await club.pair(payer, payee) for payee in (old, large, small)]
    await club.close((await net_of(club, payer, old, [100]))[1])
    club.now = CUTOFF
    sessions = [TrustSessionId(f"{pairs[0]}:2025-11-23")]
    await club.open(sessions[0])
    sessions += [(await net_of(club, payer, large, [500]))[1], (await net_of(club, payer, small, [300]))[1]]
    await club.funds(payer, 700)
    report = await club.close(*sessions)
    assert [row.payee_company_id for row in report.settlements] == [old, large, small]
    assert [amounts(row) for row in report.settlements] == [(100, 100, 0), (500, 500, 0), (300, 100, 200)]


async def test_a_payee_without_an_active_address_is_paid_when_it_has_one(club: Club) -> None:
    one, other, pair = await pair_with(club, funds=1_000)
    _, session = await net_of(club, one, other, [500])
    await club.revoke(wallet_of(other))
    (row,) = (await club.close(session)).settlements
    assert amounts(row) == (500, 0, 500)
    assert row.carried_because == CarriedBecause.NO_WALLET
    assert await funds_of(club, one) == 1_000
    club.now = CUTOFF
    fresh = await club.wallet(other, USDT, wallet_of(other, USDT) + "_2", CUTOFF)
    tomorrow = TrustSessionId(f"{pair}:2025-11-23")
    await club.open(tomorrow)
    (rest,) = (await club.close(tomorrow)).settlements
    assert (amounts(rest), rest.wallet_id) == ((500, 500, 0), fresh)


async def test_an_address_that_was_just_added_does_not_draw_the_payout_to_itself(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=1_000)
    _, session = await net_of(club, one, other, [500])
    await club.wallet(other, USDT, wallet_of(other) + "_new", Instant(NOON - HOUR))
    await club.database.row("UPDATE wallet SET active_from_ms = $2 WHERE id = $1", wallet_of(other), NOON - DAY)
    (row,) = (await club.close(session)).settlements
    assert row.wallet_id == wallet_of(other)


async def test_a_payout_that_is_refused_is_carried_and_leaves_its_money_with_the_payer(club: Club) -> None:
    payer = await club.company(deposit=100_000, funds=500)
    large, small = await club.company(), await club.company()
    await club.pair(payer, large)
    await club.pair(payer, small)
    sessions = [(await net_of(club, payer, large, [500]))[1], (await net_of(club, payer, small, [300]))[1]]
    await club.database.rows("DELETE FROM payout_policy WHERE token = $1 RETURNING token", USDT.id)
    report = await club.close(*sessions)
    assert [row.carried_because for row in report.settlements] == [CarriedBecause.REFUSED] * 2
    assert await funds_of(club, payer) == 500
    assert await club.database.value("SELECT count(*) FROM payout WHERE company_id = $1", payer) == 0


async def test_a_dry_run_says_what_the_real_one_does_and_changes_nothing(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=400)
    _, session = await net_of(club, one, other, [1_000], [200])
    before = await _everything(club)
    dry = await club.settlements.dry_run([session], club.now, "operator")
    assert await _everything(club) == before
    assert dry == await club.close(session)
    assert await _everything(club) != before


async def _everything(club: Club) -> list[object]:
    """Read all rows of all tables that a close could touch."""
    names = [
        "eod_settlement",
        "deal",
        "trust_session",
        "trust_reserve",
        "payout",
        "payout_task",
        "ledger_transfer",
        "ledger_hold",
        "ledger_account",
        "audit",
        "outbox",
        "club_command",
    ]
    return [await club.database.rows(f"SELECT * FROM {name} ORDER BY 1, 2") for name in names]


async def test_a_dry_run_refuses_what_the_real_one_refuses(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=0)
    _, _ = await net_of(club, one, other, [100])
    club.now = CUTOFF
    _, tomorrow = await net_of(club, one, other, [100])
    dry = await club.settlements.dry_run([tomorrow], club.now, "operator")
    assert isinstance(dry, Refusal)
    assert dry == await club.settlements.close([tomorrow], command("operator", club.now))


async def test_days_are_closed_in_their_order(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=0)
    _, today = await net_of(club, one, other, [100])
    club.now = CUTOFF
    _, tomorrow = await net_of(club, one, other, [100])
    refused = await club.settlements.close([tomorrow], command("operator", club.now))
    assert isinstance(refused, Refusal)
    assert refused.code == "earlier_session_open"
    assert today in refused.allowed
    await club.close(today)
    await club.close(tomorrow)


async def test_an_unknown_session_is_a_mistake(club: Club) -> None:
    with pytest.raises(KeyError):
        await club.close(TrustSessionId("tp_none:2025-11-22"))


async def test_closing_again_gives_the_same_report_and_pays_nothing_more(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=1_000)
    _, session = await net_of(club, one, other, [500])
    said = command("operator", club.now)
    first = await club.settlements.close([session], said)
    assert await club.settlements.close([session], said) == first
    assert await club.close(session) == first
    assert await funds_of(club, one) == 500


async def test_of_two_who_close_at_once_one_does_and_both_get_the_report(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=1_000)
    _, session = await net_of(club, one, other, [500])
    reports = await asyncio.gather(*(club.close(session) for _ in range(3)))
    assert reports[0] == reports[1] == reports[2]
    assert await funds_of(club, one) == 500


async def test_a_deal_and_a_close_at_once_leave_no_deal_behind(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=10_000)
    _, session = await net_of(club, one, other, [10])
    offers = [await club.offer(one, 10) for _ in range(4)]
    answers = await asyncio.gather(
        *(club.accept(offer, other, Mode.NETTING) for offer in offers[:2]),
        club.close(session),
        *(club.accept(offer, other, Mode.NETTING) for offer in offers[2:]),
    )
    report = next(answer for answer in answers if isinstance(answer, CloseReport))
    joined = [answer for answer in answers if isinstance(answer, Deal) and answer.session_id == session]
    assert report.settlements[0].net_token == (1 + len(joined)) * 10 * DOLLAR


async def test_what_was_closed_never_changes(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=1_000)
    _, session = await net_of(club, one, other, [500])
    (row,) = (await club.close(session)).settlements
    for statement in (
        "UPDATE eod_settlement SET net_token = 1, amount_token = 1 WHERE id = $1",
        "UPDATE eod_settlement SET payee_company_id = payer_company_id WHERE id = $1",
        "DELETE FROM eod_settlement WHERE id = $1",
    ):
        with pytest.raises(asyncpg.PostgresError):
            async with club.database.transaction() as connection:
                await connection.execute(statement, row.id)


async def test_a_close_is_written_with_its_audit_entry_and_its_event(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=1_000)
    _, session = await net_of(club, one, other, [500])
    await club.close(session)
    entry = (await Audit(club.database).page(target=f"session:{session}")).items[0]
    assert (entry.actor, entry.command) == ("operator", "session.close")
    assert entry.after["settlements"][0]["amount_token"] == str(500 * DOLLAR)
    event = await club.database.row("SELECT payload FROM outbox WHERE topic = 'session' AND key = $1", session)
    assert event is not None
    assert event["payload"]["settlements"][0]["payer_company_id"] == one


async def test_the_net_can_be_watched_during_the_day(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=0)
    _, session = await net_of(club, one, other, [500], [200])
    (net,) = await club.settlements.net_now(session)
    assert (net.payer, net.units) == (one, 300 * DOLLAR)


async def test_a_settlement_over_the_cap_of_one_transfer_is_split(club: Club) -> None:
    one = await club.company(deposit=1_000_000, funds=450_000)
    other = await club.company()
    await club.companies.set_tier(one, "XL", "operator")
    await club.pair(one, other, limit=500_000)
    _, session = await net_of(club, one, other, [450_000])
    (row,) = (await club.close(session)).settlements
    parts = await club.database.rows(
        "SELECT amount_token FROM payout_task WHERE payout_id = $1 ORDER BY part", row.payout_id
    )
    assert [int(part["amount_token"]) // DOLLAR for part in parts] == [200_000, 200_000, 50_000]


async def test_the_companies_over_their_limits_raise_an_alarm_until_they_are_not(club: Club) -> None:
    one, other, _ = await pair_with(club, funds=0)
    await net_of(club, one, other, [30_000])
    await club.companies.set_tier(one, "S", "operator")
    async with club.database.transaction() as connection:
        assert one in await exposures.watch(connection, club.tiers, club.now)
        assert one in await exposures.watch(connection, club.tiers, club.now)
    alarm = "SELECT count(*) FROM alarm WHERE kind = 'over_limit' AND subject = $1 AND cleared_at_ms IS NULL"
    assert await club.database.value(alarm, one) == 1
    await club.companies.set_tier(one, "M", "operator")
    async with club.database.transaction() as connection:
        assert one not in await exposures.watch(connection, club.tiers, club.now)
    assert await club.database.value(alarm, one) == 0
