"""What every feed offers the venue: a name for the screens, a past, and events until it is cancelled."""

from collections.abc import Callable, Sequence
from typing import Protocol

from engine.trading.instrument import Instrument

from ..candles import Bar
from ..events import MarketEvent

MarketSink = Callable[[Instrument, MarketEvent], None]
"""Takes each event of each instrument in order, without waiting: applies, matches, notifies."""


class Feed(Protocol):
    """A source of market events."""

    @property
    def name(self) -> str:
        """Say in a few words what the prices are, for every screen."""
        ...

    async def history(self, instrument: Instrument, until_ms: int) -> Sequence[Bar]:
        """Give past minutes that end at or before `until_ms`, oldest first; as many as the feed has."""
        ...

    async def run(self, sink: MarketSink, start_ms: int) -> None:
        """Pump events into `sink` until cancelled; market time starts at `start_ms`."""
        ...
