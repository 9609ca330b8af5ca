"""A node: answers java-tron's HTTP API about the one chain, as well or as badly as its conduct says.

`answer` is the whole door: a path and a body in, a status and JSON out, no sockets. Methods that are named in one
word are endpoints, and have the endpoint's name.
"""

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import msgspec

from . import artifact, pages
from .accounts import Account
from .addresses import parse
from .blocks import Block
from .chain import Chain
from .faults import HONEST, Chooser, Conduct, Reading, Request, Sending, injected
from .protobuf import Malformed
from .scene import Branches, Scene
from .transactions import (
    Call,
    Raw,
    Transaction,
    Transfer,
    address_text,
    make,
    read,
    shown,
    shown_permission,
    unpack,
    with_signers,
)
from .world import Included, Refused, weigh

SILENT = 0
OK = 200
NOT_FOUND = 404
TOO_MANY = 429
BROKEN = 500
UNAVAILABLE = 503

EXPIRATION_MS = 60_000
VERSION = "4.8.1"
IDS_KEPT = 100_000

Json = Any
Body = dict[str, Any]


class Answer(msgspec.Struct, frozen=True):
    """What came back. Status 0: nothing did. `json` is None without a body, and must not be changed."""

    status: int
    json: Json = None


_READING = {
    Reading.SILENT: Answer(SILENT),
    Reading.BROKEN: Answer(BROKEN),
    Reading.UNAVAILABLE: Answer(UNAVAILABLE),
    Reading.TOO_MANY: Answer(TOO_MANY),
}
# The fate of a broadcast that is not simply answered: whether the transaction is pushed, and what is said.
_ACCEPTING = {
    Sending.SILENT_ACCEPTED: Answer(SILENT),
    Sending.BROKEN_ACCEPTED: Answer(BROKEN),
}
_DROPPING = {
    Sending.SILENT_DROPPED: Answer(SILENT),
    Sending.BROKEN_DROPPED: Answer(BROKEN),
    Sending.TOO_MANY: Answer(TOO_MANY),
}
_REFUSALS = {
    Sending.ERROR_ACCEPTED: ("NOT_ENOUGH_EFFECTIVE_CONNECTION", "P2P broadcast failed."),
    Sending.DUP_DROPPED: ("DUP_TRANSACTION_ERROR", "Dup transaction."),
    Sending.BUSY: ("SERVER_BUSY", "Server busy."),
    Sending.NO_CONNECTION: ("NO_CONNECTION", "No connection."),
    Sending.BLOCK_UNSOLIDIFIED: ("BLOCK_UNSOLIDIFIED", "Block unsolidified."),
}


