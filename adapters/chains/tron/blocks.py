"""What a TRON block has moved, read from receipts: events of successful contracts and transfers of TRX itself.

The event's contract, not its name, says which token moved; tokens of strangers are seen like all others. What a
contract moves of TRX within itself, and TRC-10, are not seen.
"""

from collections.abc import Collection, Iterator

import msgspec

from adapters.chains.tron import addresses, wire
from engine.ids import TxId
from engine.payments.chain import Block, Receipt, TokenTransfer

_TRANSFER_EVENT = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""Transfer(address,address,uint256)"""
_FIELDS_OF_AN_AMOUNT = 3
"""The event, sender and recipient. A fourth indexed field would be a collectible's number, not an amount."""
_WORD_DIGITS, _ADDRESS_DIGITS = 64, 40
_PADDING = "0" * (_WORD_DIGITS - _ADDRESS_DIGITS)
_SUCCESS = "SUCCESS"


class _Filter(msgspec.Struct, frozen=True):
    """The addresses that are asked for, in the forms in which blocks name them; None lets everything pass."""

    words: frozenset[str] | None
    """As the fields of an event."""
    owners: frozenset[str] | None
    """As a transaction's owner, 21 bytes in hex."""

    def wants_event(self, topics: tuple[str, ...]) -> bool:
        return self.words is None or topics[1] in self.words or topics[2] in self.words

    def wants_owner(self, *owners: str) -> bool:
        return self.owners is None or not self.owners.isdisjoint(owners)


def assemble(block: wire.NodeBlock, infos: dict[str, wire.Info], touching: Collection[str] | None = None) -> Block:
    """Join a final block with its infos. With `touching`: only transfers from or to these addresses, and only
    receipts that they paid for: the others cost nothing to skip."""
    wanted = _filter(touching)
    transfers: list[TokenTransfer] = []
    receipts: list[Receipt] = []
    for transaction in block.transactions:
        info = infos[transaction.txID]
        verdict = _verdict(transaction, info)
        owner = _owner(transaction)
        if wanted.wants_owner(owner):
            receipts.append(_receipt(transaction, info, verdict, owner))
        if verdict == _SUCCESS:
            transfers.extend(_coin_transfers(transaction, wanted))
            transfers.extend(_token_transfers(info, wanted))
    return Block(ref=block.ref, transfers=tuple(transfers), receipts=tuple(receipts))


def _filter(touching: Collection[str] | None) -> _Filter:
    if touching is None:
        return _Filter(None, None)
    return _Filter(
        words=frozenset(addresses.word(address).hex() for address in touching),
        owners=frozenset(addresses.raw(address).hex() for address in touching),
    )


def _verdict(transaction: wire.Transaction, info: wire.Info) -> str:
    """Give the chain's own word. A contract's is in its receipt; what runs no contract has only the block's."""
    word = info.receipt.result or (transaction.ret[0].contractRet if transaction.ret else "")
    if info.result == "FAILED" and word in (_SUCCESS, ""):
        return "FAILED"
    return word


def _receipt(transaction: wire.Transaction, info: wire.Info, verdict: str, owner: str) -> Receipt:
    return Receipt(
        tx_id=TxId(transaction.txID),
        succeeded=verdict == _SUCCESS,
        result=verdict,
        fee_units=info.fee,
        payer=addresses.from_hex(owner) if owner else "",
    )


def _coin_transfers(transaction: wire.Transaction, wanted: _Filter) -> Iterator[TokenTransfer]:
    for contract in transaction.raw_data.contract:
        if contract.type != "TransferContract":
            continue
        value = contract.parameter.value
        sender, recipient = str(value["owner_address"]), str(value["to_address"])
        if wanted.wants_owner(sender, recipient):
            yield TokenTransfer(
                tx_id=TxId(transaction.txID),
                log_index=0,
                contract="",
                sender=addresses.from_hex(sender),
                recipient=addresses.from_hex(recipient),
                units=int(value["amount"]),
            )


def _token_transfers(info: wire.Info, wanted: _Filter) -> Iterator[TokenTransfer]:
    for index, log in enumerate(info.log):
        topics = log.topics
        if _is_transfer(log) and wanted.wants_event(topics):
            yield TokenTransfer(
                tx_id=TxId(info.id),
                log_index=index,
                contract=addresses.from_hex(log.address[-_ADDRESS_DIGITS:]),
                sender=addresses.from_hex(topics[1][-_ADDRESS_DIGITS:]),
                recipient=addresses.from_hex(topics[2][-_ADDRESS_DIGITS:]),
                units=int(log.data, 16),
            )


def _is_transfer(log: wire.Log) -> bool:
    """Tell the standard event from what only resembles it: other fields, or words that are no addresses."""
    topics = log.topics
    return (
        len(topics) == _FIELDS_OF_AN_AMOUNT
        and topics[0] == _TRANSFER_EVENT
        and len(log.data) == _WORD_DIGITS
        and topics[1].startswith(_PADDING)
        and topics[2].startswith(_PADDING)
    )


def _owner(transaction: wire.Transaction) -> str:
    """Give who has signed and pays, in hex; "" where a contract's arguments name no owner."""
    contracts = transaction.raw_data.contract
    return str(contracts[0].parameter.value.get("owner_address", "")) if contracts else ""
