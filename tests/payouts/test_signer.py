"""The signer against a real PostgreSQL and the devnet: what is paid, once, whatever happens in between."""

import logging
from pathlib import Path

import msgspec
import pytest

from actors.payout_signer import CRASH_POINTS, SignerPolicy
from adapters.chains.tron import codec
from adapters.chains.tron.devnet.faults import HONEST, Conduct, Sending
from adapters.chains.tron.devnet.transactions import unpack
from engine.payments.chain import PayoutIntent
from engine.payments.freeze import Scope
from engine.payments.payout import TaskState, WaitsFor
from engine.payments.ports import BytesDiffer
from storage.database import Database
from storage.freezes import Freezes
from storage.leases import StaleEpoch
from storage.payout_decisions import Decisions
from tests.payouts.world import ANNA, COIN, HOT, STRANGER, USDT, World, secret
from tests.storage.proxy import BreakingWire, Cut

UNTIL_DEAD = 110
"""Blocks until bytes that were signed now are proved dead: four minutes, and a minute until that is final."""

pytest_plugins = ["tests.payouts.fixtures"]


class Died(Exception):
    """The process is gone."""


def send_badly(world: World, sending: Sending) -> None:
    for node in world.devnet.nodes.values():
        node.conduct = Conduct(sending=sending)


def send_well(world: World) -> None:
    for node in world.devnet.nodes.values():
        node.conduct = HONEST


async def attempts(world: World) -> list[tuple[str, int, str, str]]:
    records = await world.database.rows(
        "SELECT task_id, n, status, ended_because FROM payout_attempt ORDER BY task_id, n"
    )
    return [tuple(record) for record in records]


async def test_a_payout_is_signed_handed_over_and_confirmed_with_its_ledger_entries(world: World) -> None:
    signer = await world.signer()
    payout = await world.pay(100 * COIN)
    assert (await world.payout(payout)).state is TaskState.QUEUED
    report = await signer.turn()
    assert (report.signed, report.handed_over) == (1, 1)
    row = await world.payout(payout)
    assert row.state is TaskState.BROADCAST
    assert await world.balance(f"clearing:{row.purpose_id}:{USDT}") == (100 * COIN, 100 * COIN)
    await world.settle(signer)
    row = await world.payout(payout)
    assert row.state is TaskState.CONFIRMED
    assert row.tasks[0].tx_hash in world.devnet.chain.included_in
    assert world.transfers_to(world.payee_address) == [100 * COIN]
    assert await world.balance(f"clearing:{row.purpose_id}:{USDT}") == (0, 0)
    assert await world.balance(f"wallet:{HOT}:{USDT}") == (0, 0)
    assert await world.alarms() == []


async def test_the_fee_that_was_burned_is_booked(world: World) -> None:
    before = world.devnet.trx_balance(world.hot_address)
    signer = await world.signer()
    await world.pay()
    await world.settle(signer)
    burned = before - world.devnet.trx_balance(world.hot_address)
    assert burned > 0
    assert await world.balance("network_fees:tron:TRX") == (burned, 0)


async def test_two_tasks_alike_are_two_transactions(world: World) -> None:
    signer = await world.signer()
    await world.ask(*(world.wish(7 * COIN) for _ in range(20)))
    await world.settle(signer)
    assert world.transfers_to(world.payee_address) == [7 * COIN] * 20
    assert await world.database.value("SELECT count(DISTINCT tx_id) FROM payout_attempt") == 20


async def test_what_is_over_the_cap_is_paid_in_parts_and_the_deal_is_paid_with_the_last(world: World) -> None:
    signer = await world.signer()
    payout = await world.pay(200_000 * COIN + 1)
    report = await signer.turn()
    assert report.signed == 2
    await world.settle(signer)
    assert sorted(world.transfers_to(world.payee_address)) == [1, 200_000 * COIN]
    assert (await world.payout(payout)).state is TaskState.CONFIRMED


async def test_more_than_a_batch_is_paid_round_by_round(world: World) -> None:
    signer = await world.signer(policy=SignerPolicy(batch=3))
    await world.ask(*(world.wish(COIN + number) for number in range(7)))
    reports = [await signer.turn() for _ in range(4)]
    assert [report.signed for report in reports] == [3, 3, 1, 0]


