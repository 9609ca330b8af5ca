"""What becomes of a payout is said only with proof: no silence, lag or lie of a node makes one dead, or paid."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from adapters.chains.tron.payouts import TronPayouts
from engine.payments.chain import Absent, Included, Outcome, Pending
from tests.adapters.chains.tron.village import (
    BLOCK_MS,
    FAKE_USDT,
    Village,
    intent,
    key,
    make_block,
    sign,
    trc20,
    trx,
    wallet,
)

LIVES_BLOCKS = 10
"""The last block whose parent is before the expiration is the tenth after the reference."""
PAST = LIVES_BLOCKS + 1
"""The first that can include nothing, and so the length of a chain that proves a death."""


class Payout:
    """One payout under way, its chain and the nodes that tell of it."""

    def __init__(self, *nodes: str, contract: str | None = None) -> None:
        self.village = Village(nodes or ("main", "fallback"))
        self.chain = TronPayouts(self.village.pool, self.village.clock)
        self.reference = self.village.ref(self.village.final)
        changes = {} if contract is None else {"contract": contract}
        self.intent = intent(self.reference, lives_ms=LIVES_BLOCKS * BLOCK_MS, **changes)
        self.signed = sign(self.chain, self.intent)

    def transaction(self, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Make what a block holds when the payout is included."""
        it = self.intent
        fields = {"sender": it.sender, "recipient": it.recipient, "units": it.units, "contract": it.contract}
        return trc20(self.signed.tx_id, **{**fields, **changes})

    def live_on(self, blocks: int) -> None:
        for _ in range(blocks):
            self.village.produce()

    async def outcome(self) -> Outcome:
        self.village.now_ms += 60_000  # Nobody rests any more from what went wrong before.
        (found,) = await self.chain.outcomes([self.signed], [self.intent])
        return found

    @property
    def troubles(self) -> set[str]:
        return {kind for kind, _ in self.village.troubles}


def without(tx_id: str) -> Callable[[str, dict[str, Any], Any], Any]:
    """Leave a transaction out of everything a node tells, so that its lists still agree with each other."""

    def lie(path: str, body: dict[str, Any], answer: Any) -> Any:
        if body.get("value") == tx_id:
            return {}
        if isinstance(answer, list):
            return [info for info in answer if info["id"] != tx_id]
        if "transactions" in answer:
            answer["transactions"] = [it for it in answer["transactions"] if it["txID"] != tx_id]
            if not answer["transactions"]:
                answer["block_header"]["raw_data"]["txTrieRoot"] = "0" * 64
        return answer

    return lie


# ---------------------------------------------------------------------- included


async def test_an_included_transfer_is_paid_as_the_event_says() -> None:
    payout = Payout()
    payout.live_on(3)
    where = payout.village.produce(trc20("ab" * 32, wallet(3), wallet(4), 5), payout.transaction())
    found = await payout.outcome()
    assert isinstance(found, Included)
    assert (found.block, found.moved_units) == (where, payout.intent.units)
    assert found.receipt.succeeded
    assert (found.receipt.fee_units, found.receipt.payer) == (13_000_000, key().address)


async def test_included_trx_is_paid_without_an_event() -> None:
    payout = Payout(contract="")
    it = payout.intent
    payout.village.produce(trx(payout.signed.tx_id, it.sender, it.recipient, it.units))
    found = await payout.outcome()
    assert isinstance(found, Included)
    assert found.moved_units == it.units


@pytest.mark.parametrize("result", ["OUT_OF_ENERGY", "REVERT", "OUT_OF_TIME"])
async def test_an_included_failure_has_moved_nothing(result: str) -> None:
    payout = Payout()
    payout.village.produce(payout.transaction(result=result))
    found = await payout.outcome()
    assert isinstance(found, Included)
    assert (found.receipt.succeeded, found.receipt.result, found.moved_units) == (False, result, 0)


