"""Payouts as rows: asking, approving, redirecting, giving up, and who comes first when two come at once."""

import asyncio

import asyncpg
import msgspec
import pytest

from engine.errors import Refusal
from engine.ids import HotWalletId, Instant, MemberId, WalletId
from engine.ledger import templates
from engine.money import AssetId, Network
from engine.payments.allowlist import AllowListPolicy, Standing, standing
from engine.payments.freeze import Scope
from engine.payments.payout import Purpose, TaskState, WaitsFor
from engine.payments.velocity import PayoutPolicy
from storage import address_book, alarms, freezes, ledger, payouts
from storage.address_book import AddressBook, NewWallet
from storage.alarms import Alarms
from storage.audit import Audit
from storage.freezes import Freezes
from storage.invariants.payouts import PAYOUTS
from storage.payout_decisions import Decisions
from storage.rows import AlreadyExistsDifferently
from tests.payouts.world import (
    ANNA,
    BORIS,
    COIN,
    DAY_MS,
    HOT,
    PAYEE,
    PAYER,
    STRANGER,
    USDT,
    VERA,
    WALLET,
    World,
    address,
)

pytest_plugins = ["tests.payouts.fixtures"]


def code(answer: object) -> str:
    return answer.code if isinstance(answer, Refusal) else ""


# ---------------------------------------------------------------------- asking


async def test_asking_twice_gives_the_payout_that_exists(world: World) -> None:
    wish = world.wish(10 * COIN)
    assert await world.ask(wish) == [wish.id]
    assert await world.ask(wish, is_funded=False) == [wish.id]
    assert await world.balance(f"clearing:{wish.purpose_id}:{USDT}") == (10 * COIN, 10 * COIN)
    with pytest.raises(AlreadyExistsDifferently):
        await world.ask(msgspec.structs.replace(wish, units=11 * COIN), is_funded=False)


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"token": AssetId("tron:TRX")}, "asset_not_paid"),
        ({"to_address": address("thief")}, "not_allowed"),
        ({"wallet_id": WalletId("wa_nobody")}, "not_allowed"),
        ({"payee_id": PAYER}, "not_allowed"),
        ({"hot_wallet_id": HotWalletId("hw_nobody")}, "wrong_hot_wallet"),
        ({"company_id": PAYEE}, "wrong_hot_wallet"),
        ({"units": 100 * COIN + 1}, "insufficient"),
    ],
)
async def test_what_may_not_be_paid_leaves_nothing_behind(
    world: World, changed: dict[str, object], refusal: str
) -> None:
    good = world.wish(100 * COIN)
    async with world.database.transaction() as connection:
        credited = templates.incoming_to_deal(
            HOT,
            good.purpose_id,
            USDT,
            100 * COIN,
            0,
            "in",
            world.now,  # type: ignore[arg-type]
        )
        await ledger.post(connection, credited)
    answers = await world.ask(msgspec.structs.replace(good, **changed), is_funded=False)
    assert [code(answer) for answer in answers] == [refusal]
    assert await world.database.value("SELECT count(*) FROM payout") == 0
    assert await world.balance(f"clearing:{good.purpose_id}:{USDT}") == (100 * COIN, 0)


async def test_one_that_is_refused_does_not_take_the_others_with_it(world: World) -> None:
    good, bad, other = world.wish(), world.wish(to_address=address("thief")), world.wish()
    answers = await world.ask(good, bad, other)
    assert [code(answer) or answer for answer in answers] == [good.id, "not_allowed", other.id]


@pytest.mark.parametrize("units", [-1, 0, 1])
async def test_around_the_cap_the_parts_are_held_to_the_unit(world: World, units: int) -> None:
    cap = 200_000 * COIN
    payout = await world.pay(cap + units)
    row = await world.payout(payout)
    assert [task.amount_token for task in row.tasks] == ([cap, 1] if units == 1 else [cap + units])
    assert await world.balance(f"clearing:{row.purpose_id}:{USDT}") == (cap + units, cap + units)


async def test_if_one_part_cannot_be_held_none_is(world: World) -> None:
    wish = world.wish(400_000 * COIN)
    async with world.database.transaction() as connection:
        credited = templates.incoming_to_deal(
            HOT,
            wish.purpose_id,
            USDT,
            300_000 * COIN,
            0,
            "in",
            world.now,  # type: ignore[arg-type]
        )
        await ledger.post(connection, credited)
    assert [code(answer) for answer in await world.ask(wish, is_funded=False)] == ["insufficient"]
    assert await world.balance(f"clearing:{wish.purpose_id}:{USDT}") == (300_000 * COIN, 0)


