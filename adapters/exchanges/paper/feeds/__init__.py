"""Where the venue's prices come from: recordings, a model, or the real venue's public stream."""

from .base import Feed, MarketSink

__all__ = ["Feed", "MarketSink"]