@pytest.mark.parametrize(
    ("changes", "moved_share"),
    [({"units": 1}, 1), ({"recipient": wallet(9)}, 0), ({"contract": FAKE_USDT}, 0), ({"sender": wallet(9)}, 0)],
    ids=["another amount", "another recipient", "another token", "another sender"],
)
async def test_what_moved_is_counted_from_the_right_event_only(changes: dict[str, Any], moved_share: int) -> None:
    """A token that keeps a fee, or a contract that does something else: the receipt alone would not show it."""
    payout = Payout()
    transaction, _ = payout.transaction()
    _, info = payout.transaction(**changes)
    payout.village.produce((transaction, info))
    found = await payout.outcome()
    assert isinstance(found, Included)
    assert (found.receipt.succeeded, found.moved_units) == (True, moved_share)


async def test_events_of_one_transfer_add_up() -> None:
    payout = Payout()
    transaction, info = payout.transaction()
    info["log"] = [*info["log"], *info["log"]]
    payout.village.produce((transaction, info))
    found = await payout.outcome()
    assert isinstance(found, Included)
    assert found.moved_units == 2 * payout.intent.units


async def test_it_is_not_paid_before_two_nodes_have_it_final() -> None:
    payout = Payout()
    payout.village.produce(payout.transaction())
    payout.village.final_of["fallback"] = payout.reference.number
    assert await payout.outcome() == Pending()
    del payout.village.final_of["fallback"]
    assert isinstance(await payout.outcome(), Included)


async def test_a_node_alone_cannot_make_a_payout_paid() -> None:
    """Otherwise the recipient waits for ever, and we believe to have paid."""
    payout = Payout()
    number, parent = payout.village.final + 1, payout.reference.id
    real = payout.village.produce()
    forged, infos = make_block(number, parent, [payout.transaction()])
    forged["blockID"] = real.id

    def lie(path: str, body: dict[str, Any], answer: Any) -> Any:
        if body.get("num") == number:
            return infos if isinstance(answer, list) else forged
        return answer

    payout.village.tamper("main", lie)
    payout.live_on(2)
    assert await payout.outcome() == Pending()
    payout.live_on(PAST)
    assert await payout.outcome() == Pending()
    assert payout.troubles == {"rpc_disagreement"}


# ---------------------------------------------------------------------- absent


async def test_it_is_dead_once_two_chains_have_passed_its_last_chance() -> None:
    payout = Payout()
    payout.live_on(PAST)
    last = payout.village.ref(payout.village.final)
    payout.live_on(5)
    assert await payout.outcome() == Absent(up_to=last, witnesses=("main", "fallback"))
    assert payout.troubles == set()


async def test_the_last_block_that_may_include_it_proves_nothing() -> None:
    """Its parent is before the expiration, though its own time is not: it could have held the payout."""
    payout = Payout()
    payout.live_on(LIVES_BLOCKS)
    assert payout.village.ref(payout.village.final).time_ms >= payout.intent.expires_at_ms
    assert await payout.outcome() == Pending()
    payout.live_on(1)
    assert isinstance(await payout.outcome(), Absent)


async def test_it_may_be_included_in_the_very_last_block() -> None:
    payout = Payout()
    payout.live_on(LIVES_BLOCKS - 1)
    payout.village.produce(payout.transaction())
    payout.live_on(5)
    assert isinstance(await payout.outcome(), Included)


async def test_the_clock_on_our_wall_kills_nothing() -> None:
    payout = Payout()
    payout.live_on(2)
    payout.village.now_ms += 86_400_000
    assert await payout.outcome() == Pending()


@pytest.mark.parametrize("slow", ["main", "fallback"])
async def test_one_chain_past_the_expiration_is_not_enough(slow: str) -> None:
    payout = Payout()
    payout.live_on(PAST)
    payout.village.final_of[slow] = payout.village.final - 1
    assert await payout.outcome() == Pending()
    del payout.village.final_of[slow]
    assert isinstance(await payout.outcome(), Absent)


async def test_a_single_configured_node_is_a_witness_and_is_named() -> None:
    payout = Payout("only")
    payout.live_on(PAST)
    found = await payout.outcome()
    assert isinstance(found, Absent)
    assert found.witnesses == ("only",)