async def test_a_withdrawal_comes_out_of_funds_and_a_refund_out_of_suspense(world: World) -> None:
    async with world.database.transaction() as connection:
        await ledger.post(connection, templates.incoming_to_funds(HOT, PAYER, USDT, 50, "in:1", world.now))
        await ledger.post(connection, templates.incoming_to_suspense(HOT, USDT, 60, "in:2", world.now))
    withdrawal = world.wish(50, purpose=Purpose.WITHDRAWAL)
    refund = world.wish(60, purpose=Purpose.REFUND)
    assert await world.ask(withdrawal, refund, is_funded=False) == [withdrawal.id, refund.id]
    assert await world.balance(f"funds:{PAYER}:{USDT}") == (50, 50)
    assert await world.balance(f"suspense:{HOT}:{USDT}") == (60, 60)


async def test_two_who_ask_for_the_same_payout_at_once_get_one(world: World) -> None:
    wish = world.wish()
    await world.ask(wish)
    answers = await asyncio.gather(*(world.ask(wish, is_funded=False) for _ in range(4)))
    assert answers == [[wish.id]] * 4
    assert await world.database.value("SELECT count(*) FROM payout_task") == 1


# ---------------------------------------------------------------------- approving


async def need(world: World, approvals: int) -> None:
    async with world.database.transaction() as connection:
        policy = PayoutPolicy(USDT, 200_000 * COIN, approvals, DAY_MS, 5_000_000 * COIN)
        await payouts.put_policy(connection, policy, world.now)


async def test_two_approvers_at_once_both_count(world: World) -> None:
    await need(world, 2)
    payout = await world.pay()
    signer = await world.signer()
    assert (await signer.turn()).waits == {WaitsFor.APPROVALS: 1}
    decisions, fields = Decisions(world.database), await world.fields(payout)
    answers = await asyncio.gather(
        decisions.approve(fields, PAYER, world.says(ANNA)), decisions.approve(fields, PAYER, world.says(BORIS))
    )
    assert answers == [None, None]
    assert sorted((await world.payout(payout)).approved_by) == [ANNA, BORIS]
    assert (await signer.turn()).signed == 1


async def test_one_approver_twice_is_one(world: World) -> None:
    await need(world, 2)
    payout = await world.pay()
    decisions, fields = Decisions(world.database), await world.fields(payout)
    for _ in range(3):
        assert await decisions.approve(fields, PAYER, world.says(ANNA)) is None
    signer = await world.signer()
    assert (await signer.turn()).signed == 0


async def test_the_same_command_again_is_the_same_approval_and_another_is_refused(world: World) -> None:
    payout = await world.pay()
    decisions, fields = Decisions(world.database), await world.fields(payout)
    assert await decisions.approve(fields, PAYER, world.says(ANNA, "cmd")) is None
    assert await decisions.approve(fields, PAYER, world.says(ANNA, "cmd")) is None
    changed = msgspec.structs.replace(fields, units=1)
    with pytest.raises(AlreadyExistsDifferently):
        await decisions.approve(changed, PAYER, world.says(ANNA, "cmd"))
    entries = await Audit(world.database).page(target=f"payout:{payout}")
    assert [entry.command for entry in entries.items] == ["payout.approve", "payout.request"]


async def test_approvals_may_come_before_the_payout_and_only_fit_this_one(world: World) -> None:
    await need(world, 1)
    wish = world.wish(500 * COIN)
    assert await Decisions(world.database).approve(wish.fields, PAYER, world.says(ANNA)) is None
    signer = await world.signer()
    await world.ask(wish)
    assert (await signer.turn()).signed == 1

    other = world.wish(500 * COIN)
    less = msgspec.structs.replace(other.fields, units=499 * COIN)
    assert await Decisions(world.database).approve(less, PAYER, world.says(ANNA)) is None
    await world.ask(other)
    assert (await signer.turn()).waits[WaitsFor.APPROVALS] == 1


async def test_who_is_no_approver_any_longer_does_not_count_any_longer(world: World) -> None:
    await need(world, 1)
    payout = await world.pay()
    await Decisions(world.database).approve(await world.fields(payout), PAYER, world.says(BORIS))
    await world.database.rows("DELETE FROM company_member WHERE member_id = $1 RETURNING 1", BORIS)
    signer = await world.signer()
    assert (await signer.turn()).waits == {WaitsFor.APPROVALS: 1}


