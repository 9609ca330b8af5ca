"""Blocks, solidity, expiration, references and reorganisations of the devnet."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.chains.tron.devnet import Rules
from adapters.chains.tron.devnet.protobuf import fields
from adapters.chains.tron.devnet.transactions import with_signers

from .town import BOB, CAROL, MINUTE_MS, TRX, USDT, Town, transfer_of_trx


def test_a_block_is_named_by_its_number_and_the_hash_of_a_header_that_names_its_parent() -> None:
    town = Town()
    town.produce(3)
    blocks = town.devnet.chain.blocks
    for block in blocks[1:]:
        header = dict(fields(block.header))
        assert block.id == (block.number.to_bytes(8) + hashlib.sha256(block.header).digest()[8:]).hex()
        assert header[3].hex() == block.parent_id == blocks[block.number - 1].id
        shown = town.ask("getblockbynum", num=block.number)["block_header"]["raw_data"]
        assert (shown["parentHash"], shown["timestamp"]) == (block.parent_id, block.time_ms)


def test_a_block_stands_in_the_slot_of_the_clock_and_slots_may_be_missed() -> None:
    town = Town()
    town.produce()
    town.now_ms += 10_000  # Three slots pass, and a second.
    block = town.devnet.produce()
    assert block.time_ms == town.devnet.chain.blocks[-2].time_ms + 9_000
    assert town.devnet.produce().time_ms == block.time_ms + 3_000  # The slot is taken, so the next one.


def test_a_transfer_is_seen_at_once_and_final_when_eighteen_blocks_are_above_it() -> None:
    town = Town()
    payment = town.transfer(5 * USDT)
    receipt = town.paid(payment)
    assert receipt["receipt"]["result"] == "SUCCESS"
    number = receipt["blockNumber"]
    assert town.usdt_of(BOB) == 5 * USDT
    town.produce(17)
    assert town.receipt(payment, "walletsolidity") == {}
    assert town.devnet.token_balance("USDT", BOB.address, solid=True) == 0
    town.produce()
    assert town.receipt(payment, "walletsolidity")["blockNumber"] == number == town.devnet.solid_number
    assert town.devnet.token_balance("USDT", BOB.address, solid=True) == 5 * USDT


def test_the_same_bytes_are_a_duplicate_while_they_wait_and_for_ever_after() -> None:
    town = Town()
    payment = town.transfer(1)
    assert town.code(payment) == "SUCCESS"
    assert town.code(payment) == "DUP_TRANSACTION_ERROR"
    town.produce()
    assert town.code(payment) == "DUP_TRANSACTION_ERROR"
    assert town.usdt_of(BOB) == 1


def test_an_expiration_is_refused_at_the_head_s_time_and_beyond_a_day() -> None:
    town = Town()
    town.produce()
    assert town.code(town.transfer(1, expires_in_ms=0)) == "TRANSACTION_EXPIRATION_ERROR"
    assert town.code(town.transfer(1, expires_in_ms=86_400_001)) == "TRANSACTION_EXPIRATION_ERROR"
    assert town.code(town.transfer(1, expires_in_ms=86_400_000)) == "SUCCESS"


@pytest.mark.parametrize(("expires_in_ms", "is_included"), [(2_999, False), (3_000, True)])
def test_a_block_includes_only_what_lives_until_the_slot_after_its_parent(
    expires_in_ms: int, is_included: bool
) -> None:
    town = Town()
    payment = town.transfer(1, expires_in_ms=expires_in_ms)
    assert town.code(payment) == "SUCCESS"
    town.produce(2)
    assert bool(town.receipt(payment)) == is_included


def test_once_a_block_s_parent_is_as_late_as_the_expiration_nothing_brings_the_bytes_in() -> None:
    """The rule by which a payout is proved dead (settlement.md §2.3)."""
    town = Town()
    payment = town.transfer(1, expires_in_ms=9_000)
    town.devnet.chain.push_later(with_signers(payment), 3)
    town.produce(3)
    assert town.devnet.chain.blocks[-1].time_ms >= payment.raw.expiration_ms
    town.produce(2)
    assert town.receipt(payment) == {}
    assert town.code(payment) == "TRANSACTION_EXPIRATION_ERROR"


def test_a_reference_to_a_block_of_another_branch_is_refused() -> None:
    town = Town()
    town.produce(5)
    payment = town.transfer(1, reference=town.devnet.head.number)
    town.devnet.fork(2)
    assert town.code(payment) == "TAPOS_ERROR"


def test_a_reorganisation_replaces_blocks_and_loses_some_transactions_for_good() -> None:
    town = Town()
    town.produce(20)
    lost, kept = town.transfer(1), town.transfer(2)
    town.paid(lost)
    town.paid(kept)
    town.produce(2)
    before = [block.id for block in town.devnet.chain.blocks]
    done = town.devnet.fork(4, lost={lost.id})
    after = [block.id for block in town.devnet.chain.blocks]
    assert done.lost == (lost.id,)
    assert before[:-4] == after[:-4]
    assert not set(before[-4:]) & set(after[-4:])
    town.produce(30)
    assert town.receipt(lost) == {}
    assert town.receipt(kept, "walletsolidity")["receipt"]["result"] == "SUCCESS"
    assert town.usdt_of(BOB) == 2
    assert town.devnet.token_balance("USDT", BOB.address, solid=True) == 2


def test_a_reorganisation_with_a_share_loses_that_share_and_every_balance_is_what_the_blocks_say() -> None:
    town = Town()
    town.produce(20)
    payments = []
    for number in range(40):
        payments.append(town.transfer(1 << number, expires_in_ms=10 * MINUTE_MS))
        town.paid(payments[-1])
        if number % 7 == 6:
            town.devnet.fork(3)
    done = town.devnet.fork(18, drop_share=0.5)
    assert 0 < len(done.lost) < 18
    assert done.waiting
    town.produce(20)
    included = [payment for payment in payments if town.receipt(payment)]
    assert {payment.id for payment in payments} - {payment.id for payment in included} == set(done.lost)
    expected = sum(1 << payments.index(payment) for payment in included)
    assert town.usdt_of(BOB) == town.devnet.token_balance("USDT", BOB.address, solid=True) == expected


def test_a_solid_block_is_never_replaced_unless_the_disaster_is_ordered() -> None:
    town = Town()
    town.produce(25)
    solid = town.devnet.chain.blocks[town.devnet.solid_number]
    with pytest.raises(ValueError, match="is solid"):
        town.devnet.fork(19)
    town.devnet.fork(18)
    assert town.devnet.chain.blocks[solid.number].id == solid.id
    town.devnet.fork(20, rewrite_solid=True)
    assert town.devnet.chain.blocks[solid.number].id != solid.id


def test_what_the_past_says_survives_what_the_head_does() -> None:
    """Looking at an older state moves a second world about; the first must never notice."""
    town = Town()
    town.produce(20)
    for units in range(1, 40):
        town.paid(town.transfer(units))
        solid = town.devnet.chain.world_at(town.devnet.solid_number)
        assert solid.height == town.devnet.solid_number
        if units % 5 == 0:
            assert town.devnet.chain.world_at(town.devnet.head.number - 25).height == town.devnet.head.number - 25
            town.devnet.fork(3)
    town.produce(19)
    assert town.devnet.token_balance("USDT", BOB.address, solid=True) == town.usdt_of(BOB) == sum(range(1, 40))
    assert town.trx_of(BOB) == 0


def history(seed: str) -> list[str]:
    """Live through payments, failures and reorganisations; give every block's id."""
    town = Town(Rules(seed=seed))
    for number in range(60):
        town.send(town.transfer(number + 1, BOB if number % 2 else CAROL))
        town.send(town.sign(transfer_of_trx(number * TRX)))
        town.produce()
        if number % 9 == 8:
            town.devnet.fork(1 + number % 5, drop_share=0.3)
    return [block.id for block in town.devnet.chain.blocks]


def test_the_same_seed_and_calls_give_the_same_blocks_in_another_process() -> None:
    code = f"from {__name__} import history; print(','.join(history('one')))"
    root = Path(__file__).parents[5]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip().split(",") == history("one")
    assert history("one") != history("two")
