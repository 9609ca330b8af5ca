"""The desk: everything that the API, the console and (later) the Telegram bots may do with grid bots.

It decides nothing about trading. A command is checked by the engine, written with its audit entry, and then
carried out by the bot's own process; a command that is said twice is carried out once. The one exception to that
order is the emergency stop: it acts first and writes afterwards, because it must work while the database is away.
"""

import asyncio
import hashlib
import logging
from base64 import b32encode
from contextlib import suppress
from decimal import Decimal
from typing import Any

import msgspec
from ray.exceptions import RayError

from actors import wiring
from actors.clock import now_ms
from actors.emergency import EmergencyList
from actors.grid_bot import BotSnapshot, restore
from actors.messages import ComponentHealth, StopOutcome, decode
from engine.errors import OutcomeUnknown, Refusal, VenueError
from engine.grid.config import Direction, GridConfig
from engine.grid.explain import LevelView, explain
from engine.grid.pnl import ProfitReport, report
from engine.grid.preview import Preview, preview
from engine.grid.state import BotStatus, GridState, decode_state
from engine.ids import AccountId, BotId, Instant
from engine.ports import MarketDataPort, TradingPort
from storage.accounts import AccountRow, Accounts
from storage.bots import BotRow, Bots, DesiredState, NewBot
from storage.database import Database
from storage.journal import Journal
from storage.seed import OPERATOR

log = logging.getLogger(__name__)

HISTORY_MS = 7 * 86_400_000
"""A preview's backtest looks back a week of minutes."""

LIVE_LIMIT_S = 3.0


class UnknownBot(LookupError):
    """No bot has this id."""


class UnknownAccount(LookupError):
    """No exchange account has this id."""


class BotFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What every screen says about a bot. The API gives it to other people's programs: add fields, change none."""

    id: BotId
    name: str
    account: AccountId
    config: GridConfig
    desired: str
    """What its owner wants."""
    status: str
    """What it says of itself."""
    status_reason: str
    feed: str
    """What its prices are."""
    placement: str
    price: Decimal | None
    profit: ProfitReport | None
    live: bool
    """False: its process did not answer, and this is the last written state."""
    as_of_ms: Instant
    created_ms: Instant


class BotView(BotFacts, frozen=True, kw_only=True):
    """A bot as its desk sees it."""

    levels: list[LevelView]
    journal_lag: int | None
    """Messages that the bot's process has taken in and not written yet; None where it did not answer."""