@pytest.mark.tampers
async def test_a_field_changed_behind_our_back_voids_the_approvals(world: World) -> None:
    await need(world, 1)
    payout = await world.pay()
    await Decisions(world.database).approve(await world.fields(payout), PAYER, world.says(ANNA))
    thief = await world.add_wallet("thief")
    await world.database.rows(
        "UPDATE payout SET to_address = $2, wallet_id = $3 WHERE id = $1 RETURNING 1",
        payout,
        address("thief"),
        thief,
    )
    signer = await world.signer()
    await world.settle(signer, rounds=2)
    assert (await world.payout(payout)).tasks[0].waits_for is WaitsFor.NOT_ALLOWED
    assert world.transfers_to(address("thief")) == []


@pytest.mark.parametrize(
    ("who", "refusal"), [(STRANGER, "not_an_approver"), (VERA, "not_an_approver"), (ANNA, "approver_is_initiator")]
)
async def test_who_may_not_approve_is_told_why(world: World, who: MemberId, refusal: str) -> None:
    wish = world.wish(initiator=ANNA)
    await world.ask(wish)
    answer = await Decisions(world.database).approve(wish.fields, PAYER, world.says(who))
    assert code(answer) == refusal


async def test_a_destination_that_cools_off_is_not_approved_yet(world: World) -> None:
    wallet = await world.add_wallet("new", active_from_ms=world.now + DAY_MS)
    wish = world.wish(wallet_id=wallet, to_address=address("new"))
    assert await world.ask(wish) == [wish.id]
    answer = await Decisions(world.database).approve(wish.fields, PAYER, world.says(ANNA))
    assert code(answer) == "cooling_off"


# ---------------------------------------------------------------------- redirecting and giving up


async def test_a_redirected_payout_goes_to_the_new_address_only(world: World) -> None:
    other = await world.add_wallet("other")
    world.devnet.give_trx(address("other"), COIN)
    world.produce(1)
    signer = await world.signer()
    payout = await world.pay()
    assert await Decisions(world.database).redirect(payout, other, world.says(ANNA)) is None
    await world.settle(signer)
    assert (world.transfers_to(world.payee_address), world.transfers_to(address("other"))) == ([], [100 * COIN])


async def test_what_is_signed_is_neither_redirected_nor_given_up(world: World) -> None:
    other = await world.add_wallet("other")
    signer = await world.signer()
    payout = await world.pay()
    await signer.turn()
    decisions = Decisions(world.database)
    assert code(await decisions.redirect(payout, other, world.says(ANNA))) == "already_signed"
    assert code(await decisions.give_up(payout, "no", world.says(ANNA))) == "still_alive"


async def test_what_is_given_up_frees_its_money_and_is_never_paid(world: World) -> None:
    signer = await world.signer()
    payout = await world.pay()
    purpose = (await world.payout(payout)).purpose_id
    decisions = Decisions(world.database)
    assert code(await decisions.give_up(payout, "no", world.says(STRANGER))) == "not_an_approver"
    assert await decisions.give_up(payout, "called off", world.says(ANNA, "cmd")) is None
    assert await decisions.give_up(payout, "called off", world.says(ANNA, "cmd")) is None
    assert code(await decisions.give_up(payout, "again", world.says(ANNA))) == "already_over"
    assert (await world.payout(payout)).state is TaskState.FAILED
    assert await world.balance(f"clearing:{purpose}:{USDT}") == (100 * COIN, 0)
    await world.settle(signer, rounds=3)
    assert world.transfers_to(world.payee_address) == []


async def test_giving_up_and_signing_at_once_ends_one_way_or_the_other(world: World) -> None:
    signer = await world.signer()
    for _ in range(6):
        payout = await world.pay()
        report, answer = await asyncio.gather(
            signer.turn(), Decisions(world.database).give_up(payout, "race", world.says(ANNA))
        )
        state = (await world.payout(payout)).state
        if answer is None:
            assert (report.signed, state) == (0, TaskState.FAILED)
        else:
            assert (report.signed, code(answer), state) == (1, "still_alive", TaskState.BROADCAST)
        world.produce(2)


async def test_a_payout_that_does_not_exist_is_named_so(world: World) -> None:
    answer = await Decisions(world.database).give_up(world.wish().id, "no", world.says(ANNA))
    assert code(answer) == "unknown_payout"


# ---------------------------------------------------------------------- rules at signing


