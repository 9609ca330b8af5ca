"""What every chain promises to payouts and watchers, whatever chain it is. A test module per chain inherits it.

The house behind `house` is a network of two nodes with a funded hot wallet on it, and the power to make its blocks
and to spoil its nodes. Times and heights are the house's; the suite only says "until final" and "until dead".
"""

from typing import Protocol

import msgspec
import pytest

from engine.errors import Retryable
from engine.payments.chain import (
    Absent,
    BroadcastAnswer,
    Included,
    Outcome,
    PayoutIntent,
    Pending,
    Shortage,
    SignedPayout,
)
from engine.payments.ports import BytesDiffer, KeyHolder, PayoutChain


class ChainHouse(Protocol):
    """A network under a test's hand."""

    chain: PayoutChain
    key: KeyHolder
    token: str
    """A token's address, of which the hot wallet has plenty."""
    false_token: str
    """Another contract under the same name and symbol."""
    payer: str
    """Somebody who has tokens and coins, and who pays in."""
    recipient: str
    troubles: list[tuple[str, str]]

    async def intend(self, units: int, **changes: object) -> PayoutIntent:
        """Say what a payout of the hot wallet must do, on a fresh reference; each differs from every other."""
        ...

    def pay_in(self, contract: str, units: int) -> str:
        """Let the payer pay the hot wallet; give the transaction's id. "" is the network's coin."""
        ...

    def make_final(self) -> None:
        """Let blocks be made until what waits is included and final on every honest node."""
        ...

    def let_expire(self) -> None:
        """Let blocks be made until no payout that was built before can be included any more, finally so."""
        ...

    def number_of(self, tx_id: str) -> int:
        """Give the number of the block that holds a transaction."""
        ...

    def reorganise(self) -> None:
        """Replace blocks that are not final yet; their transactions come back in other blocks."""
        ...

    def break_token(self) -> None:
        """Make every transfer of the token fail from now on, once it is in a block."""
        ...

    def silence(self, *nodes: str) -> None:
        """Let nodes answer nothing, while the network goes on."""
        ...

    def swallow_answers(self) -> None:
        """Let nodes take what they are handed, and answer nothing."""
        ...

    def lag(self, node: str) -> None:
        """Let a node stand still far behind."""
        ...

    def hide(self, node: str, tx_id: str) -> None:
        """Let a node leave a transaction out of all that it tells."""
        ...

    def mend(self) -> None:
        """Let all nodes be honest and prompt, and give those that rested time to be asked again."""
        ...


def sign(house: ChainHouse, intent: PayoutIntent) -> SignedPayout:
    """Build, check, sign and assemble, as a signer does."""
    unsigned = house.chain.build(intent)
    house.chain.check(unsigned, intent)
    return house.chain.assemble(unsigned, house.key.sign(house.chain.digest(unsigned)), intent)


async def outcome(house: ChainHouse, signed: SignedPayout, intent: PayoutIntent) -> Outcome:
    (found,) = await house.chain.outcomes([signed], [intent])
    return found


