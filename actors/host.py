"""The Ray actor that runs grid bots: one by default, many where an operator pools them. The same code inside.

A host takes a bot's lease before it opens it and keeps it renewed; it gives a bot up when the lease is lost. What
a caller may rely on when a call fails: every call may be repeated. `assign` of a bot that is here changes
nothing, and a wish that was carried out is not carried out again.
"""

import asyncio
import gc
import logging
import secrets

import msgspec

from actors import wiring
from actors.clock import now_ms
from actors.emergency import EmergencyList
from actors.grid_bot import GridBot, restore
from actors.messages import HostReport, encode
from actors.scribe import Scribe
from engine.errors import VenueError
from engine.grid.config import GridConfig
from engine.grid.state import BotStatus, new_state
from engine.ids import AccountId, BotId
from engine.ports import MarketDataPort, TradingPort
from engine.trading.instrument import Market
from storage.accounts import Accounts
from storage.bots import BotRow, Bots, DesiredState, VersionConflict
from storage.database import Database
from storage.journal import Journal
from storage.leases import LeaseKeeper, Leases, StaleEpoch, bot_lease

log = logging.getLogger(__name__)

TICK_S = 0.2
LEASE_PAUSE_S = 0.5
POOL_SIZE = 2
SCRIBE_POOL_SIZE = 2
RELEASE_LIMIT_S = 2.0

_ENDED_BY_ITSELF = {
    BotStatus.STOPPED: DesiredState.STOPPED_KEEPING,
    BotStatus.PAUSED: DesiredState.PAUSED,
    BotStatus.HALTED: DesiredState.PAUSED,
}
"""What the owner is taken to want of a bot that has ended itself: only a new start runs it again."""