async def test_two_of_three_nodes_are_enough_when_the_third_is_silent() -> None:
    payout = Payout("one", "two", "three")
    payout.live_on(PAST)
    payout.village.tamper("one", lambda path, body, answer: {"Error": "class java.lang.NullPointerException"})
    found = await payout.outcome()
    assert isinstance(found, Absent)
    assert found.witnesses == ("two", "three")


async def test_one_chain_that_holds_it_makes_the_others_proof_worthless() -> None:
    payout = Payout("one", "two", "three")
    payout.village.produce(payout.transaction())
    payout.live_on(PAST)
    for liar in ("one", "two"):
        payout.village.tamper(liar, without(payout.signed.tx_id))
    assert await payout.outcome() == Pending()
    assert payout.troubles == {"rpc_disagreement"}


# ---------------------------------------------------------------------- nodes that fail or lie


def _empty_infos(path: str, body: dict[str, Any], answer: Any) -> Any:
    return [] if isinstance(answer, list) else answer


def _empty_blocks(path: str, body: dict[str, Any], answer: Any) -> Any:
    if isinstance(answer, dict):
        answer.pop("transactions", None)
    return answer


def _nothing_found(path: str, body: dict[str, Any], answer: Any) -> Any:
    return {} if path == "walletsolidity/getblockbynum" else answer


