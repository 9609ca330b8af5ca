"""Venues for the trading tests: a core without sockets, a served one, and one with a signed client."""

import itertools
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from adapters.exchanges.paper.server import PaperVenue
from adapters.exchanges.paper.venue import Venue

from .trading_fixtures import LINEAR, LISTED, RICH, SPOT, Market, SignedClient, running

_keys = itertools.count(1)


@pytest.fixture
def core() -> Iterator[Venue]:
    """Give a venue without doors and with empty markets."""
    venue = Venue(LISTED)
    yield venue
    venue.close()


@pytest.fixture
def spot(core: Venue) -> Market:
    """Give the core's BTC spot market, empty."""
    return Market(core, SPOT)


@pytest.fixture
def linear(core: Venue) -> Market:
    """Give the core's BTC perpetual, open at 60000."""
    market = Market(core, LINEAR)
    market.open("60000")
    return market


@pytest.fixture
async def paper() -> AsyncIterator[PaperVenue]:
    """Serve a venue of the test's own, for faults and drills."""
    async with running() as venue:
        yield venue


@pytest.fixture
async def client(paper: PaperVenue) -> AsyncIterator[SignedClient]:
    """Give a signed client with an account of its own at the test's venue."""
    key = f"key{next(_keys)}"
    paper.create_account(key, f"secret of {key}", RICH)
    async with aiohttp.ClientSession() as session:
        yield SignedClient(session, paper.address, key, f"secret of {key}")
