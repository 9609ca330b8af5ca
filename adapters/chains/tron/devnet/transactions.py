"""Transactions as java-tron packs and names them: protobuf bytes, and the id that is the hash of the raw part.

Nothing is decided here; whether a transaction is good the world says, whether it is in time the chain.
"""

import hashlib
from functools import lru_cache

import msgspec

from .addresses import signer
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


@lru_cache(maxsize=1024)  # Every node is shown the same bytes, again and again.
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
