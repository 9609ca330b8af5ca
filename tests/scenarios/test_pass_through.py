"""Pass-through from end to end: a transfer comes in on the chain, is matched, and goes out to the payee."""

from pathlib import Path

import pytest

from engine.ledger import accounts
from engine.payments.freeze import Scope
from engine.payments.payout import payout_of_deal
from engine.payments.velocity import PayoutPolicy
from storage.database import Database
from storage.freezes import Freezes
from storage.incoming import Incoming
from storage.ledger import Ledger
from storage.payout_decisions import Decisions
from storage.suspense import Suspense
from tests.payouts.world import ANNA, COIN, PAYER, USDT, VERA
from tests.scenarios.settlement_world import SettlementWorld


@pytest.fixture
async def world(own_database: Database, tmp_path: Path) -> SettlementWorld:
    return await SettlementWorld(own_database, tmp_path).begin()


async def test_an_incoming_trc20_transfer_becomes_a_confirmed_payout_1_usdt_canary(world: SettlementWorld) -> None:
    deal = await world.deal(1 * COIN)
    before = world.devnet.token_balance("USDT", world.payee_address)

    world.pay_in(1 * COIN)
    await world.go_on()

    assert await world.status(deal) == "settled"
    assert world.transfers_to(world.payee_address) == [1 * COIN]
    assert world.devnet.token_balance("USDT", world.payee_address) == before + 1 * COIN
    assert await world.books() == world.chain_says()
    assert await world.alarms() == []


async def test_nothing_is_credited_before_its_block_is_final(world: SettlementWorld) -> None:
    deal = await world.deal(5 * COIN)
    world.pay_in(5 * COIN)
    world.produce(world.devnet.rules.solid_lag)

    await world.watcher.turn()
    assert await world.status(deal) == "awaiting_incoming"

    world.produce(1)
    await world.watcher.turn()
    assert await world.status(deal) == "paying"


async def test_fifty_deals_paid_in_one_block_are_all_settled_and_the_books_are_the_chain(
    world: SettlementWorld,
) -> None:
    deals = [await world.deal((10 + n) * COIN) for n in range(50)]
    for n in range(50):
        world.pay_in((10 + n) * COIN)

    await world.go_on()

    assert {await world.status(deal) for deal in deals} == {"settled"}
    assert sorted(world.transfers_to(world.payee_address)) == [(10 + n) * COIN for n in range(50)]
    assert await world.books() == world.chain_says()


async def test_a_watcher_that_was_away_reads_on_where_it_stopped(world: SettlementWorld) -> None:
    deal = await world.deal(5 * COIN)
    world.pay_in(5 * COIN)
    world.produce(700)
    world.watcher = await world.new_watcher()

    await world.go_on()

    assert await world.status(deal) == "settled"
    assert await world.cursor_number() == world.devnet.solid_number


async def test_a_second_transfer_for_one_deal_stays_with_the_payer(world: SettlementWorld) -> None:
    deal = await world.deal(5 * COIN)
    world.pay_in(5 * COIN)
    world.pay_in(5 * COIN)

    await world.go_on()

    assert await world.status(deal) == "settled"
    assert world.transfers_to(world.payee_address) == [5 * COIN]
    assert await world.balance("funds:co_payer:tron:USDT") == (5 * COIN, 0)


async def test_another_token_of_the_same_name_pays_nothing(world: SettlementWorld) -> None:
    deal = await world.deal(5 * COIN)
    world.devnet.tokens["false USDT"] = world.devnet.deploy_token("Tether USD", "USDT")
    world.devnet.give_token("false USDT", world.hot_address, 5 * COIN)

    await world.go_on(6)

    assert await world.status(deal) == "awaiting_incoming"
    assert await world.database.value("SELECT reason FROM incoming_tx") == "wrong_token"
    assert await world.books() == world.chain_says()


async def test_a_late_transfer_goes_back_to_the_payers_own_wallet(world: SettlementWorld) -> None:
    deal = await world.deal(5 * COIN)
    await world.database.rows("UPDATE deal SET status = 'expired', ended_at_ms = $1 RETURNING 1", world.now)
    before = world.devnet.token_balance("USDT", world.outside)
    world.pay_in(5 * COIN)

    await world.go_on()

    assert await world.status(deal) == "expired"
    assert world.devnet.token_balance("USDT", world.outside) == before
    assert await world.books() == world.chain_says()
    assert await world.balance("suspense:hw_payer:tron:USDT") == (0, 0)


async def test_coin_that_leaves_without_a_signature_of_ours_stops_the_address(world: SettlementWorld) -> None:
    deal = await world.deal(5 * COIN)
    world.steal(3 * COIN)
    world.pay_in(5 * COIN)

    await world.go_on()

    assert await world.alarms() == ["reconciliation_break"]
    assert await world.status(deal) == "paying"
    assert world.transfers_to(world.payee_address) == []


