"""One bot's life against the chaos venue: a shell without threads, with a journal that can lose its tail.

It carries messages to the machine and effects to the venue in an order drawn from a seed, and checks after every
single message what must always hold. Reading a failure: the seed and the number of moves repeat it exactly.
"""

from random import Random

import msgspec

from engine.grid import accounting
from engine.grid.config import GridConfig
from engine.grid.machine import step
from engine.grid.messages import (
    GridEffect,
    GridMessage,
    Pause,
    PriceMoved,
    Resync,
    Resynced,
    ResyncStarted,
    Start,
    Stop,
    Woke,
)
from engine.grid.sizing import Sizing
from engine.grid.state import BotStatus, GridState, decode_state, encode_state, new_state, state_hash
from engine.ids import BotId, ExecutionId, Instant, LinkId
from engine.trading.instrument import FeeRates, Instrument
from engine.trading.orders import (
    CancelOrder,
    Execution,
    FundingCharged,
    LookUpOrder,
    OrderKind,
    OrderReport,
    OrderStatus,
    PlaceOrder,
    Side,
)
from tests.properties.chaos_venue import CALM, ChaosVenue, Odds, VenueOrder

BOT = BotId("abcdefgh")
OVERLAP_MS = 600_000
RESYNC_EVERY_MS = 60_000
OVER = (BotStatus.STOPPED, BotStatus.PAUSED)


class Reading(msgspec.Struct):
    """A resync under way: what was listed, until the executions have been paged as well."""

    asked_ms: Instant
    listed: tuple[OrderReport, ...]


