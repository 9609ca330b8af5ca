"""Chooses where prices come from when nobody said: the real venue if it answers, else the model."""

from collections.abc import Sequence

from adapters.exchanges.bybit.hosts import LIVE, BybitHosts
from engine.trading.instrument import Instrument

from .base import Feed
from .live import LiveFeed
from .model import ModelFeed

PROBE_S = 3.0
DEFAULT_SEED = 7


async def choose_feed(
    instruments: Sequence[Instrument],
    hosts: BybitHosts = LIVE,
    venue_name: str = "Bybit mainnet",
    seed: int = DEFAULT_SEED,
    probe_s: float = PROBE_S,
) -> Feed:
    """Give the live feed if the public stream says anything within `probe_s`, else the model."""
    live = LiveFeed(instruments, hosts, venue_name)
    if await live.answers(probe_s):
        return live
    return ModelFeed(instruments, seed)
