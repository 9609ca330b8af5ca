"""What the venue remembers: accounts, orders, executions, positions and its own till.

Mutable records in the venue's integers; each is also its own journal record. They hold facts and small
arithmetic on themselves and never decide whether something is allowed.
"""

from collections import deque
from enum import StrEnum

import msgspec

from engine.trading.instrument import Market

RATE_SCALE = 10**9
"""Fee and funding rates are whole numbers of 10**-9."""

HISTORY_KEPT = 100_000
"""Final orders, and executions, that an account can still page through; older ones are forgotten."""


class Status(StrEnum):
    """An order's state, in Bybit's words."""

    NEW = "New"
    PARTIALLY_FILLED = "PartiallyFilled"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    PARTIALLY_FILLED_CANCELLED = "PartiallyFilledCanceled"
    REJECTED = "Rejected"


OPEN = frozenset({Status.NEW, Status.PARTIALLY_FILLED})


class TimeInForce(StrEnum):
    """How long an order waits, and whether it may take."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    POST_ONLY = "PostOnly"


class Order(msgspec.Struct, kw_only=True, tag="order", omit_defaults=True, eq=False, gc=False):
    """One order of one account. `lots` counts base lots; `budget` replaces it for a market buy paid in quote."""

    order_id: str
    link_id: str
    uid: int
    market: Market
    symbol: str
    buy: bool
    is_market: bool
    time_in_force: TimeInForce
    ticks: int
    lots: int
    seq: int
    created_ms: int
    updated_ms: int
    budget: int = 0
    market_unit: str = ""
    reduce_only: bool = False
    create_type: str = "CreateByUser"
    stop_order_type: str = ""
    status: Status = Status.NEW
    reject_reason: str = "EC_NoError"
    cancel_type: str = "UNKNOWN"
    filled_lots: int = 0
    filled_tick_lots: int = 0
    fee_units: int = 0
    fee_coin: str = ""
    locked: int = 0
    """Spot: units of the coin paid with that this order still holds back."""
    ahead: int = 0
    """Recorded size in the queue before this order; negative while its price is outside the visible book."""

    @property
    def leaves(self) -> int:
        """Lots not filled yet."""
        return self.lots - self.filled_lots

    @property
    def is_open(self) -> bool:
        """Tell whether the order can still fill."""
        return self.status in OPEN


class Execution(msgspec.Struct, kw_only=True, tag="execution", omit_defaults=True, eq=False, gc=False):
    """One fill, funding payment or liquidation. `ticks` and `lots` are zero where there is no price."""

    exec_id: str
    seq: int
    uid: int
    market: Market
    symbol: str
    exec_type: str
    order_id: str
    link_id: str
    buy: bool
    ticks: int
    lots: int
    fee_units: int
    fee_coin: str
    rate: int
    is_maker: bool
    at_ms: int
    order_ticks: int = 0
    order_lots: int = 0
    leaves_lots: int = 0
    is_market: bool = False
    create_type: str = ""
    stop_order_type: str = ""
    mark_ticks: int = 0
    closed_lots: int = 0
    realised_units: int = 0
    balance_units: int = 0
    """What the account held of the settled coin afterwards, for the transaction log."""


class ClosedPnl(msgspec.Struct, kw_only=True, tag="closed_pnl", gc=False):
    """What one order realised by closing (part of) a position."""

    order_id: str
    seq: int
    uid: int
    symbol: str
    buy: bool
    order_lots: int
    order_ticks: int
    is_market: bool
    exec_type: str
    leverage: int
    created_ms: int
    updated_ms: int
    closed_lots: int = 0
    entry_tick_lots: int = 0
    exit_tick_lots: int = 0
    pnl_units: int = 0
    fills: int = 0


class Position(msgspec.Struct, kw_only=True, tag="position", eq=False):
    """An account's one-way position in a linear instrument. `cost` is exact: the sum of ticks × lots paid."""

    uid: int
    symbol: str
    leverage: int = 1000
    """In hundredths: 1000 is ten times."""
    lots: int = 0
    cost: int = 0
    open_fee_units: int = 0
    extra_margin_units: int = 0
    realised_units: int = 0
    take_profit_ticks: int = 0
    stop_loss_ticks: int = 0
    auto_add_margin: bool = False
    created_ms: int = 0
    updated_ms: int = 0
    seq: int = 0
    bid_lots: int = 0
    bid_cost: int = 0
    ask_lots: int = 0
    ask_cost: int = 0
    """Open orders that may enlarge the position, by side: they need margin."""


