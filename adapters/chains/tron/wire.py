"""What java-tron's HTTP API answers, as far as it concerns us: typed, and checked where a wrong shape costs money.

Each function turns one answer into facts, or raises ValueError: that is the node's failure, never an empty result.
"""

from typing import Any, TypeVar

import msgspec

from adapters.chains.rpc import Answer
from engine.ids import Instant, TxId
from engine.payments.chain import BlockRef, BroadcastAnswer

_T = TypeVar("_T")
_NO_TRANSACTIONS = "0" * 64
_ID_DIGITS = 64
_INVALID, _NO_CALLS = "CONTRACT_VALIDATE_ERROR", "not support constant"
"""java-tron refuses what cannot be called, and any call where it is not configured for them, by the same code."""


class Receipt(msgspec.Struct, frozen=True):
    """`receipt` of a transaction's info. `result` is empty for what runs no contract."""

    result: str = ""


class Log(msgspec.Struct, frozen=True):
    """An event of a contract, in hex without 0x; the address without its leading 41."""

    address: str = ""
    topics: tuple[str, ...] = ()
    data: str = ""


class Info(msgspec.Struct, frozen=True):
    """What became of a transaction. `result` is FAILED or empty. `fee` in sun."""

    id: str
    fee: int = 0
    result: str = ""
    receipt: Receipt = Receipt()
    log: tuple[Log, ...] = ()


class Parameter(msgspec.Struct, frozen=True):
    """A contract's arguments, by java-tron's own names; addresses in hex."""

    value: dict[str, Any] = {}


class Contract(msgspec.Struct, frozen=True):
    """What a transaction asks for."""

    type: str
    parameter: Parameter = Parameter()


class RawData(msgspec.Struct, frozen=True):
    """The signed part of a transaction."""

    contract: tuple[Contract, ...] = ()


class Ret(msgspec.Struct, frozen=True):
    """The block producer's verdict. Believed of final blocks only."""

    contractRet: str = ""


class Transaction(msgspec.Struct, frozen=True):
    """A transaction within a block."""

    txID: str
    raw_data: RawData = RawData()
    ret: tuple[Ret, ...] = ()


class HeaderData(msgspec.Struct, frozen=True):
    """A block's header. The first block has no number and no time in JSON."""

    parentHash: str
    number: int = 0
    timestamp: int = 0
    txTrieRoot: str = _NO_TRANSACTIONS


class Header(msgspec.Struct, frozen=True):
    """A header and its signature, which is not read."""

    raw_data: HeaderData


class NodeBlock(msgspec.Struct, frozen=True):
    """A block as a node gives it."""

    blockID: str
    block_header: Header
    transactions: tuple[Transaction, ...] = ()

    @property
    def ref(self) -> BlockRef:
        """Give what identifies it."""
        header = self.block_header.raw_data
        return BlockRef(header.number, self.blockID, header.parentHash, Instant(header.timestamp))


class Account(msgspec.Struct, frozen=True):
    """An account's balance in sun. Absent fields are zero, and an account nobody has activated is `{}`."""

    address: str = ""
    balance: int = 0


class Resources(msgspec.Struct, frozen=True):
    """The energy that an account has staked for or rented, and has used of it. Bandwidth is not read."""

    EnergyLimit: int = 0
    EnergyUsed: int = 0

    @property
    def energy_left(self) -> int:
        """Give the energy it can use without burning TRX."""
        return max(0, self.EnergyLimit - self.EnergyUsed)


class ChainParameter(msgspec.Struct, frozen=True):
    """A number that the producers have voted for. Zero is left out."""

    key: str
    value: int = 0


class Parameters(msgspec.Struct, frozen=True):
    """All of them."""

    chainParameter: tuple[ChainParameter, ...] = ()


class CallResult(msgspec.Struct, frozen=True):
    """How a call went: `result` is true of a revert too, which has a message."""

    result: bool = False
    code: str = ""
    message: str = ""


class TriedCall(msgspec.Struct, frozen=True):
    """A constant call as a node answers it."""

    result: CallResult
    energy_used: int = 0
    constant_result: tuple[str, ...] = ()


class Call(msgspec.Struct, frozen=True):
    """A call that was tried without a transaction."""

    energy_used: int
    output: bytes
    reverted: str
    """Why it would fail, empty when it would not."""


