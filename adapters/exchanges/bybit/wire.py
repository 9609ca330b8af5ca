"""Bybit V5 messages as they arrive, cut down to the fields we use.

Decoders are lax (`strict=False`): the venue writes most whole numbers as text, some as numbers, and has changed
its mind before.
"""

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Wire(msgspec.Struct, rename="camel", gc=False):
    """The venue's spelling of names."""


# ---------------------------------------------------------------------- REST


class Reply(Wire):
    """The envelope of every REST answer. `result` is decoded only after `ret_code` said that there is one."""

    ret_code: int
    ret_msg: str = ""
    result: msgspec.Raw = msgspec.Raw(b"{}")
    ret_ext_info: "ItemResults | None" = None


class Page(Wire, Generic[T]):
    """One page of a list. The cursor arrives URL-encoded and goes back as it came; "" ends."""

    rows: list[T] = msgspec.field(name="list", default_factory=list)
    next_page_cursor: str = ""


class ItemResult(Wire):
    """The outcome of one order of a batch."""

    code: int = 0
    msg: str = ""


class ItemResults(Wire):
    """The outcomes of a batch, in the order of the request."""

    rows: list[ItemResult] = msgspec.field(name="list", default_factory=list)


class OrderAck(Wire):
    """The ids of an order, or of each order of a batch."""

    order_id: str = ""
    order_link_id: str = ""
    rows: "list[OrderAck]" = msgspec.field(name="list", default_factory=list)


class ServerTime(Wire):
    """The venue's clock."""

    time_nano: int


class LotFilter(Wire):
    """Quantity filters: the first names are spot's, the others linear's."""

    base_precision: str = ""
    min_order_amt: str = ""
    max_limit_order_qty: str = ""
    max_market_order_qty: str = ""
    qty_step: str = ""
    min_notional_value: str = ""
    max_mkt_order_qty: str = ""
    min_order_qty: str = "0"
    max_order_qty: str = ""


class PriceFilter(Wire):
    """Price filters; spot has no minimum and maximum."""

    tick_size: str
    min_price: str = ""
    max_price: str = ""


class LeverageFilter(Wire):
    """What leverage the venue offers."""

    max_leverage: str = "1"


class InstrumentRow(Wire):
    """One listed instrument."""

    symbol: str
    base_coin: str
    quote_coin: str
    status: str
    lot_size_filter: LotFilter
    price_filter: PriceFilter
    leverage_filter: LeverageFilter = msgspec.field(default_factory=LeverageFilter)
    contract_type: str = ""
    settle_coin: str = ""
    funding_interval: int = 0


class TickerRow(Wire):
    """The price now."""

    symbol: str
    last_price: str
    bid1_price: str = ""
    ask1_price: str = ""
    mark_price: str = ""
    funding_rate: str = ""
    next_funding_time: str = ""


class BookResult(Wire):
    """The visible depth, best first: [price, size]."""

    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    ts: int


class KlineResult(Wire):
    """Bars, newest first: [start, open, high, low, close, volume, turnover]."""

    rows: list[tuple[str, str, str, str, str, str, str]] = msgspec.field(name="list", default_factory=list)


class CoinRow(Wire):
    """The holding of one coin in a unified account."""

    coin: str
    wallet_balance: str = "0"
    locked: str = "0"
    total_order_im: str = msgspec.field(name="totalOrderIM", default="0")
    total_position_im: str = msgspec.field(name="totalPositionIM", default="0")


class WalletRow(Wire):
    """One account's holdings."""

    coin: list[CoinRow] = []


class PositionRow(Wire):
    """One open position."""

    symbol: str
    side: str = ""
    size: str = "0"
    avg_price: str = "0"
    leverage: str = "1"
    liq_price: str = ""


class FeeRow(Wire):
    """An account's fee rates on one symbol."""

    symbol: str = ""
    maker_fee_rate: str = "0"
    taker_fee_rate: str = "0"


# ---------------------------------------------------------------------- orders, on REST and on the private stream


class OrderRow(Wire):
    """One order. `cum_exec_qty` counts; `leavesQty` is 0 on a cancelled order and would lie."""

    symbol: str
    order_id: str
    order_link_id: str
    side: str
    order_type: str
    price: str
    qty: str
    cum_exec_qty: str
    order_status: str
    reject_reason: str = ""
    cancel_type: str = ""


class ExecutionRow(Wire):
    """One execution: a fill, a funding payment, or something the venue did to the position."""

    symbol: str
    exec_id: str
    exec_type: str
    exec_price: str
    exec_qty: str
    exec_fee: str
    exec_time: int
    side: str
    order_id: str = ""
    order_link_id: str = ""
    order_qty: str = "0"
    is_maker: bool = False
    fee_currency: str = ""


class OrderPush(Wire, tag_field="topic", tag="order"):
    """Orders that changed."""

    data: list[OrderRow]


class ExecutionPush(Wire, tag_field="topic", tag="execution"):
    """Executions that happened."""

    data: list[ExecutionRow]


# ---------------------------------------------------------------------- sockets


class Control(Wire, rename=None):
    """Any answer of a public or private socket that is not data."""

    op: str = ""
    success: bool = True
    ret_msg: str = ""


class LimitHeader(Wire):
    """What is left of a rate limit."""

    limit: int = msgspec.field(name="X-Bapi-Limit", default=0)
    remaining: int = msgspec.field(name="X-Bapi-Limit-Status", default=0)
    reset_ms: int = msgspec.field(name="X-Bapi-Limit-Reset-Timestamp", default=0)


class TradeReply(Wire):
    """An answer on the trade socket. A pong carries a list as its data."""

    op: str = ""
    req_id: str = ""
    ret_code: int = 0
    ret_msg: str = ""
    data: OrderAck | list[str] | None = None
    ret_ext_info: ItemResults | None = None
    header: LimitHeader | None = None


class TradeRow(Wire):
    """One public trade; `side` is the taker's."""

    at_ms: int = msgspec.field(name="T")
    symbol: str = msgspec.field(name="s")
    side: str = msgspec.field(name="S")
    price: str = msgspec.field(name="p")


class TradePush(Wire):
    """Public trades of one symbol; `topic` is empty on control messages."""

    topic: str = ""
    data: list[TradeRow] = []


decode_reply = msgspec.json.Decoder(Reply, strict=False).decode
decode_trade_reply = msgspec.json.Decoder(TradeReply, strict=False).decode
decode_private = msgspec.json.Decoder(OrderPush | ExecutionPush, strict=False).decode
decode_control = msgspec.json.Decoder(Control, strict=False).decode
decode_trades = msgspec.json.Decoder(TradePush, strict=False).decode
decode_ack = msgspec.json.Decoder(OrderAck, strict=False).decode