class BotLife:
    """A bot, its journal and its venue."""

    def __init__(
        self, seed: int, config: GridConfig, instrument: Instrument, fees: FeeRates, ticks: int, odds: Odds
    ) -> None:
        self.random = Random(seed)
        self.venue = ChaosVenue(self.random, instrument, fees, ticks, odds)
        self.fresh = encode_state(new_state(BOT, config, instrument, fees))
        self.state = decode_state(self.fresh)
        self.journal: list[tuple[GridMessage, Instant]] = []
        self.effects: list[GridEffect] = []
        self.crashes = 0
        self._snapshot = (0, self.fresh)
        self._durable = 0
        self._resync_wanted = False
        self._reading: Reading | None = None
        self._next_resync_ms = 0
        self._names: dict[LinkId, PlaceOrder] = {}
        self._forget_books()

    # ------------------------------------------------------------------ commands

    def start(self) -> None:
        """Start, or start again."""
        self.take(Start(self.venue.ticks))

    def stop(self, *, sell: bool) -> None:
        """Stop."""
        self.take(Stop(sell))

    def pause(self) -> None:
        """Pause."""
        self.take(Pause())

    # ------------------------------------------------------------------ one message

    def take(self, message: GridMessage) -> list[GridEffect]:
        """Give the machine one message, send what follows, and check everything."""
        known = isinstance(message, Execution | FundingCharged) and message.exec_id in self._booked
        before = state_hash(self.state) if known else ""
        status = self.state.status
        effects = self._apply(message, self.venue.now)
        self.journal.append((message, self.venue.now))
        if known:
            assert not effects, f"a known execution led to {effects}"
            assert state_hash(self.state) == before, "a known execution changed the state"
        if isinstance(message, Start | Stop | Pause) or self.state.status is not status:
            # The shell writes these down before it acts on them.
            self._durable = len(self.journal)
        self._carry_out(effects)
        self.check()
        return effects

    def _apply(self, message: GridMessage, at_ms: Instant) -> list[GridEffect]:
        sizing = self.state.sizing
        effects = step(self.state, message, at_ms)
        if isinstance(message, Execution | FundingCharged) and message.exec_id not in self._booked:
            self._booked.add(message.exec_id)
            self._book(message)
        if self.state.sizing is not None and self.state.sizing is not sizing:
            self._book_brought(self.state.sizing)
        return effects

    def _carry_out(self, effects: list[GridEffect]) -> None:
        self.effects += effects
        orders = [effect for effect in effects if isinstance(effect, PlaceOrder | CancelOrder | LookUpOrder)]
        for order in orders:
            if isinstance(order, PlaceOrder):
                self._check_placement(order)
        self.venue.send(orders)
        self._resync_wanted |= any(isinstance(effect, Resync) for effect in effects)

    # ------------------------------------------------------------------ what must always hold

    @property
    def delivered(self) -> set[ExecutionId]:
        """Give the ids of all executions and funding payments that the journal holds."""
        return self._booked

    def check(self) -> None:
        """Check every invariant that holds at any moment."""
        state, ledger = self.state, self.state.ledger
        places = self.venue.live_places()
        assert len(places) == len(set(places)), f"two live orders for one place: {sorted(map(str, places))}"
        assert state.base_total() == ledger.base_units
        for mark in (1, self.venue.ticks, 7 * self.venue.ticks):
            floating = state.instrument.value_of_units(mark, state.base_total()) - state.cost_total()
            total = ledger.grid_profit_units + ledger.exit_profit_units + floating
            total -= ledger.fee_units + ledger.funding_units
            assert total == accounting.total_units(state, mark)
        if not state.syncing:
            assert (ledger.cash_units, ledger.base_units) == (self._cash, self._base), "an execution is not booked"
        if state.is_spot and ledger.base_units >= 0:
            selling = sum(order.left for order in self.venue.orders.values() if _is_resting_sell(order))
            held = self._venue_base()
            assert selling * state.instrument.units_per_lot <= held, "more is for sale than there is"

    def check_replay(self) -> None:
        """Replay the journal from nothing: it must lead to the very same state."""
        again = decode_state(self.fresh)
        for message, at_ms in self.journal:
            step(again, message, at_ms)
        assert state_hash(again) == state_hash(self.state)
        assert encode_state(decode_state(encode_state(self.state))) == encode_state(self.state)

    def _check_placement(self, order: PlaceOrder) -> None:
        assert not self.state.syncing, "an order was placed before the venue's view had been read"
        assert len(order.link_id) <= 36
        instrument = self.state.instrument
        before = self._names.setdefault(order.link_id, order)
        assert before == order, f"{order.link_id} names two different orders: {before} and {order}"
        if order.kind is OrderKind.MARKET:
            assert instrument.min_lots <= order.lots <= instrument.max_market_lots
        else:
            assert instrument.is_tradable(order.ticks, order.lots), f"below the minimum: {order}"
            assert order.lots <= instrument.max_lots

    def _book(self, fact: Execution | FundingCharged) -> None:
        if isinstance(fact, FundingCharged):
            self._cash -= fact.amount_units
            return
        sign = 1 if fact.side is Side.BUY else -1
        self._cash -= sign * self.state.instrument.value(fact.ticks, fact.lots)
        self._base += sign * fact.lots * self.state.instrument.units_per_lot
        if fact.fee_asset == self.state.instrument.quote:
            self._cash -= fact.fee_units
        else:
            self._base -= fact.fee_units

    def _book_brought(self, sizing: Sizing) -> None:
        instrument, brought = self.state.instrument, sizing.own_base_units
        if self.state.is_spot and sizing.entry_side is Side.SELL:
            brought += sizing.entry_lots * instrument.units_per_lot
        self._base += brought
        self._brought += brought
        self._cash -= instrument.value_of_units(sizing.price_ticks, brought)

    def _forget_books(self) -> None:
        self._booked: set[ExecutionId] = set()
        self._cash = self._base = self._brought = 0

    def _venue_base(self) -> int:
        """Add up the coins that are really there."""
        units = self._brought
        for fact in self.venue.executions:
            if isinstance(fact, Execution):
                sign = 1 if fact.side is Side.BUY else -1
                units += sign * fact.lots * self.state.instrument.units_per_lot
                units -= fact.fee_units if fact.fee_asset == self.state.instrument.base else 0
        return units

    # ------------------------------------------------------------------ one move of the world

    def move(self) -> None:
        """Let one thing happen."""
        self.pass_time(self.random.randrange(400))
        random, venue = self.random, self.venue
        draw = random.randrange(100)
        if draw < 40:
            if venue.has_news():
                self.take(venue.next_fact())
        elif draw < 70:
            if venue.requests:
                venue.carry_out_one()
        elif draw < 84:
            self.trade_at(venue.ticks + random.choice((-1, 1)) * random.choice((1, 2, 5, 9, 30)))
        elif draw < 92:
            self.read_venue()
        elif draw < 94:
            self.pass_time(random.randrange(12_000))
        elif draw < 96:
            venue.cancel_by_itself()
        elif draw < 97:
            if not self.state.is_spot:
                venue.charge_funding()
        elif draw < 98:
            venue.drop_private_facts()
            self._resync_wanted = True
        else:
            self.crash()

    def pass_time(self, milliseconds: int) -> None:
        """Let time pass; wake the machine when it asked for it."""
        self.venue.now = Instant(self.venue.now + milliseconds)
        if self.state.wake_ms and self.state.wake_ms <= self.venue.now:
            self.take(Woke())

    def trade_at(self, ticks: int) -> None:
        """Move the market, and tell the machine if the price concerns it."""
        self.venue.move_to(ticks)
        if not self.state.watch_low < self.venue.ticks < self.state.watch_high:
            self.take(PriceMoved(self.venue.ticks))

    def read_venue(self) -> None:
        """Do the next half of a resync: list the open orders, or page the executions and answer."""
        reading = self._reading
        if reading is None:
            if self._resync_wanted or self.venue.now >= self._next_resync_ms:
                self._resync_wanted = False
                self._reading = Reading(self.venue.now, self.venue.open_orders())
            return
        self._reading = None
        self._next_resync_ms = reading.asked_ms + RESYNC_EVERY_MS
        since_ms = self.state.last_execution_ms - OVERLAP_MS
        for execution in list(self.venue.executions):
            if execution.at_ms >= since_ms:
                self.take(execution)
        self.take(Resynced(reading.listed, self.venue.ticks, reading.asked_ms))

    def crash(self) -> None:
        """Kill the process: what was on its way to it is gone, and so is the end of its journal."""
        self.crashes += 1
        if self.random.randrange(2):
            seq = self.random.randint(self._durable, len(self.journal))
            self._snapshot = (seq, encode_state(self._replayed(seq)))
        kept = self.random.randint(max(self._durable, self._snapshot[0]), len(self.journal))
        del self.journal[kept:]
        self.venue.drop_private_facts()
        self.venue.requests = [
            request
            for request in self.venue.requests
            # A placement may be on the wire still; everything else dies with the process.
            if isinstance(request, PlaceOrder) and self.random.randrange(2)
        ]
        # A name of the lost life may return with other content; the venue's own check of names guards that.
        self._names = {}
        self._forget_books()
        self.state = decode_state(self.fresh)
        for message, at_ms in self.journal:
            self._apply(message, at_ms)
        seq, data = self._snapshot
        restored = decode_state(data)
        for message, at_ms in self.journal[seq:]:
            step(restored, message, at_ms)
        assert state_hash(restored) == state_hash(self.state), "snapshot and journal disagree"
        self._reading = None
        self._resync_wanted = True
        self.take(ResyncStarted())

    def _replayed(self, seq: int) -> GridState:
        state = decode_state(self.fresh)
        for message, at_ms in self.journal[:seq]:
            step(state, message, at_ms)
        return state

    # ------------------------------------------------------------------ coming to rest

    def settle(self, for_ms: int = 700_000) -> None:
        """Let everything arrive and every wait pass, with a venue that makes no more trouble."""
        self.venue.odds, odds = CALM, self.venue.odds
        self._resync_wanted = True
        deadline_ms = self.venue.now + for_ms
        while self.venue.now < deadline_ms:
            self.deliver_all()
            if self.state.status in OVER and not self._resync_wanted:
                break
            due_ms = min(self._next_resync_ms, self.state.wake_ms or deadline_ms, deadline_ms)
            self.pass_time(max(1, due_ms - self.venue.now))
        self.deliver_all()
        self.venue.odds = odds

    def deliver_all(self) -> None:
        """Carry out every request and deliver every fact, and whatever follows from them, without waiting."""
        for _ in range(20_000):
            if self.venue.has_news():
                self.take(self.venue.next_fact())
            elif self.venue.requests:
                self.venue.carry_out_one()
            elif self._reading is not None or self._resync_wanted or self.venue.now >= self._next_resync_ms:
                self.read_venue()
            else:
                return
        raise AssertionError("the bot and the venue never come to rest")


def _is_resting_sell(order: VenueOrder) -> bool:
    return order.status is OrderStatus.OPEN and order.wanted.side is Side.SELL
