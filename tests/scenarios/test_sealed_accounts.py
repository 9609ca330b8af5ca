"""Bots on a connected key: it is opened in the process that signs, and not without the file of sealing keys."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from actors import wiring
from actors.home import Home
from adapters.exchanges import registry
from adapters.exchanges.bybit.hosts import single_host
from adapters.exchanges.paper.model import Account
from adapters.secrets.envelope import KekFile
from adapters.secrets.keys import ApiKey
from engine.grid.config import Direction, GridConfig
from engine.ids import AccountId, BotId
from storage.accounts import Accounts, Environment, NewAccount
from storage.bots import NewBot
from storage.seed import OPERATOR
from tests.factories import new_bot_id
from tests.scenarios.world import MONEY, World, eventually

KEY = ApiKey("a-connected-key", "its-secret")
CONFIG = GridConfig(
    symbol="BTCUSDT",
    direction=Direction.SPOT,
    lower=Decimal(59_500),
    upper=Decimal(60_500),
    grids=10,
    amount=Decimal(10_000),
)


@pytest.fixture
def owner(world: World) -> Iterator[Account]:
    """Let the world's venue be Bybit's testnet, with the account of the key."""
    original = registry.TESTNET
    registry.TESTNET = single_host(world.venue.address.http)
    yield world.venue.create_account(KEY.key, KEY.secret, MONEY)
    registry.TESTNET = original


async def bot_on(world: World, account: AccountId) -> BotId:
    """Connect the key and create a bot on it."""
    KekFile(Home(world.plan.home).sealing_keys).make()
    sealed = wiring.seal_key(world.plan, account, OPERATOR, KEY)
    new = NewAccount(account, OPERATOR, "bybit", Environment.TESTNET, "mine", sealed_key=sealed)
    await Accounts(world.database).add(new, "test")
    bot = new_bot_id()
    await world.bots.create(NewBot(bot, OPERATOR, account, "grid", CONFIG), "test")
    return bot


async def test_a_bot_trades_with_a_key_that_only_its_process_opens(world: World, owner: Account) -> None:
    bot = await bot_on(world, AccountId("sealed01"))
    host = await world.host()
    await host.assign([bot])
    await eventually(lambda: len(owner.open) == 10, "ten orders rest on the account of the key")
    assert not world.account.open


async def test_without_the_file_of_sealing_keys_a_bot_says_what_is_missing(world: World, owner: Account) -> None:
    bot = await bot_on(world, AccountId("sealed02"))
    Home(world.plan.home).sealing_keys.unlink()
    host = await world.host()
    await host.assign([bot])
    await eventually(lambda: "sealing.keys is missing" in host._waits.get(bot, ""), "the reason is said")
    assert not owner.open
