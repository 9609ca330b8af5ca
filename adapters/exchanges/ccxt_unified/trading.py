"""One account at any exchange behind ccxt, as `TradingPort`.

Slower than our own Bybit adapter (orders go over REST, one request each), with the same promises: an unanswered
placement is a doubt and never resent from here, the exchange's lists are the truth, foreign orders pass unseen.
"""

import asyncio
import logging
import time
from collections.abc import Sequence

from adapters.exchanges.background import Background
from adapters.exchanges.ccxt_unified.account import CcxtAccount
from adapters.exchanges.ccxt_unified.client import CcxtClient
from adapters.exchanges.ccxt_unified.convert import Listed
from adapters.exchanges.ccxt_unified.profiles import PROFILES, to_venue_id
from adapters.exchanges.ccxt_unified.streams import PrivateStreams
from adapters.exchanges.look_ups import LookUps
from adapters.exchanges.rate_limit import Bucket, shared_limits
from adapters.exchanges.routing import Route, Routes, local_now_ms
from adapters.secrets.keys import ApiKey
from engine.errors import OutcomeUnknown, Rejected, RejectReason, Retryable, VenueError
from engine.ids import Instant, LinkId, VenueOrderId
from engine.ports import GapSink, KeyPermissions, MayPlace, OrderSink, always
from engine.trading.instrument import FeeRates, Instrument, Market
from engine.trading.market import Balance, Position
from engine.trading.orders import (
    CancelOrder,
    CancelRefused,
    Execution,
    FundingCharged,
    LookUpOrder,
    OrderAccepted,
    OrderFact,
    OrderInDoubt,
    OrderKind,
    OrderRejected,
    OrderReport,
    PlaceOrder,
    Side,
)

log = logging.getLogger(__name__)

_QUEUE_MAX = 5_000
_PLACING, _CANCELLING = 4, 2
"""Requests on their way at a time. Cancels have senders of their own: getting out must not wait for getting in."""
_ATTEMPTS_MAX = 3
_SENT_MAX = 10_000

Entry = tuple[Route[None], PlaceOrder | CancelOrder]


