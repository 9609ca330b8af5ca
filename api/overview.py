"""The dashboard's figures: the bots' results added up by quote coin, their curve over time, what needs its owner.

It reads the bots' own accounts, one sample per bot and moment, and the exchanges' balances; never a whole history.
An exchange that is slow or away leaves a gap and a line that says so, and holds up nothing else.
"""

import asyncio
from collections.abc import Iterable, Sequence
from decimal import Decimal

from actors.account_desk import AccountView, check_permissions
from actors.clock import now_ms
from actors.desk import BotDesk
from actors.views import BotView
from api.trading_resources import Attention, CoinFigures, Dashboard, EquityPoint, Severity
from engine.errors import VenueError
from engine.grid.config import Direction
from engine.grid.state import BotStatus
from engine.ids import AccountId, BotId, Instant, UserId
from engine.trading.instrument import AMOUNT_DECIMALS, Market
from engine.trading.market import Balance
from storage.bots import DesiredState
from storage.metrics import Metrics
from storage.trades import TradeFilter, Trades

DAY_MS = 86_400_000
POINTS_MAX, POINTS_MIN = 120, 24
SAMPLES_MAX = 1_000
"""How many samples a curve reads: more bots make it coarser, not slower."""

FILLS = 12
BALANCES_LIMIT_S = 2.0
KEY_EXPIRES_SOON_MS = 14 * DAY_MS
_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}

Holdings = dict[AccountId, Sequence[Balance] | None]


async def overview(
    desk: BotDesk, metrics: Metrics, trades: Trades, owner: UserId, days: int, day_began_ms: Instant | None
) -> Dashboard:
    """Work out one owner's dashboard."""
    now = now_ms()
    views, accounts = await asyncio.gather(desk.views(owner, archived=False), desk.accounts.views(owner))
    coins = {view.id: view.quote for view in views}
    since = Instant(now - now % DAY_MS if day_began_ms is None else min(day_began_ms, now))
    moments = set(_moments(views, now, days))
    holdings, sums, fills = await asyncio.gather(
        _holdings(desk, accounts),
        metrics.totals_at(coins, sorted(moments | {since})),
        trades.page(TradeFilter(owner), limit=FILLS),
    )
    figures = _figures(views, {coin: total for at_ms, coin, total in sums if at_ms == since}, holdings)
    curve = [point for point in sums if point[0] in moments]
    return Dashboard(
        figures=figures,
        equity=[EquityPoint(at_ms, coin, total) for at_ms, coin, total in curve]
        + [EquityPoint(now, each.coin, each.total) for each in figures if each.coin in coins.values()],
        fills=fills.items,
        attention=sorted(
            [*_of_bots(views), *_of_accounts(accounts, holdings, now)], key=lambda each: _ORDER[each.severity]
        ),
        as_of_ms=now,
    )


# ---------------------------------------------------------------------- figures


def _figures(views: Sequence[BotView], began: dict[str, Decimal], holdings: Holdings) -> list[CoinFigures]:
    """Add up by quote coin; without any bot, the coins that are held show what is free."""
    coins = {view.quote: None for view in views}
    if not coins:
        held = {each.asset for found in holdings.values() for each in found or ()}
        coins = dict.fromkeys(sorted(held & {"USDT", "USDC"}))
    return [_of_coin(coin, [view for view in views if view.quote == coin], began, holdings) for coin in coins]


def _of_coin(coin: str, views: Sequence[BotView], began: dict[str, Decimal], holdings: Holdings) -> CoinFigures:
    profits = [view.profit for view in views if view.profit is not None]
    total = sum((profit.total for profit in profits), Decimal(0))
    return CoinFigures(
        coin=coin,
        today=total - began.get(coin, Decimal(0)),
        total=total,
        grid_profit=sum((profit.grid_profit + profit.exit_profit for profit in profits), Decimal(0)),
        floating=sum((profit.floating for profit in profits), Decimal(0)),
        fees=sum((profit.fees for profit in profits), Decimal(0)),
        funding=sum((profit.funding for profit in profits), Decimal(0)),
        in_orders=sum((_held_back(view) for view in views), Decimal(0)),
        free=_free(coin, holdings),
    )


