"""What `trellis record` does: writes a V5 venue's public stream to files, one per instrument, until stopped."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from adapters.exchanges.bybit.hosts import LIVE, BybitHosts
from engine.trading.instrument import Instrument

from ..events import MarketEvent
from .live import LiveFeed
from .recorder import SUFFIX, Recorder

FLUSH_S = 1.0


async def record(
    instruments: Iterable[Instrument],
    folder: Path,
    now_ms: Callable[[], int],
    hosts: BybitHosts = LIVE,
    venue_name: str = "Bybit mainnet",
    duration_s: float | None = None,
    on_progress: Callable[[dict[Path, int]], None] = lambda counts: None,
) -> dict[Path, int]:
    """Record until cancelled or for `duration_s`; give the events written per file.

    Files are whole at every flush: cancelling, or a crash, costs at most the last second. A quiet stream is
    flushed as well, and `on_progress` is told the counts once a second.
    """
    instruments = tuple(instruments)
    feed = LiveFeed(instruments, hosts, venue_name)
    started_ms = now_ms()
    with ExitStack() as files:
        recorders = {
            (each.market, each.symbol): files.enter_context(
                Recorder(folder / file_name(each, started_ms), each, feed.name, started_ms)
            )
            for each in instruments
        }

        def write(instrument: Instrument, event: MarketEvent) -> None:
            recorders[instrument.market, instrument.symbol].add(event)

        def counts() -> dict[Path, int]:
            return {recorder.path: recorder.events for recorder in recorders.values()}

        async def flush_often() -> None:
            while True:
                await asyncio.sleep(FLUSH_S)
                for recorder in recorders.values():
                    recorder.flush()
                on_progress(counts())

        try:
            async with asyncio.timeout(duration_s), asyncio.TaskGroup() as tasks:
                tasks.create_task(flush_often())
                tasks.create_task(feed.run(write, started_ms))
        except TimeoutError:
            if duration_s is None:
                raise
        return counts()


def file_name(instrument: Instrument, started_ms: int) -> str:
    """Name a recording by market, symbol and start."""
    started = datetime.fromtimestamp(started_ms // 1000, UTC)
    return f"{instrument.market}_{instrument.symbol.lower()}_{started:%Y%m%dT%H%M%SZ}{SUFFIX}"
