"""The order operations, said once for both doors: HTTP `/v5/order/create` and `order.create` on the trade socket.

It reads the request, counts it against the account's rate bucket, lets the desk act, commits, and words the
answer. How the answer travels, or is lost on the way, is the doors' business.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from engine.trading.instrument import Market

from .codes import Code, Refused
from .limits import Allowance, RateLimiter
from .model import Account, Order
from .requests import AmendOrder, Batch, CancelAll, CancelOrder, CreateOrder
from .venue import Venue

BATCH_MAX = {Market.LINEAR: 20, Market.SPOT: 10}


class Answer(msgspec.Struct, frozen=True):
    """What the venue says to one request, whatever the door."""

    code: int
    message: str
    result: Any = msgspec.field(default_factory=dict)
    ext: Any = msgspec.field(default_factory=dict)
    allowance: Allowance | None = None


_Single = CreateOrder | AmendOrder | CancelOrder
_SINGLE: dict[str, type[_Single]] = {
    "order.create": CreateOrder,
    "order.amend": AmendOrder,
    "order.cancel": CancelOrder,
}
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    **{name: msgspec.json.Decoder(kind, strict=False) for name, kind in _SINGLE.items()},
    **{f"{name}-batch": msgspec.json.Decoder(Batch) for name in _SINGLE},
    "order.cancel-all": msgspec.json.Decoder(CancelAll),
    "order.pre-check": msgspec.json.Decoder(CreateOrder, strict=False),
}


class OrderOperations:
    """Carries out order operations by name."""

    def __init__(self, venue: Venue, limiter: RateLimiter) -> None:
        self._venue = venue
        self._limiter = limiter
        desk = venue.desk
        self._actions: dict[str, Callable[[Account, Any], Order]] = {
            "order.create": desk.place,
            "order.amend": desk.amend,
            "order.cancel": desk.cancel,
        }

    def knows(self, operation: str) -> bool:
        """Tell whether this is an order operation."""
        return operation in _DECODERS

    def execute(self, account: Account, operation: str, raw: bytes | msgspec.Raw) -> Answer:
        """Carry out one operation and commit it; every outcome is an answer."""
        try:
            request = _DECODERS[operation].decode(raw)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            return Answer(Code.PARAMETER, f"params error: {error}")
        items = len(request.request) if isinstance(request, Batch) else 1
        allowance = self._limiter.use(account.uid, operation, request.category, self._venue.now_ms(), items)
        if not allowance.granted and items:
            return Answer(Code.RATE_LIMIT, TOO_MANY, allowance=allowance)
        if account.wallet.rights.read_only:
            return Answer(Code.PERMISSION, "Permission denied for current apikey.", allowance=allowance)
        try:
            result, ext = self._act(account, operation, request, allowance)
        except Refused as refused:
            return Answer(refused.code, refused.message, allowance=allowance)
        finally:
            self._venue.records.commit()
        return Answer(Code.OK, "OK", result, ext, allowance)

    def _act(self, account: Account, operation: str, request: Any, allowance: Allowance) -> tuple[Any, Any]:
        match request:
            case Batch():
                return self._batch(account, operation.removesuffix("-batch"), request, allowance)
            case CancelAll():
                return self._cancel_all(account, request), {}
            case _ if operation == "order.pre-check":
                return self._pre_check(account, request), {}
            case _:
                return _ids(self._actions[operation](account, request)), {}

    def _batch(self, account: Account, single: str, batch: Batch, allowance: Allowance) -> tuple[Any, Any]:
        """Carry out each item for itself; the lists answer in the order of the request."""
        try:
            market = Market(batch.category)
        except ValueError:
            raise Refused(Code.PARAMETER, "params error: category invalid") from None
        if not 0 < len(batch.request) <= BATCH_MAX[market]:
            raise Refused(Code.PARAMETER, f"params error: a batch holds 1 to {BATCH_MAX[market]} orders")
        rows, outcomes = [], []
        for index, raw in enumerate(batch.request):
            row, code, message = self._item(account, single, batch.category, raw, index < allowance.granted)
            rows.append(row)
            outcomes.append({"code": int(code), "msg": message})
        return {"list": rows}, {"list": outcomes}

    def _item(
        self, account: Account, single: str, category: str, raw: msgspec.Raw, granted: bool
    ) -> tuple[dict[str, str], int, str]:
        row = {"category": category, "symbol": "", "orderId": "", "orderLinkId": ""}
        try:
            request = _DECODERS[single].decode(raw)
            request.category = category
            row["symbol"], row["orderLinkId"] = request.symbol, request.order_link_id or ""
            if not granted:
                return row, Code.RATE_LIMIT, TOO_MANY
            order = self._actions[single](account, request)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            return row, Code.PARAMETER, f"params error: {error}"
        except Refused as refused:
            return row, refused.code, refused.message
        row |= _ids(order)
        if single == "order.create":
            row["createAt"] = str(order.created_ms)
        return row, Code.OK, "OK"

    def _cancel_all(self, account: Account, request: CancelAll) -> dict[str, Any]:
        try:
            market = Market(request.category)
        except ValueError:
            raise Refused(Code.PARAMETER, "params error: category invalid") from None
        if request.symbol:
            self._venue.desk.listing(request.category, request.symbol)
        elif market is Market.LINEAR and not (request.base_coin or request.settle_coin):
            raise Refused(Code.PARAMETER, "params error: symbol, baseCoin or settleCoin is required")
        cancelled = self._venue.desk.cancel_all(account, market, request.symbol, request.base_coin)
        return {"list": [_ids(order) for order in cancelled], "success": "1"}

    def _pre_check(self, account: Account, request: CreateOrder) -> dict[str, Any]:
        """Say what margin rates would be before and after, in units of 10**-4; the order is not placed."""
        order = self._venue.desk.check(account, request)
        return {**_ids(order), "orderId": "", "preImrE4": 0, "preMmrE4": 0, "postImrE4": 0, "postMmrE4": 0}


TOO_MANY = "Too many visits. Exceeded the API Rate Limit."


def _ids(order: Order) -> dict[str, str]:
    return {"orderId": order.order_id, "orderLinkId": order.link_id}
