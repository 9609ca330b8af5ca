"""The Ray actor around the PaperVenue: one process that serves it, on the same port in every life.

Ray restarts the process when it dies; the first question after that brings the venue back, with every order and
balance, from its journal.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from actors import wiring
from adapters.exchanges.paper.catalogue import LISTINGS
from adapters.exchanges.paper.feeds.base import Feed
from adapters.exchanges.paper.feeds.choose import DEFAULT_SEED, choose_feed
from adapters.exchanges.paper.feeds.files import load_recording
from adapters.exchanges.paper.feeds.live import LiveFeed
from adapters.exchanges.paper.feeds.model import ModelFeed
from adapters.exchanges.paper.feeds.recording import Recording
from adapters.exchanges.paper.feeds.replay import ReplayFeed
from adapters.exchanges.paper.server import PaperVenue
from engine.trading.instrument import Instrument, Market
from storage.seed import PAPER_ACCOUNT


class VenuePlan(msgspec.Struct, frozen=True):
    """What the venue's process needs to know."""

    state_dir: Path
    feed_kind: str
    feed_path: Path | None
    feed_speed: int
    home: Path
    log_level: str


class PaperVenueActor:
    """Serves one PaperVenue."""

    def __init__(self, plan: bytes) -> None:
        self._plan = msgspec.msgpack.decode(plan, type=VenuePlan, dec_hook=lambda kind, value: kind(value))
        self._starting: asyncio.Task[PaperVenue] | None = None

    async def address(self) -> str:
        """Give the base address, starting the venue if this process has not yet."""
        return (await self._venue()).address.http

    async def describe(self) -> tuple[str, int]:
        """Give the feed's name for the screens, and the port."""
        venue = await self._venue()
        return venue.core.board.feed_name, venue.address.port

    async def stop(self) -> None:
        """Close the doors and the journal."""
        if self._starting is not None:
            await (await self._starting).stop()

    async def _venue(self) -> PaperVenue:
        if self._starting is None or (self._starting.done() and self._starting.exception()):
            self._starting = asyncio.create_task(self._start())
        return await asyncio.shield(self._starting)

    async def _start(self) -> PaperVenue:
        plan = self._plan
        wiring.set_up_logging(plan.home, plan.log_level)
        plan.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        instruments = [listing.instrument for listing in LISTINGS]
        venue = PaperVenue(LISTINGS, await _feeds(plan, instruments), plan.state_dir)
        port_file = plan.state_dir / "port"
        known_port = int(port_file.read_text()) if port_file.exists() else 0
        try:
            address = await venue.start(port=known_port)
        except OSError:
            # Somebody has taken our port meanwhile.
            address = await venue.start(port=0)
        port_file.write_text(str(address.port))
        key = wiring.paper_key(plan.home, PAPER_ACCOUNT)
        if key.key not in venue.core.records.by_key:
            venue.create_account(key.key, key.secret, wiring.PAPER_MONEY, name="Paper trading")
        return venue


async def _feeds(plan: VenuePlan, instruments: Sequence[Instrument]) -> list[Feed]:
    match plan.feed_kind:
        case "live":
            return [LiveFeed(instruments)]
        case "model":
            return [ModelFeed(instruments, DEFAULT_SEED)]
        case "replay":
            assert plan.feed_path is not None
            return [ReplayFeed(_recordings(plan.feed_path, instruments), float(plan.feed_speed))]
        case _:
            return [await choose_feed(instruments)]


def _recordings(path: Path, instruments: Sequence[Instrument]) -> dict[Instrument, Recording]:
    """Read a recording, or every one of a folder, each for the instrument that its name tells."""
    files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
    found = {}
    for file in files:
        instrument = _named_instrument(file.name.lower(), instruments)
        if instrument is not None:
            found[instrument] = load_recording(file, instrument)
    if not found:
        raise ValueError(f"{path}: no file's name tells an instrument, for example spot_btcusdt or linear_btcusdt")
    return found


def _named_instrument(name: str, instruments: Sequence[Instrument]) -> Instrument | None:
    market = Market.LINEAR if "usdm" in name or "linear" in name else Market.SPOT
    return next((each for each in instruments if each.market is market and each.symbol.lower() in name), None)
