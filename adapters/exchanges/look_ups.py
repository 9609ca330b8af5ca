"""Asks after orders that are in doubt until the exchange has said what became of them.

It never takes a failed question for an answer, and calls an order absent only if it was asked for after it could
no longer arrive: a request that the exchange has not processed yet can still become an order.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from adapters.exchanges.background import Background
from adapters.exchanges.routing import Route, local_now_ms
from engine.errors import VenueError
from engine.ids import LinkId
from engine.trading.instrument import Instrument
from engine.trading.orders import OrderAbsent, OrderReport

C = TypeVar("C")
log = logging.getLogger(__name__)

_PAUSE_FIRST_S, _PAUSE_MAX_S = 0.2, 5.0
_FEW = 4
"""From more doubts than these on, one listing of the open orders is cheaper than naming each again and again."""
_AT_ONCE = 8


class Questions(Protocol):
    """What an adapter asks its exchange. Each method raises `VenueError`."""

    async def open_orders(self, instrument: Instrument, link_prefix: str) -> Sequence[OrderReport]:
        """List every open order whose link id starts with `link_prefix`."""

    async def ask_order(self, instrument: Instrument, link_id: LinkId) -> OrderReport | None:
        """Look for an order everywhere, once; None if the exchange does not show it now."""

    def travels_s(self, link_id: LinkId) -> float:
        """Tell for how long a request for this order may still become one; zero or less when it cannot."""


class LookUps(Generic[C]):
    """Looks the doubtful orders of each bot up together, beside the caller; the answers go to the bots.

    An address may ask only so many questions a second. A few doubts are asked for by name until they are settled.
    Many are compared with the list of open orders, and by name each is asked for twice: at once, because it may
    have been filled or cancelled already, and when its absence is definite.
    """

    def __init__(self, questions: Questions, background: Background) -> None:
        self._questions = questions
        self._background = background
        self._doubts: dict[Route[C], dict[LinkId, int]] = {}
        """The orders in doubt of each bot with the number of times that each was asked for by name."""

    def start(self, route: Route[C], link_id: LinkId) -> None:
        """Look an order up until the answer is known or its bot is detached."""
        if route in self._doubts:
            self._doubts[route].setdefault(link_id, 0)
        else:
            self._doubts[route] = {link_id: 0}
            self._background.start(self._settle_all(route), f"look_ups.{route.prefix}")

    async def find(self, instrument: Instrument, link_id: LinkId) -> OrderReport | None:
        """Look one order up; None is definite. Raise `VenueError` if a question fails."""
        pause_s = _PAUSE_FIRST_S
        while True:
            travels_s = self._questions.travels_s(link_id)
            if (report := await self._questions.ask_order(instrument, link_id)) is not None or travels_s <= 0:
                return report
            await asyncio.sleep(min(pause_s, travels_s + 0.01))
            pause_s *= 2

    async def _settle_all(self, route: Route[C]) -> None:
        doubts, pause_s = self._doubts[route], _PAUSE_FIRST_S
        try:
            while doubts and route.open:
                try:
                    await self._look(route, doubts)
                except VenueError as error:
                    log.warning("look_up.failed bot=%s error=%s", route.prefix, error)
                if doubts:
                    soonest_s = min(self._questions.travels_s(link_id) for link_id in doubts)
                    # Nothing travels any more: a question has failed, and the next one waits its turn.
                    await asyncio.sleep(min(pause_s, soonest_s + 0.01) if soonest_s > 0 else pause_s)
                    pause_s = min(2 * pause_s, _PAUSE_MAX_S)
        finally:
            del self._doubts[route]

    async def _look(self, route: Route[C], doubts: dict[LinkId, int]) -> None:
        """Go through the doubts once."""
        many = len(doubts) > _FEW
        if many:
            for report in await self._questions.open_orders(route.instrument, route.prefix):
                if report.link_id in doubts:
                    self._settle(route, doubts, report)
        turns = asyncio.Semaphore(_AT_ONCE)

        async def ask(link_id: LinkId) -> None:
            async with turns:
                is_definite = self._questions.travels_s(link_id) <= 0
                if not route.open or (many and doubts[link_id] and not is_definite):
                    return
                report = await self._questions.ask_order(route.instrument, link_id)
                doubts[link_id] += 1
                if report is not None or is_definite:
                    self._settle(route, doubts, report or OrderAbsent(link_id))

        # One failure must not cancel the others: they may be telling the bot something.
        outcomes = await asyncio.gather(*(ask(link_id) for link_id in tuple(doubts)), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def _settle(self, route: Route[C], doubts: dict[LinkId, int], answer: OrderReport | OrderAbsent) -> None:
        # Forgotten first: the bot may ask again from within the delivery.
        del doubts[answer.link_id]
        route.deliver(answer, local_now_ms())
