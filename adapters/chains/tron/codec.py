"""A TRON transfer's bytes: made here from the intent, read back, compared field by field, never taken from a node.

`Transfer` is everything such a transaction says. `encode` and `decode` are each other's inverse on exactly one
encoding: bytes that decode but would be written otherwise (unknown fields, another order) do not pass. So a
transaction that has passed `check` pays what was intended and does nothing else, wherever its bytes came from.

A transaction's id is the SHA-256 of these bytes: known before anybody has seen them, and the same for ever.
"""

import hashlib
from typing import Any

import msgspec
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from tronpy.proto import tron_pb2

from adapters.chains.tron import addresses, keys
from engine.ids import TxId
from engine.payments.chain import BlockRef, PayoutIntent
from engine.payments.ports import BytesDiffer

TRANSFER_SELECTOR = bytes.fromhex("a9059cbb")
"""transfer(address,uint256)"""

_Kind = tron_pb2.Transaction.Contract.ContractType
_CALL, _COIN = _Kind.TriggerSmartContract, _Kind.TransferContract
_TYPE_URLS = {
    _CALL: "type.googleapis.com/protocol.TriggerSmartContract",
    _COIN: "type.googleapis.com/protocol.TransferContract",
}
_CALLDATA_BYTES = 4 + 32 + 32
_UNITS_LIMIT, _COIN_LIMIT = 2**256, 2**63
_RAW_BEGINS = b"\x0a\x02"
"""Field 1 of raw data is two bytes of the reference's number; field 1 of a transaction is the raw data, longer."""


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """Every field of a transfer's raw data. `contract` is "" for TRX. Amounts of TRX and `fee_limit` in sun."""

    sender: str
    recipient: str
    contract: str
    units: int
    fee_limit: int
    expires_at_ms: int
    timestamp_ms: int
    reference_bytes: bytes
    """The last two bytes of the reference block's number."""
    reference_hash: bytes
    """Bytes 8 to 16 of its id. A chain without that block refuses the transaction."""
    permission_id: int = 0
    """0 is the owner's permission; a key of the account's active permission signs as 2 or more."""
    memo: bytes = b""
    """Costs the memo fee. Payouts have none."""


def transfer_of(intent: PayoutIntent, permission_id: int = 0) -> Transfer:
    """Say what an intent's bytes must say. TRX itself moves without a fee limit: no contract runs."""
    number, digest = _reference(intent.reference)
    return Transfer(
        sender=intent.sender,
        recipient=intent.recipient,
        contract=intent.contract,
        units=intent.units,
        fee_limit=intent.fee_limit if intent.contract else 0,
        expires_at_ms=intent.expires_at_ms,
        timestamp_ms=intent.timestamp_ms,
        reference_bytes=number,
        reference_hash=digest,
        permission_id=permission_id,
    )


def encode(transfer: Transfer) -> bytes:
    """Write raw data. ValueError for an address or an amount that no transfer can have."""
    kind, message = _coin_message(transfer) if not transfer.contract else _call_message(transfer)
    raw = tron_pb2.Transaction.raw(
        ref_block_bytes=transfer.reference_bytes,
        ref_block_hash=transfer.reference_hash,
        expiration=transfer.expires_at_ms,
        data=transfer.memo,
        contract=[
            tron_pb2.Transaction.Contract(
                type=kind,
                parameter=AnyMessage(type_url=_TYPE_URLS[kind], value=message),
                Permission_id=transfer.permission_id,
            )
        ],
        timestamp=transfer.timestamp_ms,
        fee_limit=transfer.fee_limit,
    )
    written: bytes = raw.SerializeToString(deterministic=True)
    return written


def decode(raw: bytes) -> Transfer:
    """Read raw data; `BytesDiffer` unless it is one transfer, in the one way that `encode` writes it."""
    try:
        message = tron_pb2.Transaction.raw.FromString(raw)
    except DecodeError:
        raise BytesDiffer("encoding: these bytes are no transaction") from None
    if len(message.contract) != 1:
        raise BytesDiffer(f"contract: {len(message.contract)} of them, and a payout has exactly one")
    contract = message.contract[0]
    if contract.type not in _TYPE_URLS or contract.parameter.type_url != _TYPE_URLS[contract.type]:
        raise BytesDiffer(f"type: {contract.type} as {contract.parameter.type_url!r} is no transfer")
    sender, recipient, token, units = _call_fields(contract) if contract.type == _CALL else _coin_fields(contract)
    transfer = Transfer(
        sender=sender,
        recipient=recipient,
        contract=token,
        units=units,
        fee_limit=message.fee_limit,
        expires_at_ms=message.expiration,
        timestamp_ms=message.timestamp,
        reference_bytes=message.ref_block_bytes,
        reference_hash=message.ref_block_hash,
        permission_id=contract.Permission_id,
        memo=message.data,
    )
    # What has no field above (unknown fields, call values, authorities, scripts) cannot be written back.
    if _encode_or_nothing(transfer) != raw:
        raise BytesDiffer("encoding: the bytes hold more than a transfer's fields, or hold them otherwise")
    return transfer


