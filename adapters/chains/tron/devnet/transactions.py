"""Transactions as java-tron packs, names and shows them: bytes, JSON, and the id that is the hash of the raw part.

Nothing is decided here; whether a transaction is good the world says, whether it is in time the chain.
"""

import hashlib
from typing import Any

import msgspec

from .addresses import BadAddress, base58_text, parse, signer
from .protobuf import Malformed, field, fields

TYPE_URL = "type.googleapis.com/protocol."
RESULT_BYTES = 64
"""What java-tron adds to each transaction's size for the result that it may carry."""


class Transfer(msgspec.Struct, frozen=True, tag="TransferContract"):
    """TRX from one account to another."""

    owner: bytes
    to: bytes
    amount: int


class Call(msgspec.Struct, frozen=True, tag="TriggerSmartContract"):
    """A contract's function, as a token's transfer."""

    owner: bytes
    contract: bytes
    data: bytes
    call_value: int = 0
    token_value: int = 0
    token_id: int = 0


class Key(msgspec.Struct, frozen=True):
    """An address that may sign, and its weight."""

    address: bytes
    weight: int


class Permission(msgspec.Struct, frozen=True):
    """Who may sign for an account: keys whose weights reach a threshold; an active one, for some operations."""

    id: int
    name: str
    threshold: int
    keys: tuple[Key, ...]
    operations: bytes = b""
    """32 bytes, a bit for each type of contract; empty for the owner, who may do everything."""

    def allows(self, kind: int) -> bool:
        """Tell whether a type of contract is among the operations."""
        return not self.operations or bool(self.operations[kind // 8] >> kind % 8 & 1)


class UpdatePermissions(msgspec.Struct, frozen=True, tag="AccountPermissionUpdateContract"):
    """New permissions for an account."""

    owner: bytes
    owner_permission: Permission
    actives: tuple[Permission, ...]


Contract = Transfer | Call | UpdatePermissions

KINDS: dict[type, tuple[int, str]] = {
    Transfer: (1, "TransferContract"),
    Call: (31, "TriggerSmartContract"),
    UpdatePermissions: (46, "AccountPermissionUpdateContract"),
}
_BY_NUMBER = {number: kind for kind, (number, _name) in KINDS.items()}


class Raw(msgspec.Struct, frozen=True):
    """What is signed."""

    contract: Contract
    reference_bytes: bytes
    """The last two bytes of a recent block's number."""
    reference_hash: bytes
    """Bytes 8 to 16 of that block's id."""
    expiration_ms: int
    timestamp_ms: int = 0
    fee_limit: int = 0
    memo: bytes = b""
    permission_id: int = 0

    def packed(self) -> bytes:
        """Give the protobuf bytes."""
        kind, name = KINDS[type(self.contract)]
        parameter = field(1, (TYPE_URL + name).encode()) + field(2, _pack_contract(self.contract))
        contract = field(1, kind) + field(2, parameter) + field(5, self.permission_id)
        return b"".join(
            (
                field(1, self.reference_bytes),
                field(4, self.reference_hash),
                field(8, self.expiration_ms),
                field(10, self.memo),
                field(11, contract),
                field(14, self.timestamp_ms),
                field(18, self.fee_limit),
            )
        )


class Transaction(msgspec.Struct, frozen=True):
    """A raw part with its bytes, its id and its signatures."""

    id: str
    raw: Raw
    raw_bytes: bytes
    content: bytes
    """The protobuf bytes of the whole, without a result."""
    signatures: tuple[bytes, ...] = ()
    signers: tuple[bytes, ...] = ()
    """Whose keys signed, in the order of the signatures. Filled by `with_signers`."""

    @property
    def owner(self) -> bytes:
        """Give the account that acts and pays."""
        return self.raw.contract.owner

    @property
    def size(self) -> int:
        """Give the bandwidth that it needs."""
        return len(self.content) + RESULT_BYTES


def make(raw: Raw, signatures: tuple[bytes, ...] = ()) -> Transaction:
    """Pack a raw part."""
    return _of_bytes(raw, raw.packed(), signatures)


def signed_with(unsigned: Transaction, *signatures: bytes) -> Transaction:
    """Add signatures to the same raw bytes."""
    return _of_bytes(unsigned.raw, unsigned.raw_bytes, signatures)


def with_signers(transaction: Transaction) -> Transaction:
    """Recover who signed; raise ValueError when a signature is no signature."""
    digest = bytes.fromhex(transaction.id)
    if any(len(each) < 65 for each in transaction.signatures):
        raise ValueError(f"Signature size is {min(len(each) for each in transaction.signatures)}")
    signers = tuple(signer(digest, each) for each in transaction.signatures)
    return msgspec.structs.replace(transaction, signers=signers)


def unpack(content: bytes) -> Transaction:
    """Read a whole transaction; the raw part keeps its own bytes, whatever their order. Raise Malformed."""
    raw_bytes, signatures = b"", []
    for number, value in fields(content):
        if number == 1 and isinstance(value, bytes):
            raw_bytes = value
        elif number == 2 and isinstance(value, bytes):
            signatures.append(value)
    return _of_bytes(unpack_raw(raw_bytes), raw_bytes, tuple(signatures))


def unpack_raw(content: bytes) -> Raw:
    """Read a raw part; raise Malformed unless it holds one contract of a kind that the devnet executes."""
    found = _by_number(content)
    contracts = [value for number, value in fields(content) if number == 11]
    if len(contracts) != 1 or not isinstance(contracts[0], bytes):
        raise Malformed("a transaction holds one contract")
    contract = _by_number(contracts[0])
    parameter = _by_number(_bytes(contract, 2))
    return Raw(
        contract=_unpack_contract(_number(contract, 1), _bytes(parameter, 2)),
        reference_bytes=_bytes(found, 1),
        reference_hash=_bytes(found, 4),
        expiration_ms=_number(found, 8),
        timestamp_ms=_number(found, 14),
        fee_limit=_number(found, 18),
        memo=_bytes(found, 10),
        permission_id=_number(contract, 5),
    )


def _of_bytes(raw: Raw, raw_bytes: bytes, signatures: tuple[bytes, ...]) -> Transaction:
    content = field(1, raw_bytes) + b"".join(field(2, each) for each in signatures)
    return Transaction(hashlib.sha256(raw_bytes).hexdigest(), raw, raw_bytes, content, signatures)


def _by_number(content: bytes) -> dict[int, int | bytes]:
    return dict(fields(content))


def _number(found: dict[int, int | bytes], number: int) -> int:
    value = found.get(number, 0)
    if isinstance(value, bytes):
        raise Malformed(f"field {number} is no number")
    return value - (1 << 64) if value >> 63 else value


def _bytes(found: dict[int, int | bytes], number: int) -> bytes:
    value = found.get(number, b"")
    if isinstance(value, int):
        raise Malformed(f"field {number} is a number")
    return value


# ---------------------------------------------------------------------- contracts


def _pack_contract(contract: Contract) -> bytes:
    match contract:
        case Transfer():
            return field(1, contract.owner) + field(2, contract.to) + field(3, contract.amount)
        case Call():
            return b"".join(
                (
                    field(1, contract.owner),
                    field(2, contract.contract),
                    field(3, contract.call_value),
                    field(4, contract.data),
                    field(5, contract.token_value),
                    field(6, contract.token_id),
                )
            )
        case UpdatePermissions():
            actives = b"".join(field(4, _pack_permission(each, active=True)) for each in contract.actives)
            owner = field(2, _pack_permission(contract.owner_permission, active=False))
            return field(1, contract.owner) + owner + actives


def _unpack_contract(kind: int, content: bytes) -> Contract:
    found = _by_number(content)
    made = _BY_NUMBER.get(kind)
    if made is Transfer:
        return Transfer(_bytes(found, 1), _bytes(found, 2), _number(found, 3))
    if made is Call:
        return Call(
            _bytes(found, 1),
            _bytes(found, 2),
            _bytes(found, 4),
            _number(found, 3),
            _number(found, 5),
            _number(found, 6),
        )
    if made is UpdatePermissions:
        actives = [value for number, value in fields(content) if number == 4 and isinstance(value, bytes)]
        return UpdatePermissions(
            _bytes(found, 1),
            _unpack_permission(_bytes(found, 2)),
            tuple(_unpack_permission(each) for each in actives),
        )
    raise Malformed(f"the devnet executes no contract of type {kind}")


def _pack_permission(permission: Permission, *, active: bool) -> bytes:
    keys = b"".join(field(7, field(1, key.address) + field(2, key.weight)) for key in permission.keys)
    return b"".join(
        (
            field(1, 2 if active else 0),
            field(2, permission.id),
            field(3, permission.name.encode()),
            field(4, permission.threshold),
            field(6, permission.operations),
            keys,
        )
    )


def _unpack_permission(content: bytes) -> Permission:
    found = _by_number(content)
    keys = [_by_number(value) for number, value in fields(content) if number == 7 and isinstance(value, bytes)]
    return Permission(
        id=_number(found, 2),
        name=_bytes(found, 3).decode(errors="replace"),
        threshold=_number(found, 4),
        keys=tuple(Key(_bytes(each, 1), _number(each, 2)) for each in keys),
        operations=_bytes(found, 6),
    )


# ---------------------------------------------------------------------- JSON


def shown(transaction: Transaction, *, visible: bool, result: str = "") -> dict[str, Any]:
    """Give java-tron's JSON; with `visible` addresses are base58."""
    raw = transaction.raw
    _number_of_kind, name = KINDS[type(raw.contract)]
    contract: dict[str, Any] = {
        "parameter": {"value": _shown_contract(raw.contract, visible=visible), "type_url": TYPE_URL + name},
        "type": name,
    }
    if raw.permission_id:
        contract["Permission_id"] = raw.permission_id
    data: dict[str, Any] = {
        "contract": [contract],
        "ref_block_bytes": raw.reference_bytes.hex(),
        "ref_block_hash": raw.reference_hash.hex(),
        "expiration": raw.expiration_ms,
    }
    if raw.memo:
        data["data"] = raw.memo.hex()
    if raw.fee_limit:
        data["fee_limit"] = raw.fee_limit
    if raw.timestamp_ms:
        data["timestamp"] = raw.timestamp_ms
    whole: dict[str, Any] = {
        "visible": visible,
        "txID": transaction.id,
        "raw_data": data,
        "raw_data_hex": transaction.raw_bytes.hex(),
    }
    if transaction.signatures:
        whole["signature"] = [each.hex() for each in transaction.signatures]
    if result:
        whole["ret"] = [{"contractRet": result}]
    return whole


def address_text(address: bytes, *, visible: bool) -> str:
    """Give an address in the form that was asked for."""
    return base58_text(address) if visible else address.hex()


def _shown_contract(contract: Contract, *, visible: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"owner_address": address_text(contract.owner, visible=visible)}
    match contract:
        case Transfer():
            return {"amount": contract.amount, **shown, "to_address": address_text(contract.to, visible=visible)}
        case Call():
            shown |= {
                "data": contract.data.hex(),
                "contract_address": address_text(contract.contract, visible=visible),
            }
            numbers = {
                "call_value": contract.call_value,
                "call_token_value": contract.token_value,
                "token_id": contract.token_id,
            }
            return shown | {name: value for name, value in numbers.items() if value}
        case UpdatePermissions():
            return shown | {
                "owner": shown_permission(contract.owner_permission, active=False, visible=visible),
                "actives": [shown_permission(each, active=True, visible=visible) for each in contract.actives],
            }


def shown_permission(permission: Permission, *, active: bool, visible: bool) -> dict[str, Any]:
    """Give a permission's JSON."""
    shown: dict[str, Any] = {"type": "Active", "id": permission.id} if active else {}
    shown |= {
        "permission_name": permission.name,
        "threshold": permission.threshold,
        "keys": [
            {"address": address_text(key.address, visible=visible), "weight": key.weight}
            for key in permission.keys
        ],
    }
    if permission.operations:
        shown["operations"] = permission.operations.hex()
    return shown


def read(body: dict[str, Any]) -> Transaction:
    """Read java-tron's JSON and pack it again, as a node does; raise Malformed."""
    try:
        data = body["raw_data"]
        if len(data["contract"]) != 1:
            raise Malformed("a transaction holds one contract")
        contract = data["contract"][0]
        raw = Raw(
            contract=_read_contract(contract["type"], contract["parameter"]["value"]),
            reference_bytes=bytes.fromhex(data["ref_block_bytes"]),
            reference_hash=bytes.fromhex(data["ref_block_hash"]),
            expiration_ms=int(data["expiration"]),
            timestamp_ms=int(data.get("timestamp") or 0),
            fee_limit=int(data.get("fee_limit") or 0),
            memo=bytes.fromhex(data.get("data") or ""),
            permission_id=int(contract.get("Permission_id") or 0),
        )
        signatures = tuple(bytes.fromhex(each.removeprefix("0x")) for each in body.get("signature") or ())
    except (KeyError, TypeError, AttributeError, ValueError, BadAddress) as error:
        raise Malformed(f"{type(error).__name__}: {error}") from error
    return make(raw, signatures)


def _read_contract(kind: str, value: dict[str, Any]) -> Contract:
    owner = parse(value["owner_address"])
    match kind:
        case "TransferContract":
            return Transfer(owner, parse(value["to_address"]), int(value.get("amount") or 0))
        case "TriggerSmartContract":
            return Call(
                owner,
                parse(value["contract_address"]),
                bytes.fromhex(value.get("data") or ""),
                int(value.get("call_value") or 0),
                int(value.get("call_token_value") or 0),
                int(value.get("token_id") or 0),
            )
        case "AccountPermissionUpdateContract":
            return UpdatePermissions(
                owner, _read_permission(value["owner"]), tuple(_read_permission(each) for each in value["actives"])
            )
    raise Malformed(f"the devnet executes no {kind}")


def _read_permission(value: dict[str, Any]) -> Permission:
    return Permission(
        id=int(value.get("id") or 0),
        name=value.get("permission_name") or "",
        threshold=int(value.get("threshold") or 0),
        keys=tuple(Key(parse(key["address"]), int(key.get("weight") or 0)) for key in value["keys"]),
        operations=bytes.fromhex(value.get("operations") or ""),
    )
