"""What the seeds promise about payouts (S10, and P5 to P8 of the design), in their words."""

import asyncio
import time
from pathlib import Path

import pytest

from engine.errors import Refusal
from engine.payments.freeze import Scope
from engine.payments.payout import Purpose, TaskState, WaitsFor
from storage.address_book import AddressBook, NewWallet
from storage.club_commands import Command
from storage.database import Database
from storage.freezes import Freezes
from storage.payout_decisions import Decisions
from tests.payouts.world import (
    ANNA,
    BORIS,
    COIN,
    DAY_MS,
    PAYEE,
    PAYER,
    STRANGER,
    USDT,
    VERA,
    WALLET,
    World,
    address,
)


@pytest.fixture
async def world(own_database: Database, tmp_path: Path) -> World:
    """Give a club in which payouts need no approval."""
    return await World(own_database, tmp_path).open()


@pytest.fixture
async def careful(own_database: Database, tmp_path: Path) -> World:
    """Give a club in which a payout takes two approvals."""
    return await World(own_database, tmp_path).open(approvals=2)


async def test_a_payout_goes_from_queued_through_signing_and_broadcast_to_confirmed(careful: World) -> None:
    world = careful
    signer = await world.signer()
    wish = world.wish(250 * COIN, initiator=str(VERA))
    await world.ask(wish)
    assert (await world.payout(wish.id)).state is TaskState.QUEUED
    assert (await signer.turn()).waits == {WaitsFor.APPROVALS: 1}
    assert (await signer.turn()).waits == {}, "it is looked at again when somebody decides, or after a pause"
    for who in (ANNA, BORIS):
        assert await Decisions(world.database).approve(wish.fields, PAYER, world.says(who)) is None
    await world.settle(signer)
    row = await world.payout(wish.id)
    assert row.state is TaskState.CONFIRMED
    assert world.transfers_to(world.payee_address) == [250 * COIN]
    topics = await world.database.rows("SELECT topic FROM outbox WHERE topic LIKE 'payout.%' ORDER BY id")
    assert [each["topic"] for each in topics] == [
        "payout.queued",
        "payout.approved",
        "payout.approved",
        "payout.signing",
        "payout.broadcast",
        "payout.attempt_ended",
    ]
    audited = await world.database.rows(
        "SELECT actor, command FROM audit WHERE target LIKE 'payout%' ORDER BY seq"
    )
    assert [tuple(each) for each in audited] == [
        (VERA, "payout.request"),
        (ANNA, "payout.approve"),
        (BORIS, "payout.approve"),
        ("engine", "payout.signing"),
        ("engine", "payout.broadcast"),
        ("engine", "payout.attempt_ended"),
    ]


async def test_payout_to_a_new_address_is_refused(world: World) -> None:
    """Seed 000: «Allow-list: запрет payout на новый адрес»."""
    unlisted = world.wish(to_address=address("new"))
    answer = (await world.ask(unlisted))[0]
    assert isinstance(answer, Refusal)
    assert answer.code == "not_allowed"

    added = await AddressBook(world.database).add(
        NewWallet(type(WALLET)("wa_new"), PAYEE, unlisted.network, USDT, address("new")), 1, world.says(VERA)
    )
    assert not isinstance(added, Refusal)
    unproved = world.wish(to_address=address("new"), wallet_id=added.id, purpose=Purpose.WITHDRAWAL)
    answer = (await world.ask(unproved, is_funded=False))[0]
    assert isinstance(answer, Refusal)
    assert "only a proved address is paid" in answer.message
    assert await world.database.value("SELECT count(*) FROM payout") == 0

    # A deal's money that has come already is queued, and yet not signed before the address is proved.
    deal = world.wish(to_address=address("new"), wallet_id=added.id)
    assert await world.ask(deal) == [deal.id]
    signer = await world.signer()
    assert (await signer.turn()).waits == {WaitsFor.NOT_ALLOWED: 1}


async def test_an_address_that_cools_off_is_not_paid_before_its_time(world: World) -> None:
    wallet = await world.add_wallet("young", active_from_ms=world.now + DAY_MS)
    world.devnet.give_trx(address("young"), COIN)
    wish = world.wish(to_address=address("young"), wallet_id=wallet)
    await world.ask(wish)
    signer = await world.signer()
    assert (await signer.turn()).waits == {WaitsFor.COOLING_OFF: 1}
    world.now = type(world.now)(world.now + DAY_MS)
    world.produce(25)
    await world.settle(signer)
    assert world.transfers_to(address("young")) == [100 * COIN]


async def test_an_address_that_is_revoked_between_approval_and_signature_is_not_paid(careful: World) -> None:
    world = careful
    payout = await world.pay()
    for who in (ANNA, BORIS):
        await Decisions(world.database).approve(await world.fields(payout), PAYER, world.says(who))
    await AddressBook(world.database).revoke(WALLET, world.says(VERA))
    signer = await world.signer()
    await world.settle(signer, rounds=2)
    assert (await world.payout(payout)).tasks[0].waits_for is WaitsFor.NOT_ALLOWED
    assert world.transfers_to(world.payee_address) == []