# ---------------------------------------------------------------------- dying


@pytest.mark.parametrize("name", CRASH_POINTS)
async def test_dying_at_any_step_pays_once(world: World, name: str) -> None:
    left = {name: 1}

    def crash_point(at: str) -> None:
        if left.get(at):
            left[at] = 0
            raise Died(at)

    await world.ask(world.wish(30 * COIN), world.wish(30 * COIN))
    lives = 0
    for life in range(3):
        await world.release_lease()
        signer = await world.unbooted(f"life {life}", crash_point=crash_point)
        lives += 1
        try:
            await signer.boot()
            await world.settle(signer, rounds=10)
            break
        except Died:
            signer.stop()
            world.produce(2)
    assert left[name] == 0, "the point was never reached"
    assert lives == 2
    assert world.transfers_to(world.payee_address) == [30 * COIN] * 2
    assert await world.database.value("SELECT count(*) FROM payout_task WHERE state = 'confirmed'") == 2
    assert await world.balance(f"wallet:{HOT}:{USDT}") == (0, 0)


async def test_bytes_that_are_written_and_have_not_left_are_in_the_journal_before_they_leave(world: World) -> None:
    def crash_point(at: str) -> None:
        if at == "persist.after_commit":
            raise Died(at)

    await world.pay()
    signer = await world.signer("first life", crash_point=crash_point)
    with pytest.raises(Died):
        await signer.turn()
    signer.stop()
    assert b"po_" not in (world.folder / "journal").read_bytes()

    seen = []

    def look(at: str) -> None:
        if at == "broadcast.before":
            seen.append((world.folder / "journal").read_bytes().count(b"po_"))

    await world.release_lease()
    signer = await world.signer("second life", crash_point=look)
    await signer.turn()
    assert seen[0] == 1
    await world.settle(signer)
    assert len(world.transfers_to(world.payee_address)) == 1


@pytest.mark.parametrize("cut", list(Cut))
async def test_a_commit_without_an_answer_is_read_back_and_never_guessed(
    world: World, own_dsn: str, tmp_path: Path, cut: Cut
) -> None:
    folder = tmp_path / "wire"
    folder.mkdir()
    async with BreakingWire(own_dsn, folder) as wire, Database(wire.dsn, pool_size=2, name="broken") as database:
        await world.pay(40 * COIN)

        def break_it(at: str) -> None:
            if at == "persist.before_commit" and not done:
                done.append(at)
                wire.cuts.append(cut)

        done: list[str] = []
        signer = await world.signer(crash_point=break_it, database=database)
        await world.settle(signer, rounds=10)
        assert done
        assert not wire.cuts
    assert world.transfers_to(world.payee_address) == [40 * COIN]
    assert [row[2] for row in await attempts(world)] == ["confirmed"]


# ---------------------------------------------------------------------- nodes


@pytest.mark.parametrize("sending", list(Sending))
async def test_whatever_a_node_answers_to_a_broadcast_it_is_paid_once(world: World, sending: Sending) -> None:
    signer = await world.signer()
    payout = await world.pay()
    send_badly(world, sending)
    await signer.turn()
    assert (await world.payout(payout)).state is TaskState.BROADCAST
    world.produce(4)
    send_well(world)
    await world.settle(signer, rounds=10)
    assert len(world.transfers_to(world.payee_address)) == 1
    assert [row[2] for row in await attempts(world)] == ["confirmed"]


async def test_new_bytes_are_signed_only_when_the_old_ones_are_proved_dead(world: World) -> None:
    signer = await world.signer()
    payout = await world.pay()
    send_badly(world, Sending.TAKEN_DROPPED)
    await signer.turn()
    for _ in range(8):
        world.produce(9)
        await signer.turn()
        # Long expired by our clock at the end, and still not by a final block.
        assert [row[2] for row in await attempts(world)] == ["live"]
    send_well(world)
    world.produce(UNTIL_DEAD - 72)
    report = await signer.turn()
    assert (report.buried, (await world.payout(payout)).state) == (1, TaskState.SIGNING)
    await world.settle(signer, rounds=10)
    task = f"{payout}.1"
    assert await attempts(world) == [(task, 1, "dead", "expired"), (task, 2, "confirmed", "paid")]
    assert len(world.transfers_to(world.payee_address)) == 1
    proof = await world.database.value("SELECT evidence FROM payout_attempt WHERE n = 1")
    assert (proof["type"], sorted(proof["witnesses"])) == ("absent", ["fallback", "main"])