def block(answer: Answer, number: int | None = None) -> NodeBlock | None:
    """Read a block, None when the node does not have it; ValueError for one that contradicts itself."""
    if answer == {}:
        return None
    found = _convert(answer, NodeBlock)
    header = found.block_header.raw_data
    if number is not None and header.number != number:
        raise ValueError(f"asked for block {number}, given {header.number}")
    if not _is_id(found.blockID) or int(found.blockID[:16], 16) != header.number or not _is_id(header.parentHash):
        raise ValueError(f"{found.blockID} is not the id of block {header.number}")
    return found


def whole_block(answer: Answer, number: int) -> NodeBlock | None:
    """Read a block with its transactions; a block that has some and lists none is ValueError, not an empty one."""
    found = block(answer, number)
    if found is None:
        return None
    root = found.block_header.raw_data.txTrieRoot
    if not found.transactions and root not in ("", _NO_TRANSACTIONS):
        raise ValueError(f"block {number} lists none of its transactions")
    ids = {transaction.txID for transaction in found.transactions}
    if len(ids) != len(found.transactions) or not all(map(_is_id, ids)):
        raise ValueError(f"block {number} lists transactions twice, or without ids")
    return found


def infos(answer: Answer, of: NodeBlock) -> dict[str, Info]:
    """Read the infos of a block; ValueError unless there is exactly one for each of its transactions.

    A node that does not have the block answers an empty list, without any error.
    """
    found = _convert(answer, list[Info])
    by_id = {info.id: info for info in found}
    if len(found) != len(of.transactions) or by_id.keys() != {it.txID for it in of.transactions}:
        raise ValueError(
            f"{of.blockID} has {len(of.transactions)} transactions, and infos of {len(found)} were given"
        )
    return by_id


def names(answer: Answer, tx_id: TxId) -> bool:
    """Read the info of one transaction: whether there is any. ValueError for that of another."""
    if answer == {}:
        return False
    found = _convert(answer, Info)
    if found.id != tx_id:
        raise ValueError(f"asked for {tx_id}, told of {found.id}")
    return True


def account(answer: Answer) -> Account | None:
    """Read an account, None when nobody has activated it."""
    found = _convert(answer, Account)
    return found if found.address else None


def resources(answer: Answer) -> Resources:
    """Read an account's resources."""
    return _convert(answer, Resources)


def parameters(answer: Answer) -> dict[str, int]:
    """Read the chain's parameters; one without a value is zero."""
    rows = _convert(answer, Parameters).chainParameter
    if not rows:
        raise ValueError("no chain parameters")
    return {row.key: row.value for row in rows}


def call(answer: Answer) -> Call:
    """Read a constant call. A revert, or a contract that does not exist, is an answer; ValueError if it was not
    tried: nodes answer constant calls only when they are configured to."""
    tried = _convert(answer, TriedCall)
    words = _words(tried.result.message)
    if not tried.result.result and (tried.result.code != _INVALID or _NO_CALLS in words):
        raise ValueError(f"the call was not tried: {tried.result.code} {words}")
    return Call(tried.energy_used, bytes.fromhex("".join(tried.constant_result)), words)


def broadcast_answer(answer: Answer) -> BroadcastAnswer:
    """Sort what a node says of bytes it was handed. None of it decides anything."""
    if not isinstance(answer, dict):
        raise ValueError("no answer to a broadcast")
    if answer.get("result") is True:
        return BroadcastAnswer.TAKEN
    match answer.get("code"):
        case "DUP_TRANSACTION_ERROR" | "NOT_ENOUGH_EFFECTIVE_CONNECTION":
            # The second is said after the node has taken the transaction in: it may pass it on and it may pay.
            # The first is said of transactions, too, that the node has once refused.
            return BroadcastAnswer.KNOWN
        case _:
            return BroadcastAnswer.REFUSED


def tx_ids(found: NodeBlock) -> frozenset[TxId]:
    """Give the ids of a block's transactions."""
    return frozenset(TxId(transaction.txID) for transaction in found.transactions)


def _words(message: str) -> str:
    """Give java-tron's messages as text: some come in hex, some do not."""
    try:
        return bytes.fromhex(message).decode()
    except ValueError:
        return message


def _is_id(digits: str) -> bool:
    if len(digits) != _ID_DIGITS or digits.lower() != digits:
        return False
    try:
        bytes.fromhex(digits)
    except ValueError:
        return False
    return True


def _convert(answer: Answer, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"not the expected shape: {error}") from None
