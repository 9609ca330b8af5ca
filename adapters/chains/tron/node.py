"""The questions that java-tron answers, each asked of one named node of the pool.

`walletsolidity/…` answers from final blocks only, `wallet/…` from the newest. Facts that money is counted by come
from the first; the second is for what a transaction would meet when it is sent.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from adapters.chains.rpc import Answer, NodePool
from adapters.chains.tron import addresses, wire
from engine.errors import Rejected, RejectReason, Retryable
from engine.ids import TxId
from engine.payments.chain import BlockRef, BroadcastAnswer

_BALANCE_OF = bytes.fromhex("70a08231")
"""balanceOf(address)"""
_NOBODY = addresses.text(bytes(20))
"""In whose name contracts are read."""
_T = TypeVar("_T")


class TronNodes:
    """Typed questions to the nodes of a TRON network. Raises `Retryable`, `Rejected`, `OutcomeUnknown` only."""

    def __init__(self, pool: NodePool) -> None:
        self.pool = pool

    async def final_head(self, name: str) -> BlockRef:
        """Give a node's newest final block."""
        found = await self._ask(name, "walletsolidity/getblock", {"detail": False}, wire.block)
        if found is None:
            raise self.pool.spoilt(name, "it has no final block")
        self.pool.saw_head(name, found.ref.number)
        return found.ref

    async def header(self, name: str, number: int) -> BlockRef:
        """Give a final block's header; `Retryable` while the node does not have it."""
        body = {"id_or_num": str(number), "detail": False}
        found = await self._ask(name, "walletsolidity/getblock", body, lambda answer: wire.block(answer, number))
        if found is None:
            raise Retryable(f"{name} has no final block {number} yet")
        return found.ref

    async def block(self, name: str, number: int) -> wire.NodeBlock:
        """Give a final block with its transactions; `Retryable` while the node does not have all of it."""
        if self.pool.head_seen(name) < number and (await self.final_head(name)).number < number:
            raise Retryable(f"{name} has no final block {number} yet")
        body = {"num": number}
        found = await self._ask(
            name, "walletsolidity/getblockbynum", body, lambda answer: wire.whole_block(answer, number)
        )
        if found is None:
            raise self.pool.spoilt(name, f"it says that block {number} is final, and does not have it")
        return found

    async def infos(self, name: str, block: wire.NodeBlock) -> dict[str, wire.Info]:
        """Give what became of each transaction of a final block of the same node."""
        path, body = "walletsolidity/gettransactioninfobyblocknum", {"num": block.ref.number}
        return await self._ask(name, path, body, lambda answer: wire.infos(answer, block))

    async def knows(self, name: str, tx_id: TxId) -> bool:
        """Tell whether a node has a transaction in a final block. No is no proof: it may lag, or lie."""
        path = "walletsolidity/gettransactioninfobyid"
        return await self._ask(name, path, {"value": tx_id}, lambda answer: wire.names(answer, tx_id))

    async def account(self, name: str, address: str, final: bool = False) -> wire.Account | None:
        """Give an account's balance, None for an address that nobody has activated."""
        path = "walletsolidity/getaccount" if final else "wallet/getaccount"
        return await self._ask(name, path, {"address": _hex(address)}, wire.account)

    async def resources(self, name: str, address: str) -> wire.Resources:
        """Give an account's energy and bandwidth."""
        return await self._ask(name, "wallet/getaccountresource", {"address": _hex(address)}, wire.resources)

    async def parameters(self, name: str) -> dict[str, int]:
        """Give the chain's parameters, by java-tron's names."""
        return await self._ask(name, "wallet/getchainparameters", {}, wire.parameters)

    async def call(self, name: str, caller: str, contract: str, data: bytes, final: bool = False) -> wire.Call:
        """Try a call on one node, without a transaction: what it would give back and how much energy it needs."""
        body = {"owner_address": _hex(caller), "contract_address": _hex(contract), "data": data.hex()}
        path = "walletsolidity/triggerconstantcontract" if final else "wallet/triggerconstantcontract"
        return await self._ask(name, path, body, wire.call)

    async def token_balance(self, name: str, contract: str, address: str, final: bool = False) -> int:
        """Give an address's balance of a token in base units; `Rejected` if the contract is no token."""
        tried = await self.call(name, _NOBODY, contract, _BALANCE_OF + addresses.word(address), final)
        if tried.reverted or len(tried.output) != 32:
            raise Rejected(RejectReason.OTHER, f"{contract} does not tell balances: {tried.reverted}", "NotAToken")
        return int.from_bytes(tried.output, "big")

    async def broadcast(self, name: str, content: bytes) -> BroadcastAnswer:
        """Hand over a transaction's bytes; give the node's word, which proves nothing."""
        body = {"transaction": content.hex()}
        return await self._ask(name, "wallet/broadcasthex", body, wire.broadcast_answer)

    async def _ask(self, name: str, path: str, body: dict[str, Any], read: Callable[[Answer], _T]) -> _T:
        """Ask, and take java-tron's way of failing (200 and {"Error": …}) for what it is."""

        def read_or_fail(answer: Answer) -> _T:
            if isinstance(answer, dict) and "Error" in answer:
                raise ValueError(str(answer["Error"])[:200])
            return read(answer)

        return await self.pool.ask(name, path, body, read_or_fail)


def _hex(address: str) -> str:
    return addresses.raw(address).hex()