class Shared:
    """What the nodes of a devnet have in common: the chain, pages that are made already, the chooser, counts."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.branches = Branches(chain)
        self.pages = pages.Pages(dict(zip(chain.producers, chain.keys, strict=True)))
        self.chooser: Chooser | None = None
        self.requests: Counter[str] = Counter()
        self.count = 0
        self.injected: Counter[str] = Counter()


class Node:
    """One node by its name."""

    def __init__(self, name: str, shared: Shared) -> None:
        self.name = name
        self.conduct = HONEST
        """How it answers as long as neither the chooser nor `next_reads` and `next_sends` say otherwise."""
        self.next_reads: deque[Conduct] = deque()
        """Conducts for exactly the next reading requests."""
        self.next_sends: deque[Conduct] = deque()
        """Conducts for exactly the next broadcasts."""
        self._shared = shared
        self._chain = shared.chain
        self._ids: dict[str, None] = {}
        self._scene = Scene(shared.chain, shared.branches, HONEST.view)

    def answer(self, path: str, body: Body | None = None) -> Answer:
        """Answer a request to `/wallet/<name>` or `/walletsolidity/<name>`."""
        body = body or {}
        area, _slash, name = path.strip("/").partition("/")
        handler = HANDLERS.get(name)
        if handler is None or area not in ("wallet", "walletsolidity") or (area, name) in _NOT_SOLID:
            return Answer(NOT_FOUND)
        is_broadcast = name in _BROADCASTS
        conduct = self._conduct(path, body, is_broadcast)
        self._shared.requests[name] += 1
        self._shared.count += 1
        self._shared.injected.update(injected(conduct, is_broadcast=is_broadcast))
        if not is_broadcast and conduct.reading is not Reading.ANSWERED:
            return _READING[conduct.reading]
        if conduct.view is not self._scene.view:
            self._scene = Scene(self._chain, self._shared.branches, conduct.view)
        if is_broadcast:
            return _BROADCASTS[name](self, body, conduct)
        try:
            return Answer(OK, handler(self, body, area == "walletsolidity"))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            return Answer(OK, {"Error": f"class java.lang.IllegalArgumentException : {error}"})

    def _conduct(self, path: str, body: Body, is_broadcast: bool) -> Conduct:
        queue = self.next_sends if is_broadcast else self.next_reads
        if queue:
            return queue.popleft()
        chooser = self._shared.chooser
        if chooser is not None:
            chosen = chooser(Request(self.name, path, body, is_broadcast, self._shared.count))
            if chosen is not None:
                return chosen
        return self.conduct

    # ------------------------------------------------------------------ blocks

    def getnodeinfo(self, body: Body, solid: bool) -> Json:
        """Tell the head, the solid block and the version."""
        head, settled = self._block(self._scene.head_number), self._block(self._scene.solid_number)
        return {
            "beginSyncNum": settled.number,
            "block": f"Num:{head.number},ID:{head.id}",
            "solidityBlock": f"Num:{settled.number},ID:{settled.id}",
            "currentConnectCount": 30,
            "activeConnectCount": 12,
            "passiveConnectCount": 18,
            "totalFlow": 0,
            "configNodeInfo": {"codeVersion": VERSION, "p2pVersion": "11111", "listenPort": 18888},
        }

    def _block(self, number: int) -> Block:
        """Give a block that a node knows of even when it lacks the body."""
        return self._scene.block(number) or self._chain.blocks[number]

    def getnowblock(self, body: Body, solid: bool) -> Json:
        """Give the newest block."""
        return self._page(self._scene.limit(solid=solid), body, solid)

    def getblockbynum(self, body: Body, solid: bool) -> Json:
        """Give a block by its number, {} where there is none."""
        return self._page(int(body.get("num") or 0), body, solid)

    def getblockbyid(self, body: Body, solid: bool) -> Json:
        """Give a block by its id, {} where there is none."""
        return self._by_id(body["value"], body, solid)

    def getblock(self, body: Body, solid: bool) -> Json:
        """Give a block by number or id, the newest without either; whole only with `detail`."""
        wanted = str(body.get("id_or_num") or "")
        if not wanted:
            page = self._page(self._scene.limit(solid=solid), body, solid)
        elif wanted.isdigit() and len(wanted) < 20:
            page = self._page(int(wanted), body, solid)
        else:
            page = self._by_id(wanted, body, solid)
        if _is_true(body.get("detail")):
            return page
        return {key: value for key, value in page.items() if key != "transactions"}

    def getblockbylimitnext(self, body: Body, solid: bool) -> Json:
        """Give blocks from a number on, without the last."""
        first, end = int(body.get("startNum") or 0), int(body["endNum"])
        if not 0 < end - first <= 100:
            return {}
        found = [page for number in range(first, end) if (page := self._page(number, body, solid))]
        return {"block": found} if found else {}

    def _by_id(self, block_id: str, body: Body, solid: bool) -> Json:
        page = self._page(int(block_id[:16], 16), body, solid)
        return page if page.get("blockID") == block_id else {}

    def _page(self, number: int, body: Body, solid: bool) -> Json:
        block = self._scene.block(number) if number <= self._scene.limit(solid=solid) else None
        if block is None:
            return {}
        return self._shared.pages.block(block, list(self._scene.shown(block)), visible=_visible(body))

    # ------------------------------------------------------------------ transactions

    def gettransactionbyid(self, body: Body, solid: bool) -> Json:
        """Give an included transaction, {} for any other."""
        found = self._find(body, solid)
        if found is None:
            return {}
        _block, included = found
        whole = shown(included.transaction, visible=_visible(body))
        return {"ret": [{"contractRet": included.result}], **whole}

    def gettransactioninfobyid(self, body: Body, solid: bool) -> Json:
        """Give an included transaction's receipt, {} for any other."""
        found = None if self._scene.view.no_receipt else self._find(body, solid)
        return pages.receipt(*found) if found is not None else {}

    def _find(self, body: Body, solid: bool) -> tuple[Block, Included] | None:
        return self._scene.find(str(body["value"]).lower(), solid=solid)

    def gettransactioninfobyblocknum(self, body: Body, solid: bool) -> Json:
        """Give all receipts of a block; [] for one that the node lacks, as if it were empty."""
        number = int(body.get("num") or 0)
        if number > self._scene.limit(solid=solid) or self._scene.view.empty_receipts:
            return []
        block = self._scene.block(number)
        return [] if block is None else self._shared.pages.receipts(block, list(self._scene.shown(block)))

    def getpendingsize(self, body: Body, solid: bool) -> Json:
        """Count what waits for a block."""
        return {"pendingSize": len(self._chain.waiting)}

    def gettransactionfrompending(self, body: Body, solid: bool) -> Json:
        """Give a transaction that waits for a block, {} for any other."""
        transaction = self._chain.waiting_transaction(str(body["value"]).lower())
        return {} if transaction is None else shown(transaction, visible=_visible(body))

    def gettransactionlistfrompending(self, body: Body, solid: bool) -> Json:
        """Name what waits for a block."""
        return {"txId": list(self._chain.waiting)} if self._chain.waiting else {}

    # ------------------------------------------------------------------ accounts

    def getaccount(self, body: Body, solid: bool) -> Json:
        """Give an account, {} for one that was never activated."""
        found = self._account(body["address"], solid)
        return {} if found is None else pages.account(found, visible=_visible(body))

    def getaccountresource(self, body: Body, solid: bool) -> Json:
        """Give an account's energy and bandwidth, {} for one that was never activated."""
        found = self._account(body["address"], solid)
        world = self._scene.world(solid=solid)
        return {} if found is None else pages.resources(found, world, world.time_ms)

    def getaccountnet(self, body: Body, solid: bool) -> Json:
        """Give an account's bandwidth, {} for one that was never activated."""
        found = self._account(body["address"], solid)
        world = self._scene.world(solid=solid)
        return {} if found is None else pages.net(found, world, world.time_ms)

    def _account(self, text: str, solid: bool) -> Account | None:
        address = parse(text)
        found = self._scene.world(solid=solid).accounts.get(address)
        lies = dict(self._scene.view.balances)
        if lies and (lie := lies.get(address_text(address, visible=True))) is not None:
            return msgspec.structs.replace(found or Account(address), balance=lie)
        return found

    def getchainparameters(self, body: Body, solid: bool) -> Json:
        """Give what the producers have voted."""
        return pages.chain_parameters(self._scene.world(solid=solid))

    # ------------------------------------------------------------------ contracts

    def getcontract(self, body: Body, solid: bool) -> Json:
        """Give a contract with its interface, {} where there is none."""
        address = parse(body["value"])
        world = self._scene.world(solid=solid)
        deployed = world.contracts.get(address)
        if deployed is None:
            return {}
        visible = _visible(body)
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
            return {"result": {"code": refused.code, "message": _hex(refused.message)}}
        transaction = {"ret": [{}], **self._unsigned(call, body)}
        result: dict[str, Any] = {"result": True}
        if done.result != "SUCCESS":
            result["message"] = _hex(f"{done.result} opcode executed")
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
            return {"result": {"code": refused.code, "message": _hex(refused.message)}}
        if done.result != "SUCCESS":
            message = _hex(f"Contract execute error : {done.result} opcode executed")
            return {"result": {"code": "CONTRACT_EXE_ERROR", "message": message}}
        return {"result": {"result": True}, "energy_required": done.energy}

    def triggersmartcontract(self, body: Body, solid: bool) -> Json:
        """Make an unsigned call."""
        call = _read_call(body)
        if call.contract not in self._chain.head_world.contracts:
            message = _hex("Contract validate error : No contract or not a valid smart contract")
            return {"result": {"code": "CONTRACT_VALIDATE_ERROR", "message": message}}
        return {"result": {"result": True}, "transaction": self._unsigned(call, body)}

    def createtransaction(self, body: Body, solid: bool) -> Json:
        """Make an unsigned transfer of TRX."""
        transfer = Transfer(parse(body["owner_address"]), parse(body["to_address"]), int(body["amount"]))
        return self._unsigned(transfer, body)

    def _unsigned(self, contract: Call | Transfer, body: Body) -> Json:
        reference = self._block(self._scene.solid_number)
        head = self._block(self._scene.head_number)
        raw = Raw(
            contract,
            reference_bytes=bytes.fromhex(reference.id[12:16]),
            reference_hash=bytes.fromhex(reference.id[16:32]),
            expiration_ms=head.time_ms + EXPIRATION_MS,
            timestamp_ms=self._chain.clock(),
            fee_limit=int(body.get("fee_limit") or 0),
            permission_id=int(body.get("Permission_id") or 0),
        )
        return shown(make(raw), visible=_visible(body))

    def getsignweight(self, body: Body, solid: bool) -> Json:
        """Weigh a transaction's signatures, and repeat its id: what a careless client signs."""
        try:
            transaction = with_signers(read(body))
        except Malformed as error:
            return {"result": {"code": "OTHER_ERROR", "message": str(error)}}
        except ValueError as error:
            return {"result": {"code": "SIGNATURE_FORMAT_ERROR", "message": str(error)}}
        visible = _visible(body)
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

    # ------------------------------------------------------------------ broadcasts

    def broadcasttransaction(self, body: Body, conduct: Conduct) -> Answer:
        """Take a transaction as JSON; it is packed again, so its id is the node's own."""
        try:
            transaction = read(body)
        except Malformed as error:
            return Answer(OK, {"Error": f"class org.tron.core.services.http.JsonFormat$ParseException : {error}"})
        answer, refusal = self._send(transaction, conduct)
        if answer is not None:
            return answer
        if refusal is None:
            return Answer(OK, {"result": True, "txid": transaction.id})
        message = refusal.message if _visible(body) else _hex(refusal.message)
        return Answer(OK, {"code": refusal.code, "txid": transaction.id, "message": message})

    def broadcasthex(self, body: Body, conduct: Conduct) -> Answer:
        """Take a transaction's bytes. Unlike its sister it answers with words, not with hex."""
        try:
            content = bytes.fromhex(str(body["transaction"]))
            transaction = unpack(content)
        except (KeyError, ValueError) as error:
            return Answer(OK, {"Error": f"class com.google.protobuf.InvalidProtocolBufferException : {error}"})
        answer, refusal = self._send(transaction, conduct)
        if answer is not None:
            return answer
        page = {
            "result": refusal is None,
            "code": "SUCCESS" if refusal is None else refusal.code,
            "message": "" if refusal is None else refusal.message,
            "transaction": content.hex(),
            "txid": transaction.id,
        }
        return Answer(OK, page)

    def _send(self, transaction: Transaction, conduct: Conduct) -> tuple[Answer | None, Refused | None]:
        """Give the broadcast its fate: an answer that is none of java-tron's, or a refusal, or neither."""
        sending = conduct.sending
        if sending in _DROPPING:
            return _DROPPING[sending], None
        if sending in _REFUSALS and sending is not Sending.ERROR_ACCEPTED:
            return None, Refused(*_REFUSALS[sending])
        if sending is Sending.TAKEN_DROPPED:
            return None, None
        try:
            self._push(transaction, conduct)
        except Refused as refused:
            # A transaction that is refused anyway is not accepted by a fault.
            return _ACCEPTING.get(sending), refused
        if sending is Sending.SILENT_LATE:
            return Answer(SILENT), None
        refusal = Refused(*_REFUSALS[sending]) if sending is Sending.ERROR_ACCEPTED else None
        return _ACCEPTING.get(sending), refusal

    def _push(self, transaction: Transaction, conduct: Conduct) -> None:
        if conduct.caches_ids:
            if transaction.id in self._ids:
                raise Refused("DUP_TRANSACTION_ERROR", "Dup transaction.")
            if len(self._ids) >= IDS_KEPT:
                del self._ids[next(iter(self._ids))]
            self._ids[transaction.id] = None
        try:
            transaction = with_signers(transaction)
        except ValueError as error:
            raise Refused("SIGERROR", f"Validate signature error: {error}") from error
        if conduct.sending is Sending.SILENT_LATE:
            self._chain.push_later(transaction, conduct.late_blocks)
        else:
            self._chain.push(transaction)


