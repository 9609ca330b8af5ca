"""Whatever nodes answer, only the three errors of `engine.errors` come out, and nothing is believed."""

import asyncio
import random
from typing import Any

import pytest

from adapters.chains.rpc import Answer
from adapters.chains.tron.payouts import TronPayouts
from engine.errors import VenueError
from engine.payments.chain import Absent
from tests.adapters.chains.tron.test_fees import OURS, THEIRS, Purse
from tests.adapters.chains.tron.village import USDT, intent, sign, trc20, trx, wallet

NONSENSE: list[Any] = [None, True, -1, 1.5, 2**70, "", "zz", "00", [], {}, [None], {"result": None}, "é"]


def spoil(chance: random.Random, answer: Any) -> Any:
    """Replace, drop or add something at one place of an answer."""
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in (
            list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        ):
            places.append((value, key))
            walk(value[key])

    walk(answer)
    if not places or chance.random() < 0.05:
        return chance.choice([{}, [], {"Error": "class java.lang.Exception"}, {"x": 1}])
    holder, key = chance.choice(places)
    if chance.random() < 0.2:
        del holder[key]
    else:
        holder[key] = chance.choice(NONSENSE)
    return answer


class Fair(Purse):
    """A village that knows every question, with nodes that answer nonsense now and then."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.chance = random.Random(seed)
        self.answers["wallet/broadcasthex"] = lambda body: {"result": True, "txid": "ab" * 32}
        self.answers["walletsolidity/getaccount"] = self._account
        self.answers["walletsolidity/triggerconstantcontract"] = self._call
        for node in self.pool.names:
            self.tamper(node, self._now_and_then)

    def _now_and_then(self, path: str, body: dict[str, Any], answer: Answer) -> Answer:
        return spoil(self.chance, answer) if self.chance.random() < 0.5 else answer


@pytest.mark.parametrize("seed", range(40))
async def test_nonsense_is_sorted_and_never_believed(seed: int) -> None:
    village = Fair(seed)
    reference = village.ref(village.final)
    payout = intent(reference, lives_ms=15_000)
    signed = sign(village.chain, payout)
    village.produce(
        trc20(signed.tx_id, payout.sender, payout.recipient, payout.units),
        trx("cd" * 32, wallet(3), OURS, 5),
    )
    for _ in range(10):
        village.produce()
    included_in = reference.number + 1
    chain: TronPayouts = village.chain
    questions = [
        chain.final_head,
        lambda: chain.header(included_in),
        lambda: chain.block(included_in),
        lambda: chain.block(included_in, {OURS}),
        lambda: chain.balance(OURS, USDT),
        lambda: chain.balance(OURS, ""),
        lambda: chain.preflight(OURS, THEIRS, USDT, 5),
        lambda: chain.broadcast([signed]),
        lambda: chain.outcomes([signed], [payout]),
    ]
    for _ in range(8):
        for question in questions:
            village.now_ms += 60_000
            try:
                answer = await question()
            except VenueError:
                continue
            if isinstance(answer, list):
                assert not any(isinstance(one, Absent) for one in answer)
    assert asyncio.all_tasks() == {asyncio.current_task()}, "no question is left behind"