LIES: dict[str, Callable[[str, dict[str, Any], Any], Any]] = {
    "an empty list of infos": _empty_infos,
    "blocks without their transactions": _empty_blocks,
    "no block at all": _nothing_found,
    "an error in java-tron's way": lambda path, body, answer: {"Error": "class java.lang.Exception : closed"},
    "nothing that can be read": lambda path, body, answer: {"blockID": 5},
    "a list for everything": lambda path, body, answer: [],
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("liars", [("main",), ("fallback",), ("main", "fallback")], ids="+".join)
async def test_a_payout_that_was_included_never_looks_dead(lie: str, liars: tuple[str, ...]) -> None:
    payout = Payout()
    payout.live_on(2)
    payout.village.produce(payout.transaction())
    payout.live_on(PAST)
    for liar in liars:
        payout.village.tamper(liar, LIES[lie])
    assert await payout.outcome() == Pending()
    payout.village.tampers.clear()
    payout.village.tampers.update({"main": [], "fallback": []})
    assert isinstance(await payout.outcome(), Included)


async def test_a_liar_that_hides_it_in_both_lists_is_contradicted() -> None:
    payout = Payout()
    payout.village.produce(payout.transaction(), trc20("ab" * 32, wallet(3), wallet(4), 5))
    payout.live_on(PAST)
    payout.village.tamper("main", without(payout.signed.tx_id))
    assert await payout.outcome() == Pending()
    assert payout.troubles == {"rpc_disagreement"}


async def test_a_block_that_is_missing_in_the_middle_breaks_the_proof() -> None:
    payout = Payout()
    payout.live_on(PAST)
    hole = payout.reference.number + 4
    payout.village.tamper("main", lambda path, body, answer: {} if body.get("num") == hole else answer)
    assert await payout.outcome() == Pending()


async def test_a_chain_that_is_spliced_breaks_the_proof() -> None:
    """Blocks of two branches in one answer: each of them exists, together they leave something out."""
    payout = Payout()
    payout.live_on(PAST)
    number = payout.reference.number + 4
    other, _ = make_block(number, "ff" * 32, [])
    payout.village.tamper("main", lambda path, body, answer: other if body.get("num") == number else answer)
    assert await payout.outcome() == Pending()
    assert "rpc_disagreement" in payout.troubles


async def test_a_node_on_another_branch_from_the_reference_on_proves_nothing() -> None:
    payout = Payout()
    honest = payout.village
    other = Village(("fallback",), final=0)
    other.blocks = {number: block for number, block in honest.blocks.items() if number < payout.reference.number}
    for _ in range(PAST + 1):
        number = other.final + 1
        other.blocks[number] = make_block(
            number, other.ref(number - 1).id, [trc20("cd" * 32, wallet(1), wallet(2), 1)]
        )
    payout.live_on(PAST)
    honest.tamper("fallback", lambda path, body, answer: other.honest("fallback", path, body))
    assert await payout.outcome() == Pending()
    assert payout.troubles == {"rpc_disagreement"}


async def test_two_chains_that_end_differently_are_no_two_witnesses() -> None:
    payout = Payout()
    payout.live_on(PAST - 1)
    number = payout.village.final + 1
    parent = payout.village.ref(payout.village.final).id
    payout.village.produce()
    other, _ = make_block(number, parent, [trc20("cd" * 32, wallet(1), wallet(2), 1)])
    payout.village.tamper("fallback", lambda path, body, answer: other if body.get("num") == number else answer)
    assert await payout.outcome() == Pending()
    assert payout.troubles == {"rpc_disagreement"}


async def test_a_head_that_is_made_up_brings_nothing_forward() -> None:
    payout = Payout()
    payout.live_on(3)
    far, _ = make_block(payout.village.final + 1_000, "ff" * 32, [])

    def boast(path: str, body: dict[str, Any], answer: Any) -> Any:
        return far if path == "walletsolidity/getblock" else answer

    for name in ("main", "fallback"):
        payout.village.tamper(name, boast)
    assert await payout.outcome() == Pending()


async def test_witnesses_that_lied_one_after_the_other_are_asked_once_more() -> None:
    """Each hid the payout while its block was read, and neither does any more: what was read is not believed."""
    payout = Payout()
    payout.village.produce(payout.transaction())
    for name in ("main", "fallback"):
        payout.village.tamper(name, without(payout.signed.tx_id))
    payout.live_on(2)
    assert await payout.outcome() == Pending()
    payout.village.tampers.update({"main": [], "fallback": []})
    payout.live_on(PAST)
    assert await payout.outcome() == Pending()
    assert payout.troubles == {"rpc_disagreement"}
    assert isinstance(await payout.outcome(), Included)


async def test_a_node_that_hid_it_once_and_does_no_more_is_believed_again() -> None:
    payout = Payout()
    payout.village.produce(payout.transaction())
    payout.village.tamper("main", without(payout.signed.tx_id))
    payout.live_on(PAST)
    assert await payout.outcome() == Pending()
    payout.village.tampers["main"] = []
    assert isinstance(await payout.outcome(), Included)


async def test_a_last_block_that_is_another_by_now_is_no_proof() -> None:
    payout = Payout("only")
    payout.live_on(PAST)
    asked_by_id = "walletsolidity/gettransactioninfobyid"
    payout.village.tamper("only", lambda path, body, answer: [] if path == asked_by_id else answer)
    payout.live_on(2)
    assert await payout.outcome() == Pending()
    payout.village.tampers["only"] = []
    village, last = payout.village, payout.reference.number + PAST
    village.blocks[last] = make_block(last, village.ref(last - 1).id, [trc20("cd" * 32, wallet(1), wallet(2), 1)])
    assert await payout.outcome() == Pending()
    found = await payout.outcome()
    assert isinstance(found, Absent)
    assert found.up_to == village.ref(last)


async def test_a_witness_that_falls_silent_before_it_is_asked_again_is_none() -> None:
    payout = Payout()
    payout.live_on(PAST)
    asked_by_id = "walletsolidity/gettransactioninfobyid"
    payout.village.tamper("main", lambda path, body, answer: [] if path == asked_by_id else answer)
    assert await payout.outcome() == Pending()


async def test_a_chain_that_changed_since_it_was_read_is_read_again() -> None:
    payout = Payout()
    payout.live_on(3)
    await payout.outcome()
    village = payout.village
    for number in range(payout.reference.number + 2, village.final + 1):
        village.blocks[number] = make_block(number, village.ref(number - 1).id, [])
    village.blocks[village.final] = make_block(
        village.final, village.ref(village.final - 1).id, [payout.transaction()]
    )
    assert isinstance(await payout.outcome(), Included)


async def test_silence_of_all_nodes_is_no_outcome_and_no_exception() -> None:
    payout = Payout()
    payout.live_on(PAST)
    for name in ("main", "fallback"):
        payout.village.silent.add(name)
    assert await payout.outcome() == Pending()


# ---------------------------------------------------------------------- many at once


async def test_many_payouts_share_one_reading_of_each_block() -> None:
    village = Village()
    chain = TronPayouts(village.pool, village.clock)
    reference = village.ref(village.final)
    intents = [intent(reference, task, lives_ms=LIVES_BLOCKS * BLOCK_MS) for task in range(1, 301)]
    signed = [sign(chain, it) for it in intents]
    paid = [
        trc20(one.tx_id, it.sender, it.recipient, it.units)
        for one, it in zip(signed[:200], intents[:200], strict=True)
    ]
    village.produce(*paid[:100])
    village.produce(*paid[100:])
    for _ in range(PAST):
        village.produce()
    found = await chain.outcomes(signed, intents)
    assert [type(it) for it in found] == [Included] * 200 + [Absent] * 100
    assert [it.moved_units for it in found[:200]] == [it.units for it in intents[:200]]
    blocks = [asked for asked in village.asked if asked == ("main", "walletsolidity/getblockbynum")]
    assert len(blocks) <= PAST + 8 + 2, "each block once, some ahead, and the two that hold payouts once more"
    village.asked.clear()
    await chain.outcomes(signed[200:], intents[200:])
    read = [path for _, path in village.asked if path == "walletsolidity/getblockbynum"]
    assert read == [], "what was read is remembered"


async def test_payouts_of_several_references_are_each_judged_from_their_own() -> None:
    village = Village()
    chain = TronPayouts(village.pool, village.clock)
    early = intent(village.ref(village.final), 1, lives_ms=3 * BLOCK_MS)
    for _ in range(6):
        village.produce()
    late = intent(village.ref(village.final), 2, lives_ms=60 * BLOCK_MS)
    signed = [sign(chain, late), sign(chain, early)]
    found = await chain.outcomes(signed, [late, early])
    assert found[0] == Pending()
    assert isinstance(found[1], Absent)
    assert found[1].up_to.number == early.reference.number + 4


async def test_payouts_of_one_reference_have_each_their_own_last_chance() -> None:
    village = Village()
    chain = TronPayouts(village.pool, village.clock)
    reference = village.ref(village.final)
    short, long = (intent(reference, task, lives_ms=task * 5 * BLOCK_MS) for task in (1, 2))
    for _ in range(8):
        village.produce()
    signed = [sign(chain, short), sign(chain, long)]
    dead, alive = await chain.outcomes(signed, [short, long])
    assert isinstance(dead, Absent)
    assert alive == Pending()
    for _ in range(10):
        village.produce()
    found = await chain.outcomes(signed, [short, long])
    assert [it.up_to.number - reference.number for it in found if isinstance(it, Absent)] == [6, 11]


async def test_a_payout_whose_reference_is_on_no_chain_holds_up_no_other() -> None:
    village = Village()
    chain = TronPayouts(village.pool, village.clock)
    elsewhere, _ = make_block(village.final, "ff" * 32, [])
    nowhere = msgspec.structs.replace(village.ref(village.final), id=elsewhere["blockID"])
    intents = [intent(village.ref(village.final), 1), intent(nowhere, 2)]
    signed = [sign(chain, it) for it in intents]
    village.produce(trc20(signed[0].tx_id, intents[0].sender, intents[0].recipient, intents[0].units))
    for _ in range(30):
        village.produce()
    for _ in range(2):
        here, lost = await chain.outcomes(signed, intents)
        assert isinstance(here, Included)
        assert lost == Pending()
    assert {kind for kind, _ in village.troubles} == {"rpc_disagreement"}


async def test_nothing_under_way_asks_nobody() -> None:
    village = Village()
    assert await TronPayouts(village.pool, village.clock).outcomes([], []) == []
    assert village.asked == []
