"""Whatever happens, no TRX and no token appears or vanishes, and going back is as if it had never happened."""

import random

import pytest

from adapters.chains.tron.devnet import Funding, Sending
from adapters.chains.tron.devnet.artifact import call_data
from adapters.chains.tron.devnet.devnet import BANK_TRX
from adapters.chains.tron.devnet.faults import Conduct
from adapters.chains.tron.devnet.world import BLOCKS_KEPT, World

from .town import ALICE, BOB, CAROL, TRX, USDT, Town, transfer_of_trx

SUPPLY = 1_000 * USDT
PEOPLE = (ALICE, BOB, CAROL)


def live(seed: int) -> Town:
    """Let chance pay, fail, reorganise and misbehave."""
    chance = random.Random(seed)
    town = Town(alice=Funding(sun=5_000 * TRX, tokens={"USDT": SUPPLY}), bob=Funding(sun=50 * TRX))
    for _each in range(150):
        town.node.next_sends.append(
            Conduct(sending=chance.choice(list(Sending)), late_blocks=chance.randint(1, 4))
        )
        to = chance.choice((BOB, CAROL))
        if chance.random() < 0.7:
            fee_limit = chance.choice((1, 7, 14, 100)) * TRX
            town.send(town.transfer(chance.randint(0, 9 * USDT), to, fee_limit=fee_limit))
        else:
            town.send(town.sign(transfer_of_trx(chance.randint(1, 3 * TRX), to)))
        town.produce()
        if chance.random() < 0.1:
            depth = chance.randint(1, town.devnet.head.number - town.devnet.solid_number)
            town.devnet.fork(depth, drop_share=chance.random(), delay_share=chance.random())
        if chance.random() < 0.2:
            town.devnet.token_balance("USDT", BOB.address, solid=True)
    return town


@pytest.mark.parametrize("seed", range(6))
def test_money_is_conserved_and_the_past_is_what_only_going_forward_gives(seed: int) -> None:
    town = live(seed)
    chain = town.devnet.chain
    burned = sum(each.fee for block in chain.blocks for each in block.included)
    assert burned > 0
    assert sum(each.balance for each in chain.head_world.accounts.values()) + burned == BANK_TRX + 5_050 * TRX
    assert sum(town.usdt_of(each) for each in PEOPLE) == SUPPLY
    forward = World(chain.rules.parameters)
    for block in chain.blocks:
        forward.open(block.time_ms, block.decrees)
        assert [forward.apply(each.transaction) for each in block.included] == list(block.included)
    assert forward.accounts == chain.head_world.accounts
    for each in PEOPLE:
        data = call_data("balanceOf(address)", each.raw_address)
        balance = forward.look(each.raw_address, next(iter(forward.contracts)), data).output
        assert int.from_bytes(balance) == town.usdt_of(each)


def test_a_state_further_back_than_is_kept_is_worked_out_again() -> None:
    town = Town()
    town.paid(town.transfer(5))
    town.produce(BLOCKS_KEPT + 20)
    assert town.devnet.chain.world_at(town.devnet.head.number - 1).height == town.devnet.head.number - 1
    town.paid(town.transfer(6))
    past = town.devnet.chain.world_at(3)
    data = call_data("balanceOf(address)", BOB.raw_address)
    assert int.from_bytes(past.look(BOB.raw_address, next(iter(past.contracts)), data).output) == 5
    with pytest.raises(LookupError):
        town.devnet.fork(BLOCKS_KEPT + 10, rewrite_solid=True)
