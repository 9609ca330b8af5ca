"""Unmodified tronpy pays on the devnet, and signs what a lying node tells it to: why we never use that path."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tronpy import Tron
from tronpy.exceptions import (
    AddressNotFound,
    BadSignature,
    TaposError,
    TransactionNotFound,
    TvmError,
    UnknownError,
    ValidationError,
)
from tronpy.keys import PrivateKey
from tronpy.providers import HTTPProvider

from adapters.chains.tron.devnet import Conduct, View
from adapters.chains.tron.devnet.addresses import parse
from adapters.chains.tron.devnet.artifact import call_data
from adapters.chains.tron.devnet.server import Server
from adapters.chains.tron.devnet.transactions import Call, signed_with

from .town import ALICE, BOB, CAROL, TRX, USDT, devnet_of_real_time

KEY = PrivateKey(ALICE.key.secret)


class Served:
    """A devnet on HTTP with blocks on a timer, and tronpy's synchronous client in a thread beside it."""

    def __init__(self) -> None:
        self.devnet = devnet_of_real_time(block_ms=100)
        self.server = Server(self.devnet)
        self.usdt = self.devnet.tokens["USDT"]

    async def with_client(self, what: Callable[[Tron], Any]) -> Any:
        """Run something with a client."""
        client = Tron(HTTPProvider(self.server.addresses["main"], timeout=10))
        return await asyncio.to_thread(what, client)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    await served.server.start()
    yield served
    await served.server.stop()


async def test_a_contract_is_read_and_called_and_its_receipt_becomes_final(served: Served) -> None:
    def pay(client: Tron) -> Any:
        contract = client.get_contract(served.usdt)
        assert contract.name == "USDT"
        assert contract.functions.decimals() == 6
        before = contract.functions.balanceOf(BOB.address)
        made = contract.functions.transfer(BOB.address, 5 * USDT).with_owner(ALICE.address).fee_limit(30 * TRX)
        sent = made.build().sign(KEY).broadcast()
        unsettled = sent.wait(interval=0.05)
        with pytest.raises(TransactionNotFound):
            client.get_solid_transaction_info(sent.txid)
        settled = sent.wait(interval=0.1, solid=True)
        assert contract.functions.balanceOf(BOB.address) - before == 5 * USDT
        return unsettled, settled

    unsettled, settled = await served.with_client(pay)
    assert unsettled["receipt"]["result"] == settled["receipt"]["result"] == "SUCCESS"
    assert unsettled["id"] == settled["id"]


async def test_trx_moves_and_accounts_blocks_and_resources_are_read(served: Served) -> None:
    def pay(client: Tron) -> None:
        with pytest.raises(AddressNotFound):
            client.get_account(BOB.address)
        client.trx.transfer(ALICE.address, BOB.address, 7 * TRX).build().sign(KEY).broadcast().wait(interval=0.05)
        assert client.get_account_balance(BOB.address) == 7
        assert client.get_account_resource(ALICE.address)["freeNetLimit"] == 600
        assert client.get_latest_block_number() > 30
        assert client.get_block(5)["block_header"]["raw_data"]["number"] == 5
        assert client.get_block(client.get_latest_block_id())["blockID"]
        assert {"key": "getEnergyFee", "value": 100} in client.get_chain_parameters()
        estimate = client.get_estimated_energy(
            ALICE.address, served.usdt, "transfer(address,uint256)", _parameters(BOB.raw_address, 1)
        )
        assert estimate == 129_910

    await served.with_client(pay)


async def test_tronpy_s_own_fee_limit_burns_and_does_not_pay_a_new_holder(served: Served) -> None:
    def pay(client: Tron) -> Any:
        made = client.get_contract(served.usdt).functions.transfer(BOB.address, 1).with_owner(ALICE.address)
        sent = made.build().sign(KEY).broadcast()
        with pytest.raises(TvmError):
            sent.result(interval=0.05)
        return sent.wait(interval=0.05)

    info = await served.with_client(pay)
    assert info["receipt"]["result"] == "OUT_OF_ENERGY"
    assert info["receipt"]["energy_fee"] == 10 * TRX


async def test_refusals_arrive_as_the_errors_that_tronpy_has_for_them(served: Served) -> None:
    def fail(client: Tron) -> None:
        make = client.trx.transfer(ALICE.address, BOB.address, 1 * TRX)
        signed = make.build().sign(KEY)
        signed.broadcast().wait(interval=0.05)
        with pytest.raises(UnknownError) as duplicate:
            signed.broadcast()
        assert duplicate.value.args[1] == "DUP_TRANSACTION_ERROR"

        with pytest.raises(ValidationError):
            client.trx.transfer(ALICE.address, BOB.address, 99_999 * TRX).build().sign(KEY).broadcast()

        stranger = client.trx.transfer(ALICE.address, BOB.address, 1).build()
        stranger._permission = None  # tronpy looks at the key itself before a node does.
        with pytest.raises(BadSignature):
            stranger.sign(PrivateKey(CAROL.key.secret)).broadcast()

        elsewhere = client.trx.transfer(ALICE.address, BOB.address, 2)
        with pytest.raises(TaposError):
            client.broadcast(elsewhere.build(offline=True, ref_block_id="0" * 15 + "5" + "ab" * 24).sign(KEY))

    await served.with_client(fail)


async def test_a_memo_is_carried_and_paid_for(served: Served) -> None:
    def pay(client: Tron) -> Any:
        made = client.trx.transfer(ALICE.address, BOB.address, 1).memo("Invoice 7")
        sent = made.build().sign(KEY).broadcast()
        sent.wait(interval=0.05)
        return client.get_transaction(sent.txid), client.get_transaction_info(sent.txid)

    whole, info = await served.with_client(pay)
    assert bytes.fromhex(whole["raw_data"]["data"]).decode() == "Invoice 7"
    assert info["fee"] == 1_100_000 + TRX


async def test_a_lying_node_makes_tronpy_sign_a_theft(served: Served) -> None:
    """The attack of chains.md §1.2: build() takes the id from the node, and sign() signs it unseen."""
    loot = Call(
        ALICE.raw_address,
        parse(served.usdt),
        call_data("transfer(address,uint256)", CAROL.raw_address, 100_000 * USDT),
    )
    theft = served.devnet.sign(loot, CAROL.key)  # The thief can build it, and not sign it as Alice.
    served.devnet.node("main").conduct = Conduct(view=View(sign_weight_id=theft.id))

    def pay_one_unit(client: Tron) -> str:
        contract = client.get_contract(served.usdt)
        made = contract.functions.transfer(BOB.address, 1).with_owner(ALICE.address).fee_limit(30 * TRX)
        return str(made.build().sign(KEY)._signature[0])

    signature = await served.with_client(pay_one_unit)
    stolen = {"transaction": signed_with(theft, bytes.fromhex(signature)).content.hex()}
    assert served.devnet.node("main").answer("wallet/broadcasthex", stolen).json["code"] == "SUCCESS"
    served.devnet.produce()
    assert served.devnet.token_balance("USDT", CAROL.address) == 100_000 * USDT


def _parameters(address: bytes, units: int) -> str:
    return call_data("", address, units)[4:].hex()