async def test_a_cap_that_was_lowered_holds_for_what_is_queued(world: World) -> None:
    signer = await world.signer()
    payout = await world.pay(100 * COIN)
    policy = PayoutPolicy(USDT, 99 * COIN, 0, DAY_MS, 5_000_000 * COIN)
    await Decisions(world.database).set_policy(policy, world.says(ANNA))
    await signer.turn()
    assert (await world.payout(payout)).tasks[0].waits_for is WaitsFor.OVER_CAP


async def test_no_more_than_the_window_allows_is_signed_even_in_one_batch(world: World) -> None:
    signer = await world.signer()
    await Decisions(world.database).set_policy(
        PayoutPolicy(USDT, 200_000 * COIN, 0, DAY_MS, 250 * COIN), world.says(ANNA)
    )
    await world.ask(*(world.wish(100 * COIN) for _ in range(4)))
    report = await signer.turn()
    assert (report.signed, report.waits[WaitsFor.OVER_VELOCITY]) == (2, 2)
    await world.settle(signer, rounds=6)
    assert len(world.transfers_to(world.payee_address)) == 2
    world.now = type(world.now)(world.now + DAY_MS)
    world.produce(25)
    assert (await signer.turn()).signed == 2


async def test_two_live_attempts_of_one_task_cannot_be_written(world: World) -> None:
    """The last line: even a signer that has lost its mind meets the index."""
    signer = await world.signer()
    await world.pay()
    await signer.turn()
    with pytest.raises(asyncpg.UniqueViolationError):
        await world.database.rows(
            """
            INSERT INTO payout_attempt (task_id, n, network, hot_wallet_id, epoch, tx_id, intent, signed,
                timestamp_ms, expires_at_ms, reference_number, status, signed_at_ms)
            SELECT task_id, n + 1, network, hot_wallet_id, epoch, 'other', intent, signed, timestamp_ms + 1,
                expires_at_ms, reference_number, status, signed_at_ms FROM payout_attempt RETURNING 1
            """
        )


# ---------------------------------------------------------------------- the address book


def new_wallet(name: str) -> NewWallet:
    return NewWallet(WalletId(f"wa_{name}"), PAYEE, Network.TRON, USDT, address(name), f"the wallet of {name}")


async def test_an_address_becomes_active_by_its_proof_and_its_cooling_off(world: World) -> None:
    book = AddressBook(world.database, AllowListPolicy(challenge_ms=1_000, cooling_off_ms=5_000))
    row = await book.add(new_wallet("new"), 7, world.says(VERA, "cmd"))
    assert not isinstance(row, Refusal)
    assert row == await book.add(new_wallet("new"), 8, world.says(VERA, "cmd"))
    assert row.challenge_units == 10_007
    async with world.database.transaction() as connection:
        assert await address_book.active_wallet(connection, row.id, world.now) is None
        assert [each.id for each in await address_book.challenges(connection, [PAYEE], world.now)] == [row.id]
        assert await address_book.prove(connection, row.id, world.now)
        assert not await address_book.prove(connection, row.id, world.now)
        later = type(world.now)(world.now + 5_000)
        assert await address_book.active_wallet(connection, row.id, type(later)(later - 1)) is None
        assert (await address_book.active_wallet(connection, row.id, later)) is not None
        assert await address_book.challenges(connection, [PAYEE], world.now) == []


async def test_an_address_is_listed_once_and_revoked_for_ever(world: World) -> None:
    book = AddressBook(world.database)
    again = msgspec.structs.replace(new_wallet("payee"), id=WalletId("wa_again"))
    assert code(await book.add(again, 1, world.says(VERA))) == "address_is_listed"
    revoked = await book.revoke(WALLET, world.says(VERA))
    assert not isinstance(revoked, Refusal)
    assert standing(revoked, world.now) is Standing.REVOKED
    assert not isinstance(await book.add(again, 1, world.says(VERA)), Refusal)
    assert [row.id for row in await book.of_company(PAYEE)] == ["wa_again"]


async def test_only_the_companys_own_people_change_its_list(world: World) -> None:
    book = AddressBook(world.database)
    for who in (ANNA, STRANGER):
        assert code(await book.add(new_wallet("new"), 1, world.says(who))) == "not_allowed"
        assert code(await book.revoke(WALLET, world.says(who))) == "not_allowed"
    renamed = await book.rename(WALLET, "cold storage", world.says(VERA))
    assert not isinstance(renamed, Refusal)
    assert renamed.label == "cold storage"
    assert code(await book.rename(WalletId("wa_nobody"), "x", world.says(VERA))) == "unknown_wallet"


