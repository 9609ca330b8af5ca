"""A venue of our own in the place of Bybit's testnet, and keys to it with the rights that a test wants."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from adapters.exchanges import registry
from adapters.exchanges.bybit.hosts import single_host
from adapters.exchanges.paper.limits import Limits
from adapters.exchanges.paper.model import KeyRights
from adapters.exchanges.paper.server import PaperVenue
from storage.accounts import Environment
from tests.adapters.paper.trading_fixtures import LISTED
from tests.api.browser import PASSWORD
from tests.api.conftest import Api

SECRET = "a-secret-that-nobody-may-ever-see"


@asynccontextmanager
async def in_place_of_testnet(api: Api) -> AsyncIterator[PaperVenue]:
    """Answer for Bybit's testnet; afterwards no account is left that would ask there."""
    venue = PaperVenue(LISTED, (), None, Limits(ip_per_5s=0))
    address = await venue.start()
    original = registry.TESTNET
    registry.TESTNET = single_host(address.http)
    try:
        yield venue
    finally:
        registry.TESTNET = original
        for view in await api.engine.desk.accounts.views(None):
            if view.row.environment is Environment.TESTNET:
                await api.engine.desk.accounts.remove("test", view.row.id)
        await venue.stop()


def new_key(venue: PaperVenue, **rights: Any) -> dict[str, str]:
    """Make a key, and give what connects it."""
    key = f"key-{uuid.uuid4().hex[:12]}"
    venue.create_account(key, SECRET, {"USDT": "5000"}, rights=KeyRights(**rights))
    place = {"exchange": "bybit", "environment": "testnet", "label": "mine"}
    return place | {"key": key, "secret": SECRET, "password": PASSWORD}
