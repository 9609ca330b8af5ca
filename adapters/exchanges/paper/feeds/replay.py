"""Plays recordings in a loop, at any speed, in market time that starts now.

At the seam of a loop time goes on and the book starts again from a snapshot. A past for the bars comes from the
recording itself, or from a file of candles.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence

from engine.trading.instrument import Instrument

from ..candles import Bar
from .base import MarketSink
from .candle_csv import ending_at
from .pacing import TimedEvent, pace_name, play
from .recording import Recording

HISTORY_MINUTES = 7 * 1440
"""How long the loop is said to have been playing already: previews look back a week."""


class ReplayFeed:
    """Plays one recording per instrument. `speed` is market seconds per second; None means as fast as it goes.

    `candles` replaces the past of an instrument, moved in time so that it ends where the replay begins.
    """

    def __init__(
        self,
        recordings: Mapping[Instrument, Recording],
        speed: float | None = 1.0,
        loops: int | None = None,
        candles: Mapping[Instrument, list[Bar]] | None = None,
    ) -> None:
        if not recordings:
            raise ValueError("a replay needs a recording")
        if any(len(recording) == 0 for recording in recordings.values()):
            raise ValueError("a recording without events cannot be played")
        if speed is not None and speed <= 0:
            raise ValueError(f"speed {speed} is not positive")
        self._recordings = dict(recordings)
        self._speed = speed
        self._loops = loops
        self._candles = dict(candles or {})

    @property
    def name(self) -> str:
        """Name the recordings and the speed."""
        names = ", ".join(recording.name for recording in self._recordings.values())
        return f"replay: {names} {pace_name(self._speed)}"

    async def history(self, instrument: Instrument, until_ms: int) -> Sequence[Bar]:
        """Give the candles it was given, else a week of minutes as if the loop had been playing all along."""
        if instrument in self._candles:
            return ending_at(self._candles[instrument], until_ms)
        recording = self._recordings.get(instrument)
        return [] if recording is None else recording.past_minutes(until_ms, HISTORY_MINUTES)

    async def run(self, sink: MarketSink, start_ms: int) -> None:
        """Play until cancelled, or until every recording was played `loops` times."""
        await play(self._merged(start_ms), sink, start_ms, self._speed)

    def _merged(self, start_ms: int) -> Iterator[TimedEvent]:
        tapes = [
            self._looped(order, instrument, recording, start_ms)
            for order, (instrument, recording) in enumerate(self._recordings.items())
        ]
        # Orders differ between tapes, so a comparison never gets as far as the instruments.
        return tapes[0] if len(tapes) == 1 else heapq.merge(*tapes)

    def _looped(
        self, order: int, instrument: Instrument, recording: Recording, start_ms: int
    ) -> Iterator[TimedEvent]:
        turn = 0
        while self._loops is None or turn < self._loops:
            if turn and not recording.starts_with_book():
                book = recording.opening_book(start_ms)
                if book is not None:
                    yield start_ms, order, instrument, book
            for event in recording.events(start_ms):
                yield event.at_ms, order, instrument, event
            start_ms += recording.period_ms
            turn += 1
