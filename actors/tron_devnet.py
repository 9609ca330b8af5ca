"""The Ray actor around the demo's TRON: one process that makes its blocks, on the same ports in every life.

Ray restarts the process when it dies; the chain comes back from its journal with the first question. The demo's
companies keep their own money here too: their keys follow from their names, and anybody can work them out.
"""

import asyncio
from pathlib import Path

import msgspec

from actors import wiring
from actors.clock import now_ms
from adapters.chains.tron.devnet import Funding, Rules
from adapters.chains.tron.devnet.addresses import parse
from adapters.chains.tron.devnet.artifact import call_data
from adapters.chains.tron.devnet.devnet import TOKENS, demo_account
from adapters.chains.tron.devnet.journal import Journal
from adapters.chains.tron.devnet.server import Server
from adapters.chains.tron.devnet.transactions import Call

SEED = "trellis demo"
BLOCK_MS = 1_000
"""Three times as fast as the real one, so that nobody waits a minute for a block to be final."""
COMPANY_TRX, COMPANY_TOKENS = 100_000, 10_000_000
MILLION = 1_000_000


class DevnetPlan(msgspec.Struct, frozen=True):
    """What the process needs to know. `owners`: whose accounts the chain begins with."""

    folder: Path
    home: Path
    log_level: str
    owners: tuple[str, ...]


class DevnetFacts(msgspec.Struct, frozen=True):
    """Where the chain is reached, and its tokens' contracts by symbol."""

    nodes: tuple[str, ...]
    tokens: dict[str, str]


class TronDevnetActor:
    """Serves one devnet."""

    def __init__(self, plan: bytes) -> None:
        self._plan = msgspec.msgpack.decode(plan, type=DevnetPlan, dec_hook=lambda kind, value: kind(value))
        self._starting: asyncio.Task[Server] | None = None

    async def describe(self) -> bytes:
        """Say where it is (`DevnetFacts`), starting it if this process has not yet."""
        server = await self._server()
        facts = DevnetFacts(tuple(server.addresses.values()), dict(server.devnet.tokens))
        return msgspec.msgpack.encode(facts)

    async def account_of(self, owner: str) -> str:
        """Give the address where one of the demo's companies keeps its own money."""
        return demo_account(SEED, owner)[0]

    async def fuel(self, address: str, trx: int) -> None:
        """Give an address TRX, if it has less than half of that."""
        devnet = (await self._server()).devnet
        if devnet.trx_balance(address) < trx * MILLION // 2:
            devnet.give_trx(address, trx * MILLION)

    async def pay(self, owner: str, to_address: str, symbol: str, units: int) -> str:
        """Transfer tokens from a company's own account, as the company would; give the transaction's id."""
        devnet = (await self._server()).devnet
        sender, key = demo_account(SEED, owner)
        data = call_data("transfer(address,uint256)", parse(to_address), units)
        transaction = devnet.sign(Call(parse(sender), parse(devnet.tokens[symbol]), data), key)
        devnet.chain.push(transaction)
        return transaction.id

    async def stop(self) -> None:
        """Close the doors. The chain goes on from its journal at the next start."""
        if self._starting is not None:
            await (await self._starting).stop()

    async def _server(self) -> Server:
        if self._starting is None or (self._starting.done() and self._starting.exception()):
            self._starting = asyncio.create_task(self._start())
        return await asyncio.shield(self._starting)

    async def _start(self) -> Server:
        plan = self._plan
        wiring.set_up_logging(plan.home, plan.log_level)
        rules = Rules(seed=SEED, genesis_ms=now_ms() // BLOCK_MS * BLOCK_MS, block_ms=BLOCK_MS)
        each = Funding(sun=COMPANY_TRX * MILLION, tokens=dict.fromkeys(TOKENS, COMPANY_TOKENS * MILLION))
        funding = {demo_account(SEED, owner)[0]: each for owner in plan.owners}
        journal = await asyncio.to_thread(Journal, plan.folder)
        devnet = await asyncio.to_thread(journal.open, now_ms, rules, funding)
        server = Server(devnet)
        port_file = plan.folder / "port"
        known_port = int(port_file.read_text()) if port_file.exists() else 0
        try:
            await server.start(known_port)
        except OSError:
            # Somebody has taken our ports meanwhile.
            server = Server(devnet)
            await server.start()
        port_file.write_text(next(iter(server.addresses.values())).rpartition(":")[2])
        return server