def check(content: bytes, intent: PayoutIntent, permission_id: int = 0) -> None:
    """Compare unsigned or signed bytes with the intent; `BytesDiffer` names the first field that differs."""
    if is_signed(content):
        raw, signature = split(content)
        _check_signature(raw, signature, intent.sender)
    else:
        raw = content
    found, wanted = decode(raw), transfer_of(intent, permission_id)
    if found != wanted:
        name = next(name for name in Transfer.__struct_fields__ if getattr(found, name) != getattr(wanted, name))
        raise BytesDiffer(f"{name}: the bytes say {getattr(found, name)!r}, intended is {getattr(wanted, name)!r}")


def digest(raw: bytes) -> bytes:
    """Give what is signed: the SHA-256 of the raw data."""
    return hashlib.sha256(raw).digest()


def tx_id(raw: bytes) -> TxId:
    """Give the transaction's id."""
    return TxId(hashlib.sha256(raw).hexdigest())


def join(raw: bytes, signature: bytes) -> bytes:
    """Give a whole transaction: what is broadcast. Nothing is checked here."""
    message = tron_pb2.Transaction(raw_data=tron_pb2.Transaction.raw.FromString(raw), signature=[signature])
    written: bytes = message.SerializeToString(deterministic=True)
    return written


def split(content: bytes) -> tuple[bytes, bytes]:
    """Give raw data and the one signature of a whole transaction; `BytesDiffer` for anything more or less."""
    try:
        message = tron_pb2.Transaction.FromString(content)
    except DecodeError:
        raise BytesDiffer("encoding: these bytes are no transaction") from None
    if len(message.signature) != 1:
        raise BytesDiffer(f"signature: {len(message.signature)} of them, and a payout has exactly one")
    raw, signature = message.raw_data.SerializeToString(deterministic=True), message.signature[0]
    if join(raw, signature) != content:
        raise BytesDiffer("encoding: more than raw data and a signature, or written otherwise")
    return raw, signature


def is_signed(content: bytes) -> bool:
    """Tell a whole transaction from raw data. Whichever it says, `check` then holds every byte to it."""
    return not content.startswith(_RAW_BEGINS)


def transfer_call(recipient: str, units: int) -> bytes:
    """Give the call data of a token transfer."""
    if not 0 < units < _UNITS_LIMIT:
        raise ValueError(f"{units} is no amount of a token")
    return TRANSFER_SELECTOR + addresses.word(recipient) + units.to_bytes(32, "big")


def _reference(block: BlockRef) -> tuple[bytes, bytes]:
    identity = bytes.fromhex(block.id)
    if len(identity) != 32 or int.from_bytes(identity[:8], "big") != block.number:
        raise ValueError(f"{block.id} is not the id of block {block.number}")
    return identity[6:8], identity[8:16]


def _call_message(transfer: Transfer) -> tuple[int, bytes]:
    message = tron_pb2.TriggerSmartContract(
        owner_address=addresses.raw(transfer.sender),
        contract_address=addresses.raw(transfer.contract),
        data=transfer_call(transfer.recipient, transfer.units),
    )
    return _CALL, message.SerializeToString(deterministic=True)


def _coin_message(transfer: Transfer) -> tuple[int, bytes]:
    if not 0 < transfer.units < _COIN_LIMIT:
        raise ValueError(f"{transfer.units} is no amount of TRX")
    message = tron_pb2.TransferContract(
        owner_address=addresses.raw(transfer.sender),
        to_address=addresses.raw(transfer.recipient),
        amount=transfer.units,
    )
    return _COIN, message.SerializeToString(deterministic=True)


def _call_fields(contract: tron_pb2.Transaction.Contract) -> tuple[str, str, str, int]:
    call = _parse(tron_pb2.TriggerSmartContract, contract)
    for name in ("call_value", "token_id", "call_token_value"):
        if getattr(call, name):
            raise BytesDiffer(f"{name}: {getattr(call, name)}, and a token transfer sends nothing along")
    data = call.data
    if data[:4] != TRANSFER_SELECTOR:
        raise BytesDiffer(f"selector: {data[:4].hex()} is not transfer(address,uint256)")
    if len(data) != _CALLDATA_BYTES or any(data[4:16]):
        raise BytesDiffer("data: a transfer's arguments are a padded address and an amount")
    return (
        _text("sender", call.owner_address),
        _text("recipient", data[16:36]),
        _text("contract", call.contract_address),
        int.from_bytes(data[36:], "big"),
    )


def _coin_fields(contract: tron_pb2.Transaction.Contract) -> tuple[str, str, str, int]:
    coin = _parse(tron_pb2.TransferContract, contract)
    return _text("sender", coin.owner_address), _text("recipient", coin.to_address), "", coin.amount


def _parse(kind: Any, contract: tron_pb2.Transaction.Contract) -> Any:
    try:
        return kind.FromString(contract.parameter.value)
    except DecodeError:
        raise BytesDiffer("parameter: these bytes are no transfer") from None


def _text(field: str, address: bytes) -> str:
    try:
        return addresses.text(address)
    except addresses.BadAddress as error:
        raise BytesDiffer(f"{field}: {error}") from None


def _encode_or_nothing(transfer: Transfer) -> bytes:
    try:
        return encode(transfer)
    except (ValueError, TypeError):
        return b""


def _check_signature(raw: bytes, signature: bytes, sender: str) -> None:
    try:
        signer = keys.signer(digest(raw), signature)
    except ValueError as error:
        raise BytesDiffer(f"signature: {error}") from None
    if signer != sender:
        raise BytesDiffer(f"signature: made by {signer}, and the sender is {sender}")
