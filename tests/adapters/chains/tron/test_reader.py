"""A block is read whole or not at all, as two nodes tell it alike; what it moved is what its receipts say."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from adapters.chains.tron import addresses
from adapters.chains.tron.reader import TronReader
from engine.errors import Retryable
from engine.ids import TxId
from engine.payments.chain import Receipt, TokenTransfer
from tests.adapters.chains.tron.village import FAKE_USDT, USDT, Village, make_block, trc20, trx, wallet

A, B, C = "a1" * 32, "b2" * 32, "c3" * 32


class Reading(Village):
    """A village and the reader before it."""

    def __init__(self, *nodes: str) -> None:
        super().__init__(nodes or ("main", "fallback"))
        self.reader = TronReader(self.pool)

    def lie(self, node: str, about: str, change: Callable[[Any], Any]) -> None:
        """Let a node change its answers to one kind of question."""
        self.tamper(node, lambda path, body, answer: change(answer) if path.endswith(f"/{about}") else answer)


# ---------------------------------------------------------------------- the head


async def test_the_head_is_the_newest_block_that_two_nodes_have() -> None:
    village = Reading()
    village.final_of["main"] = village.final - 3
    assert await village.reader.final_head() == village.ref(village.final - 3)
    del village.final_of["main"]
    assert await village.reader.final_head() == village.ref(village.final)


async def test_a_third_node_that_lags_holds_nobody_up_and_is_reported() -> None:
    village = Reading("one", "two", "three")
    for _ in range(50):
        village.produce()
    village.final_of["two"] = village.final - 45
    assert await village.reader.final_head() == village.ref(village.final)
    assert [kind for kind, _ in village.troubles] == ["rpc_lag"]
    assert "two is 45 blocks behind" in village.troubles[0][1]


async def test_nodes_that_contradict_each_other_about_a_final_block_stop_the_reading() -> None:
    village = Reading()
    other, _ = make_block(village.final, "ff" * 32, [])
    village.lie("fallback", "getblock", lambda answer: other)
    with pytest.raises(Retryable, match="disagree"):
        await village.reader.final_head()
    assert [kind for kind, _ in village.troubles] == ["rpc_disagreement"]


async def test_they_are_compared_at_the_height_that_both_have() -> None:
    village = Reading()
    behind = village.final - 2
    other, _ = make_block(behind, "ff" * 32, [])
    village.lie("fallback", "getblock", lambda answer: other)
    with pytest.raises(Retryable, match="disagree"):
        await village.reader.final_head()


async def test_one_of_two_nodes_alone_tells_no_head() -> None:
    village = Reading()
    village.silent.add("main")
    with pytest.raises(Retryable, match="too few nodes"):
        await village.reader.final_head()


async def test_one_of_three_may_fail_half_way() -> None:
    village = Reading("one", "two", "three")
    village.final_of["one"] = village.final - 1
    village.final_of["two"] = village.final - 1
    by_number = "id_or_num"
    village.tamper("three", lambda path, body, answer: [] if by_number in body else answer)
    assert await village.reader.final_head() == village.ref(village.final - 1)


async def test_one_of_three_may_be_silent() -> None:
    village = Reading("one", "two", "three")
    village.silent.add("one")
    assert await village.reader.final_head() == village.ref(village.final)


# ---------------------------------------------------------------------- what a block moved


async def test_transfers_of_every_contract_are_seen_with_the_event_as_the_witness() -> None:
    village = Reading()
    ref = village.produce(
        trc20(A, wallet(1), wallet(2), 1_500_000),
        trc20(B, wallet(1), wallet(2), 2, FAKE_USDT),
        trx(C, wallet(3), wallet(2), 7_000_000),
    )
    block = await village.reader.block(ref.number)
    assert block.ref == ref
    assert block.transfers == (
        TokenTransfer(TxId(A), 0, USDT, wallet(1), wallet(2), 1_500_000),
        TokenTransfer(TxId(B), 0, FAKE_USDT, wallet(1), wallet(2), 2),
        TokenTransfer(TxId(C), 0, "", wallet(3), wallet(2), 7_000_000),
    )
    assert block.receipts == (
        Receipt(TxId(A), True, "SUCCESS", 13_000_000, wallet(1)),
        Receipt(TxId(B), True, "SUCCESS", 13_000_000, wallet(1)),
        Receipt(TxId(C), True, "SUCCESS", 100_000, wallet(3)),
    )


async def test_a_failed_transaction_moves_nothing_and_costs_its_fee() -> None:
    village = Reading()
    failed, info = trc20(A, wallet(1), wallet(2), 5, result="OUT_OF_ENERGY")
    info["log"] = trc20(A, wallet(1), wallet(2), 5)[1]["log"]  # No node should tell it, and none is believed.
    ref = village.produce((failed, info), trx(B, wallet(1), wallet(2), 5, result="REVERT"))
    block = await village.reader.block(ref.number)
    assert block.transfers == ()
    assert [(it.succeeded, it.result) for it in block.receipts] == [(False, "OUT_OF_ENERGY"), (False, "REVERT")]


async def test_a_receipt_that_contradicts_itself_is_no_success() -> None:
    village = Reading()
    transaction, info = trc20(A, wallet(1), wallet(2), 5)
    ref = village.produce((transaction, {**info, "result": "FAILED"}))
    block = await village.reader.block(ref.number)
    assert block.transfers == ()
    assert not block.receipts[0].succeeded


async def test_several_events_of_one_transaction_keep_their_places() -> None:
    village = Reading()
    transaction, info = trc20(A, wallet(1), wallet(2), 5)
    (log,) = info["log"]
    approval = {**log, "topics": ["8c" * 32, *log["topics"][1:]]}
    info["log"] = [approval, log, log]
    ref = village.produce((transaction, info))
    block = await village.reader.block(ref.number)
    assert [(it.log_index, it.units) for it in block.transfers] == [(1, 5), (2, 5)]


def _other(**changes: Any) -> dict[str, Any]:
    (log,) = trc20(A, wallet(1), wallet(2), 5)[1]["log"]
    return {**log, **changes}


TOPICS = _other()["topics"]
RESEMBLING = {
    "a collectible": _other(topics=[*TOPICS, "00" * 31 + "05"], data=""),
    "a collectible with an amount": _other(topics=[*TOPICS, "00" * 31 + "05"]),
    "no recipient": _other(topics=TOPICS[:2]),
    "no amount": _other(data=""),
    "two amounts": _other(data="00" * 64),
    "dirt before our address": _other(topics=[*TOPICS[:2], "01" + TOPICS[2][2:]]),
    "no topics at all": _other(topics=[]),
}


@pytest.mark.parametrize("name", RESEMBLING)
@pytest.mark.parametrize("filtered", [False, True], ids=["all", "ours"])
async def test_an_event_that_only_resembles_a_transfer_is_none(name: str, filtered: bool) -> None:
    village = Reading()
    transaction, info = trc20(A, wallet(1), wallet(2), 5)
    ref = village.produce((transaction, {**info, "log": [RESEMBLING[name]]}))
    block = await village.reader.block(ref.number, [wallet(2)] if filtered else None)
    assert block.transfers == ()


async def test_only_what_touches_the_asked_addresses_is_told_when_they_are_named() -> None:
    village = Reading()
    ref = village.produce(
        trc20(A, wallet(1), wallet(2), 1),
        trc20(B, wallet(3), wallet(1), 2),
        trc20(C, wallet(3), wallet(4), 3),
        trx("d4" * 32, wallet(5), wallet(1), 4),
        trx("e5" * 32, wallet(5), wallet(6), 5),
    )
    everything = await village.reader.block(ref.number)
    ours = await village.reader.block(ref.number, {wallet(1)})
    assert ours.ref == everything.ref
    assert ours.transfers == tuple(it for it in everything.transfers if wallet(1) in (it.sender, it.recipient))
    assert len(ours.transfers) == 3
    assert ours.receipts == tuple(it for it in everything.receipts if it.payer == wallet(1))
    assert (await village.reader.block(ref.number, ())).transfers == ()


async def test_an_address_with_its_prefix_is_the_same_contract() -> None:
    """java-tron gives an event's address without its 41; one gateway adds it."""
    village = Reading()
    transaction, info = trc20(A, wallet(1), wallet(2), 5)
    info["log"][0]["address"] = addresses.raw(USDT).hex()
    ref = village.produce((transaction, info))
    assert (await village.reader.block(ref.number)).transfers[0].contract == USDT