async def test_a_reorganisation_that_loses_the_transfer_costs_nothing_but_time(world: World) -> None:
    signer = await world.signer()
    await world.pay()
    await signer.turn()
    world.produce(3)
    assert len(world.transfers_to(world.payee_address)) == 1
    world.devnet.fork(3, drop_share=1.0)
    assert world.transfers_to(world.payee_address) == []
    await world.settle(signer, rounds=10)
    assert len(world.transfers_to(world.payee_address)) == 1
    assert [row[2] for row in await attempts(world)] == ["confirmed"]


async def test_attempts_that_the_chain_refuses_end_with_a_person(world: World) -> None:
    policy = SignerPolicy()
    signer = await world.signer(policy=policy)
    payout = await world.pay()
    # Our estimate is honest; the chain then has less for us: what was preflighted as affordable runs out.
    real = signer._chain.preflight

    async def too_cheap(*facts: object) -> object:
        return msgspec.structs.replace(await real(*facts), fee_limit=1_000_000)  # type: ignore[arg-type]

    signer._chain.preflight = too_cheap  # type: ignore[method-assign,assignment]
    await world.settle(signer, rounds=40, blocks=3)
    assert [row[2:] for row in await attempts(world)] == [("dead", "out_of_energy")] * 3
    row = (await world.payout(payout)).tasks[0]
    assert (row.state, row.waits_for, row.failures) == (TaskState.SIGNING, WaitsFor.PERSON, 3)
    assert "payout_failed" in await world.alarms()
    assert world.transfers_to(world.payee_address) == []
    assert await world.balance(f"clearing:{(await world.payout(payout)).purpose_id}:{USDT}") == (100 * COIN,) * 2

    signer._chain.preflight = real  # type: ignore[method-assign]
    assert await Decisions(world.database).try_again(payout, world.says(ANNA)) is None
    await world.settle(signer, rounds=10)
    assert len(world.transfers_to(world.payee_address)) == 1
    assert "payout_failed" not in await world.alarms()


async def test_without_coin_for_the_fee_it_waits_and_says_so_and_goes_on_later(world: World) -> None:
    world.devnet.set_balance(world.hot_address, 2 * COIN)
    world.produce(1)
    signer = await world.signer()
    payout = await world.pay()
    report = await signer.turn()
    assert report.waits == {WaitsFor.ENERGY: 1}
    assert (await world.payout(payout)).tasks[0].waits_for is WaitsFor.ENERGY
    assert await world.alarms() == ["insufficient_energy", "trx_floor"]
    assert await attempts(world) == []
    world.devnet.set_balance(world.hot_address, 1_000 * COIN)
    world.produce(2)
    await world.settle(signer)
    assert len(world.transfers_to(world.payee_address)) == 1
    assert await world.alarms() == []


# ---------------------------------------------------------------------- freezes and leases


async def test_a_freeze_stops_the_next_signature_and_lifting_it_takes_two(world: World) -> None:
    signer, freezes = await world.signer(), Freezes(world.database)
    payout = await world.pay()
    frozen = await freezes.enter(Scope.WALLET, HOT, "odd", world.says(ANNA))
    report = await signer.turn()
    assert (report.signed, report.waits) == (0, {WaitsFor.FROZEN: 1})
    assert (await world.payout(payout)).tasks[0].waits_for is WaitsFor.FROZEN
    assert await freezes.lift(frozen, world.says(ANNA)) is False
    assert (await signer.turn()).signed == 0
    assert await freezes.lift(frozen, world.says(STRANGER)) is True
    assert (await signer.turn()).signed == 1