# ---------------------------------------------------------------------- freezes and alarms


async def test_a_freeze_is_entered_once_and_its_history_stays(world: World) -> None:
    book = Freezes(world.database)
    first = await book.enter(Scope.COMPANY, PAYEE, "odd", world.says(ANNA))
    assert await book.enter(Scope.COMPANY, PAYEE, "odd too", world.says(BORIS)) == first
    assert len(await book.current()) == 1
    assert await book.lift(first, world.says(ANNA)) is False
    assert await book.lift(first, world.says(ANNA)) is False
    assert (await book.current())[0].lifters == [ANNA]
    assert await book.lift(first, world.says(BORIS)) is True
    assert await book.current() == []
    second = await book.enter(Scope.COMPANY, PAYEE, "once more", world.says(ANNA))
    assert second != first
    assert len(await book.history()) == 2
    assert code(await book.lift("fz_nothing", world.says(ANNA))) == "unknown_freeze"


async def test_a_freeze_and_a_revocation_wait_for_the_signature_that_is_being_written(world: World) -> None:
    book = Freezes(world.database)
    wishes = [
        lambda: book.enter(Scope.WALLET, HOT, "audit", world.says(ANNA)),
        lambda: AddressBook(world.database).revoke(WALLET, world.says(VERA)),
    ]
    for wish in wishes:
        async with world.database.transaction() as connection:
            await ledger.take_turn(connection)
            waiting = asyncio.create_task(wish())
            done, _ = await asyncio.wait([waiting], timeout=0.3)
            assert not done
        await waiting


async def test_what_was_signed_before_a_freeze_is_no_breach_though_a_clock_was_set_back(world: World) -> None:
    signer = await world.signer()
    await world.pay()
    assert (await signer.turn()).signed == 1
    world.now = Instant(world.now - 60_000)
    await Freezes(world.database).enter(Scope.GLOBAL, "", "audit", world.says(ANNA))
    await AddressBook(world.database).revoke(WALLET, world.says(VERA))


@pytest.mark.tampers
@pytest.mark.parametrize("is_paid", [False, True])
async def test_a_payout_of_more_than_came_in_is_found_before_and_after_it_is_paid(
    world: World, is_paid: bool
) -> None:
    (p4,) = (each for each in PAYOUTS if each.name.startswith("P4 "))
    signer = await world.signer()
    await world.pay()
    if is_paid:
        await world.settle(signer)
    assert await world.database.rows(p4.sql) == []
    await world.database.rows("UPDATE payout_task SET amount_token = amount_token + 1 RETURNING 1")
    assert len(await world.database.rows(p4.sql)) == 1


async def test_a_company_that_is_frozen_neither_pays_nor_is_paid(world: World) -> None:
    signer = await world.signer()
    await Freezes(world.database).enter(Scope.COMPANY, PAYEE, "odd", world.says(ANNA))
    await world.pay()
    assert (await signer.turn()).waits == {WaitsFor.FROZEN: 1}


async def test_what_the_machine_freezes_is_apart_from_what_people_freeze(world: World) -> None:
    async with world.database.transaction() as connection:
        for is_safe_mode in (True, False, True):
            await freezes.enter(
                connection, Scope.GLOBAL, "", "doubt", "engine", world.now, is_safe_mode=is_safe_mode
            )
        assert [freeze.is_safe_mode for freeze in await freezes.in_force(connection)] == [False, True]


async def test_an_alarm_is_raised_once_until_it_is_cleared(world: World) -> None:
    async with world.database.transaction() as connection:
        assert await alarms.raise_alarm(connection, "trx_floor", HOT, 2, "low", world.now)
        assert not await alarms.raise_alarm(connection, "trx_floor", HOT, 2, "lower", world.now)
        assert await alarms.clear_alarm(connection, "trx_floor", HOT, world.now)
        assert not await alarms.clear_alarm(connection, "trx_floor", HOT, world.now)
        assert await alarms.raise_alarm(connection, "trx_floor", HOT, 2, "again", world.now)
    book = Alarms(world.database)
    assert [row.detail for row in await book.current()] == ["again"]
    assert [row.detail for row in (await book.page()).items] == ["again", "low"]
    topics = await world.database.rows("SELECT topic FROM outbox WHERE topic LIKE 'alarm.%' ORDER BY id")
    assert [row["topic"] for row in topics] == ["alarm.raised", "alarm.cleared", "alarm.raised"]
