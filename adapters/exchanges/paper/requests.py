"""What clients may ask, as typed messages: one Struct per order operation, shared by HTTP and the trade socket.

Clients differ in types (`qty` arrives as text or number, flags as numbers): numbers are read as text here and
judged by the rules later. Unknown fields are ignored, as the venue does.
"""

import msgspec

Text = str | int | float


class CreateOrder(msgspec.Struct, rename="camel"):
    """`order/create`."""

    category: str = ""
    symbol: str = ""
    side: str = ""
    order_type: str = ""
    qty: Text = ""
    price: Text | None = None
    time_in_force: str | None = None
    order_link_id: str | None = None
    market_unit: str | None = None
    reduce_only: bool | None = None
    close_on_trigger: bool | None = None
    position_idx: int | None = None
    is_leverage: int | None = None
    order_filter: str | None = None
    trigger_price: Text | None = None
    take_profit: Text | None = None
    stop_loss: Text | None = None


class AmendOrder(msgspec.Struct, rename="camel"):
    """`order/amend`."""

    category: str = ""
    symbol: str = ""
    order_id: str | None = None
    order_link_id: str | None = None
    qty: Text | None = None
    price: Text | None = None


class CancelOrder(msgspec.Struct, rename="camel"):
    """`order/cancel`."""

    category: str = ""
    symbol: str = ""
    order_id: str | None = None
    order_link_id: str | None = None


class CancelAll(msgspec.Struct, rename="camel"):
    """`order/cancel-all`."""

    category: str = ""
    symbol: str | None = None
    base_coin: str | None = None
    settle_coin: str | None = None
    order_filter: str | None = None


class Batch(msgspec.Struct, rename="camel"):
    """The outside of `order/*-batch`; the items stay raw until the operation is known."""

    request: list[msgspec.Raw]
    category: str = ""


class SetLeverage(msgspec.Struct, rename="camel"):
    """`position/set-leverage`."""

    category: str = ""
    symbol: str = ""
    buy_leverage: Text = ""
    sell_leverage: Text = ""


class TradingStop(msgspec.Struct, rename="camel"):
    """`position/trading-stop`: whole-position take-profit and stop-loss; "0" removes one."""

    category: str = ""
    symbol: str = ""
    take_profit: Text | None = None
    stop_loss: Text | None = None
    trailing_stop: Text | None = None
    position_idx: int = 0


class PositionChange(msgspec.Struct, rename="camel"):
    """`position/add-margin`, `set-auto-add-margin`, `switch-mode` and `switch-isolated`, which share fields."""

    category: str = ""
    symbol: str = ""
    coin: str | None = None
    mode: int | None = None
    trade_mode: int | None = None
    buy_leverage: Text = ""
    sell_leverage: Text = ""
    margin: Text = ""
    auto_add_margin: int | None = None
    position_idx: int = 0


class SetMarginMode(msgspec.Struct, rename="camel"):
    """`account/set-margin-mode`."""

    set_margin_mode: str = ""


class DisconnectProtection(msgspec.Struct, rename="camel"):
    """`order/disconnected-cancel-all`."""

    time_window: int = 10
    product: str = "OPTIONS"
