"""One Bybit account behind `TradingPort`: puts the sockets, the order path and the queries together.

It holds no opinion about orders. Facts go to the bot whose prefix an order carries; orders of other programs on
the same account pass unseen.
"""

import asyncio
import logging
from collections.abc import Sequence

from adapters.exchanges.background import Background
from adapters.exchanges.bybit import key_checks
from adapters.exchanges.bybit.clock import VenueClock
from adapters.exchanges.bybit.codec import InstrumentCodec
from adapters.exchanges.bybit.hosts import BybitHosts
from adapters.exchanges.bybit.later import Later
from adapters.exchanges.bybit.order_entry import OrderEntry, Request
from adapters.exchanges.bybit.private_stream import PrivateStream
from adapters.exchanges.bybit.queries import AccountQueries
from adapters.exchanges.bybit.rest import RestClient
from adapters.exchanges.bybit.signing import Signer
from adapters.exchanges.bybit.socket import PING_S, STALE_S, VenueSocket
from adapters.exchanges.bybit.trade_socket import TradeSocket
from adapters.exchanges.look_ups import LookUps
from adapters.exchanges.rate_limit import shared_limits
from adapters.exchanges.routing import Route, Routes
from adapters.secrets.keys import ApiKey
from engine.errors import Rejected, RejectReason, Retryable, VenueError
from engine.ids import Instant, LinkId
from engine.ports import GapSink, KeyPermissions, MayPlace, OrderSink, always
from engine.trading.instrument import FeeRates, Instrument, Market
from engine.trading.market import Balance, Position
from engine.trading.orders import (
    CancelOrder,
    Execution,
    FundingCharged,
    LookUpOrder,
    OrderReport,
    PlaceOrder,
)

log = logging.getLogger(__name__)

_CLOCK_EVERY_S = 60.0


