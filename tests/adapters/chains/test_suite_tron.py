"""TRON keeps the promises of the suite, on the devnet; and what only TRON has to promise."""

from typing import Any

import msgspec
import pytest
from coincurve import PrivateKey

from adapters.chains.direct import DirectTransport
from adapters.chains.rpc import NodePool
from adapters.chains.tron.devnet import Conduct, Devnet, Funding, Reading, Rules, Sending, View
from adapters.chains.tron.devnet.addresses import parse
from adapters.chains.tron.devnet.artifact import call_data
from adapters.chains.tron.devnet.transactions import Call, Transfer
from adapters.chains.tron.keys import HotWalletKey
from adapters.chains.tron.payouts import TronPayouts
from engine.errors import Rejected, Retryable
from engine.ids import HotWalletId, Instant, PayoutTaskId
from engine.money import AssetId, Network
from engine.payments.chain import Absent, Included, PayoutIntent, Shortage
from tests.adapters.chains.suite import ChainSuite, outcome, sign
from tests.adapters.chains.tron.village import wallet

SUN = 1_000_000
LIVES_MS = 60_000
SOLID_LAG = 6
PAYER = PrivateKey(b"\x05" * 32)


class TronHouse:
    """A devnet with a funded hot wallet, a payer and a recipient. Fulfils `ChainHouse`."""

    def __init__(self) -> None:
        rules = Rules(solid_lag=SOLID_LAG)
        self.now_ms = rules.genesis_ms
        self.key = HotWalletKey(bytearray(b"\x11" * 32))
        self.payer = HotWalletKey(bytearray(PAYER.secret)).address
        self.recipient = wallet(7)
        rich = Funding(sun=100_000 * SUN, tokens={"USDT": 10**12})
        funding = {self.key.address: rich, self.payer: rich, self.recipient: Funding(sun=1)}
        self.devnet = Devnet(self.clock, rules, funding)
        self.token = self.devnet.tokens["USDT"]
        self.false_token = self.devnet.deploy_token("Tether USD", "USDT")
        self.devnet.tokens["FALSE"] = self.false_token
        self.devnet.give_token("FALSE", self.payer, 10**12)
        self.troubles: list[tuple[str, str]] = []
        self.pool = NodePool(
            "tron",
            ("main", "fallback"),
            DirectTransport(self.devnet),
            self.clock,
            lambda *what: self.troubles.append(what),
        )
        self.chain = TronPayouts(self.pool, self.clock)
        self._intents = 0
        self.make_final()

    def clock(self) -> Instant:
        return Instant(self.now_ms)

    async def intend(self, units: int, **changes: Any) -> PayoutIntent:
        reference = await self.chain.reference()
        self._intents += 1
        intent = PayoutIntent(
            task=PayoutTaskId(f"po_x.{self._intents}"),
            attempt=1,
            network=Network.TRON,
            asset=AssetId("tron:USDT"),
            contract=self.token,
            hot_wallet=HotWalletId("hw_a"),
            sender=self.key.address,
            recipient=self.recipient,
            units=units,
            fee_limit=30 * SUN,
            expires_at_ms=Instant(reference.time_ms + LIVES_MS),
            timestamp_ms=Instant(reference.time_ms + self._intents),
            reference=reference,
        )
        return msgspec.structs.replace(intent, **changes)

    def pay_in(self, contract: str, units: int) -> str:
        us, them = parse(self.key.address), parse(self.payer)
        data = call_data("transfer(address,uint256)", us, units)
        asks = Call(them, parse(contract), data) if contract else Transfer(them, us, units)
        transaction = self.devnet.sign(asks, PAYER)
        self.devnet.chain.push(transaction)
        return transaction.id

    def produce(self, blocks: int) -> None:
        for _ in range(blocks):
            self.now_ms += self.devnet.rules.block_ms
            self.devnet.produce()

    def make_final(self) -> None:
        self.produce(SOLID_LAG + 2)

    def let_expire(self) -> None:
        self.produce(LIVES_MS // self.devnet.rules.block_ms + SOLID_LAG + 2)

    def number_of(self, tx_id: str) -> int:
        return self.devnet.chain.included_in[tx_id]

    def reorganise(self) -> None:
        self.produce(2)
        self.devnet.fork(2)

    def break_token(self) -> None:
        self.devnet.use_token("USDT", call_data("setPaused(bool)", 1))

    def conduct(self, node: str, **conduct: Any) -> None:
        self.devnet.node(node).conduct = Conduct(**conduct)

    def silence(self, *nodes: str) -> None:
        for node in nodes:
            self.conduct(node, reading=Reading.SILENT, sending=Sending.SILENT_DROPPED)

    def swallow_answers(self) -> None:
        for node in self.devnet.nodes:
            self.conduct(node, sending=Sending.SILENT_ACCEPTED)

    def lag(self, node: str) -> None:
        self.conduct(node, view=View(lag=15))

    def hide(self, node: str, tx_id: str) -> None:
        if node in self.devnet.nodes:
            self.conduct(node, view=View(withheld=frozenset({tx_id})))

    def mend(self) -> None:
        for node in self.devnet.nodes:
            self.conduct(node)
        self.now_ms += 1_000


@pytest.fixture
def house() -> TronHouse:
    return TronHouse()


class TestTron(ChainSuite):
    """The shared promises."""


async def test_an_answer_with_another_hash_has_no_effect(house: TronHouse) -> None:
    """The attack of `chains.md` §1.2, by which tronpy empties its wallet: nobody asks what is to be signed."""
    thief = wallet(66)
    theft = await house.intend(10**11, recipient=thief)
    for node in house.devnet.nodes:
        house.conduct(node, view=View(sign_weight_id=sign(house, theft).tx_id))
    intent = await house.intend(1)
    signed = sign(house, intent)
    await house.chain.broadcast([signed])
    house.make_final()
    found = await outcome(house, signed, intent)
    assert isinstance(found, Included)
    assert found.moved_units == 1
    assert house.devnet.token_balance("USDT", thief) == 0
    assert house.devnet.requests["getsignweight"] == 0


@pytest.mark.parametrize(
    "sending",
    [it for it in Sending if it.value.endswith(("accepted", "late")) or it is Sending.ANSWERED],
)
async def test_whatever_a_node_answers_what_it_took_is_paid_once(house: TronHouse, sending: Sending) -> None:
    before = house.devnet.token_balance("USDT", house.recipient)
    intent = await house.intend(5)
    signed = sign(house, intent)
    for node in house.devnet.nodes:
        house.conduct(node, sending=sending)
    await house.chain.broadcast([signed])
    house.mend()
    house.make_final()
    assert isinstance(await outcome(house, signed, intent), Included)
    assert house.devnet.token_balance("USDT", house.recipient) == before + 5


VIEWS = {
    "a lag": View(lag=15),
    "another branch": View(branch_from=5),
    "no transaction at all": View(withholds_all=True),
    "empty lists": View(empty_receipts=True),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("nodes", [("main",), ("fallback",), ("main", "fallback")], ids="+".join)
async def test_no_view_of_any_node_makes_a_paid_payout_dead(
    house: TronHouse, view: str, nodes: tuple[str, ...]
) -> None:
    intent = await house.intend(5)
    signed = sign(house, intent)
    await house.chain.broadcast([signed])
    house.let_expire()
    for node in nodes:
        house.conduct(node, view=VIEWS[view])
    assert not isinstance(await outcome(house, signed, intent), Absent)
    house.mend()
    await outcome(house, signed, intent)  # What was read of the other branch is found to be stale, and dropped.
    house.mend()
    found = await outcome(house, signed, intent)
    assert isinstance(found, Included)
    assert found.block == await house.chain.header(house.number_of(signed.tx_id))


async def test_a_block_that_a_node_lacks_is_no_empty_block(house: TronHouse) -> None:
    tx_id = house.pay_in(house.token, 5)
    house.make_final()
    house.conduct("main", view=View(missing=frozenset({house.number_of(tx_id)})))
    with pytest.raises(Retryable):
        await house.chain.block(house.number_of(tx_id))


async def test_energy_runs_out_as_a_state_and_not_on_the_chain(house: TronHouse) -> None:
    house.devnet.set_balance(house.key.address, 1 * SUN)
    house.make_final()
    seen = await house.chain.preflight(house.key.address, house.recipient, house.token, 5)
    assert seen.shortage is Shortage.ENERGY
    house.devnet.set_energy(house.key.address, 10_000_000)
    house.make_final()
    assert (await house.chain.preflight(house.key.address, house.recipient, house.token, 5)).shortage is None


async def test_a_fee_limit_for_the_dear_case_survives_a_recipient_who_empties_the_wallet(house: TronHouse) -> None:
    """Weighed while the recipient has tokens; included when they have none left."""
    house.devnet.give_token("USDT", house.recipient, 5)
    house.make_final()
    seen = await house.chain.preflight(house.key.address, house.recipient, house.token, 5)
    newcomer = wallet(44)
    house.devnet.give_trx(newcomer, 1)
    house.make_final()
    intent = await house.intend(5, recipient=newcomer, fee_limit=seen.fee_limit)
    signed = sign(house, intent)
    await house.chain.broadcast([signed])
    house.make_final()
    found = await outcome(house, signed, intent)
    assert isinstance(found, Included)
    assert found.receipt.succeeded, found.receipt.result


async def test_a_fee_limit_that_is_too_low_fails_on_the_chain_and_burns(house: TronHouse) -> None:
    intent = await house.intend(5, fee_limit=100_000)
    signed = sign(house, intent)
    await house.chain.broadcast([signed])
    house.make_final()
    found = await outcome(house, signed, intent)
    assert isinstance(found, Included)
    assert (found.receipt.result, found.moved_units) == ("OUT_OF_ENERGY", 0)


async def test_a_recipient_that_nobody_has_activated_is_a_shortage(house: TronHouse) -> None:
    seen = await house.chain.preflight(house.key.address, wallet(45), house.token, 5)
    assert seen.shortage is Shortage.RECIPIENT_NOT_ACTIVE


async def test_a_token_that_is_paused_is_refused_before_anything_is_signed(house: TronHouse) -> None:
    house.break_token()
    house.make_final()
    with pytest.raises(Rejected):
        await house.chain.preflight(house.key.address, house.recipient, house.token, 5)


async def test_an_address_that_is_no_token_tells_no_balance(house: TronHouse) -> None:
    with pytest.raises(Rejected, match="does not tell balances"):
        await house.chain.balance(house.key.address, wallet(46))
