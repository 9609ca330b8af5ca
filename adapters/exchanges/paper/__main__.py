"""Runs a PaperVenue in a process of its own: `python -m adapters.exchanges.paper --state-dir DIR --feed model`.

It prints one line of JSON with its address and feed when it is ready, and stops on SIGINT or SIGTERM. Accounts
are opened over `POST /paper/accounts`, so that no secret appears on a command line.
"""

import argparse
import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from engine.trading.instrument import Instrument

from .catalogue import LISTINGS, Listing, listings
from .feeds.base import Feed
from .feeds.choose import DEFAULT_SEED, choose_feed
from .feeds.files import load_recording
from .feeds.live import LiveFeed
from .feeds.model import ModelFeed
from .feeds.recording import Recording
from .feeds.replay import ReplayFeed
from .limits import UNLIMITED, Limits
from .server import ANSWER_DELAY_S, PaperVenue


async def serve(options: argparse.Namespace) -> None:
    """Run until told to stop."""
    chosen: tuple[Listing, ...] = listings(options.symbols) if options.symbols else LISTINGS
    instruments = [listing.instrument for listing in chosen]
    venue = PaperVenue(
        chosen,
        await _feeds(options, instruments),
        options.state_dir,
        UNLIMITED if options.no_limits else Limits(),
        options.answer_delay_s,
    )
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    address = await venue.start(options.host, options.port)
    ready = {"http": address.http, "ws": address.ws, "feed": venue.core.board.feed_name}
    print(msgspec.json.encode(ready).decode(), flush=True)
    try:
        await stopping.wait()
    finally:
        await venue.stop()


async def _feeds(options: argparse.Namespace, instruments: Sequence[Instrument]) -> list[Feed]:
    match options.feed:
        case "none":
            return []
        case "live":
            return [LiveFeed(instruments)]
        case "model":
            return [ModelFeed(instruments, options.seed, options.speed)]
        case "replay":
            return [ReplayFeed(_recordings(options.recording, instruments), options.speed)]
        case _:
            return [await choose_feed(instruments, seed=options.seed)]


def _recordings(named: Sequence[str], instruments: Sequence[Instrument]) -> dict[Instrument, Recording]:
    """Read `spot:BTCUSDT=FILE` arguments."""
    by_name = {f"{each.market.value}:{each.symbol}": each for each in instruments}
    recordings = {}
    for argument in named:
        name, _, path = argument.partition("=")
        if name not in by_name:
            raise SystemExit(f"--recording {argument}: {name} is not one of {', '.join(by_name)}")
        recordings[by_name[name]] = load_recording(Path(path), by_name[name])
    return recordings


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0
    if not 0 < speed < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is neither a positive number nor max")
    return speed


def command_line() -> argparse.Namespace:
    """Read the options, or say what is wrong with them."""
    parser = argparse.ArgumentParser(prog="python -m adapters.exchanges.paper", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument(
        "--state-dir", type=Path, default=None, help="where the journal lives; without it: nowhere"
    )
    parser.add_argument("--symbols", nargs="*", help="which of the catalogue to list, in both markets")
    parser.add_argument("--feed", choices=("auto", "live", "model", "replay", "none"), default="auto")
    parser.add_argument("--recording", nargs="*", default=[], metavar="MARKET:SYMBOL=FILE")
    parser.add_argument(
        "--speed",
        type=_speed,
        default=1.0,
        help="market seconds per second of replay and model; max: as fast as it goes",
    )
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--answer-delay-s", type=float, default=ANSWER_DELAY_S)
    parser.add_argument("--no-limits", action="store_true", help="no rate limits: for benchmarks")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(serve(command_line()))
