"""One live grid bot: facts of the venue in, orders out, journal beside.

The hot path is `on_fact`: one call of the pure machine and one `submit`, in the very callback in which the fill
arrived. No task, no database, no Ray and no JSON lie between a fill and the next order. A bot acts only while its
lease surely holds; when it cannot renew, it places nothing more, because another process may be running it.

What a caller may rely on: after `open` returns, the state agrees with the venue (every execution applied, every
open order adopted or cancelled). After a crash anywhere, opening the bot again leads to the same state that an
uninterrupted life would have led to.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from actors.clock import now_ms
from actors.journal_writer import JournalWriter
from actors.scribe import Scribe
from engine.errors import OutcomeUnknown, Retryable, VenueError
from engine.grid.explain import LevelView, explain
from engine.grid.machine import step
from engine.grid.messages import (
    GridMessage,
    Pause,
    PriceMoved,
    Resync,
    Resynced,
    ResyncStarted,
    Start,
    Stop,
    Woke,
    decode_message,
)
from engine.grid.orders import link_prefix
from engine.grid.pnl import ProfitReport, report
from engine.grid.resync import named_slots
from engine.grid.state import BotStatus, GridState, decode_state
from engine.ids import BotId, ExecutionId, Instant
from engine.ports import MarketDataPort, TradingPort
from engine.trading.market import PublicTrade
from engine.trading.orders import CancelOrder, Execution, FundingCharged, LookUpOrder, OrderFact, PlaceOrder
from storage.bots import DesiredState
from storage.journal import Recovery
from storage.leases import Lease, LeaseKeeper

log = logging.getLogger(__name__)

OVERLAP_MS = 60_000
"""How far back a resync pages executions behind the last one known: more than any delay of a private stream."""

RESYNC_EVERY_MS = 60_000
"""The venue is asked without any sign of trouble too: a fill that was never pushed has no other way to us."""

SAMPLE_EVERY_MS = 10_000
VENUE_PAUSE_S = 0.5
FLUSH_LIMIT_S = 5.0
SEEN_MAX = 4_096
PRICE_REPEAT_MS = 1_000
"""A price beyond the watched band that has not moved is worth a second look only after this time."""

# Tuples, because a union is built anew each time it is asked for.
_ORDERS = (PlaceOrder, CancelOrder, LookUpOrder)
_BOOKED_ONCE = (Execution, FundingCharged)

ORDERLESS = (BotStatus.NEW, BotStatus.STOPPED)


class BotSnapshot(msgspec.Struct, frozen=True):
    """A live bot's own account of itself."""

    bot: BotId
    status: BotStatus
    status_reason: str
    price_ticks: int
    profit: ProfitReport
    levels: list[LevelView]
    journal_lag: int
    fenced: bool
    as_of_ms: Instant


def restore(recovery: Recovery, fresh: GridState) -> GridState:
    """Rebuild a bot's state from its newest snapshot and the messages after it."""
    state = decode_state(recovery.snapshot.state) if recovery.snapshot else fresh
    for row in recovery.tail:
        step(state, decode_message(row.message), row.at_ms)
    return state


def executions_since(state: GridState, asked_ms: Instant) -> Instant:
    """Tell from when on executions must be read so that none can be missing.

    The last one known is not enough: a later execution may have been heard while an earlier one was lost. What
    is missing then belongs to an order whose final report counts more than we have, so it is not older than that.
    """
    known_ms = state.last_execution_ms or state.started_ms or asked_ms
    incomplete_ms = [slot.sent_ms for slot, _ in named_slots(state) if slot.final_status is not None]
    return Instant(max(0, min([known_ms, *incomplete_ms]) - OVERLAP_MS))