class BybitTrading:
    """Fulfils `TradingPort` for one account; several bots share it."""

    def __init__(
        self,
        hosts: BybitHosts,
        api_key: ApiKey,
        *,
        recv_window_ms: int = 5_000,
        deadline_s: float = 5.0,
        connect_timeout_s: float = 15.0,
        ping_s: float = PING_S,
        stale_s: float = STALE_S,
    ) -> None:
        self._hosts, self._api_key = hosts, api_key
        self._recv_window_ms = recv_window_ms
        self._deadline_s, self._connect_timeout_s = deadline_s, connect_timeout_s
        self._ping_s, self._stale_s = ping_s, stale_s
        self._signer = Signer(api_key, recv_window_ms)
        self._clock = VenueClock()
        self._limits = shared_limits(hosts.rest, api_key.key)
        self._background = Background("bybit")
        self._later = Later()
        self._routes: Routes[InstrumentCodec] = Routes()
        self._rest = RestClient(hosts.rest, self._clock, self._limits, self._signer, timeout_s=deadline_s)
        self._queries = AccountQueries(self._rest, self._clock, recv_window_ms)
        self._entry = OrderEntry(self._rest, self._clock, self._limits, self._background, self._rest.measure_clock)
        self._private: PrivateStream | None = None
        self._trade: TradeSocket[Request] | None = None
        self._look_ups: LookUps[InstrumentCodec] = LookUps(self, self._background)

    def __repr__(self) -> str:
        return f"BybitTrading(rest={self._hosts.rest!r}, api_key=***)"

    # ------------------------------------------------------------------ life

    async def connect(self) -> None:
        """Measure the clock, open the sockets, subscribe; return when private facts flow.

        Raise `Rejected(PERMISSION)` if the venue refuses the key, `Retryable` if it does not answer.
        """
        await self._rest.measure_clock()
        self._queries.begin()
        self._private = PrivateStream(
            f"{self._hosts.private}/v5/private",
            self._signer,
            self._clock,
            self._routes,
            self._background,
            self._later,
            self._ping_s,
            self._stale_s,
        )
        sockets: list[VenueSocket] = [self._private]
        if self._hosts.trade is not None:
            self._trade = self._entry.trade = TradeSocket(
                f"{self._hosts.trade}/v5/trade",
                self._signer,
                self._clock,
                on_reply=self._entry.answered,
                on_lost=self._entry.lost,
                on_up=self._entry.wake,
                later=self._later,
                ping_s=self._ping_s,
                stale_s=self._stale_s,
                deadline_s=self._deadline_s,
            )
            sockets.append(self._trade)
        for socket in sockets:
            self._background.start(socket.run(), socket.name)
        await self._wait_until_up(sockets)
        self._background.start(self._keep_time(), "clock")
        self._entry.open()

    async def close(self) -> None:
        """Close the sockets. Queued requests that have not left are dropped."""
        self._entry.close()
        await self._background.close()
        await self._rest.close()

    def attach(
        self,
        link_prefix: str,
        instrument: Instrument,
        on_fact: OrderSink,
        on_gap: GapSink,
        may_place: MayPlace = always,
    ) -> None:
        """Route the facts of orders whose link id starts with `link_prefix` to one bot."""
        self._routes.add(Route(link_prefix, instrument, InstrumentCodec(instrument), on_fact, on_gap, may_place))

    def detach(self, link_prefix: str) -> None:
        """Stop routing to that bot, and drop its queued requests."""
        for route in self._routes:
            if route.prefix == link_prefix:
                self._entry.forget(route)
        self._routes.remove(link_prefix)

    def health(self) -> dict[str, int]:
        """Tell, per socket, the milliseconds since its last message, -1 when down."""
        sockets = {"private": self._private, "trade": self._trade}
        if self._hosts.trade is None:
            del sockets["trade"]
        return {name: socket.silent_ms if socket else -1 for name, socket in sockets.items()}

    # ------------------------------------------------------------------ orders

    def submit(self, instrument: Instrument, effects: Sequence[PlaceOrder | CancelOrder | LookUpOrder]) -> None:
        """Carry out effects in the given order; the answers come to the bot's sink.

        Link ids must carry the prefix of an attached bot; anything else is a bug and raises ValueError.
        """
        if not effects:
            return
        route = self._routes.of(effects[0].link_id)
        if route is None or route.instrument.symbol != instrument.symbol:
            raise ValueError(f"no bot is attached for {effects[0].link_id!r} on {instrument.symbol}")
        orders = [effect for effect in effects if type(effect) is not LookUpOrder]
        if len(orders) != len(effects):
            for effect in effects:
                if type(effect) is LookUpOrder:
                    self._look_ups.start(route, effect.link_id)
        if orders:
            # Look-ups were taken out above, in a way that mypy does not follow.
            self._entry.submit(route, orders)  # type: ignore[arg-type]

    async def open_orders(self, instrument: Instrument, link_prefix: str) -> Sequence[OrderReport]:
        """List every open order of ours whose link id starts with `link_prefix`."""
        return await self._queries.open_orders(InstrumentCodec(instrument), link_prefix)

    async def executions(
        self, instrument: Instrument, link_prefix: str, since_ms: Instant
    ) -> Sequence[Execution | FundingCharged]:
        """Page every execution of ours since `since_ms` (and every funding payment), oldest first."""
        return await self._queries.executions(InstrumentCodec(instrument), link_prefix, since_ms)

    async def find_order(self, instrument: Instrument, link_id: LinkId) -> OrderReport | None:
        """Look an order up among the open ones and in history; None is a definite "never seen".

        For an order that may still be travelling the answer takes as long as its receive window.
        """
        return await self._look_ups.find(instrument, link_id)

    async def ask_order(self, instrument: Instrument, link_id: LinkId) -> OrderReport | None:
        """Look for an order once; None is not definite while the order may still be travelling."""
        return await self._queries.ask_order(InstrumentCodec(instrument), link_id)

    def travels_s(self, link_id: LinkId) -> float:
        """Tell for how long a placement of this order may still reach the venue."""
        return self._queries.travels_s(self._entry.sent_ms(link_id))

    # ------------------------------------------------------------------ account

    async def fee_rates(self, instrument: Instrument) -> FeeRates:
        """Give this account's maker and taker rates."""
        return await self._queries.fee_rates(instrument)

    async def balances(self, market: Market) -> dict[str, Balance]:
        """Give every non-zero balance by asset: a unified account pays for all markets from one wallet."""
        return await self._queries.balances()

    async def position(self, instrument: Instrument) -> Position:
        """Give the open position in a linear instrument; zero lots if none."""
        return await self._queries.position(instrument)

    async def prepare(self, instrument: Instrument, leverage: int) -> None:
        """Bring a linear instrument to one-way mode and `leverage`."""
        await key_checks.prepare(self._hosts.rest, self._api_key, self._recv_window_ms, instrument, leverage)

    async def permissions(self) -> KeyPermissions:
        """Tell what the key may do."""
        return await key_checks.permissions(self._hosts.rest, self._api_key, self._recv_window_ms)

    # ------------------------------------------------------------------ inside

    async def _wait_until_up(self, sockets: Sequence[VenueSocket]) -> None:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                for socket in sockets:
                    await socket.tried.wait()
                    if socket.refused is not None:
                        raise Rejected(RejectReason.PERMISSION, f"{socket.name}: {socket.refused}")
                    await socket.up.wait()
        except TimeoutError:
            await self._background.close()
            raise Retryable("the venue's sockets did not come up in time") from None
        except Rejected:
            await self._background.close()
            raise

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(_CLOCK_EVERY_S)
            try:
                await self._rest.measure_clock()
            except VenueError as error:
                log.warning("bybit.clock_unknown error=%s", error)