class BotHost:
    """Runs the bots assigned to it. Wrapped by Ray in `actors.supervisor`; plain, so that tests run it too."""

    def __init__(self, wiring_data: bytes, name: str) -> None:
        self._plan = wiring.decode_plan(wiring_data)
        self._name = name
        # Unique to this life of this process: an earlier life's lease is never mistaken for ours.
        self._holder = f"{name}:{secrets.token_hex(8)}"
        self._database = Database(self._plan.dsn, pool_size=POOL_SIZE, name=f"trellis {name}")
        self._scribe = Scribe(self._plan.dsn, SCRIBE_POOL_SIZE, f"trellis {name} scribe")
        self._bots: dict[BotId, GridBot] = {}
        """Also those whose lease is over: they place nothing, but an emergency stop still reaches their orders."""
        self._stopped_at: dict[BotId, int] = {}
        """Emergency stops said to us: the newest wish that the bot knew of then."""
        self._emergencies = EmergencyList(self._plan.home)
        self._waits: dict[BotId, str] = {}
        self._opening: dict[BotId, asyncio.Task[None]] = {}
        self._trading: dict[AccountId, asyncio.Task[TradingPort]] = {}
        self._markets: dict[str, MarketDataPort] = {}
        self._ticker: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------------ what the supervisor asks

    async def assign(self, bots: list[str]) -> None:
        """Run these bots from now on, each as soon as its lease is free."""
        await self._begin()
        for bot in map(BotId, bots):
            if not self._runs(bot) and bot not in self._opening:
                self._opening[bot] = asyncio.create_task(self._open_until_done(bot), name=f"open {bot}")

    async def report(self) -> bytes:
        """Say which bots run here and how they are (a `HostReport`)."""
        return encode(
            HostReport(
                name=self._name,
                running=[bot for bot in self._bots if self._runs(bot)],
                opening=list(self._opening),
                statuses={bot: live.state.status.value for bot, live in self._bots.items()},
                waits=self._waits,
                as_of_ms=now_ms(),
            )
        )

    async def snapshot(self, bot: str) -> bytes | None:
        """Give a bot's own account of itself (a `BotSnapshot`); None if it does not run here."""
        live = self._bots.get(BotId(bot))
        return None if live is None else encode(live.snapshot())

    async def look(self, bot: str) -> None:
        """Look at the owner's wish for a bot now, instead of at the next look of the supervisor."""
        live = self._bots.get(BotId(bot))
        row = await Bots(self._database).get(BotId(bot))
        if live is not None and row is not None:
            await live.carry_out(*self._wish(row))

    async def emergency_stop(self, bot: str | None) -> dict[str, int]:
        """Cancel the orders of one bot or of all, also without the database; give what is left per bot."""
        chosen = [live for name, live in self._bots.items() if bot is None or name == bot]
        # For whatever life of the bot comes next: its row may not say so yet.
        self._stopped_at |= {live.state.bot: live.state.command_version for live in chosen}
        left = await asyncio.gather(*(live.emergency_stop() for live in chosen))
        return {live.state.bot: count for live, count in zip(chosen, left, strict=True)}

    async def release(self, bot: str) -> None:
        """Give a bot up: its orders stay at the venue, its lease runs out now."""
        task = self._opening.pop(BotId(bot), None)
        if task is not None:
            task.cancel()
        live = self._bots.pop(BotId(bot), None)
        if live is not None:
            await self._close_bot(live)

    async def close(self) -> None:
        """Give every bot up and close every connection."""
        await asyncio.gather(*(self.release(bot) for bot in {*self._opening, *self._bots}))
        if self._ticker is not None:
            self._ticker.cancel()
        for connecting in self._trading.values():
            if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
                await connecting.result().close()
        for market in self._markets.values():
            await market.close()
        await self._scribe.close()
        await self._database.close()

    # ------------------------------------------------------------------ opening a bot

    async def _begin(self) -> None:
        if self._ticker is None:
            wiring.set_up_logging(self._plan.home, self._plan.log_level)
            self._ticker = asyncio.create_task(self._tick())
            await self._database.open()
            await self._scribe.open()

    async def _open_until_done(self, bot: BotId) -> None:
        """Open a bot, waiting for its lease, the database and the venue as long as it takes."""
        try:
            while not self._runs(bot):
                try:
                    await self._open(bot)
                except (VenueError, StaleEpoch, TimeoutError, LookupError) as error:
                    self._waits[bot] = f"waits: {error}" if str(error) else f"waits: {type(error).__name__}"
                    log.warning("host.open_waits bot=%s error=%s", bot, error)
                if not self._runs(bot):
                    await asyncio.sleep(LEASE_PAUSE_S)
        except Exception:
            # One bot's mistake must not end the others here; the supervisor gives the bot to a host again.
            log.exception("host.open_failed bot=%s", bot)
        finally:
            self._opening.pop(bot, None)
            self._waits.pop(bot, None)

    async def _open(self, bot: BotId) -> None:
        bots = Bots(self._database)
        await self._emergencies.record(bots)
        row = await bots.get(bot)
        if row is None:
            raise LookupError(f"bot {bot} does not exist")
        trading, market = await self._ports(row.account)
        config = msgspec.convert(row.config, GridConfig)
        instrument = await market.instrument(config.symbol, config.market)
        fees = await trading.fee_rates(instrument)
        # The venue first, then the lease: it must not run out while the venue is slow.
        lease = await LeaseKeeper.take(
            Leases(self._database), bot_lease(bot), self._holder, self._plan.lease_ttl_ms
        )
        if lease is None:
            self._waits[bot] = "waits for the lease of its last process to run out"
            return
        recovery = await Journal(self._database).load(bot)
        state = restore(recovery, new_state(bot, config, instrument, fees))
        if config.market is Market.LINEAR and state.status is BotStatus.NEW:
            await trading.prepare(instrument, config.leverage)
        await self._forget(bot)
        live = GridBot(state, recovery, trading, market, self._scribe, lease, self._on_fenced)
        self._bots[bot] = live
        try:
            await live.open(*self._wish(row))
        except BaseException:
            await self._forget(bot)
            raise
        # What exists by now stays: the collector need not walk through all modules while a fill waits (35 ms).
        gc.freeze()
        log.info("host.opened bot=%s epoch=%s status=%s", bot, lease.lease.epoch, state.status)

    def _runs(self, bot: BotId) -> bool:
        live = self._bots.get(bot)
        return live is not None and not live.is_fenced

    def _wish(self, row: BotRow) -> tuple[DesiredState, int, str]:
        """Give what the owner wants, in the arguments of `GridBot.carry_out`."""
        desired = row.desired_state
        if self._has_unwritten_emergency(row):
            return DesiredState.EMERGENCY_STOPPED, row.version + 1, "emergency stop"
        return desired, row.version, f"you wanted it {desired.replace('_', ' ')}"

    async def _ports(self, account: AccountId) -> tuple[TradingPort, MarketDataPort]:
        """Share one connection per account, and one public connection per venue, among the bots of a host."""
        row = await Accounts(self._database).get(account)
        if row is None:
            raise LookupError(f"account {account} does not exist")
        venue = f"{row.exchange}:{row.environment}"
        if venue not in self._markets:
            self._markets[venue] = wiring.market_port(self._plan, row)
        connecting = self._trading.get(account)
        if connecting is None or (connecting.done() and (connecting.cancelled() or connecting.exception())):
            connecting = asyncio.create_task(wiring.connected_trading_port(self._plan, row, self._database))
            self._trading[account] = connecting
        return await asyncio.shield(connecting), self._markets[venue]

    def _has_unwritten_emergency(self, row: BotRow) -> bool:
        """Tell whether an emergency stop was said to us, and nothing has been wished in writing since."""
        return row.version <= self._stopped_at.get(row.id, -1)

    # ------------------------------------------------------------------ keeping bots

    async def _tick(self) -> None:
        written: dict[BotId, tuple[BotStatus, int]] = {}
        while True:
            await asyncio.sleep(TICK_S)
            now = now_ms()
            for bot, live in tuple(self._bots.items()):
                try:
                    await live.on_tick(now)
                    word = (live.state.status, live.state.command_version)
                    if written.get(bot) != word and not live.is_fenced and await self._write_status(live):
                        written[bot] = word
                except Exception:
                    # One bot's mistake must not stop the clock of the others.
                    log.exception("host.tick_failed bot=%s", bot)

    async def _write_status(self, live: GridBot) -> bool:
        """Tell the bot's row how the bot is; the wish follows a bot that has ended itself."""
        state = live.state
        bots = Bots(self._database)
        carried_out = state.command_version
        try:
            await bots.set_status(
                state.bot, live.lease.epoch, state.status.value, state.status_reason, carried_out=carried_out
            )
            row = await bots.get(state.bot)
            ended = _ENDED_BY_ITSELF.get(state.status)
            if row is None or ended is None or row.version > carried_out:
                return True
            if row.desired_state is DesiredState.RUNNING:
                if self._has_unwritten_emergency(row):
                    ended = DesiredState.EMERGENCY_STOPPED
                await bots.set_desired(state.bot, ended, "bot", version=row.version)
                await self.look(state.bot)
        except (VenueError, StaleEpoch, VersionConflict) as error:
            log.warning("host.status_waits bot=%s error=%s", state.bot, error)
            return False
        return True

    async def _on_fenced(self, bot: BotId) -> None:
        task = asyncio.create_task(self._reopen(bot))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _reopen(self, bot: BotId) -> None:
        """Wait in line for the lease of a fenced bot like everybody else."""
        if bot in self._bots:
            await self.assign([bot])

    async def _forget(self, bot: BotId) -> None:
        live = self._bots.pop(bot, None)
        if live is not None:
            await live.close()

    async def _close_bot(self, live: GridBot) -> None:
        await live.close()
        try:
            async with asyncio.timeout(RELEASE_LIMIT_S):
                await Leases(self._database).release(live.lease)
        except (VenueError, TimeoutError):
            log.warning("host.lease_not_released bot=%s: it runs out by itself", live.state.bot)