async def test_an_empty_block_is_a_block() -> None:
    village = Reading()
    ref = village.produce()
    block = await village.reader.block(ref.number)
    assert (block.ref, block.transfers, block.receipts) == (ref, (), ())


# ---------------------------------------------------------------------- the traps


def _without_the_last(answer: Any) -> Any:
    return answer[:-1] if isinstance(answer, list) else {**answer, "transactions": answer["transactions"][:-1]}


def _renamed(answer: Any) -> Any:
    return [{**answer[0], "id": "99" * 32}, *answer[1:]]


def _doubled(answer: Any) -> Any:
    return {**answer, "transactions": [answer["transactions"][0]] * 2}


def _another_number(answer: Any) -> Any:
    changed = copy.deepcopy(answer)
    changed["block_header"]["raw_data"]["number"] += 1
    return changed


TRAPS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "the empty list for a block it lacks": ("gettransactioninfobyblocknum", lambda answer: []),
    "one info less than transactions": ("gettransactioninfobyblocknum", _without_the_last),
    "infos of other transactions": ("gettransactioninfobyblocknum", _renamed),
    "an object instead of infos": ("gettransactioninfobyblocknum", lambda answer: {}),
    "no block though it calls it final": ("getblockbynum", lambda answer: {}),
    "a block without its transactions": ("getblockbynum", lambda answer: {**answer, "transactions": []}),
    "one transaction less than infos": ("getblockbynum", _without_the_last),
    "a transaction twice": ("getblockbynum", _doubled),
    "another block than asked for": ("getblockbynum", _another_number),
    "an id that is not of this number": ("getblockbynum", lambda answer: {**answer, "blockID": "ff" * 32}),
    "an id that is no id": ("getblockbynum", lambda answer: {**answer, "blockID": "0000"}),
    "an error in java-tron's way": ("getblockbynum", lambda answer: {"Error": "class java.lang.Exception"}),
}


