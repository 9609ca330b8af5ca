"""The whole adapter over real sockets, as in production: a payout from preflight to its final receipt."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.chains.http import HttpTransport, NodeAddress
from adapters.chains.registry import key_holder, payout_chain
from adapters.chains.rpc import NodePool
from adapters.chains.tron.devnet.faults import Conduct, Reading, Sending
from adapters.chains.tron.devnet.server import Server
from engine.ids import HotWalletId, Instant, PayoutTaskId
from engine.money import AssetId, Network
from engine.payments.chain import BroadcastAnswer, Included, PayoutIntent
from engine.payments.ports import PayoutChain
from tests.adapters.chains.tron.devnet.town import ALICE, BOB, devnet_of_real_time

BLOCK_MS = 50


class Street:
    """A devnet behind HTTP, and our chain before it."""

    def __init__(self, server: Server, chain: PayoutChain) -> None:
        self.devnet, self.chain = server.devnet, chain
        self.key = key_holder(Network.TRON, bytearray(ALICE.key.secret))

    async def pay(self, units: int) -> tuple[Any, PayoutIntent]:
        """Weigh, build, check, sign and assemble a payout to Bob."""
        token = self.devnet.tokens["USDT"]
        weighed = await self.chain.preflight(self.key.address, BOB.address, token, units)
        assert weighed.shortage is None
        reference = await self.chain.reference()
        intent = PayoutIntent(
            task=PayoutTaskId("po_x.1"),
            attempt=1,
            network=Network.TRON,
            asset=AssetId("tron:USDT"),
            contract=token,
            hot_wallet=HotWalletId("hw_a"),
            sender=self.key.address,
            recipient=BOB.address,
            units=units,
            fee_limit=weighed.fee_limit,
            expires_at_ms=Instant(reference.time_ms + 60_000),
            timestamp_ms=reference.time_ms,
            reference=reference,
        )
        unsigned = self.chain.build(intent)
        return self.chain.assemble(unsigned, self.key.sign(self.chain.digest(unsigned)), intent), intent

    async def included(self, signed: Any, intent: PayoutIntent) -> Included:
        """Wait for the final receipt."""
        async with asyncio.timeout(30):
            while True:
                (found,) = await self.chain.outcomes([signed], [intent])
                if isinstance(found, Included):
                    return found
                await asyncio.sleep(BLOCK_MS / 1_000)


@pytest.fixture
async def street() -> AsyncIterator[Street]:
    devnet = devnet_of_real_time(BLOCK_MS)
    devnet.give_trx(BOB.address, 1)
    server = Server(devnet)
    await server.start()
    transport = HttpTransport(
        {name: NodeAddress(url) for name, url in server.addresses.items()},
        answer_s=2,
    )
    pool = NodePool(
        "tron",
        list(server.addresses),
        transport,
        lambda: Instant(devnet.chain.clock()),
        lambda *what: None,
    )
    devnet.produce(20)
    yield Street(server, payout_chain(pool, lambda: Instant(devnet.chain.clock())))
    await transport.close()
    await server.stop()


async def test_a_payout_over_sockets(street: Street) -> None:
    signed, intent = await street.pay(777)
    assert await street.chain.broadcast([signed]) == [BroadcastAnswer.TAKEN]
    found = await street.included(signed, intent)
    assert (found.receipt.succeeded, found.moved_units) == (True, 777)
    block = await street.chain.block(found.block.number, {BOB.address})
    assert [it.units for it in block.transfers if it.tx_id == signed.tx_id] == [777]


async def test_a_payout_whose_answer_never_came_over_sockets(street: Street) -> None:
    signed, intent = await street.pay(778)
    for node in street.devnet.nodes.values():
        node.next_sends.append(Conduct(sending=Sending.SILENT_ACCEPTED))
        node.next_reads.append(Conduct(reading=Reading.UNAVAILABLE))
    assert await street.chain.broadcast([signed]) == [BroadcastAnswer.SILENT]
    assert (await street.included(signed, intent)).moved_units == 778