def _read_call(body: Body) -> Call:
    selector = str(body.get("function_selector") or "")
    data = bytes.fromhex(body.get("data") or "")
    if selector:
        data = artifact.selector(selector) + bytes.fromhex(body.get("parameter") or "")
    return Call(
        parse(body["owner_address"]), parse(body["contract_address"]), data, int(body.get("call_value") or 0)
    )


def _is_true(value: object) -> bool:
    return value is True or str(value).lower() == "true"


def _visible(body: Body) -> bool:
    return _is_true(body.get("visible"))


def _hex(message: str) -> str:
    return message.encode().hex()


HANDLERS: dict[str, Callable[..., Any]] = {
    name: getattr(Node, name)
    for name in (
        "getnodeinfo",
        "getnowblock",
        "getblock",
        "getblockbynum",
        "getblockbyid",
        "getblockbylimitnext",
        "gettransactionbyid",
        "gettransactioninfobyid",
        "gettransactioninfobyblocknum",
        "gettransactionfrompending",
        "gettransactionlistfrompending",
        "getpendingsize",
        "getaccount",
        "getaccountresource",
        "getaccountnet",
        "getchainparameters",
        "getcontract",
        "getcontractinfo",
        "triggerconstantcontract",
        "estimateenergy",
        "triggersmartcontract",
        "createtransaction",
        "getsignweight",
        "broadcasttransaction",
        "broadcasthex",
    )
}
_BROADCASTS: dict[str, Callable[[Node, Body, Conduct], Answer]] = {
    "broadcasttransaction": Node.broadcasttransaction,
    "broadcasthex": Node.broadcasthex,
}
_NOT_SOLID = {
    ("walletsolidity", name)
    for name in (
        "broadcasttransaction",
        "broadcasthex",
        "triggersmartcontract",
        "createtransaction",
        "getsignweight",
    )
}
