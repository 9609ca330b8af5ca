"""The doors for money that no block will ever explain: two operators book it, and the alarm ends by itself."""

import asyncio
import itertools
from pathlib import Path

import msgspec
import pytest

from engine.errors import Refusal
from engine.ids import CorrectionId, Instant
from engine.ledger import accounts
from engine.money import AssetId
from engine.payments.corrections import PROPOSAL_LIFE_MS, Correction, CorrectionKind, NewCorrection
from engine.payments.freeze import Scope
from engine.payments.payout import payout_of_deal
from storage.audit import Audit
from storage.club_commands import Command
from storage.corrections import Corrections
from storage.database import Database
from storage.freezes import Freezes
from storage.ledger import Ledger
from storage.payout_decisions import Decisions
from storage.rows import AlreadyExistsDifferently
from tests.payouts.world import ANNA, COIN, HOT, PAYER, TRX, USDT
from tests.scenarios.settlement_world import SettlementWorld

OPENING, LOSS = CorrectionKind.OPENING_BALANCE, CorrectionKind.PROVED_LOSS
ADA, BEN, CLEO = "operator:ada", "operator:ben", "operator:cleo"
_numbers = itertools.count(1)


@pytest.fixture
async def world(own_database: Database, tmp_path: Path) -> SettlementWorld:
    return await SettlementWorld(own_database, tmp_path).begin()


def command(world: SettlementWorld, actor: str, id: str = "") -> Command:
    return Command(actor, id or f"c{next(_numbers)}", world.now)


def new(kind: CorrectionKind, units: int, token: AssetId = TRX, tx: str = "") -> NewCorrection:
    return NewCorrection(CorrectionId(f"bc_{next(_numbers)}"), kind, HOT, token, tx, units, "we have looked")


async def proposed(world: SettlementWorld, asked: NewCorrection) -> Correction:
    answer = await Corrections(world.database).propose(asked, command(world, ADA))
    assert isinstance(answer, Correction), answer
    return answer


async def confirm(world: SettlementWorld, correction: CorrectionId, by: str = BEN) -> Correction | Refusal:
    return await Corrections(world.database).confirm(correction, command(world, by))


def refused(answer: Correction | Refusal) -> Refusal:
    assert isinstance(answer, Refusal), answer
    return answer


async def compared(world: SettlementWorld) -> None:
    """Let what has happened become final, and the reconciler look twice: a balance counts the second time."""
    await world.go_on(6)
    await world.reconciled()
    world.now = Instant(world.now + 20_000)
    await world.go_on(1)
    await world.reconciled()


async def units(world: SettlementWorld, account: accounts.Account) -> int:
    return (await Ledger(world.database).balance(account)).units


async def test_a_stolen_amount_is_booked_as_lost_by_two_operators_and_the_alarm_ends(
    world: SettlementWorld,
) -> None:
    theft = world.steal(3 * COIN)
    await compared(world)
    assert await world.alarms() == ["reconciliation_break"]

    asked = await proposed(world, new(LOSS, 3 * COIN, tx=theft))
    await compared(world)
    assert await world.alarms() == ["reconciliation_break"], "one operator books nothing"
    booked = await confirm(world, asked.id)

    assert isinstance(booked, Correction)
    assert (booked.proposed_by, booked.confirmed_by) == (ADA, BEN)
    assert await units(world, accounts.losses(TRX)) == 3 * COIN
    assert (await world.books())[TRX] == world.chain_says()[TRX]
    await compared(world)
    assert await world.alarms() == []
    frozen = await world.database.value("SELECT count(*) FROM payout_freeze WHERE lifted_at_ms IS NULL")
    assert frozen == 1, "safe mode ends when two people lift it, not by itself"


async def test_what_lay_there_before_we_began_is_booked_as_the_owners_and_the_alarm_ends(
    world: SettlementWorld,
) -> None:
    world.devnet.set_balance(world.hot_address, 100_250 * COIN)
    before = await units(world, accounts.owner(TRX))
    await compared(world)
    assert await world.alarms() == ["reconciliation_break"]

    asked = await proposed(world, new(OPENING, 250 * COIN))
    assert isinstance(await confirm(world, asked.id), Correction)

    assert await units(world, accounts.owner(TRX)) == before + 250 * COIN
    assert (await world.books())[TRX] == world.chain_says()[TRX]
    await compared(world)
    assert await world.alarms() == []