async def test_only_an_approver_approves_and_never_the_one_who_asked(careful: World) -> None:
    world = careful
    wish = world.wish(initiator=ANNA)
    await world.ask(wish)
    decisions = Decisions(world.database)
    by_initiator = await decisions.approve(wish.fields, PAYER, world.says(ANNA))
    by_stranger = await decisions.approve(wish.fields, PAYER, world.says(STRANGER))
    assert by_initiator is not None
    assert by_initiator.code == "approver_is_initiator"
    assert by_stranger is not None
    assert by_stranger.code == "not_an_approver"
    assert await decisions.approve(wish.fields, PAYER, world.says(BORIS)) is None
    signer = await world.signer()
    assert (await signer.turn()).waits == {WaitsFor.APPROVALS: 1}


async def test_a_changed_destination_voids_the_approvals(careful: World) -> None:
    world = careful
    other = await world.add_wallet("other")
    signer = await world.signer()
    payout = await world.pay()
    decisions, seen = Decisions(world.database), await world.fields(payout)
    for who in (ANNA, BORIS):
        assert await decisions.approve(seen, PAYER, world.says(who)) is None
    assert await decisions.redirect(payout, other, world.says(ANNA)) is None
    assert (await world.payout(payout)).approved_by == []
    assert (await signer.turn()).waits == {WaitsFor.APPROVALS: 1}

    stale = await decisions.approve(seen, PAYER, world.says(BORIS))
    assert stale is not None
    assert stale.code == "fields_changed"
    # Anna has changed it, so it is her wish now, and two others would have to say yes.
    by_her = await decisions.approve(await world.fields(payout), PAYER, world.says(ANNA))
    assert by_her is not None
    assert by_her.code == "approver_is_initiator"


async def test_an_approval_that_is_given_while_the_signer_looks_is_seen_at_its_next_look(careful: World) -> None:
    """Not only when the pause is over that it takes before it looks again at what lacks approvals."""
    world = careful
    signer = await world.signer()
    wish = world.wish()
    await world.ask(wish)
    decisions = Decisions(world.database)
    assert await decisions.approve(wish.fields, PAYER, world.says(ANNA)) is None
    async with asyncio.TaskGroup() as group, world.database.transaction() as connection:
        # Every decision writes to the audit last: this one is made, and not committed before the signer looks.
        await connection.execute("SELECT FROM audit_head FOR UPDATE")
        group.create_task(decisions.approve(wish.fields, PAYER, world.says(BORIS)))
        while not await world.database.value("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        look = group.create_task(signer.turn())
        await asyncio.wait({look}, timeout=0.5)
    assert look.result().waits == {WaitsFor.APPROVALS: 1}
    assert (await signer.turn()).signed == 1


async def test_one_approval_covers_all_parts_of_a_split(careful: World) -> None:
    world = careful
    payout = await world.pay(450_000 * COIN)
    for who in (ANNA, BORIS):
        await Decisions(world.database).approve(await world.fields(payout), PAYER, world.says(who))
    signer = await world.signer()
    assert (await signer.turn()).signed == 3
    await world.settle(signer)
    assert sorted(world.transfers_to(world.payee_address)) == [50_000 * COIN, 200_000 * COIN, 200_000 * COIN]


@pytest.mark.parametrize(
    ("scope", "subject"),
    [(Scope.GLOBAL, ""), (Scope.NETWORK, "tron"), (Scope.WALLET, "hw_payer"), (Scope.COMPANY, PAYER)],
)
async def test_a_freeze_is_in_force_within_a_second(world: World, scope: Scope, subject: str) -> None:
    """While payouts stream in and are signed as fast as they can be: after one second nothing more is signed."""
    signer = await world.signer()
    is_over = False
    has_begun = asyncio.Event()

    async def stream() -> None:
        while not is_over:
            if await count() >= 10:
                has_begun.set()
            await world.ask(*(world.wish(COIN) for _ in range(5)))
            await signer.turn()
            world.produce(1)

    async def count() -> int:
        return int(await world.database.value("SELECT count(*) FROM payout_attempt"))

    streaming = asyncio.create_task(stream())
    await has_begun.wait()
    entered = time.monotonic()
    await Freezes(world.database).enter(scope, subject, "drill", Command(ANNA, "drill", world.now))
    in_force_s = time.monotonic() - entered
    await asyncio.sleep(0.3)
    at_rest = await count()
    sent = world.devnet.requests["broadcasthex"]
    await asyncio.sleep(0.7)
    assert await count() == at_rest
    is_over = True
    await streaming
    assert in_force_s < 1
    assert sent > 0
    assert await world.database.value("SELECT count(*) FROM payout_task WHERE waits_for = 'frozen'") > 0
