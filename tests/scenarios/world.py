"""A small world for scenarios: a venue whose market moves by hand, real PostgreSQL, bot hosts, and the truth.

The truth is the venue's own account: its open orders, its executions, its balances. `assert_reconciled` holds a
bot's state, its tables and its profit against it, to the last unit.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from actors import wiring
from actors.grid_bot import GridBot
from actors.home import Home
from actors.host import BotHost
from adapters.exchanges.paper.events import SIZE_SCALE
from adapters.exchanges.paper.limits import Limits
from adapters.exchanges.paper.model import Account, Execution, Order
from adapters.exchanges.paper.positions import unrealised
from adapters.exchanges.paper.server import PaperVenue
from engine.grid.accounting import total_units
from engine.grid.config import Direction, GridConfig
from engine.grid.machine import step
from engine.grid.messages import decode_message
from engine.grid.orders import link_prefix, parse_link_id
from engine.grid.resync import named_slots
from engine.grid.slots import name_of
from engine.grid.state import BotStatus, GridState, OrderPhase, new_state, state_hash
from engine.ids import BotId, ExecutionId
from engine.trading.instrument import AMOUNT_DECIMALS, Instrument, amount_text
from engine.trading.instrument import Market as MarketKind
from storage.bots import Bots, DesiredState, NewBot
from storage.database import Database
from storage.executions import ExecutionRow
from storage.journal import Journal
from storage.seed import OPERATOR, PAPER_ACCOUNT
from tests.adapters.paper.trading_fixtures import LINEAR, LISTED, SPOT, Market
from tests.factories import new_bot_id

PRICE = 60_000
MONEY = {"USDT": "1000000", "BTC": "10"}
WAIT_S = 30.0
_hosts = itertools.count(1)


async def eventually(
    condition: Callable[[], object] | Callable[[], Awaitable[object]], what: str, wait_s: float = WAIT_S
) -> float:
    """Wait until something holds, and give the seconds it took; fail, saying what was awaited, after the limit."""
    began = time.monotonic()
    while True:
        held = condition()
        if await held if isinstance(held, Awaitable) else held:
            return time.monotonic() - began
        if time.monotonic() - began > wait_s:
            raise AssertionError(f"not within {wait_s} s: {what}")
        await asyncio.sleep(0.01)


class World:
    """One venue with one account, and whatever hosts a test starts."""

    def __init__(self, venue: PaperVenue, account: Account, database: Database, plan: wiring.Plan) -> None:
        self.venue = venue
        self.account = account
        self.database = database
        self.plan = plan
        self.bots = Bots(database)
        self.hosts: list[BotHost] = []
        self.markets = {each.market: Market(venue.core, each) for each in (SPOT, LINEAR)}
        self._began = dict(account.wallet.coins)

    # ------------------------------------------------------------------ bots and hosts

    async def host(self, name: str = "") -> BotHost:
        """Start one more host in this process."""
        host = BotHost(wiring.encode_plan(self.plan), name or f"host{next(_hosts)}")
        self.hosts.append(host)
        return host

    async def end(self, host: BotHost) -> None:
        """End a host as an operator would."""
        self.hosts.remove(host)
        await host.close()

    async def create(
        self, direction: str = "spot", wanted: DesiredState = DesiredState.RUNNING, **more: Any
    ) -> BotId:
        """Write a bot of ten grids from 59 500 to 60 500 into the table, changed as asked."""
        values = {"symbol": "BTCUSDT", "lower": Decimal(59_500), "upper": Decimal(60_500), "grids": 10}
        values |= {"amount": Decimal(10_000), "direction": Direction(direction)}
        config = GridConfig(**(values | more))
        bot = new_bot_id()
        await self.bots.create(NewBot(bot, OPERATOR, PAPER_ACCOUNT, direction, config, wanted), "test")
        return bot

    async def run(self, direction: str = "spot", **more: Any) -> BotId:
        """Create a bot, give it to the first host, and wait until it trades."""
        bot = await self.create(direction, **more)
        if not self.hosts:
            await self.host()
        await self.hosts[0].assign([bot])
        await self.trades(bot)
        return bot

    def find(self, bot: BotId) -> GridBot | None:
        """Give the bot that acts, whichever host runs it."""
        for host in self.hosts:
            live = host._bots.get(bot)
            if live is not None and not live.is_fenced:
                return live
        return None

    def live(self, bot: BotId) -> GridBot:
        """Give the bot that acts; it must."""
        found = self.find(bot)
        assert found is not None, f"no host runs {bot}"
        return found

    async def trades(self, bot: BotId, wait_s: float = WAIT_S) -> float:
        """Wait until a bot runs with every order at the venue; give the seconds it took."""
        return await eventually(
            lambda: self.settled_now(bot) and self.live(bot).state.status is BotStatus.RUNNING and self.open(bot),
            f"{bot} runs with its orders at the venue",
            wait_s,
        )

    async def has_status(self, bot: BotId, status: BotStatus, wait_s: float = WAIT_S) -> float:
        """Wait until a live bot has a status; give the seconds it took."""
        return await eventually(
            lambda: (live := self.find(bot)) is not None and live.state.status is status,
            f"{bot} is {status}",
            wait_s,
        )

    async def want(self, bot: BotId, desired: DesiredState) -> None:
        """Write the owner's wish, and let the hosts look at it."""
        await self.bots.set_desired(bot, desired, "test")
        for host in self.hosts:
            await host.look(bot)

    # ------------------------------------------------------------------ the market

    def move(self, price: int, instrument: Instrument | None = None) -> None:
        """Let the market trade its way to a price: what lies between fills, and the book stands around it."""
        for market in self.markets.values() if instrument is None else (self.markets[instrument.market],):
            ticks = market.ticks(str(price))
            last = self.venue.market(market.instrument).last_ticks
            market.trade(str(price), 1_000 * SIZE_SCALE, buyer_is_taker=last is None or ticks > last)
            market.open(str(price))

    def ticks(self, market: MarketKind) -> int:
        """Give the last traded price."""
        last = self.venue.market(self.markets[market].instrument).last_ticks
        assert last is not None
        return last

    async def walk(self, *prices: int, pause_s: float = 0.15) -> None:
        """Visit prices one after the other, leaving the bots time to answer."""
        for price in prices:
            self.move(price)
            await asyncio.sleep(pause_s)

    def take_out(self, coin: str) -> None:
        """Withdraw all of a coin."""
        units = self.account.coin(coin)
        self.venue.core.deposit(self.account, coin, amount_text(-units))
        self._began[coin] = 0

    # ------------------------------------------------------------------ the truth

    def open(self, bot: BotId) -> list[Order]:
        """List the bot's open orders in the venue's own book."""
        prefix = link_prefix(bot)
        return [order for order in self.account.open.values() if order.link_id.startswith(prefix)]

    def placed(self, bot: BotId) -> int:
        """Count the orders that the venue has ever taken from the bot."""
        prefix = link_prefix(bot)
        return sum(link.startswith(prefix) for link in self.account.by_link)

    def executions(self, bot: BotId) -> list[Execution]:
        """List what the venue says the bot has traded."""
        prefix = link_prefix(bot)
        return [each for each in self.account.executions if each.link_id.startswith(prefix)]

    def settled_now(self, bot: BotId) -> bool:
        """Tell whether the bot has heard and written everything, and believes exactly what the venue says."""
        live = self.find(bot)
        if live is None or live.state.syncing or live.snapshot().journal_lag:
            return False
        state = live.state
        if any(slot.phase not in (OrderPhase.NONE, OrderPhase.LIVE) for slot, _ in named_slots(state)):
            return False
        return live_names(state) == {order.link_id for order in self.open(bot)} and all(
            each.exec_id in live._seen for each in self.executions(bot)
        )

    async def settled(self, *bots: BotId, wait_s: float = WAIT_S) -> None:
        """Wait until bot and venue agree and everything is written."""
        for bot in bots:
            await eventually(lambda bot=bot: self.settled_now(bot), f"{bot} agrees with the venue", wait_s)

    async def executions_in_table(self, bot: BotId) -> list[ExecutionRow]:
        """Read the whole table of the bot's executions."""
        from storage.executions import Executions

        rows, cursor = [], None
        while True:
            page = await Executions(self.database).page(bot, cursor=cursor, limit=200)
            rows += page.items
            cursor = page.next_cursor
            if cursor is None:
                return rows

    async def assert_reconciled(self, *bots: BotId) -> None:
        """Hold everything against the venue: the bots must be all that has ever traded on the account."""
        await self.settled(*bots)
        for bot in bots:
            self._assert_no_duplicates(bot)
            await self._assert_executions(bot)
            await self._assert_replay(bot)
        self._assert_money(bots)

    def _assert_no_duplicates(self, bot: BotId) -> None:
        places = Counter((parse_link_id(order.link_id).level, order.buy) for order in self.open(bot))
        assert not [place for place, count in places.items() if count > 1], f"two orders for one place: {places}"

    async def _assert_executions(self, bot: BotId) -> None:
        written = {row.exec_id: row for row in await self.executions_in_table(bot)}
        said = {each.exec_id: each for each in self.executions(bot)}
        assert set(written) == set(said), "the table and the venue tell different executions"
        instrument = self.live(bot).state.instrument
        for exec_id, each in said.items():
            row = written[ExecutionId(exec_id)]
            assert row.price == instrument.price(each.ticks)
            assert row.quantity == instrument.quantity(each.lots)
            assert row.fee == Decimal(each.fee_units).scaleb(-AMOUNT_DECIMALS)

    async def _assert_replay(self, bot: BotId) -> None:
        live = self.live(bot).state
        replayed = new_state(bot, live.config, live.instrument, live.fees)
        entries = await Journal(self.database).entries(bot)
        # What the bot hears while the journal is read is not in it yet.
        while self.live(bot).snapshot().journal_lag or len(entries) != self.live(bot)._writer._seq:
            await self.settled(bot)
            entries = await Journal(self.database).entries(bot)
        for row in entries:
            step(replayed, decode_message(row.message), row.at_ms)
        assert state_hash(replayed) == state_hash(live), "the journal leads to another state"

    def _assert_money(self, bots: tuple[BotId, ...]) -> None:
        """Value what the account has gained at the last price, and compare with what the bots say."""
        coins = self.account.wallet.coins
        changes = {coin: coins.get(coin, 0) - self._began.get(coin, 0) for coin in {*coins, *self._began}}
        ticks = {market: self.ticks(market) for market in self.markets}
        gained = changes.pop("USDT", 0) + SPOT.value_of_units(ticks[SPOT.market], changes.pop("BTC", 0))
        position = self.account.positions.get(LINEAR.symbol)
        if position is not None:
            gained += unrealised(position, ticks[LINEAR.market], LINEAR.value_per_tick_lot)
        assert not any(changes.values())
        said = 0
        for bot in bots:
            state = self.live(bot).state
            said += total_units(state, ticks[state.instrument.market])
        assert said == gained, f"the bots say {said}, the venue's balances {gained}"


def live_names(state: GridState) -> set[str]:
    """Name every order that a state believes to be at the venue."""
    return {name_of(state, slot, level) for slot, level in named_slots(state) if not slot.is_empty}


@asynccontextmanager
async def a_world(
    database: Database, dsn: str, home: Path, lease_ttl_ms: int = 10_000, limits: Limits | None = None
) -> AsyncIterator[World]:
    """Open a world of its own on a shared database; at the end everything is closed."""
    Home(home).create()
    venue = PaperVenue(LISTED, (), None, limits or Limits(ip_per_5s=0))
    key = wiring.paper_key(home, PAPER_ACCOUNT)
    account = venue.create_account(key.key, key.secret, MONEY)
    address = await venue.start()
    plan = wiring.Plan(
        dsn=dsn,
        home=home,
        bots_per_host=1,
        log_level="info",
        paper_port=address.port,
        paper_node="",
        lease_ttl_ms=lease_ttl_ms,
    )
    world = World(venue, account, database, plan)
    world.move(PRICE)
    try:
        yield world
    finally:
        for host in world.hosts:
            await host.close()
        await venue.stop()