class CcxtTrading:
    """Fulfils `TradingPort` for one account at one exchange of `PROFILES`; several bots share it."""

    def __init__(
        self,
        exchange: str,
        api_key: ApiKey,
        address: str | None = None,
        timeout_s: float = 10.0,
        settle_ms: int | None = None,
    ) -> None:
        self._profile = PROFILES[exchange]
        self._client = CcxtClient(self._profile, api_key, address, timeout_s)
        settle_ms = self._profile.receive_window_ms + 1_000 if settle_ms is None else settle_ms
        self._account = CcxtAccount(self._client, settle_ms)
        self._limits = shared_limits(address or exchange, api_key.key)
        self._background = Background(exchange)
        self._routes: Routes[None] = Routes()
        self._streams = PrivateStreams(self._account, self._routes, self._background)
        self._places: asyncio.Queue[Entry] = asyncio.Queue(_QUEUE_MAX)
        self._cancels: asyncio.Queue[Entry] = asyncio.Queue(_QUEUE_MAX)
        self._connected = False
        self._sent_ms: dict[LinkId, int] = {}
        self._look_ups: LookUps[None] = LookUps(self, self._background)

    def __repr__(self) -> str:
        return f"CcxtTrading({self._profile.exchange!r}, api_key=***)"

    # ------------------------------------------------------------------ life

    async def connect(self) -> None:
        """Load the markets, check the key with a private question, open the streams of attached bots."""
        await self._client.exchange()
        await self._account.balances(Market.SPOT)
        self._connected = True
        for route in self._routes:
            await self._watch(route.instrument)
        for kind, queue, senders in (("create", self._places, _PLACING), ("cancel", self._cancels, _CANCELLING)):
            limit = self._limits.bucket(kind, self._profile.orders_per_s)
            for number in range(senders):
                self._background.start(self._send_all(queue, limit), f"{kind}.{number}")

    async def close(self) -> None:
        """Close the sockets. Queued requests that have not left are dropped."""
        self._connected = False
        await self._background.close()
        await self._client.close()

    def attach(
        self,
        link_prefix: str,
        instrument: Instrument,
        on_fact: OrderSink,
        on_gap: GapSink,
        may_place: MayPlace = always,
    ) -> None:
        """Route the facts of orders whose link id starts with `link_prefix` to one bot."""
        self._client.require(instrument.market)
        self._routes.add(Route(link_prefix, instrument, None, on_fact, on_gap, may_place))
        if self._connected:
            self._background.start(self._watch(instrument), f"watch.{instrument.symbol}")

    def detach(self, link_prefix: str) -> None:
        """Stop routing to that bot. Its queued requests are dropped when their turn comes."""
        self._routes.remove(link_prefix)

    def health(self) -> dict[str, int]:
        """Tell the milliseconds since the last private message, -1 when down. Orders go over REST."""
        return {"private": self._streams.silent_ms if self._connected else -1}

    # ------------------------------------------------------------------ orders

    def submit(self, instrument: Instrument, effects: Sequence[PlaceOrder | CancelOrder | LookUpOrder]) -> None:
        """Queue effects in the given order; the answers come to the bot's sink."""
        for effect in effects:
            route = self._routes.of(effect.link_id)
            if route is None or route.instrument.symbol != instrument.symbol:
                raise ValueError(f"no bot is attached for {effect.link_id!r} on {instrument.symbol}")
            if isinstance(effect, LookUpOrder):
                self._look_ups.start(route, effect.link_id)
                continue
            queue = self._places if isinstance(effect, PlaceOrder) else self._cancels
            try:
                queue.put_nowait((route, effect))
            except asyncio.QueueFull:
                error = Rejected(RejectReason.TOO_MANY_ORDERS, f"{_QUEUE_MAX} requests wait already")
                self._tell(route, _refused(effect, error))

    async def open_orders(self, instrument: Instrument, link_prefix: str) -> Sequence[OrderReport]:
        """List every open order of ours whose link id starts with `link_prefix`."""
        return await self._account.open_orders(await self._client.of(instrument), link_prefix)

    async def executions(
        self, instrument: Instrument, link_prefix: str, since_ms: Instant
    ) -> Sequence[Execution | FundingCharged]:
        """Page every execution of ours since `since_ms` (and every funding payment), oldest first."""
        return await self._account.executions(await self._client.of(instrument), link_prefix, since_ms)

    async def find_order(self, instrument: Instrument, link_id: LinkId) -> OrderReport | None:
        """Look an order up among the open ones and in history; None is a definite "never seen"."""
        return await self._look_ups.find(instrument, link_id)

    async def ask_order(self, instrument: Instrument, link_id: LinkId) -> OrderReport | None:
        """Look for an order once; None is not definite while the order may still be travelling."""
        return await self._account.ask_order(await self._client.of(instrument), link_id)

    def travels_s(self, link_id: LinkId) -> float:
        """Tell for how long a placement of this order may still reach the exchange."""
        return self._account.travels_s(self._sent_ms.get(link_id))

    # ------------------------------------------------------------------ account

    async def fee_rates(self, instrument: Instrument) -> FeeRates:
        """Give this account's maker and taker rates."""
        return await self._account.fee_rates(await self._client.of(instrument))

    async def balances(self, market: Market) -> dict[str, Balance]:
        """Give every non-zero balance of the wallet that pays for a market, by asset."""
        return await self._account.balances(market)

    async def position(self, instrument: Instrument) -> Position:
        """Give the open position in a linear instrument; zero lots if none."""
        return await self._account.position(await self._client.of(instrument))

    async def prepare(self, instrument: Instrument, leverage: int) -> None:
        """Bring a linear instrument to one-way mode and `leverage`."""
        await self._account.prepare(await self._client.of(instrument), leverage)

    async def permissions(self) -> KeyPermissions:
        """Tell what the key may do; `Rejected` where the exchange does not tell."""
        return await self._account.permissions()

    # ------------------------------------------------------------------ inside

    async def _watch(self, instrument: Instrument) -> None:
        self._streams.watch(await self._client.of(instrument))

    async def _send_all(self, queue: asyncio.Queue[Entry], limit: Bucket) -> None:
        while True:
            route, effect = await queue.get()
            while not limit.take(time.monotonic()):  # noqa: ASYNC110  nobody tells when a window ends
                await asyncio.sleep(limit.wait_s(time.monotonic()))
            if route.open and (isinstance(effect, CancelOrder) or route.may_place()):
                await self._send(route, effect)

    async def _send(self, route: Route[None], effect: PlaceOrder | CancelOrder) -> None:
        listed = await self._client.of(route.instrument)
        for attempt in range(1, _ATTEMPTS_MAX + 1):
            try:
                if isinstance(effect, PlaceOrder):
                    venue_id = await self._place(listed, effect)
                    self._tell(route, OrderAccepted(effect.link_id, VenueOrderId(venue_id)))
                else:
                    await self._cancel(listed, effect)
                return
            except Retryable as error:
                if attempt == _ATTEMPTS_MAX:
                    self._tell(route, _unanswered(effect, error))
                await asyncio.sleep(error.retry_after_ms / 1000)
            except OutcomeUnknown as error:
                self._tell(route, _unanswered(effect, error))
                return
            except Rejected as error:
                self._tell(route, _refused(effect, error))
                return

    async def _place(self, listed: Listed, order: PlaceOrder) -> str:
        params: dict[str, object] = {"clientOrderId": to_venue_id(self._profile, order.link_id)}
        price = None if order.kind is OrderKind.MARKET else listed.instrument.price_text(order.ticks)
        if order.kind is OrderKind.POST_ONLY:
            params["postOnly"] = True
            self._account.note_post_only(order.link_id)
        if order.reduce_only and listed.instrument.market is Market.LINEAR:
            params["reduceOnly"] = True
        if price is None and order.side is Side.BUY and listed.instrument.market is Market.SPOT:
            if self._profile.market_buy is None:
                raise Rejected(
                    RejectReason.OTHER, f"{self._profile.exchange}: no market buy by quantity", "NotSupported"
                )
            params |= self._profile.market_buy
        kind = "market" if price is None else "limit"
        self._note_sent(order.link_id)
        placed = await self._account.call(
            "create_order",
            listed.symbol,
            kind,
            order.side.value,
            listed.amount_text(order.lots),
            price,
            params,
            command=True,
        )
        venue_id = str(placed["id"])
        self._account.remember(venue_id, order.link_id, order.lots)
        return venue_id

    async def _cancel(self, listed: Listed, cancel: CancelOrder) -> None:
        self._account.note_cancel(cancel.link_id)
        params = {self._profile.link_key: to_venue_id(self._profile, cancel.link_id)}
        await self._account.call("cancel_order", None, listed.symbol, params, command=True)

    def _note_sent(self, link_id: LinkId) -> None:
        if len(self._sent_ms) >= _SENT_MAX:
            del self._sent_ms[next(iter(self._sent_ms))]
        self._sent_ms[link_id] = int(local_now_ms())

    def _tell(self, route: Route[None], fact: OrderFact) -> None:
        route.deliver(fact, local_now_ms())


def _refused(effect: PlaceOrder | CancelOrder, error: Rejected) -> OrderFact:
    if isinstance(effect, PlaceOrder):
        return OrderRejected(effect.link_id, error.reason, str(error))
    return CancelRefused(effect.link_id, error.reason, str(error))


def _unanswered(effect: PlaceOrder | CancelOrder, error: VenueError) -> OrderFact:
    if isinstance(effect, PlaceOrder):
        return OrderInDoubt(effect.link_id, str(error))
    return CancelRefused(effect.link_id, RejectReason.OTHER, str(error))