class BotDesk:
    """The door to the bots of one installation."""

    def __init__(self, database: Database, plan: "wiring.Plan", supervisor: Any, feed_name: str) -> None:
        self._database = database
        self._plan = plan
        self._supervisor = supervisor
        self._feed = feed_name
        self._bots = Bots(database)
        self._markets: dict[AccountId, MarketDataPort] = {}
        self._trading: dict[AccountId, TradingPort] = {}
        self._connecting = asyncio.Lock()
        self._emergencies = EmergencyList(plan.home)
        self._recorder: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Close the desk's own connections to venues."""
        if self._recorder is not None:
            self._recorder.cancel()
        for market in self._markets.values():
            await market.close()
        for trading in self._trading.values():
            await trading.close()

    # ------------------------------------------------------------------ before a bot exists

    async def preview(self, account: AccountId, config: GridConfig) -> Preview | list[Refusal]:
        """Work out what a bot would do now with this account's fees and balances, or why it cannot be."""
        market, trading, _ = await self._ports(account)
        instrument = await market.instrument(config.symbol, config.market)
        now = now_ms()
        ticker, fees, balances, candles = await asyncio.gather(
            market.ticker(instrument),
            trading.fee_rates(instrument),
            trading.balances(config.market),
            market.candles(instrument, 1, Instant(now - HISTORY_MS), now),
        )
        free = {asset: Decimal(balance.free_units).scaleb(-18) for asset, balance in balances.items()}
        # A backtest of a week takes a moment of pure computing: not on the loop that serves everybody.
        return await asyncio.to_thread(
            preview,
            config,
            instrument,
            fees,
            ticker.last,
            free_quote=free.get(instrument.quote, Decimal(0)),
            free_base=free.get(instrument.base, Decimal(0)),
            candles=candles,
        )

    async def create(
        self, actor: str, account: AccountId, name: str, config: GridConfig, command_id: str, start: bool = True
    ) -> BotView | list[Refusal]:
        """Create a bot, and start it if wanted. The same command id with the same content gives the same bot.

        Raises `AlreadyExistsDifferently` for the same command id with other content.
        """
        bot = _bot_id(actor, command_id)
        if await self._bots.get(bot) is None:
            refusals = await self._refusals(account, config)
            if refusals:
                return refusals
        desired = DesiredState.RUNNING if start else DesiredState.STOPPED_KEEPING
        await self._bots.create(NewBot(bot, OPERATOR, account, name, config, desired), actor)
        await self._poke(bot)
        return await self.view(bot)

    # ------------------------------------------------------------------ commands

    async def start(self, actor: str, bot: BotId, command_id: str | None = None) -> BotView:
        """Want a bot to run. Starting a running bot changes nothing, nor does a command that came before."""
        return await self._want(actor, bot, DesiredState.RUNNING, command_id)

    async def stop(self, actor: str, bot: BotId, sell: bool, command_id: str | None = None) -> BotView:
        """Want a bot to end: cancel its orders, and sell or keep the position. Once under one command id."""
        desired = DesiredState.STOPPED_SELLING if sell else DesiredState.STOPPED_KEEPING
        return await self._want(actor, bot, desired, command_id)

    async def emergency_stop(self, actor: str, bot: BotId | None) -> list[StopOutcome]:
        """Cancel every order of a bot, or of all bots, now; positions stay. Works while the database is away.

        Raises `UnknownBot`, and `OutcomeUnknown` when nobody can say what runs: an empty list would read as
        "nothing was running".
        """
        self._emergencies.add(actor, bot)
        try:
            async with asyncio.timeout(30):
                answer = await self._supervisor.emergency_stop.remote(bot)
        except (RayError, TimeoutError) as error:
            log.error("desk.emergency_stop_unanswered error=%s", error)
            raise OutcomeUnknown(
                "the supervisor did not answer; the stop is kept and carried out when it does"
            ) from error
        finally:
            if self._recorder is None or self._recorder.done():
                self._recorder = asyncio.create_task(self._emergencies.record_all(self._bots))
        outcomes = decode(answer, list[StopOutcome])
        return outcomes + await self._without_process(bot, {each.bot for each in outcomes})

    async def _without_process(self, bot: BotId | None, reached: set[BotId]) -> list[StopOutcome]:
        """Tell of bots that the stop was meant for and that no process runs: ended, or waiting for a new one."""
        if bot in reached:
            return []
        try:
            async with asyncio.timeout(LIVE_LIMIT_S):
                rows = await self._bots.needing_a_process()
                if bot is not None and all(row.id != bot for row in rows) and await self._bots.get(bot) is None:
                    raise UnknownBot(bot)
        except (VenueError, TimeoutError) as error:
            if reached:
                return []
            raise OutcomeUnknown(
                "no process answers for it, and the database, which would know why, is away; "
                "the stop is kept and carried out when it is back"
            ) from error
        # A bot whose row says that it has stopped may be listed for a moment, until this wish is carried out too.
        waiting = [row.id for row in rows if row.status != BotStatus.STOPPED and row.id not in reached]
        if bot is not None and bot not in waiting:
            return [StopOutcome(bot, True, 0, "it was not running")]
        words = "no process runs it now; the next one stops it at once"
        return [StopOutcome(each, False, -1, words) for each in waiting if bot is None or each == bot]

    async def _want(self, actor: str, bot: BotId, desired: DesiredState, command_id: str | None) -> BotView:
        try:
            await self._bots.set_desired(bot, desired, actor, command_id=command_id)
        except KeyError:
            raise UnknownBot(bot) from None
        await self._poke(bot)
        return await self.view(bot)

    async def _poke(self, bot: BotId) -> None:
        # The supervisor looks every second anyway; this only makes it sooner.
        with suppress(RayError, TimeoutError):
            async with asyncio.timeout(LIVE_LIMIT_S):
                await self._supervisor.look.remote(bot)

    # ------------------------------------------------------------------ views

    async def view(self, bot: BotId) -> BotView:
        """Describe one bot; raise `UnknownBot`."""
        row = await self._bots.get(bot)
        if row is None:
            raise UnknownBot(bot)
        return await self._view(row)

    async def views(self) -> list[BotView]:
        """Describe every bot, newest first."""
        rows: list[BotRow] = []
        cursor = None
        while True:
            page = await self._bots.page(cursor=cursor, limit=200)
            rows += page.items
            cursor = page.next_cursor
            if cursor is None:
                return list(await asyncio.gather(*(self._view(row) for row in rows)))

    async def health(self) -> list[ComponentHealth]:
        """Say how every part is."""
        try:
            ping_ms = await self._database.ping()
            parts = [ComponentHealth("database", True, f"answers in {ping_ms:.1f} ms", 0)]
        except VenueError as error:
            parts = [ComponentHealth("database", False, str(error))]
        try:
            async with asyncio.timeout(LIVE_LIMIT_S):
                parts += decode(await self._supervisor.health.remote(), list[ComponentHealth])
        except (RayError, TimeoutError) as error:
            parts.append(ComponentHealth("supervisor", False, type(error).__name__))
        return parts

    async def _view(self, row: BotRow) -> BotView:
        snapshot = await self._live(row.id)
        profit: ProfitReport | None
        config = msgspec.convert(row.config, GridConfig)
        if snapshot is not None:
            status, reason = snapshot.status.value, snapshot.status_reason
            profit, levels, as_of_ms = snapshot.profit, snapshot.levels, snapshot.as_of_ms
        else:
            state = await self._last_written(row)
            status, as_of_ms = row.status, row.updated_at_ms
            reason = await self._why_not_running(row.id) or row.status_reason
            profit = None if state is None else report(state, state.last_ticks, as_of_ms)
            levels = [] if state is None else explain(state, as_of_ms)
        return BotView(
            id=row.id,
            name=row.name,
            account=row.account,
            config=config,
            desired=row.desired_state.value,
            status=status,
            status_reason=reason,
            feed=self._feed,
            placement="dedicated" if self._plan.bots_per_host == 1 else f"pooled({self._plan.bots_per_host})",
            price=profit.mark_price if profit is not None and profit.mark_price else None,
            profit=profit,
            levels=levels,
            live=snapshot is not None,
            journal_lag=snapshot.journal_lag if snapshot is not None else None,
            as_of_ms=as_of_ms,
            created_ms=row.created_at_ms,
        )

    async def _live(self, bot: BotId) -> BotSnapshot | None:
        with suppress(RayError, TimeoutError):
            async with asyncio.timeout(LIVE_LIMIT_S):
                answer = await self._supervisor.snapshot.remote(bot)
                return None if answer is None else decode(answer, BotSnapshot)
        return None

    async def _why_not_running(self, bot: BotId) -> str:
        with suppress(RayError, TimeoutError):
            async with asyncio.timeout(LIVE_LIMIT_S):
                words: str = await self._supervisor.why_not_running.remote(bot)
                return words
        return ""

    async def _last_written(self, row: BotRow) -> GridState | None:
        recovery = await Journal(self._database).load(row.id)
        if recovery.snapshot is None:
            return None
        return restore(recovery, decode_state(recovery.snapshot.state))

    # ------------------------------------------------------------------ checks and ports

    async def _refusals(self, account: AccountId, config: GridConfig) -> list[Refusal]:
        answer = await self.preview(account, config)
        if isinstance(answer, list):
            return answer
        refusals = []
        if answer.deposit_suffices is False:
            refusals.append(
                Refusal(
                    "deposit_short",
                    "amount",
                    f"the free balance of {account} lacks {answer.missing.normalize():f} for this investment",
                    "invest less, or deposit more",
                )
            )
        other = await self._other_linear_bot(account, config)
        if other is not None:
            refusals.append(
                Refusal(
                    "position_taken",
                    "symbol",
                    f"bot {other} already trades {config.symbol} on this account; a perpetual has one position",
                    "stop that bot first, or use another account",
                )
            )
        return refusals

    async def _other_linear_bot(self, account: AccountId, config: GridConfig) -> BotId | None:
        """Find a bot that shares the position: funding and liquidation could not be told apart."""
        if config.direction is Direction.SPOT:
            return None
        for row in await self._bots.needing_a_process():
            other = msgspec.convert(row.config, GridConfig)
            if row.account == account and other.symbol == config.symbol and other.direction is not Direction.SPOT:
                return row.id
        return None

    async def _ports(self, account: AccountId) -> tuple[MarketDataPort, TradingPort, AccountRow]:
        row = await Accounts(self._database).get(account)
        if row is None:
            raise UnknownAccount(account)
        async with self._connecting:
            if account not in self._markets:
                self._markets[account] = wiring.market_port(self._plan, row)
            if account not in self._trading:
                self._trading[account] = await wiring.connected_trading_port(self._plan, row)
        return self._markets[account], self._trading[account], row


def _bot_id(actor: str, command_id: str) -> BotId:
    """Derive a bot's id from the command that creates it, so that the command can be repeated."""
    digest = hashlib.sha256(f"{actor}\n{command_id}".encode()).digest()
    return BotId(b32encode(digest)[:8].decode().lower())
