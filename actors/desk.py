"""The desk: everything that the API, the console and (later) the Telegram bots may do with grid bots.

It decides nothing about trading. A command is checked by the engine, written with its audit entry, and then
carried out by the bot's own process; a command that is said twice is carried out once. The one exception to that
order is the emergency stop: it acts first and writes afterwards, because it must work while the database is away.

Accounts and markets have desks of their own (`accounts`, `market`); how bots look is in `views`.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

import msgspec
from ray.exceptions import RayError

from actors import wiring
from actors.account_desk import AccountDesk, word_of
from actors.emergency import EmergencyList
from actors.market_desk import MarketDesk
from actors.messages import ComponentHealth, StopOutcome, decode
from actors.venues import Venues
from actors.views import LIVE_LIMIT_S, BotView, UnknownBot, Views
from engine.errors import OutcomeUnknown, Refusal, VenueError
from engine.grid.config import Direction, GridConfig
from engine.grid.preview import Preview, preview
from engine.grid.state import BotStatus
from engine.grid.stopping import StopPreview, stop_preview
from engine.ids import AccountId, BotId, UserId
from engine.trading.instrument import AMOUNT_DECIMALS
from storage.bots import Bots, DesiredState, NewBot
from storage.database import Database
from storage.seed import OPERATOR

log = logging.getLogger(__name__)

HISTORY_MS = 7 * 86_400_000
"""A preview's backtest looks back a week of minutes."""

BOOK_DEPTH = 200
"""How many levels of each side a stop's preview walks."""


class BotDesk:
    """The door to the bots of one installation."""

    def __init__(self, database: Database, plan: "wiring.Plan", supervisor: Any, feed_name: str) -> None:
        self._database = database
        self._supervisor = supervisor
        self._bots = Bots(database)
        self._venues = Venues(database, plan)
        self._views = Views(database, plan, supervisor, feed_name)
        self._emergencies = EmergencyList(plan.home)
        self._recorder: asyncio.Task[None] | None = None
        self.accounts = AccountDesk(database, plan, self._venues)
        self.market = MarketDesk(self._venues)

    async def close(self) -> None:
        """Close the desk's own connections to venues."""
        if self._recorder is not None:
            self._recorder.cancel()
        await self._venues.close()

    # ------------------------------------------------------------------ before a bot exists

    async def preview(
        self, account: AccountId, config: GridConfig, *, with_history: bool = True
    ) -> Preview | list[Refusal]:
        """Work out what a bot would do now with this account's fees and balances, or why it cannot be.

        Without its history, which is most of the work, the answer is there while a form is being filled in.
        """
        row = await self._venues.account(account)
        market, trading = self._venues.market(row), await self._venues.trading(row)
        instrument = await self.market.instrument(row, config.symbol, config.market)
        ticker, fees, balances = await asyncio.gather(
            market.ticker(instrument), trading.fee_rates(instrument), trading.balances(config.market)
        )
        candles = await self.market.past(row, instrument, 1, HISTORY_MS) if with_history else ()
        free = {asset: Decimal(balance.free_units).scaleb(-AMOUNT_DECIMALS) for asset, balance in balances.items()}
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
        self,
        actor: str,
        account: AccountId,
        name: str,
        config: GridConfig,
        command_id: str,
        start: bool = True,
        owner: UserId = OPERATOR,
    ) -> BotView | list[Refusal]:
        """Create a bot, and start it if wanted. The same command id with the same content gives the same bot.

        Raises `AlreadyExistsDifferently` for the same command id with other content.
        """
        bot = _bot_id(actor, command_id)
        base = quote = ""
        if await self._bots.get(bot) is None:
            refusals = await self._refusals(account, config)
            if refusals:
                return refusals
            row = await self._venues.account(account)
            instrument = await self.market.instrument(row, config.symbol, config.market)
            base, quote = instrument.base, instrument.quote
        desired = DesiredState.RUNNING if start else DesiredState.STOPPED_KEEPING
        await self._bots.create(NewBot(bot, owner, account, name, config, desired, base, quote), actor)
        await self._poke(bot)
        return await self.view(bot)

    # ------------------------------------------------------------------ commands

    async def start(self, actor: str, bot: BotId, command_id: str | None = None) -> BotView:
        """Want a bot to run. Starting a running bot changes nothing, nor does a command that came before.

        Raises `BotArchived` or `AccountRemoved` for a bot that is history.
        """
        return await self._want(actor, bot, DesiredState.RUNNING, command_id)

    async def stop(self, actor: str, bot: BotId, sell: bool, command_id: str | None = None) -> BotView:
        """Want a bot to end: cancel its orders, and sell or keep the position. Once under one command id."""
        desired = DesiredState.STOPPED_SELLING if sell else DesiredState.STOPPED_KEEPING
        return await self._want(actor, bot, desired, command_id)

    async def preview_stop(self, bot: BotId) -> StopPreview | None:
        """Say in numbers what a stop would do now; None for a bot that has not begun."""
        view = await self.view(bot)
        if view.profit is None or not view.profit.mark_price:
            return None
        row = await self._venues.account(view.account)
        market, trading = self._venues.market(row), await self._venues.trading(row)
        instrument = await self.market.instrument(row, view.config.symbol, view.config.market)
        ticker, fees, book = await asyncio.gather(
            market.ticker(instrument), trading.fee_rates(instrument), market.book(instrument, BOOK_DEPTH)
        )
        orders = sum(level.order is not None for level in view.levels)
        return stop_preview(view.profit, orders, instrument, fees.taker, ticker.last, book)

    async def rename(self, actor: str, bot: BotId, name: str) -> BotView:
        """Give a bot another name."""
        with _known(bot):
            await self._bots.rename(bot, name, actor)
        return await self.view(bot)

    async def archive(self, actor: str, bot: BotId) -> BotView:
        """Put a bot that has ended out of sight; raise `BotInUse` while it has not."""
        with _known(bot):
            await self._bots.archive(bot, actor)
        return await self.view(bot)

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
        with _known(bot):
            await self._bots.set_desired(bot, desired, actor, command_id=command_id)
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
        return await self._views.one(bot)

    async def views(
        self, owner: UserId | None = None, *, archived: bool | None = None, limit: int | None = None
    ) -> list[BotView]:
        """Describe an owner's bots, or every bot, newest first; only those archived, or not, if said."""
        return await self._views.of(owner, archived=archived, limit=limit)

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

    # ------------------------------------------------------------------ checks

    async def _refusals(self, account: AccountId, config: GridConfig) -> list[Refusal]:
        answer = await self.preview(account, config, with_history=False)
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
                    most=max(Decimal(0), config.amount - answer.missing),
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


@contextmanager
def _known(bot: BotId) -> Iterator[None]:
    try:
        yield
    except KeyError:
        raise UnknownBot(bot) from None


def _bot_id(actor: str, command_id: str) -> BotId:
    """Derive a bot's id from the command that creates it, so that the command can be repeated."""
    return BotId(word_of(actor, command_id))
