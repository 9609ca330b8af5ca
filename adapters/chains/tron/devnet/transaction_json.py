"""Transactions in java-tron's JSON, both ways: with hex addresses, or base58 where `visible` asks for them."""

from typing import Any

from .addresses import BadAddress, base58_text, parse
from .protobuf import Malformed
from .transactions import (
    KINDS,
    TYPE_URL,
    Call,
    Contract,
    Key,
    Permission,
    Raw,
    Transaction,
    Transfer,
    UpdatePermissions,
    make,
)


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
