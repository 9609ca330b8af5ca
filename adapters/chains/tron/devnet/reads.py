"""The endpoints that read blocks, transactions and accounts. One-word methods are endpoints."""

from typing import Any

import msgspec

from . import pages
from .accounts import Account
from .addresses import parse
from .blocks import Block
from .chain import Chain
from .scene import Scene
from .transaction_json import address_text, shown
from .world import Included

RANGE_MAX = 100
VERSION = "4.8.1"
NUMBER_DIGITS_MAX = 19

Json = Any
Body = dict[str, Any]


class Reads:
    """Answers about the chain through one node's view."""

    def __init__(self, chain: Chain, made: pages.Pages, scene: Scene) -> None:
        self._chain = chain
        self._pages = made
        self._scene = scene

    def getnodeinfo(self, body: Body, solid: bool) -> Json:
        """Tell the head, the solid block and the version."""
        head, settled = self._scene.known(self._scene.head_number), self._scene.known(self._scene.solid_number)
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
        if is_true(body.get("detail")):
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
        return self._pages.block(block, list(self._scene.shown(block)), visible=is_visible(body))

    # ------------------------------------------------------------------ transactions

    def gettransactionbyid(self, body: Body, solid: bool) -> Json:
        """Give an included transaction, {} for any other."""
        found = self._find(body, solid)
        if found is None:
            return {}
        _block, included = found
        whole = shown(included.transaction, visible=is_visible(body))
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
        return [] if block is None else self._pages.receipts(block, list(self._scene.shown(block)))

    def getpendingsize(self, body: Body, solid: bool) -> Json:
        """Count what waits for a block."""
        return {"pendingSize": len(self._chain.pending())}

    def gettransactionfrompending(self, body: Body, solid: bool) -> Json:
        """Give a transaction that waits for a block, {} for any other."""
        transaction = self._chain.pending().get(str(body["value"]).lower())
        return {} if transaction is None else shown(transaction, visible=is_visible(body))

    def gettransactionlistfrompending(self, body: Body, solid: bool) -> Json:
        """Name what waits for a block."""
        pending = self._chain.pending()
        return {"txId": list(pending)} if pending else {}

    # ------------------------------------------------------------------ accounts

    def getaccount(self, body: Body, solid: bool) -> Json:
        """Give an account, {} for one that was never activated."""
        found = self._account(body["address"], solid)
        return {} if found is None else pages.account(found, visible=is_visible(body))

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


def is_true(value: object) -> bool:
    """Read a flag as java-tron does, from JSON or from a query."""
    return value is True or str(value).lower() == "true"


def is_visible(body: Body) -> bool:
    """Tell whether addresses are to be base58."""
    return is_true(body.get("visible"))


READS = {
    name: getattr(Reads, name)
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
    )
}