async def test_coin_that_went_where_no_block_tells_is_booked_without_a_transaction(world: SettlementWorld) -> None:
    world.devnet.set_balance(world.hot_address, 99_000 * COIN)
    await compared(world)

    asked = await proposed(world, new(LOSS, 1_000 * COIN))
    assert isinstance(await confirm(world, asked.id), Correction)

    await compared(world)
    assert await world.alarms() == []


async def test_the_operator_who_proposed_does_not_confirm(world: SettlementWorld) -> None:
    theft = world.steal(3 * COIN)
    await compared(world)
    asked = await proposed(world, new(LOSS, 3 * COIN, tx=theft))
    for _ in range(2):
        assert refused(await confirm(world, asked.id, ADA)).code == "same_operator"
    assert await units(world, accounts.losses(TRX)) == 0


async def test_more_than_the_difference_is_refused_with_what_it_is(world: SettlementWorld) -> None:
    theft = world.steal(3 * COIN)
    await compared(world)
    corrections = Corrections(world.database)
    for asked in (
        new(LOSS, 3 * COIN + 1, tx=theft),
        new(LOSS, 1),
        new(LOSS, 1, tx="another"),
        new(LOSS, 1, token=USDT, tx=theft),
        new(OPENING, 1),
    ):
        assert refused(await corrections.propose(asked, command(world, ADA))).code == "no_such_difference"
    most = refused(await corrections.propose(new(LOSS, 4 * COIN, tx=theft), command(world, ADA)))
    assert (most.most, most.allowed) == (3, "at most 3 TRX")


async def test_where_nothing_was_compared_yet_there_is_no_difference(world: SettlementWorld) -> None:
    world.devnet.set_balance(world.hot_address, 99_000 * COIN)
    answer = await Corrections(world.database).propose(new(LOSS, 1), command(world, ADA))
    assert refused(answer).code == "no_such_difference"


async def test_a_difference_is_booked_once_however_many_proposals_name_it(world: SettlementWorld) -> None:
    theft = world.steal(3 * COIN)
    await compared(world)
    asked = [await proposed(world, new(LOSS, 2 * COIN, tx=theft)) for _ in range(4)]
    # No comparison in between: what was booked a moment ago counts at once.
    answers = await asyncio.gather(*(confirm(world, each.id) for each in asked))
    codes = sorted(each.code for each in answers if isinstance(each, Refusal))
    assert codes == ["no_such_difference"] * 3
    assert await units(world, accounts.losses(TRX)) == 2 * COIN
    await compared(world)
    assert await world.alarms() == ["reconciliation_break"], "a third of it is still open"
    rest = await proposed(world, new(LOSS, 1 * COIN, tx=theft))
    assert isinstance(await confirm(world, rest.id), Correction)
    await compared(world)
    assert await world.alarms() == []


async def test_a_booked_loss_does_not_hide_the_next_theft(world: SettlementWorld) -> None:
    first = world.steal(3 * COIN)
    await compared(world)
    asked = await proposed(world, new(LOSS, 3 * COIN, tx=first))
    await confirm(world, asked.id)
    await compared(world)
    world.steal(3 * COIN)
    await compared(world)
    assert await world.alarms() == ["reconciliation_break"]


async def test_a_proposal_that_the_next_comparison_has_outdated_books_nothing(world: SettlementWorld) -> None:
    world.devnet.set_balance(world.hot_address, 99_000 * COIN)
    await compared(world)
    asked = await proposed(world, new(LOSS, 1_000 * COIN))
    world.devnet.set_balance(world.hot_address, 100_000 * COIN)
    await compared(world)
    assert refused(await confirm(world, asked.id)).code == "no_such_difference"