class GridBot:
    """The shell around one `GridState`."""

    def __init__(
        self,
        state: GridState,
        recovery: Recovery,
        trading: TradingPort,
        market: MarketDataPort,
        scribe: Scribe,
        lease: LeaseKeeper,
        on_fenced: Callable[[BotId], Awaitable[None]],
    ) -> None:
        self.state = state
        self._trading = trading
        self._market = market
        self._lease = lease
        self._on_fenced = on_fenced
        self._writer = JournalWriter(scribe, lease, state, recovery, self._fence)
        self._prefix = link_prefix(state.bot)
        self._orders: deque[PlaceOrder | CancelOrder | LookUpOrder] = deque()
        self._acting = False
        # A grid follows from the price at which it was sized, and no later life could learn that from the venue.
        # So a new sizing is written before its first order leaves; all other orders leave at once.
        self._write_first = False
        self._holding_back: asyncio.Task[None] | None = None
        self._resyncing = False
        self._resync_again = False
        self._fenced = False
        self._closing = False
        self._seen: dict[ExecutionId, None] = dict.fromkeys(recovery.exec_ids)
        # Kept beside the state: a price that does not concern the bot is no message, and must not be in its hash.
        self._last_ticks = state.last_ticks
        self._price_sent: tuple[int, int] = (0, 0)
        self._next_resync_ms = 0
        self._next_sample_ms = 0
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------------ life

    async def open(self, wish: DesiredState, version: int, reason: str) -> None:
        """Attach to the venue, read its view, and carry out the owner's wish. Waits for the venue if it must.

        A wish to stop comes before the reading: orders that are missing must not be put back first.
        """
        self._spawn(self._lease.keep(self._fence))
        self._spawn(self._writer.run())
        self._take(ResyncStarted(), now_ms())
        self._trading.attach(self._prefix, self.state.instrument, self.on_fact, self._on_gap, self._may_act)
        if wish is not DesiredState.RUNNING:
            await self.carry_out(wish, version, reason)
        await self._market.watch_trades(self.state.instrument, self._on_trade)
        await self._resync("the process started")
        await self.carry_out(wish, version, reason)

    async def close(self) -> None:
        """Let go without touching any order: they rest at the venue until the next life adopts them."""
        self._closing = True
        self._trading.detach(self._prefix)
        await self._market.unwatch_trades(self.state.instrument, self._on_trade)
        if not self._fenced:
            await self._writer.flush(FLUSH_LIMIT_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def lease(self) -> Lease:
        """Give the lease under which the bot acts."""
        return self._lease.lease

    def _may_act(self) -> bool:
        return not self._fenced and not self._closing and self._lease.is_safe

    @property
    def is_fenced(self) -> bool:
        """Tell whether the bot has stopped acting because its lease is over."""
        return self._fenced

    # ------------------------------------------------------------------ the hot path

    def on_fact(self, fact: OrderFact, at_ms: Instant) -> None:
        """Take a fact of the venue and send the orders that follow from it."""
        if isinstance(fact, _BOOKED_ONCE) and not self._is_new(fact.exec_id):
            return
        self._take(fact, at_ms)
        if self._orders:
            self._act()

    def _take(self, message: GridMessage, now: Instant) -> None:
        """Step the machine; queue its orders and its journal entry."""
        if self._fenced or self._closing:
            return
        if not self._lease.is_safe or self._writer.is_full:
            # The fact is not lost: the next life reads it from the venue.
            self._spawn(self._fence())
            return
        sizing = self.state.sizing
        try:
            effects = step(self.state, message, now)
        except Exception:
            # Half a step may have been taken. The journal and the venue still tell the truth: begin again there.
            log.exception("bot.step_failed bot=%s message=%s", self.state.bot, type(message).__name__)
            self._spawn(self._fence())
            return
        self._last_ticks = self.state.last_ticks
        self._writer.add(now, message, effects)
        self._write_first |= self.state.sizing is not sizing
        for effect in effects:
            if isinstance(effect, _ORDERS):
                self._orders.append(effect)
            elif isinstance(effect, Resync):
                self._spawn(self._resync(effect.reason))

    def _act(self) -> None:
        """Submit what is queued, in order. A second caller leaves its orders to the first."""
        if self._acting:
            return
        self._acting = True
        try:
            # Whether the lease still holds is asked once more for each placement, when it leaves.
            while self._orders and not (self._write_first or self._fenced or self._closing):
                orders = tuple(self._orders)
                self._orders.clear()
                self._trading.submit(self.state.instrument, orders)
        finally:
            self._acting = False
        if self._orders and self._write_first and self._may_act():
            self._acting = True
            self._holding_back = self._spawn(self._act_once_written())

    async def _act_once_written(self) -> None:
        """Hold the queued orders back until the journal has everything that they follow from."""
        try:
            while self._write_first and self._may_act():
                self._write_first = not await self._writer.flush(FLUSH_LIMIT_S) or self._writer.lag > 0
        finally:
            self._acting = False
        self._act()

    def _on_trade(self, trade: PublicTrade) -> None:
        """Pass a public price on if it concerns the bot: two comparisons for all the others."""
        state = self.state
        if state.watch_low < trade.ticks < state.watch_high:
            self._last_ticks = trade.ticks
            return
        now = now_ms()
        ticks, sent_ms = self._price_sent
        if trade.ticks == ticks and now - sent_ms < PRICE_REPEAT_MS:
            return
        self._price_sent = (trade.ticks, now)
        self._tell(PriceMoved(trade.ticks), now)

    def _tell(self, message: GridMessage, now: Instant) -> None:
        self._take(message, now)
        if self._orders:
            self._act()

    def _is_new(self, exec_id: ExecutionId) -> bool:
        if exec_id in self._seen:
            return False
        self._seen[exec_id] = None
        if len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        return True

    # ------------------------------------------------------------------ commands

    async def carry_out(self, wish: DesiredState, version: int, reason: str) -> None:
        """Carry out the owner's wish, unless it was carried out before; return once what follows has been sent."""
        if version <= self.state.command_version:
            return
        others = self._holding_back
        match wish:
            case DesiredState.RUNNING:
                self._tell(Start(await self._price(), version), now_ms())
            case DesiredState.PAUSED:
                self._tell(Pause(reason, version), now_ms())
            case _:
                sell = wish is DesiredState.STOPPED_SELLING
                self._tell(Stop(sell, reason, version), now_ms())
        ours = self._holding_back
        if ours is not None and ours is not others:
            await asyncio.wait([ours])

    async def emergency_stop(self, within_s: float = 10.0) -> int:
        """Cancel every order of the bot now, whatever else is broken; give the number that is left.

        -1 means that the venue did not say. Needs neither the database nor the lease: cancelling our own orders is
        right in any process, and a bot that may act stops as well, so that it places none again.
        """
        self._take(Stop(False, "emergency stop"), now_ms())
        self._orders = deque(order for order in self._orders if not isinstance(order, PlaceOrder))
        self._act()
        left = -1
        deadline_ms = now_ms() + within_s * 1_000
        while left and now_ms() < deadline_ms:
            left = await self._cancel_listed()
            await asyncio.sleep(0.25 if left else 0)
        return left

    async def _cancel_listed(self) -> int:
        try:
            listed = await self._trading.open_orders(self.state.instrument, self._prefix)
            self._trading.submit(self.state.instrument, [CancelOrder(each.link_id) for each in listed])
        except VenueError as error:
            log.warning("bot.emergency_retry bot=%s error=%s", self.state.bot, error)
            return -1
        return len(listed)

    # ------------------------------------------------------------------ time

    async def on_tick(self, now: Instant) -> None:
        """Look at the clock for the bot: wake-ups, the regular resync, samples. Called a few times a second."""
        if self._fenced:
            return
        if self.state.wake_ms and self.state.wake_ms <= now:
            self._tell(Woke(), now)
        if now >= self._next_resync_ms and self.state.status not in ORDERLESS:
            self._spawn(self._resync(""))
        if now >= self._next_sample_ms and self._last_ticks and self.state.sizing is not None:
            self._next_sample_ms = now + SAMPLE_EVERY_MS
            self._writer.sample(self._last_ticks, now)

    # ------------------------------------------------------------------ resync

    async def _on_gap(self) -> None:
        await self._resync("private messages may have been missed")

    async def _resync(self, reason: str) -> None:
        """Read executions and open orders until it works; a wish that comes meanwhile runs it once more."""
        self._resync_again = True
        if self._resyncing:
            return
        self._resyncing = True
        try:
            while self._resync_again and not self._fenced:
                self._resync_again = False
                if reason:
                    log.info("bot.resync bot=%s reason=%s", self.state.bot, reason)
                await self._read_venue()
        finally:
            self._resyncing = False

    async def _read_venue(self) -> None:
        while not self._fenced:
            self._next_resync_ms = now_ms() + RESYNC_EVERY_MS
            try:
                await self._read_venue_once()
            except (Retryable, OutcomeUnknown) as error:
                log.warning("bot.resync_waits bot=%s error=%s", self.state.bot, error)
                await asyncio.sleep(VENUE_PAUSE_S)
            else:
                return

    async def _read_venue_once(self) -> None:
        state = self.state
        asked_ms = now_ms()
        # Open orders first: an order that fills after this is in the executions that are read next, so no
        # fill can fall between the two.
        listed = await self._trading.open_orders(state.instrument, self._prefix)
        since_ms = executions_since(state, asked_ms)
        for execution in await self._trading.executions(state.instrument, self._prefix, since_ms):
            if self._is_new(execution.exec_id):
                self._take(execution, now_ms())
        price = await self._price()
        self._tell(Resynced(tuple(listed), price, asked_ms), now_ms())

    async def _price(self) -> int:
        return (await self._market.ticker(self.state.instrument)).last

    # ------------------------------------------------------------------ fencing and views

    async def _fence(self) -> None:
        """Stop acting for good: the lease is over, and somebody else may be this bot by now."""
        if self._fenced:
            return
        self._fenced = True
        log.error("bot.fenced bot=%s epoch=%s", self.state.bot, self._lease.lease.epoch)
        self._orders.clear()
        await self._on_fenced(self.state.bot)

    def snapshot(self) -> BotSnapshot:
        """Describe the bot as it is now."""
        now = now_ms()
        return BotSnapshot(
            bot=self.state.bot,
            status=self.state.status,
            status_reason=self.state.status_reason,
            price_ticks=self._last_ticks,
            profit=report(self.state, self._last_ticks, now),
            levels=explain(self.state, now),
            journal_lag=self._writer.lag,
            fenced=self._fenced,
            as_of_ms=now,
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("bot.task_failed bot=%s", self.state.bot, exc_info=error)
