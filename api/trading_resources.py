"""What the API takes and answers about exchanges, markets, trades and the dashboard.

The same promise as in `api/resources.py`: fields are added, never changed. A key goes in and never comes out.
"""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec

from actors.account_desk import AccountView, Connect, ConnectableExchange, check_permissions
from actors.market_desk import Bar
from engine.errors import Refusal
from engine.grid.config import Direction
from engine.ids import AccountId, BotId, Instant
from engine.ports import KeyPermissions
from engine.trading.instrument import AMOUNT_DECIMALS, Instrument
from engine.trading.market import Balance as Holding
from storage.trades import TradeRow, TradeTotals

Symbol = Annotated[str, msgspec.Meta(min_length=1, max_length=40, examples=["BTCUSDT"])]


# ---------------------------------------------------------------------- accounts


class Permission(StrEnum):
    """What a key may do, as the exchange told it."""

    SPOT = "spot"
    LINEAR = "linear"
    READ = "read"
    """Nothing but reading."""
    WITHDRAW = "withdraw"


class KeyProblem(msgspec.Struct, frozen=True):
    """Why a key that was accepted before would be refused now."""

    code: str
    text: str
    remedy: str


class ConnectAccount(Connect, frozen=True):
    """An account to be connected, by somebody who proves once more who they are."""

    password: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    """One's own, asked for with a key: whoever finds an open session must not bring a key of theirs."""


class Account(msgspec.Struct, frozen=True):
    """A connected exchange."""

    id: AccountId
    exchange: str
    environment: str
    """Whose money: paper, demo, testnet or live."""
    label: str
    key_hint: str | None
    """The last characters of the key; None where no key is kept here."""
    permissions: list[Permission] | None
    """None until the exchange was asked."""
    bound_to_ip: bool | None
    checked_ms: Instant | None
    """When the exchange was asked what the key may do."""
    expires_ms: Instant | None
    problems: list[KeyProblem]
    bots: int
    """How many bots there are on it, without the archived ones."""
    created_ms: Instant


class AccountList(msgspec.Struct, frozen=True):
    """Connected exchanges, oldest first."""

    items: list[Account]


class ExchangeList(msgspec.Struct, frozen=True):
    """What can be connected."""

    items: list[ConnectableExchange]


class Balance(msgspec.Struct, frozen=True):
    """What an account holds of one coin; what is not free backs open orders and positions."""

    asset: str
    total: Decimal
    free: Decimal


class Balances(msgspec.Struct, frozen=True):
    """Every balance that is not zero."""

    account: AccountId
    items: list[Balance]


def to_account(view: AccountView) -> Account:
    """Say about an account what its owner may see."""
    row, told = view.row, view.row.permissions
    return Account(
        id=row.id,
        exchange=row.exchange,
        environment=row.environment.value,
        label=row.label,
        key_hint=row.key_hint or None,
        permissions=None if told is None else _in_words(told),
        bound_to_ip=None if told is None else told.bound_to_ip,
        checked_ms=row.checked_at_ms,
        expires_ms=None if told is None else told.expires_at_ms,
        problems=[] if told is None else [_to_problem(each) for each in check_permissions(told)],
        bots=view.bots,
        created_ms=row.created_at_ms,
    )


def to_balances(account: AccountId, holdings: Sequence[Holding]) -> Balances:
    """Write holdings as decimals."""
    return Balances(
        account,
        [Balance(each.asset, _amount(each.total_units), _amount(each.free_units)) for each in holdings],
    )


def _in_words(told: KeyPermissions) -> list[Permission]:
    words = {
        Permission.SPOT: told.can_trade_spot,
        Permission.LINEAR: told.can_trade_linear,
        Permission.READ: told.read_only,
        Permission.WITHDRAW: told.can_withdraw,
    }
    return [word for word, holds in words.items() if holds]


def _to_problem(refusal: Refusal) -> KeyProblem:
    return KeyProblem(refusal.code, refusal.message, refusal.allowed)


def _amount(units: int) -> Decimal:
    return Decimal(units).scaleb(-AMOUNT_DECIMALS)


# ---------------------------------------------------------------------- markets


class InstrumentList(msgspec.Struct, frozen=True):
    """What trades now, by symbol."""

    items: Sequence[Instrument]


class Candles(msgspec.Struct, frozen=True):
    """Bars, oldest first, each an array of start, open, high, low, close and volume; the last one is not over."""

    items: list[Bar]


class SuggestBot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For which market to lay a first grid."""

    account: AccountId
    symbol: Symbol
    direction: Direction = Direction.SPOT
    amount: Decimal | None = None
    """The investment; left out: a tenth of what is free."""


# ---------------------------------------------------------------------- trades


class TradePage(msgspec.Struct, frozen=True):
    """Some trades of a filter, newest first, and what all of the filter's trades add up to."""

    items: list[TradeRow]
    next_cursor: str | None
    totals: list[TradeTotals]
    """By quote coin. Only on the first page: the next ones belong to the same filter."""


# ---------------------------------------------------------------------- the dashboard


class CoinFigures(msgspec.Struct, frozen=True):
    """The bots of one quote coin, added up. total = grid_profit + floating - fees - funding."""

    coin: str
    today: Decimal
    """Change of the total since the day began."""
    total: Decimal
    grid_profit: Decimal
    """Realised by the grids and by closing positions, before fees."""
    floating: Decimal
    fees: Decimal
    funding: Decimal
    """Paid; negative if received."""
    in_orders: Decimal
    """What open orders hold back, each at its own price (for a perpetual: the margin)."""
    free: Decimal | None
    """Free in the connected accounts; None where one of them does not answer."""


class EquityPoint(msgspec.Struct, frozen=True):
    """The total result of one quote coin's bots at a moment."""

    at_ms: Instant
    coin: str
    total: Decimal


class Severity(StrEnum):
    """How much something matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """Something that its owner should look at. `code` is stable, for translation."""

    code: str
    severity: Severity
    text: str
    bot: BotId | None = None
    account: AccountId | None = None
    at_ms: Instant | None = None


class Dashboard(msgspec.Struct, frozen=True):
    """Everything at a glance. The bots themselves have a list of their own."""

    figures: list[CoinFigures]
    equity: list[EquityPoint]
    """Oldest first; the last moment is now."""
    fills: list[TradeRow]
    attention: list[Attention]
    """What matters most comes first."""
    as_of_ms: Instant