def _held_back(view: BotView) -> Decimal:
    """Value a bot's open orders at their own prices; of a perpetual's only the margin is held back."""
    orders = [level for level in view.levels if level.order is not None and level.order_price is not None]
    value = sum(
        ((level.order_price or Decimal(0)) * (level.quantity - level.filled) for level in orders), Decimal(0)
    )
    return value if view.config.direction is Direction.SPOT else value / view.config.leverage


def _free(coin: str, holdings: Holdings) -> Decimal | None:
    free = 0
    for found in holdings.values():
        if found is None:
            return None
        free += sum(each.free_units for each in found if each.asset == coin)
    return Decimal(free).scaleb(-AMOUNT_DECIMALS)


async def _holdings(desk: BotDesk, accounts: Sequence[AccountView]) -> Holdings:
    # Most venues have one wallet. Where futures have their own, its money is not counted as free twice, nor once.
    async def ask(account: AccountId) -> Sequence[Balance] | None:
        try:
            async with asyncio.timeout(BALANCES_LIMIT_S):
                return await desk.accounts.balances(account, Market.SPOT)
        except (VenueError, TimeoutError):
            return None

    found = await asyncio.gather(*(ask(account.row.id) for account in accounts))
    return {account.row.id: each for account, each in zip(accounts, found, strict=True)}


def _moments(views: Sequence[BotView], now: Instant, days: int) -> list[Instant]:
    """Divide the span evenly; it begins no earlier than the first bot."""
    if not views:
        return []
    first_ms = max(now - days * DAY_MS, min(view.created_ms for view in views))
    points = max(POINTS_MIN, min(POINTS_MAX, SAMPLES_MAX // len(views)))
    step_ms = max(1, (now - first_ms) // points)
    return [Instant(moment) for moment in range(first_ms, now, step_ms)]


# ---------------------------------------------------------------------- what needs its owner


def _of_bots(views: Sequence[BotView]) -> Iterable[Attention]:
    for view in views:
        if view.status == BotStatus.HALTED:
            yield _about(view.id, "bot_halted", Severity.ERROR, view.status_reason, view.as_of_ms)
        elif not view.live and view.desired == DesiredState.RUNNING:
            reason = view.status_reason or "its process does not answer"
            yield _about(view.id, "bot_silent", Severity.ERROR, reason, view.as_of_ms)
        elif view.status == BotStatus.RUNNING:
            yield from _of_running(view)


def _of_running(view: BotView) -> Iterable[Attention]:
    blocked = sum(level.side is not None and level.why.startswith("blocked") for level in view.levels)
    if blocked:
        text = f"{blocked} levels have no order because the exchange refused it: see why"
        yield _about(view.id, "levels_without_order", Severity.WARNING, text, view.as_of_ms)
    if view.price is not None and view.levels:
        lowest, highest = view.levels[0].price, view.levels[-1].price
        if not lowest <= view.price <= highest:
            side = "below" if view.price < lowest else "above"
            text = f"the price {view.price:f} is {side} the range: the bot earns only after it returns"
            yield _about(view.id, f"price_{side}_range", Severity.WARNING, text, view.as_of_ms)


def _of_accounts(accounts: Sequence[AccountView], holdings: Holdings, now: Instant) -> Iterable[Attention]:
    for account in accounts:
        row, told = account.row, account.row.permissions
        if holdings.get(row.id) is None:
            text = f"{row.label} does not answer: its balances are not in the figures"
            yield Attention(code="account_silent", severity=Severity.WARNING, text=text, account=row.id)
        if told is None:
            continue
        for refusal in check_permissions(told):
            text = f"{row.label}: {refusal.message}"
            yield Attention(code=refusal.code, severity=Severity.ERROR, text=text, account=row.id)
        expires_ms = told.expires_at_ms
        if expires_ms is not None and expires_ms - now < KEY_EXPIRES_SOON_MS:
            left = max(0, expires_ms - now) // DAY_MS
            text = f"the key of {row.label} expires in {left} days: connect a new one before"
            severity = Severity.WARNING if left else Severity.ERROR
            yield Attention(code="key_expires", severity=severity, text=text, account=row.id, at_ms=expires_ms)


def _about(bot: BotId, code: str, severity: Severity, text: str, at_ms: Instant) -> Attention:
    return Attention(code=code, severity=severity, text=text, bot=bot, at_ms=at_ms)
