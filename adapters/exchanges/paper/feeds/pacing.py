"""Hands events over when they are due, or in bursts as fast as it goes, and lets the event loop breathe."""

import asyncio
from collections.abc import Iterable

from engine.trading.instrument import Instrument

from ..events import MarketEvent
from .base import MarketSink

BURST_EVENTS = 200
"""Events between two breaths of the event loop: a few milliseconds with matching, so answers stay prompt."""

TimedEvent = tuple[int, int, Instrument, MarketEvent]
"""(market time, order among equals, instrument, event)"""


async def play(events: Iterable[TimedEvent], sink: MarketSink, start_ms: int, speed: float | None) -> None:
    """Play events whose market time begins at `start_ms`, at `speed` market seconds per second; None: at once."""
    clock = asyncio.get_running_loop().time
    began = clock()
    left = BURST_EVENTS
    for at_ms, _, instrument, event in events:
        if speed is not None:
            wait = began + (at_ms - start_ms) / 1000 / speed - clock()
            # Below a millisecond the loop's timers are not worth their cost: such events go together.
            if wait > 0.001:
                await asyncio.sleep(wait)
                left = BURST_EVENTS
        sink(instrument, event)
        left -= 1
        if not left:
            left = BURST_EVENTS
            await asyncio.sleep(0)


def pace_name(speed: float | None) -> str:
    """Say the speed in words, for the screens."""
    return "as fast as it goes" if speed is None else f"at {speed:g}x"
