"""A chain made by hand and the nodes that tell of it, each able to leave out, delay or falsify what it says.

Smaller than the devnet on purpose: it runs nothing and checks nothing, so that a test says exactly which answer a
node gives. The shapes are java-tron's.
"""

import copy
import hashlib
from collections.abc import Callable
from typing import Any

from adapters.chains.rpc import Answer, NodePool
from adapters.chains.tron import addresses, codec
from adapters.chains.tron.keys import HotWalletKey
from engine.errors import OutcomeUnknown, Retryable
from engine.ids import HotWalletId, Instant, PayoutTaskId
from engine.money import AssetId, Network
from engine.payments.chain import BlockRef, PayoutIntent, SignedPayout

USDT = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
FAKE_USDT = addresses.text(b"\x99" * 20)
TRANSFER = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
START_MS, BLOCK_MS = 1_760_000_000_000, 3_000
Tamper = Callable[[str, dict[str, Any], Answer], Answer]


def wallet(number: int) -> str:
    """Give the address of somebody."""
    return addresses.text(bytes([number]) * 20)


def key(number: int = 1) -> HotWalletKey:
    """Give the key of a hot wallet."""
    return HotWalletKey(bytearray([number]) * 32)


def trc20(tx_id: str, sender: str, recipient: str, units: int, contract: str = USDT, result: str = "SUCCESS"):
    """Make a token transfer and its info, as a block of the chain holds them."""
    transaction = {
        "txID": tx_id,
        "ret": [{"contractRet": result}],
        "signature": ["00" * 65],
        "raw_data": {
            "contract": [
                {
                    "type": "TriggerSmartContract",
                    "parameter": {
                        "type_url": "type.googleapis.com/protocol.TriggerSmartContract",
                        "value": {
                            "owner_address": addresses.raw(sender).hex(),
                            "contract_address": addresses.raw(contract).hex(),
                            "data": codec.transfer_call(recipient, units).hex(),
                        },
                    },
                }
            ],
        },
    }
    info: dict[str, Any] = {"id": tx_id, "fee": 13_000_000, "receipt": {"result": result, "net_usage": 345}}
    log = {
        "address": addresses.machine(contract).hex(),
        "topics": [TRANSFER, addresses.word(sender).hex(), addresses.word(recipient).hex()],
        "data": units.to_bytes(32, "big").hex(),
    }
    if result == "SUCCESS":
        info["log"] = [log]
    else:
        info["result"] = "FAILED"
    return transaction, info


def trx(tx_id: str, sender: str, recipient: str, units: int, result: str = "SUCCESS"):
    """Make a transfer of TRX and its info."""
    value = {
        "owner_address": addresses.raw(sender).hex(),
        "to_address": addresses.raw(recipient).hex(),
        "amount": units,
    }
    contract = {"type": "TransferContract", "parameter": {"value": value}}
    transaction = {"txID": tx_id, "ret": [{"contractRet": result}], "raw_data": {"contract": [contract]}}
    return transaction, {"id": tx_id, "fee": 100_000, "receipt": {"net_fee": 100_000}}