async def test_an_old_proposal_is_to_be_made_again(world: SettlementWorld) -> None:
    theft = world.steal(3 * COIN)
    await compared(world)
    asked = await proposed(world, new(LOSS, 3 * COIN, tx=theft))
    late = Command(BEN, "late", Instant(world.now + PROPOSAL_LIFE_MS + 1))
    answer = await Corrections(world.database).confirm(asked.id, late)
    assert refused(answer).code == "proposal_expired"


async def test_commands_that_are_said_twice_happen_once_and_are_recorded_once(world: SettlementWorld) -> None:
    theft = world.steal(3 * COIN)
    await compared(world)
    corrections, asked = Corrections(world.database), new(LOSS, 3 * COIN, tx=theft)
    propose, agree = command(world, ADA), command(world, BEN)
    for _ in range(2):
        assert isinstance(await corrections.propose(asked, propose), Correction)
    answers = [await corrections.confirm(asked.id, agree) for _ in range(2)]
    assert answers[0] == answers[1]
    assert refused(await confirm(world, asked.id, CLEO)).code == "already_booked"
    assert [each.id for each in await corrections.newest()] == [asked.id]
    assert await units(world, accounts.losses(TRX)) == 3 * COIN
    entries = (await Audit(world.database).page(target=f"correction:{asked.id}")).items
    assert [(entry.actor, entry.command) for entry in entries if entry.after.get("refused") is None] == [
        (BEN, "correction.confirm"),
        (ADA, "correction.propose"),
    ]
    with pytest.raises(AlreadyExistsDifferently):
        await corrections.propose(msgspec.structs.replace(asked, amount_token=1), propose)


async def test_what_waiting_payouts_hold_is_booked_as_lost_only_when_they_are_given_up(
    world: SettlementWorld,
) -> None:
    deal = await world.deal(5 * COIN)
    await Freezes(world.database).enter(Scope.GLOBAL, "", "we look into it", command(world, ADA))
    world.pay_in(5 * COIN)
    await world.go_on()
    theft = world.steal_token(5 * COIN)
    await compared(world)
    asked = await proposed(world, new(LOSS, 5 * COIN, token=USDT, tx=theft))
    assert refused(await confirm(world, asked.id)).code == "insufficient"

    payout = payout_of_deal(deal.id)
    assert await Decisions(world.database).give_up(payout, "the money is gone", world.says(ANNA)) is None
    assert isinstance(await confirm(world, asked.id), Correction)

    assert await units(world, accounts.funds(PAYER, USDT)) == 5 * COIN, "what the company owns stays as it is"
    assert await world.books() == world.chain_says()
    await compared(world)
    assert await world.alarms() == []


async def test_a_loss_is_made_good_from_the_treasury_and_no_company_gains_by_it(world: SettlementWorld) -> None:
    world.pay_in(5 * COIN)
    await world.go_on()
    theft = world.steal_token(5 * COIN)
    await compared(world)
    asked = await proposed(world, new(LOSS, 5 * COIN, token=USDT, tx=theft))
    assert isinstance(await confirm(world, asked.id), Correction)
    owned = await units(world, accounts.owner(USDT))
    assert world.chain_says()[USDT] == 0

    world.pay_in(5 * COIN, who="treasury")
    await compared(world)

    assert await units(world, accounts.funds(PAYER, USDT)) == 5 * COIN
    assert await units(world, accounts.owner(USDT)) == owned + 5 * COIN
    assert (await world.books())[USDT] == world.chain_says()[USDT] == 5 * COIN
    assert await world.alarms() == []


async def test_what_is_not_there_is_refused_by_its_name(world: SettlementWorld) -> None:
    corrections = Corrections(world.database)
    missing = msgspec.structs.replace(new(LOSS, 1), hot_wallet_id="hw_nowhere")
    assert refused(await corrections.propose(missing, command(world, ADA))).code == "unknown_wallet"
    unlisted = new(LOSS, 1, token=AssetId("tron:NONE"))
    assert refused(await corrections.propose(unlisted, command(world, ADA))).code == "unknown_token"
    assert refused(await confirm(world, CorrectionId("bc_none"))).code == "unknown_correction"
