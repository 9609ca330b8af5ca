"""A node: answers java-tron's HTTP API about the one chain, as well or as badly as its conduct says.

`answer` is the whole door: a path and a body in, a status and JSON out, no sockets. Here it is decided what
becomes of a request, and of a broadcast above all; what is read is answered in `reads` and `calls`.
"""

from collections import Counter, deque
from collections.abc import Callable

import msgspec

from .calls import CALLS, NOT_SOLID, Calls, hex_words
from .chain import Chain
from .faults import HONEST, Chooser, Conduct, Reading, Request, Sending, View, injected
from .pages import Pages
from .protobuf import Malformed
from .reads import READS, Body, Json, Reads, is_visible
from .scene import Branches, Scene
from .transaction_json import read
from .transactions import Transaction, unpack, with_signers
from .world import Refused

SILENT = 0
OK = 200
NOT_FOUND = 404
TOO_MANY = 429
BROKEN = 500
UNAVAILABLE = 503

IDS_KEPT = 100_000


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
        self.pages = Pages(dict(zip(chain.producers, chain.keys, strict=True)))
        self.chooser: Chooser | None = None
        self.requests: Counter[str] = Counter()
        """By endpoint; `count` is their sum."""
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
        self._see(HONEST.view)

    def _see(self, view: View) -> None:
        self._view = view
        scene = Scene(self._chain, self._shared.branches, view)
        self._reads = Reads(self._chain, self._shared.pages, scene)
        self._calls = Calls(self._chain, scene)

    def answer(self, path: str, body: Body | None = None) -> Answer:
        """Answer a request to `/wallet/<name>` or `/walletsolidity/<name>`."""
        body = body or {}
        area, _slash, name = path.strip("/").partition("/")
        if name not in _AREAS.get(area, ()):
            return Answer(NOT_FOUND)
        is_broadcast = name in _BROADCASTS
        conduct = self._conduct(path, body, is_broadcast)
        self._shared.requests[name] += 1
        self._shared.count += 1
        self._shared.injected.update(injected(conduct, is_broadcast=is_broadcast))
        if is_broadcast:
            return _BROADCASTS[name](self, body, conduct)
        if conduct.reading is not Reading.ANSWERED:
            return _READING[conduct.reading]
        if conduct.view is not self._view:
            self._see(conduct.view)
        try:
            return Answer(OK, self._read(name, body, solid=area == "walletsolidity"))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            return Answer(OK, {"Error": f"class java.lang.IllegalArgumentException : {error}"})

    def _read(self, name: str, body: Body, *, solid: bool) -> Json:
        if name in READS:
            return READS[name](self._reads, body, solid)
        return CALLS[name](self._calls, body, solid)

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
        message = refusal.message if is_visible(body) else hex_words(refusal.message)
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


_BROADCASTS: dict[str, Callable[[Node, Body, Conduct], Answer]] = {
    "broadcasttransaction": Node.broadcasttransaction,
    "broadcasthex": Node.broadcasthex,
}
_AREAS = {
    "wallet": {*READS, *CALLS, *_BROADCASTS},
    "walletsolidity": {*READS, *CALLS}.difference(NOT_SOLID),
}