async def test_books_and_chain_agree_at_every_moment_however_far_each_of_us_has_come(
    world: SettlementWorld,
) -> None:
    for n in range(12):
        await world.deal((10 + n) * COIN)
    explained = set()
    for n in range(60):
        if n < 36 and n % 3 == 0:
            world.pay_in((10 + n // 3) * COIN)
        world.produce(1)
        # Now the signer is ahead of the watcher, now behind; now both are behind the chain.
        if n % 5 in (0, 3):
            await world.watcher.turn()
        if n % 7 in (0, 1, 2):
            await world.signer_.turn()
        for row in await world.reconciled():
            assert row.unexplained_units == 0, row
            explained |= {each.why for each in row.explained}

    assert await world.alarms() == []
    assert {"came_since", "paid_since", "in_flight", "fee_since"} <= explained


async def test_what_no_signature_explains_is_a_break_in_the_reconciliation_too(world: SettlementWorld) -> None:
    world.steal(3 * COIN)
    await world.go_on(6)

    rows = {row.token: row for row in await world.reconciled()}

    assert [(each.why, each.units) for each in rows["tron:TRX"].explained] == [("not_ours", -3 * COIN)]
    assert rows["tron:TRX"].unexplained_units == 0
    assert await world.alarms() == ["reconciliation_break"]


async def test_money_that_no_block_explains_stops_the_address_at_the_second_look(world: SettlementWorld) -> None:
    world.devnet.set_balance(world.hot_address, 1 * COIN)
    await world.go_on(6)

    (doubtful,) = [row for row in await world.reconciled() if row.unexplained_units]
    assert await world.alarms() == []

    world.now += 20_000
    await world.go_on(1)
    await world.reconciled()

    assert doubtful.unexplained_units == -(100_000 - 1) * COIN
    assert await world.alarms() == ["reconciliation_break"]
    assert await world.database.value("SELECT subject FROM payout_freeze WHERE scope = 'wallet'") == "hw_payer"


async def test_a_deal_whose_payout_is_given_up_is_off_and_its_money_is_the_payers_again(
    world: SettlementWorld,
) -> None:
    deal = await world.deal(5 * COIN)
    await Freezes(world.database).enter(Scope.COMPANY, PAYER, "called off", world.says(ANNA, "freeze"))
    world.pay_in(5 * COIN)
    await world.go_on()
    payout = payout_of_deal(deal.id)
    decisions, funds = Decisions(world.database), accounts.funds(PAYER, USDT)
    before = await Ledger(world.database).balance(funds)

    assert await decisions.give_up(payout, "called off by both", world.says(ANNA, "off")) is None
    assert await decisions.give_up(payout, "called off by both", world.says(ANNA, "off")) is None

    assert await world.status(deal) == "cancelled"
    assert (await Ledger(world.database).balance(funds)).available == before.available + 5 * COIN
    assert world.transfers_to(world.payee_address) == []


async def test_a_deal_that_was_given_up_and_gets_its_money_again_is_paid_by_another_payout(
    world: SettlementWorld,
) -> None:
    deal = await world.deal(5 * COIN)
    freezes = Freezes(world.database)
    freeze = await freezes.enter(Scope.COMPANY, PAYER, "a question", world.says(ANNA, "freeze"))
    world.pay_in(5 * COIN)
    await world.go_on()
    decisions = Decisions(world.database)
    assert await decisions.give_up(payout_of_deal(deal.id), "a question", world.says(ANNA, "off")) is None
    for who in (ANNA, VERA):
        await freezes.lift(freeze, world.says(who, f"lift {who}"))
    # Another deal waits for more than this, so the transfer waits for a person.
    await world.deal(9 * COIN)
    world.pay_in(5 * COIN)
    await world.go_on()
    (short,) = [row for row in (await Incoming(world.database).page()).items if row.place == "suspense"]

    again = await Suspense(world.database).to_deal([short.id], deal.id, world.says(ANNA, "after all"))
    await world.go_on()

    assert again == f"{payout_of_deal(deal.id)}~2"
    assert await world.status(deal) == "settled"
    assert world.transfers_to(world.payee_address) == [5 * COIN]


async def test_the_block_of_a_given_up_deals_money_may_vanish_without_harm(world: SettlementWorld) -> None:
    deal = await world.deal(5 * COIN)
    await Freezes(world.database).enter(Scope.COMPANY, PAYER, "a question", world.says(ANNA, "freeze"))
    before = await Ledger(world.database).balance(accounts.funds(PAYER, USDT))
    world.pay_in(5 * COIN)
    await world.go_on(rounds=6)
    decisions = Decisions(world.database)
    assert await decisions.give_up(payout_of_deal(deal.id), "a question", world.says(ANNA, "off")) is None

    depth = world.devnet.head.number - 20
    world.devnet.fork(depth, drop_share=1.0, rewrite_solid=True)
    world.produce(30)
    await world.go_on()

    assert await world.status(deal) == "cancelled"
    assert (await Ledger(world.database).balance(accounts.funds(PAYER, USDT))) == before


async def test_what_is_not_paid_of_a_given_up_deal_is_the_payers_again(world: SettlementWorld) -> None:
    decisions = Decisions(world.database)
    policy = PayoutPolicy(USDT, cap_units=3 * COIN, approvals=0, window_ms=86_400_000, window_units=3 * COIN)
    await decisions.set_policy(policy, world.says(ANNA, "policy"))
    deal = await world.deal(5 * COIN)
    before = await Ledger(world.database).balance(accounts.funds(PAYER, USDT))
    world.pay_in(5 * COIN)
    await world.go_on()
    assert world.transfers_to(world.payee_address) == [3 * COIN]

    assert await decisions.give_up(payout_of_deal(deal.id), "enough", world.says(ANNA, "off")) is None

    funds = await Ledger(world.database).balance(accounts.funds(PAYER, USDT))
    assert funds.available == before.available + 2 * COIN
    assert await world.status(deal) == "cancelled"
