"""The same bytes go to every node; what nodes say is a word, sorted with java-tron's traps in mind."""

from typing import Any

import pytest

from adapters.chains.tron.payouts import TronPayouts
from engine.payments.chain import BroadcastAnswer
from tests.adapters.chains.tron.village import Village, intent, sign

TAKEN = {"result": True, "txid": "ab" * 32}


def refusal(code: str) -> dict[str, Any]:
    return {"code": code, "txid": "ab" * 32, "message": b"Validate signature error".hex()}


class Sending(Village):
    """Nodes that answer broadcasts as they are told, and keep what they were handed."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(tuple(answers))
        self.handed: dict[str, list[str]] = {name: [] for name in answers}
        self.says = answers
        self.chain = TronPayouts(self.pool, self.clock)

    async def post(self, node: str, path: str, body: dict[str, Any]) -> Any:
        if path != "wallet/broadcasthex":
            return await super().post(node, path, body)
        self.handed[node].append(body["transaction"])
        if isinstance(self.says[node], Exception):
            raise self.says[node]
        if node in self.silent:
            return await super().post(node, path, body)
        return self.says[node]

    def payouts(self, count: int):
        reference = self.ref(self.final)
        return [sign(self.chain, intent(reference, number)) for number in range(1, count + 1)]


async def test_every_node_is_handed_the_same_bytes() -> None:
    village = Sending(main=TAKEN, fallback=TAKEN, third=TAKEN)
    payouts = village.payouts(3)
    assert await village.chain.broadcast(payouts) == [BroadcastAnswer.TAKEN] * 3
    expected = [it.content.hex() for it in payouts]
    assert village.handed == {"main": expected, "fallback": expected, "third": expected}


@pytest.mark.parametrize(
    ("code", "word"),
    [
        # Said after the node has taken it: an error that may pay.
        ("NOT_ENOUGH_EFFECTIVE_CONNECTION", BroadcastAnswer.KNOWN),
        # Said, too, of what the node has once refused: a duplicate that never pays.
        ("DUP_TRANSACTION_ERROR", BroadcastAnswer.KNOWN),
        ("SIGERROR", BroadcastAnswer.REFUSED),
        ("CONTRACT_VALIDATE_ERROR", BroadcastAnswer.REFUSED),
        ("CONTRACT_EXE_ERROR", BroadcastAnswer.REFUSED),
        ("BANDWITH_ERROR", BroadcastAnswer.REFUSED),
        ("TAPOS_ERROR", BroadcastAnswer.REFUSED),
        ("TOO_BIG_TRANSACTION_ERROR", BroadcastAnswer.REFUSED),
        ("TRANSACTION_EXPIRATION_ERROR", BroadcastAnswer.REFUSED),
        ("SERVER_BUSY", BroadcastAnswer.REFUSED),
        ("NO_CONNECTION", BroadcastAnswer.REFUSED),
        ("BLOCK_UNSOLIDIFIED", BroadcastAnswer.REFUSED),
        ("OTHER_ERROR", BroadcastAnswer.REFUSED),
        ("A_WORD_OF_NEXT_YEAR", BroadcastAnswer.REFUSED),
    ],
)
async def test_java_trons_words_are_sorted(code: str, word: BroadcastAnswer) -> None:
    village = Sending(main=refusal(code), fallback=refusal(code))
    assert await village.chain.broadcast(village.payouts(1)) == [word]


@pytest.mark.parametrize(
    ("main", "fallback", "word"),
    [
        (TAKEN, refusal("SIGERROR"), BroadcastAnswer.TAKEN),
        (refusal("SERVER_BUSY"), refusal("DUP_TRANSACTION_ERROR"), BroadcastAnswer.KNOWN),
        ({"Error": "class java.lang.NullPointerException"}, TAKEN, BroadcastAnswer.TAKEN),
        ([], refusal("SERVER_BUSY"), BroadcastAnswer.REFUSED),
        ([], {"Error": ""}, BroadcastAnswer.SILENT),
    ],
)
async def test_the_best_word_of_any_node_counts(main: Any, fallback: Any, word: BroadcastAnswer) -> None:
    village = Sending(main=main, fallback=fallback)
    assert await village.chain.broadcast(village.payouts(1)) == [word]


async def test_silence_raises_nothing_and_the_node_is_spared_the_rest() -> None:
    village = Sending(main=TAKEN, fallback=TAKEN)
    village.silent.add("fallback")
    assert await village.chain.broadcast(village.payouts(200)) == [BroadcastAnswer.TAKEN] * 200
    assert len(village.handed["main"]) == 200
    assert len(village.handed["fallback"]) <= 16, "no more than were under way when it failed"
    village.silent.add("main")
    assert await village.chain.broadcast(village.payouts(2)) == [BroadcastAnswer.SILENT] * 2


async def test_a_node_that_fails_hears_of_it_again_after_its_rest() -> None:
    village = Sending(main=TAKEN, fallback=TAKEN)
    (payout,) = village.payouts(1)
    village.silent.add("fallback")
    await village.chain.broadcast([payout])
    village.silent.clear()
    await village.chain.broadcast([payout])
    assert len(village.handed["fallback"]) == 1, "it rests"
    village.now_ms += 1_000
    await village.chain.broadcast([payout])
    assert len(village.handed["fallback"]) == 2


async def test_nothing_to_send_asks_nobody() -> None:
    village = Sending(main=TAKEN, fallback=TAKEN)
    assert await village.chain.broadcast([]) == []