class Fees(msgspec.Struct, frozen=True):
    """Maker and taker rates in units of 10**-9; a negative maker rate is a rebate."""

    maker: int
    taker: int


DEFAULT_FEES = {
    Market.SPOT: Fees(maker=1_000_000, taker=1_000_000),
    Market.LINEAR: Fees(maker=200_000, taker=550_000),
}
"""Bybit's rates for an account without VIP level: 0.1 % / 0.1 % on spot, 0.02 % / 0.055 % on linear."""


class KeyRights(msgspec.Struct, frozen=True):
    """What an account's key may do, as the venue tells it. Nothing here can be withdrawn, whatever it says."""

    read_only: bool = False
    can_withdraw: bool = False
    addresses: tuple[str, ...] = ("127.0.0.1",)
    expires_ms: int = 0
    """0: never."""


class Wallet(msgspec.Struct, kw_only=True, tag="account"):
    """The part of an account that the journal saves whole whenever it changes."""

    uid: int
    key: str
    secret: str
    name: str = ""
    fees: dict[Market, Fees] = msgspec.field(default_factory=lambda: dict(DEFAULT_FEES))
    coins: dict[str, int] = msgspec.field(default_factory=dict)
    isolated: bool = True
    rights: KeyRights = KeyRights()
    created_ms: int = 0
    updated_ms: int = 0

    def __repr__(self) -> str:
        return f"Wallet(uid={self.uid}, key={self.key!r}, secret=***)"


class Till(msgspec.Struct, kw_only=True, tag="till"):
    """The venue's own books, by coin: what came in, what it earned, and what the recorded market owes.

    For every coin: sum of all wallets + fees + outside = deposits, to the last unit.
    """

    deposits: dict[str, int] = msgspec.field(default_factory=dict)
    fees: dict[str, int] = msgspec.field(default_factory=dict)
    outside: dict[str, int] = msgspec.field(default_factory=dict)
    funding_looked_ms: int = 0
    """When it was last checked whether a funding interval had ended."""


class UsedLinks(msgspec.Struct, kw_only=True, tag="links"):
    """Link ids, with their orders' ids, of orders whose rows are forgotten: they stay taken for ever."""

    uid: int
    orders: dict[str, str]


Record = Order | Execution | ClosedPnl | Position | Wallet | Till | UsedLinks


class Account:
    """Everything of one account in memory: its wallet and the indexes over its orders and executions."""

    def __init__(self, wallet: Wallet) -> None:
        self.wallet = wallet
        self.locked: dict[str, int] = {}
        self.open: dict[str, Order] = {}
        self.by_id: dict[str, Order] = {}
        self.by_link: dict[str, str] = {}
        """Every link id ever used, with its order's id: none is accepted twice."""
        self.final: deque[Order] = deque()
        self.executions: deque[Execution] = deque(maxlen=HISTORY_KEPT)
        self.closed: dict[str, ClosedPnl] = {}
        self.positions: dict[str, Position] = {}

    @property
    def uid(self) -> int:
        """Give the account's number."""
        return self.wallet.uid

    def coin(self, coin: str) -> int:
        """Give what the account owns of a coin, locked or not."""
        return self.wallet.coins.get(coin, 0)

    def position(self, symbol: str) -> Position:
        """Give the position in a linear instrument, making an empty one at first sight."""
        found = self.positions.get(symbol)
        if found is None:
            found = self.positions[symbol] = Position(uid=self.uid, symbol=symbol)
        return found

    def remember(self, order: Order) -> None:
        """Index a new or restored order."""
        self.by_id[order.order_id] = order
        if order.link_id:
            self.by_link[order.link_id] = order.order_id
        if order.is_open:
            self.open[order.order_id] = order
        else:
            self.retire(order)

    def forgotten_links(self) -> list[tuple[str, str]]:
        """Give the link ids whose orders' rows are gone, with the orders' ids."""
        return [(link, order_id) for link, order_id in self.by_link.items() if order_id not in self.by_id]

    def retire(self, order: Order) -> None:
        """Move a final order to the history; the oldest beyond what is kept loses its row, not its link id."""
        self.open.pop(order.order_id, None)
        self.final.append(order)
        if len(self.final) > HISTORY_KEPT:
            self.by_id.pop(self.final.popleft().order_id, None)


def add(amounts: dict[str, int], coin: str, units: int) -> None:
    """Add to the amount of a coin."""
    amounts[coin] = amounts.get(coin, 0) + units