@pytest.mark.parametrize("at", ["sign.after_sign", "persist.after_commit", "journal.before_write"])
async def test_a_freeze_in_the_middle_of_signing_keeps_the_bytes_here(world: World, at: str) -> None:
    """Signed or even written, they have not left: they wait, and die in time if nobody lifts the freeze."""
    frozen_at: list[str] = []

    def note(name: str) -> None:
        if name == at and not frozen_at:
            frozen_at.append(name)
            raise Died(name)

    payout = await world.pay()
    signer = await world.signer(crash_point=note)
    with pytest.raises(Died):
        await signer.turn()
    await Freezes(world.database).enter(Scope.GLOBAL, "", "odd", world.says(ANNA))
    await world.settle(signer, rounds=3)
    assert world.devnet.requests["broadcasthex"] == 0
    assert (await world.payout(payout)).tasks[0].waits_for is WaitsFor.FROZEN


async def test_what_has_left_is_repeated_and_watched_through_a_freeze(world: World) -> None:
    signer = await world.signer()
    payout = await world.pay()
    send_badly(world, Sending.SILENT_DROPPED)
    await signer.turn()
    await Freezes(world.database).enter(Scope.NETWORK, "tron", "odd", world.says(ANNA))
    send_well(world)
    await world.settle(signer, rounds=10)
    assert (await world.payout(payout)).state is TaskState.CONFIRMED


async def test_a_signer_whose_lease_has_passed_on_writes_nothing(world: World) -> None:
    old = await world.signer("old")
    old._journal.close()
    await world.release_lease()
    new = await world.signer("new")
    await world.pay()
    with pytest.raises(StaleEpoch):
        await old.turn()
    assert await attempts(world) == []
    assert (await new.turn()).signed == 1
    assert await world.database.value("SELECT epoch FROM payout_attempt") == 2


async def test_two_processes_never_have_one_journal(world: World) -> None:
    await world.signer("one")
    await world.release_lease()
    other = await world.unbooted("two")
    with pytest.raises(Exception, match="another process still holds"):
        await other.boot()


# ---------------------------------------------------------------------- what is signed


async def test_bytes_that_say_something_else_are_not_signed_and_hold_nobody_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = await world.signer()
    bad, good = await world.pay(5 * COIN), await world.pay(6 * COIN)
    real = signer._chain.build

    def tampered(intent: PayoutIntent) -> bytes:
        if intent.units == 5 * COIN:
            intent = msgspec.structs.replace(intent, units=500 * COIN)
        return real(intent)

    monkeypatch.setattr(signer._chain, "build", tampered)
    await world.settle(signer)
    assert (await world.payout(bad)).tasks[0].waits_for is WaitsFor.BYTES_DIFFER
    assert (await world.payout(good)).state is TaskState.CONFIRMED
    assert "bytes_differ" in await world.alarms()
    assert world.transfers_to(world.payee_address) == [6 * COIN]


async def test_what_is_stored_says_what_the_task_says(world: World) -> None:
    signer = await world.signer()
    await world.pay(9 * COIN)
    await signer.turn()
    row = await world.database.row("SELECT intent, signed, tx_id FROM payout_attempt")
    assert row is not None
    intent = msgspec.convert(row["intent"], PayoutIntent)
    codec.check(row["signed"], intent, 0)
    assert unpack(row["signed"]).id == row["tx_id"]
    with pytest.raises(BytesDiffer):
        codec.check(row["signed"], msgspec.structs.replace(intent, units=9 * COIN + 1), 0)


async def test_after_stop_nothing_can_be_signed(world: World) -> None:
    signer = await world.signer()
    await world.pay()
    signer.stop()
    with pytest.raises(RuntimeError, match="wiped"):
        await signer.turn()
    assert await attempts(world) == []


async def test_neither_keys_nor_signed_bytes_are_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        signer = await world.signer()
        await world.pay()
        await world.settle(signer)
        print(signer)
    signed = await world.database.value("SELECT encode(signed, 'hex') FROM payout_attempt")
    assert "payout.broadcast" in caplog.text
    assert bytes(secret("hot")).hex() not in caplog.text
    assert signed not in caplog.text


async def test_an_attempt_that_takes_too_long_is_told_and_taken_back(world: World) -> None:
    signer = await world.signer(policy=SignerPolicy(stuck_after_ms=60_000))
    await world.pay()
    send_badly(world, Sending.TAKEN_DROPPED)
    await world.settle(signer, rounds=7)
    assert "stuck_payout" in await world.alarms()
    send_well(world)
    await world.settle(signer, rounds=10)
    assert await world.alarms() == []
