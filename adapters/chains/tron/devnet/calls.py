"""The endpoints about contracts, and those that help to make a transaction. One-word methods are endpoints."""

from typing import Any

from . import artifact
from .addresses import parse
from .chain import Chain
from .protobuf import Malformed
from .reads import Body, Json, is_visible
from .scene import Scene
from .transaction_json import address_text, read, shown, shown_permission
from .transactions import Call, Raw, Transfer, make, with_signers
from .world import Refused, weigh

EXPIRATION_MS = 60_000


class Calls:
    """Answers about contracts through one node's view."""

    def __init__(self, chain: Chain, scene: Scene) -> None:
        self._chain = chain
        self._scene = scene

    def getcontract(self, body: Body, solid: bool) -> Json:
        """Give a contract with its interface, {} where there is none."""
        address = parse(body["value"])
        world = self._scene.world(solid=solid)
        deployed = world.contracts.get(address)
        if deployed is None:
            return {}
        visible = is_visible(body)
        return {
            "bytecode": artifact.token().bytecode,
            "consume_user_resource_percent": 100,
            "name": deployed.name,
            "origin_address": address_text(deployed.creator, visible=visible),
            "abi": {"entrys": artifact.shown_abi()},
            "origin_energy_limit": 10_000_000,
            "contract_address": address_text(address, visible=visible),
            "code_hash": artifact.code_hash(world.machine.code(address)),
        }

    def getcontractinfo(self, body: Body, solid: bool) -> Json:
        """Give a contract with its code and how busy it is."""
        contract = self.getcontract(body, solid)
        if not contract:
            return {}
        address = parse(body["value"])
        world = self._scene.world(solid=solid)
        return {
            "runtimecode": world.machine.code(address).hex(),
            "smart_contract": contract,
            "contract_state": {"energy_factor": world.contracts[address].energy_factor},
        }

    def triggerconstantcontract(self, body: Body, solid: bool) -> Json:
        """Execute a call without consequences."""
        call = _read_call(body)
        try:
            done = self._scene.world(solid=solid).look(call.owner, call.contract, call.data)
        except Refused as refused:
            return {"result": {"code": refused.code, "message": hex_words(refused.message)}}
        transaction = {"ret": [{}], **self._unsigned(call, body)}
        result: dict[str, Any] = {"result": True}
        if done.result != "SUCCESS":
            result["message"] = hex_words(f"{done.result} opcode executed")
            transaction["ret"] = [{"ret": "FAILED"}]
        output = self._token_lie(call) or done.output
        page: dict[str, Any] = {"result": result, "energy_used": done.energy, "constant_result": [output.hex()]}
        if done.penalty:
            page["energy_penalty"] = done.penalty
        if done.logs:
            page["logs"] = [{"address": each.address[1:].hex(), "data": each.data.hex()} for each in done.logs]
        return page | {"transaction": transaction}

    def _token_lie(self, call: Call) -> bytes | None:
        lies = dict(self._scene.view.token_balances)
        if not lies or call.data[:4] != artifact.selector("balanceOf(address)"):
            return None
        lie = lies.get(address_text(b"\x41" + call.data[-20:], visible=True))
        return None if lie is None else artifact.word(lie)

    def estimateenergy(self, body: Body, solid: bool) -> Json:
        """Say what energy a call needs."""
        call = _read_call(body)
        try:
            done = self._scene.world(solid=solid).look(call.owner, call.contract, call.data)
        except Refused as refused:
            return {"result": {"code": refused.code, "message": hex_words(refused.message)}}
        if done.result != "SUCCESS":
            message = hex_words(f"Contract execute error : {done.result} opcode executed")
            return {"result": {"code": "CONTRACT_EXE_ERROR", "message": message}}
        return {"result": {"result": True}, "energy_required": done.energy}

    def triggersmartcontract(self, body: Body, solid: bool) -> Json:
        """Make an unsigned call."""
        call = _read_call(body)
        if call.contract not in self._chain.head_world.contracts:
            message = hex_words("Contract validate error : No contract or not a valid smart contract")
            return {"result": {"code": "CONTRACT_VALIDATE_ERROR", "message": message}}
        return {"result": {"result": True}, "transaction": self._unsigned(call, body)}

    def createtransaction(self, body: Body, solid: bool) -> Json:
        """Make an unsigned transfer of TRX."""
        transfer = Transfer(parse(body["owner_address"]), parse(body["to_address"]), int(body["amount"]))
        return self._unsigned(transfer, body)

    def _unsigned(self, contract: Call | Transfer, body: Body) -> Json:
        reference = self._scene.known(self._scene.solid_number)
        head = self._scene.known(self._scene.head_number)
        raw = Raw(
            contract,
            reference_bytes=bytes.fromhex(reference.id[12:16]),
            reference_hash=bytes.fromhex(reference.id[16:32]),
            expiration_ms=head.time_ms + EXPIRATION_MS,
            timestamp_ms=self._chain.clock(),
            fee_limit=int(body.get("fee_limit") or 0),
            permission_id=int(body.get("Permission_id") or 0),
        )
        return shown(make(raw), visible=is_visible(body))

    def getsignweight(self, body: Body, solid: bool) -> Json:
        """Weigh a transaction's signatures, and repeat its id: what a careless client signs."""
        try:
            transaction = with_signers(read(body))
        except Malformed as error:
            return {"result": {"code": "OTHER_ERROR", "message": str(error)}}
        except ValueError as error:
            return {"result": {"code": "SIGNATURE_FORMAT_ERROR", "message": str(error)}}
        visible = is_visible(body)
        told = self._scene.view.sign_weight_id or transaction.id
        whole = shown(transaction, visible=visible) | {"txID": told}
        page: dict[str, Any] = {"transaction": {"result": {"result": True}, "txid": told, "transaction": whole}}
        world = self._chain.head_world
        try:
            if transaction.owner not in world.accounts:
                raise Refused("PERMISSION_ERROR", "Account does not exist!")
            permission = world.permission(transaction)
            weight = weigh(permission, transaction)
        except Refused as refused:
            return {"result": {"code": "PERMISSION_ERROR", "message": refused.message}} | page
        is_active = bool(transaction.raw.permission_id)
        page["permission"] = shown_permission(permission, active=is_active, visible=visible)
        if weight:
            page["current_weight"] = weight
            page["approved_list"] = [address_text(each, visible=visible) for each in transaction.signers]
        # ENOUGH_PERMISSION is the default of its kind, so java-tron leaves it out.
        return {"result": {} if weight >= permission.threshold else {"code": "NOT_ENOUGH_PERMISSION"}} | page


def _read_call(body: Body) -> Call:
    selector = str(body.get("function_selector") or "")
    data = bytes.fromhex(body.get("data") or "")
    if selector:
        data = artifact.selector(selector) + bytes.fromhex(body.get("parameter") or "")
    return Call(
        parse(body["owner_address"]), parse(body["contract_address"]), data, int(body.get("call_value") or 0)
    )


def hex_words(message: str) -> str:
    """Write a message as java-tron does where addresses are hex too."""
    return message.encode().hex()


CALLS = {
    name: getattr(Calls, name)
    for name in (
        "getcontract",
        "getcontractinfo",
        "triggerconstantcontract",
        "estimateenergy",
        "triggersmartcontract",
        "createtransaction",
        "getsignweight",
    )
}
NOT_SOLID = ("triggersmartcontract", "createtransaction", "getsignweight")
"""What a node offers only at its head."""