class ChainSuite:
    """The promises of `ChainReader`, `PayoutChain` and `KeyHolder`."""

    # ------------------------------------------------------------------ reading

    async def test_the_final_head_moves_on_and_has_a_header(self, house: ChainHouse) -> None:
        before = await house.chain.final_head()
        house.make_final()
        after = await house.chain.final_head()
        assert after.number > before.number
        assert after.time_ms > before.time_ms
        assert await house.chain.header(before.number) == before
        assert (await house.chain.block(after.number)).ref == after
        assert (await house.chain.header(before.number + 1)).parent_id == before.id

    async def test_a_payment_is_seen_once_it_is_final_and_by_its_contract(self, house: ChainHouse) -> None:
        for contract in (house.token, house.false_token, ""):
            tx_id = house.pay_in(contract, 1_234_567)
            house.make_final()
            block = await house.chain.block(house.number_of(tx_id))
            (seen,) = [it for it in block.transfers if it.tx_id == tx_id]
            assert (seen.contract, seen.sender, seen.recipient, seen.units) == (
                contract,
                house.payer,
                house.key.address,
                1_234_567,
            )
            (receipt,) = [it for it in block.receipts if it.tx_id == tx_id]
            assert (receipt.succeeded, receipt.payer) == (True, house.payer)

    async def test_a_block_that_is_not_final_is_not_told(self, house: ChainHouse) -> None:
        head = await house.chain.final_head()
        with pytest.raises(Retryable):
            await house.chain.block(head.number + 1)

    async def test_a_failed_payment_is_no_transfer_and_has_a_receipt(self, house: ChainHouse) -> None:
        house.break_token()
        tx_id = house.pay_in(house.token, 5)
        house.make_final()
        block = await house.chain.block(house.number_of(tx_id))
        assert [it for it in block.transfers if it.tx_id == tx_id] == []
        (receipt,) = [it for it in block.receipts if it.tx_id == tx_id]
        assert not receipt.succeeded
        assert receipt.fee_units > 0

    async def test_naming_addresses_leaves_out_only_others(self, house: ChainHouse) -> None:
        tx_id = house.pay_in(house.token, 5)
        house.make_final()
        number = house.number_of(tx_id)
        whole = await house.chain.block(number)
        ours = await house.chain.block(number, {house.key.address})
        assert ours.ref == whole.ref
        assert ours.transfers == tuple(
            it for it in whole.transfers if house.key.address in (it.sender, it.recipient)
        )
        assert tx_id in {it.tx_id for it in ours.transfers}
        assert (await house.chain.block(number, {house.recipient})).transfers == ()

    async def test_balances_are_those_of_the_final_head(self, house: ChainHouse) -> None:
        tokens = await house.chain.balance(house.key.address, house.token)
        coins = await house.chain.balance(house.key.address, "")
        house.pay_in(house.token, 77)
        house.pay_in("", 88)
        assert await house.chain.balance(house.key.address, house.token) == tokens
        house.make_final()
        assert await house.chain.balance(house.key.address, house.token) == tokens + 77
        assert await house.chain.balance(house.key.address, "") == coins + 88

    async def test_silent_nodes_are_retryable_and_tell_nothing(self, house: ChainHouse) -> None:
        house.silence("main", "fallback")
        for question in (house.chain.final_head, house.chain.reference, lambda: house.chain.block(1)):
            with pytest.raises(Retryable):
                await question()

    async def test_one_node_alone_is_not_enough_for_what_money_follows_from(self, house: ChainHouse) -> None:
        house.silence("fallback")
        for question in (house.chain.final_head, house.chain.reference, lambda: house.chain.block(1)):
            with pytest.raises(Retryable):
                await question()

    async def test_a_payment_that_one_node_hides_stops_the_reading(self, house: ChainHouse) -> None:
        tx_id = house.pay_in(house.token, 5)
        house.make_final()
        house.hide("main", tx_id)
        with pytest.raises(Retryable):
            await house.chain.block(house.number_of(tx_id))
        house.mend()
        assert (await house.chain.block(house.number_of(tx_id))).transfers

    # ------------------------------------------------------------------ paying

    async def test_a_payout_is_paid_exactly_as_intended(self, house: ChainHouse) -> None:
        for contract in (house.token, ""):
            before = await house.chain.balance(house.recipient, contract)
            intent = await house.intend(2_000_001, contract=contract)
            signed = sign(house, intent)
            assert await house.chain.broadcast([signed]) == [BroadcastAnswer.TAKEN]
            assert await outcome(house, signed, intent) == Pending()
            house.make_final()
            found = await outcome(house, signed, intent)
            assert isinstance(found, Included)
            assert (found.receipt.succeeded, found.moved_units) == (True, 2_000_001)
            assert found.block.number == house.number_of(signed.tx_id)
            assert found.receipt.payer == house.key.address
            assert await house.chain.balance(house.recipient, contract) == before + 2_000_001
        assert house.troubles == []

    async def test_the_same_bytes_pay_once_however_often_they_are_sent(self, house: ChainHouse) -> None:
        before = await house.chain.balance(house.recipient, house.token)
        intent = await house.intend(3_000_000)
        signed = sign(house, intent)
        for _ in range(3):
            await house.chain.broadcast([signed, signed])
        house.make_final()
        assert set(await house.chain.broadcast([signed])) <= {BroadcastAnswer.KNOWN, BroadcastAnswer.REFUSED}
        house.make_final()
        assert await house.chain.balance(house.recipient, house.token) == before + 3_000_000

    async def test_the_same_intent_gives_the_same_bytes_and_id(self, house: ChainHouse) -> None:
        intent = await house.intend(5)
        assert sign(house, intent) == sign(house, intent)
        assert sign(house, await house.intend(5)).tx_id != sign(house, intent).tx_id

    async def test_what_never_left_is_dead_only_when_no_block_can_hold_it(self, house: ChainHouse) -> None:
        intent = await house.intend(4_000_000)
        signed = sign(house, intent)
        house.make_final()
        assert await outcome(house, signed, intent) == Pending()
        house.let_expire()
        found = await outcome(house, signed, intent)
        assert isinstance(found, Absent)
        assert found.witnesses == ("main", "fallback")
        await house.chain.broadcast([signed])
        house.make_final()
        with pytest.raises(KeyError):
            house.number_of(signed.tx_id)

    async def test_a_dead_payout_is_followed_by_one_that_pays_once(self, house: ChainHouse) -> None:
        before = await house.chain.balance(house.recipient, house.token)
        first = await house.intend(6_000_000)
        dead = sign(house, first)
        house.let_expire()
        assert isinstance(await outcome(house, dead, first), Absent)
        second = await house.intend(6_000_000, attempt=2)
        signed = sign(house, second)
        await house.chain.broadcast([dead, signed])
        house.make_final()
        assert isinstance(await outcome(house, signed, second), Included)
        assert await house.chain.balance(house.recipient, house.token) == before + 6_000_000

    async def test_an_included_failure_is_told_with_its_fee(self, house: ChainHouse) -> None:
        intent = await house.intend(5)
        signed = sign(house, intent)
        house.break_token()
        await house.chain.broadcast([signed])
        house.make_final()
        found = await outcome(house, signed, intent)
        assert isinstance(found, Included)
        assert (found.receipt.succeeded, found.moved_units) == (False, 0)
        assert found.receipt.fee_units > 0

    async def test_a_reorganisation_costs_no_payout(self, house: ChainHouse) -> None:
        intent = await house.intend(8_000_000)
        signed = sign(house, intent)
        await house.chain.broadcast([signed])
        house.reorganise()
        house.make_final()
        found = await outcome(house, signed, intent)
        assert isinstance(found, Included)
        assert found.block.number == house.number_of(signed.tx_id)

    async def test_many_payouts_are_each_told_their_own_end(self, house: ChainHouse) -> None:
        intents = [await house.intend(1_000 + number) for number in range(40)]
        signed = [sign(house, intent) for intent in intents]
        answers = await house.chain.broadcast(signed[:30])
        assert answers == [BroadcastAnswer.TAKEN] * 30
        house.let_expire()
        found = await house.chain.outcomes(signed, intents)
        assert [type(it) for it in found] == [Included] * 30 + [Absent] * 10
        paid = [it for it in found if isinstance(it, Included)]
        assert [it.moved_units for it in paid] == [intent.units for intent in intents[:30]]

    # ------------------------------------------------------------------ nodes that fail

    async def test_an_answer_that_is_lost_decides_nothing(self, house: ChainHouse) -> None:
        intent = await house.intend(9_000_000)
        signed = sign(house, intent)
        house.swallow_answers()
        assert await house.chain.broadcast([signed]) == [BroadcastAnswer.SILENT]
        house.mend()
        house.make_final()
        assert isinstance(await outcome(house, signed, intent), Included)

    async def test_silence_is_no_outcome(self, house: ChainHouse) -> None:
        intent = await house.intend(5)
        signed = sign(house, intent)
        house.let_expire()
        house.silence("main", "fallback")
        assert await house.chain.broadcast([signed]) == [BroadcastAnswer.SILENT]
        assert await outcome(house, signed, intent) == Pending()
        house.mend()
        assert isinstance(await outcome(house, signed, intent), Absent)

    @pytest.mark.parametrize("node", ["main", "fallback"])
    async def test_a_node_that_stands_still_makes_nothing_dead(self, house: ChainHouse, node: str) -> None:
        intent = await house.intend(5)
        signed = sign(house, intent)
        house.let_expire()
        house.lag(node)
        assert await outcome(house, signed, intent) == Pending()
        house.mend()
        assert isinstance(await outcome(house, signed, intent), Absent)

    @pytest.mark.parametrize("node", ["main", "fallback"])
    async def test_a_node_that_hides_a_payout_makes_it_neither_dead_nor_paid(
        self, house: ChainHouse, node: str
    ) -> None:
        intent = await house.intend(5)
        signed = sign(house, intent)
        await house.chain.broadcast([signed])
        house.make_final()
        house.let_expire()
        house.hide(node, signed.tx_id)
        assert await outcome(house, signed, intent) == Pending()
        house.mend()
        house.hide("nobody", signed.tx_id)

    # ------------------------------------------------------------------ bytes and keys

    async def test_bytes_that_differ_in_any_place_are_found(self, house: ChainHouse) -> None:
        intent = await house.intend(5_000_000)
        unsigned = house.chain.build(intent)
        for content in (unsigned, sign(house, intent).content):
            for position in range(len(content)):
                changed = bytearray(content)
                changed[position] ^= 0x01
                with pytest.raises(BytesDiffer):
                    house.chain.check(bytes(changed), intent)

    async def test_bytes_of_another_intent_are_found(self, house: ChainHouse) -> None:
        intent = await house.intend(5_000_000)
        others = {
            "recipient": house.payer,
            "units": 5_000_001,
            "contract": house.false_token,
            "sender": house.payer,
        }
        for field, value in others.items():
            unsigned = house.chain.build(msgspec.structs.replace(intent, **{field: value}))
            with pytest.raises(BytesDiffer):
                house.chain.check(unsigned, intent)
            with pytest.raises(BytesDiffer):
                house.chain.assemble(unsigned, house.key.sign(house.chain.digest(unsigned)), intent)

    async def test_only_the_senders_signature_is_joined(self, house: ChainHouse) -> None:
        intent = await house.intend(5_000_000)
        unsigned = house.chain.build(intent)
        elsewhere = house.key.sign(house.chain.digest(house.chain.build(await house.intend(6_000_000))))
        for signature in (elsewhere, bytes(65), b""):
            with pytest.raises(BytesDiffer):
                house.chain.assemble(unsigned, signature, intent)

    async def test_a_key_shows_nothing_and_ends_when_it_is_wiped(self, house: ChainHouse) -> None:
        assert "***" in repr(house.key)
        digest = house.chain.digest(house.chain.build(await house.intend(5)))
        assert len(house.key.sign(digest)) == 65
        house.key.wipe()
        with pytest.raises(RuntimeError):
            house.key.sign(digest)

    # ------------------------------------------------------------------ means

    async def test_a_wallet_with_means_may_send(self, house: ChainHouse) -> None:
        seen = await house.chain.preflight(house.key.address, house.recipient, house.token, 1_000_000)
        assert seen.shortage is None
        assert seen.token_units == await house.chain.balance(house.key.address, house.token)
        assert seen.coin_units == await house.chain.balance(house.key.address, "")
        assert seen.fee_limit > 0
        assert seen.worst_fee_units > 0

    async def test_the_worst_fee_is_never_passed(self, house: ChainHouse) -> None:
        seen = await house.chain.preflight(house.key.address, house.recipient, house.token, 1_000_000)
        intent = await house.intend(1_000_000, fee_limit=seen.fee_limit)
        signed = sign(house, intent)
        await house.chain.broadcast([signed])
        house.make_final()
        found = await outcome(house, signed, intent)
        assert isinstance(found, Included)
        assert found.receipt.succeeded
        assert found.receipt.fee_units <= seen.worst_fee_units

    async def test_too_few_tokens_are_a_shortage(self, house: ChainHouse) -> None:
        most = await house.chain.balance(house.key.address, house.token)
        seen = await house.chain.preflight(house.key.address, house.recipient, house.token, most + 1)
        assert seen.shortage is Shortage.TOKEN