class Village:
    """The true chain, its nodes and their clock. All nodes tell the truth until a test tampers with one."""

    def __init__(self, nodes: tuple[str, ...] = ("main", "fallback"), final: int = 20) -> None:
        self.now_ms = START_MS
        self.troubles: list[tuple[str, str]] = []
        self.asked: list[tuple[str, str]] = []
        self.blocks: dict[int, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
        self.tampers: dict[str, list[Tamper]] = {name: [] for name in nodes}
        self.final_of: dict[str, int] = {}
        """Nodes that are behind, and how far they are."""
        self.silent: set[str] = set()
        self.answers: dict[str, Callable[[dict[str, Any]], Answer]] = {}
        """What nodes answer to questions that are not about blocks."""
        self.pool = NodePool(
            "tron", nodes, self, self.clock, lambda kind, detail: self.troubles.append((kind, detail))
        )
        for _ in range(final):
            self.produce()

    def clock(self) -> Instant:
        return Instant(self.now_ms)

    @property
    def final(self) -> int:
        return max(self.blocks, default=99)

    def produce(self, *transactions: tuple[dict[str, Any], dict[str, Any]]) -> BlockRef:
        """Add a final block that holds these."""
        number = self.final + 1
        parent = self.blocks[number - 1][0]["blockID"] if number - 1 in self.blocks else "00" * 32
        self.blocks[number] = make_block(number, parent, transactions)
        return self.ref(number)

    def ref(self, number: int) -> BlockRef:
        block = self.blocks[number][0]
        header = block["block_header"]["raw_data"]
        return BlockRef(number, block["blockID"], header["parentHash"], Instant(header["timestamp"]))

    def tamper(self, node: str, change: Tamper) -> None:
        """Let a node change its answers: `change(path, body, answer)` gives what it says."""
        self.tampers[node].append(change)

    async def post(self, node: str, path: str, body: dict[str, Any]) -> Answer:
        """Answer as java-tron does. Fulfils `Transport`."""
        self.asked.append((node, path))
        if node in self.silent:
            raise OutcomeUnknown(f"{node} says nothing")
        answer = self.honest(node, path, body)
        for change in self.tampers[node]:
            answer = change(path, body, answer)
        return answer

    def honest(self, node: str, path: str, body: dict[str, Any]) -> Answer:
        final = self.final_of.get(node, self.final)
        match path:
            case "walletsolidity/getblock":
                number = int(body.get("id_or_num", final))
                block = self.blocks[number][0] if number <= final and number in self.blocks else {}
                return {key: value for key, value in copy.deepcopy(block).items() if key != "transactions"}
            case "walletsolidity/getblockbynum":
                return copy.deepcopy(self.blocks[body["num"]][0]) if body["num"] <= final else {}
            case "walletsolidity/gettransactioninfobyblocknum":
                return copy.deepcopy(self.blocks[body["num"]][1]) if body["num"] <= final else []
            case "walletsolidity/gettransactioninfobyid":
                infos = [info for number, (_, infos) in self.blocks.items() if number <= final for info in infos]
                return next((copy.deepcopy(info) for info in infos if info["id"] == body["value"]), {})
            case _ if path in self.answers:
                return self.answers[path](body)
        raise Retryable(f"nobody has taught {node} to answer {path}")


def make_block(number: int, parent: str, transactions) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Make a block and the infos of its transactions."""
    root = hashlib.sha256("".join(it["txID"] for it, _ in transactions).encode()).hexdigest()
    header = {
        "number": number,
        "parentHash": parent,
        "timestamp": START_MS + number * BLOCK_MS,
        "txTrieRoot": root if transactions else "00" * 32,
        "witness_address": "41" + "00" * 20,
        "version": 31,
    }
    digest = hashlib.sha256(repr(header).encode()).hexdigest()
    block: dict[str, Any] = {
        "blockID": number.to_bytes(8, "big").hex() + digest[16:],
        "block_header": {"raw_data": header, "witness_signature": "00" * 65},
    }
    if transactions:
        block["transactions"] = [transaction for transaction, _ in transactions]
    infos = [{**info, "blockNumber": number, "blockTimeStamp": header["timestamp"]} for _, info in transactions]
    return block, infos


def intent(
    reference: BlockRef, task: int = 1, contract: str = USDT, lives_ms: int = 60_000, **changes: Any
) -> PayoutIntent:
    """Make what a payout of the hot wallet must do."""
    fields: dict[str, Any] = {
        "task": PayoutTaskId(f"po_x.{task}"),
        "attempt": 1,
        "network": Network.TRON,
        "asset": AssetId("tron:USDT"),
        "contract": contract,
        "hot_wallet": HotWalletId("hw_a"),
        "sender": key().address,
        "recipient": wallet(7),
        "units": 1_000_000 + task,
        "fee_limit": 30_000_000,
        "expires_at_ms": Instant(reference.time_ms + lives_ms),
        "timestamp_ms": Instant(reference.time_ms + task),
        "reference": reference,
    }
    return PayoutIntent(**{**fields, **changes})


def sign(chain: Any, payout: PayoutIntent) -> SignedPayout:
    """Build, check, sign and assemble a payout, as a signer does."""
    unsigned = chain.build(payout)
    chain.check(unsigned, payout)
    return chain.assemble(unsigned, key().sign(chain.digest(unsigned)), payout)