@pytest.mark.parametrize("trap", TRAPS)
async def test_a_list_that_may_be_incomplete_is_refused(trap: str) -> None:
    """Believed, it would be a payment that came and is never seen."""
    village = Reading()
    ref = village.produce(trc20(A, wallet(1), wallet(2), 5), trc20(B, wallet(1), wallet(2), 6))
    village.lie("main", *TRAPS[trap])
    with pytest.raises(Retryable):
        await village.reader.block(ref.number)
    failed = {health.name for health in village.pool.health() if health.failures}
    assert failed == {"main"}, "the node that said it is the one that rests"


@pytest.mark.parametrize("trap", TRAPS)
async def test_two_other_nodes_tell_it_instead(trap: str) -> None:
    village = Reading("one", "two", "three")
    ref = village.produce(trc20(A, wallet(1), wallet(2), 5), trc20(B, wallet(1), wallet(2), 6))
    village.lie("one", *TRAPS[trap])
    assert len((await village.reader.block(ref.number)).transfers) == 2


async def test_a_block_is_not_asked_for_before_the_node_has_it_final() -> None:
    village = Reading()
    ref = village.produce(trc20(A, wallet(1), wallet(2), 5))
    village.final_of["main"] = ref.number - 1
    with pytest.raises(Retryable, match="final block"):
        await village.reader.block(ref.number)
    assert ("main", "walletsolidity/getblockbynum") not in village.asked


async def test_a_payment_that_one_node_makes_up_is_credited_to_nobody() -> None:
    """The block is real and so is its id; only the list of one node has a transfer more."""
    village = Reading()
    ref = village.produce(trc20(A, wallet(1), wallet(2), 5))
    forged, info = trc20(B, wallet(1), wallet(2), 1_000_000_000)
    village.lie("main", "gettransactioninfobyblocknum", lambda answer: [*answer, info])
    village.lie("main", "getblockbynum", lambda it: {**it, "transactions": [*it["transactions"], forged]})
    with pytest.raises(Retryable, match="disagree"):
        await village.reader.block(ref.number, [wallet(2)])
    assert [kind for kind, _ in village.troubles] == ["rpc_disagreement"]


async def test_an_amount_that_one_node_changes_is_credited_to_nobody() -> None:
    village = Reading()
    ref = village.produce(trc20(A, wallet(1), wallet(2), 5))
    _, more = trc20(A, wallet(1), wallet(2), 5_000_000)
    village.lie("fallback", "gettransactioninfobyblocknum", lambda answer: [more])
    with pytest.raises(Retryable, match="disagree"):
        await village.reader.block(ref.number)


async def test_addresses_that_cannot_be_read_are_the_nodes_failure() -> None:
    village = Reading()
    transaction, info = trc20(A, wallet(1), wallet(2), 5)
    info["log"][0]["address"] = "xyz"
    ref = village.produce((transaction, info))
    with pytest.raises(Retryable):
        await village.reader.block(ref.number)


async def test_a_header_is_what_two_nodes_say() -> None:
    village = Reading()
    ref = village.ref(village.final - 4)
    assert await village.reader.header(ref.number) == ref
    other, _ = make_block(ref.number, "ff" * 32, [])
    village.lie("fallback", "getblock", lambda answer: other)
    with pytest.raises(Retryable, match="disagree"):
        await village.reader.header(ref.number)


async def test_a_header_that_nobody_has_yet_is_asked_for_later() -> None:
    village = Reading()
    with pytest.raises(Retryable, match="no final block"):
        await village.reader.header(village.final + 1)
    assert all(health.failures == 0 for health in village.pool.health())
