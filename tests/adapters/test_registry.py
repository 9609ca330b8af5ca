"""The registry knows every exchange, imports none early, and every port has the methods of its Protocol."""

import inspect
import subprocess
import sys

import pytest

from adapters.exchanges.bybit.market_data import BybitMarketData
from adapters.exchanges.bybit.trading import BybitTrading
from adapters.exchanges.ccxt_unified.market_data import CcxtMarketData
from adapters.exchanges.ccxt_unified.profiles import PROFILES
from adapters.exchanges.ccxt_unified.trading import CcxtTrading
from adapters.exchanges.registry import EXCHANGES, Environment, market_data, trading
from adapters.exchanges.template import TemplateMarketData, TemplateTrading
from adapters.secrets.keys import ApiKey
from engine.ports import MarketDataPort, TradingPort

KEY = ApiKey("k", "s", "p")


@pytest.mark.parametrize(
    ("port", "adapter"),
    [
        (MarketDataPort, BybitMarketData),
        (MarketDataPort, CcxtMarketData),
        (MarketDataPort, TemplateMarketData),
        (TradingPort, BybitTrading),
        (TradingPort, CcxtTrading),
        (TradingPort, TemplateTrading),
    ],
)
def test_an_adapter_has_every_method_of_its_port_with_the_same_arguments(port: type, adapter: type) -> None:
    for name, method in inspect.getmembers(port, inspect.isfunction):
        if name.startswith("_"):
            continue
        mine = getattr(adapter, name)
        assert inspect.iscoroutinefunction(mine) == inspect.iscoroutinefunction(method), name
        assert list(inspect.signature(mine).parameters) == list(inspect.signature(method).parameters), name


@pytest.mark.parametrize("name", EXCHANGES)
async def test_every_exchange_opens_both_ports_without_a_network(name: str) -> None:
    public, private = market_data(name), trading(name, KEY)
    assert EXCHANGES[name].markets == PROFILES[name].markets
    assert "***" in repr(private)
    assert set(private.health().values()) == {-1}
    await public.close()
    await private.close()


def test_what_does_not_exist_is_refused_with_a_reason() -> None:
    with pytest.raises(ValueError, match="is not one of bybit, binance"):
        market_data("nope")
    with pytest.raises(ValueError, match="no demo environment"):
        market_data("okx", Environment.DEMO)
    with pytest.raises(ValueError, match="an address belongs to the local environment"):
        market_data("bybit", Environment.LOCAL)
    with pytest.raises(ValueError, match="has a passphrase"):
        trading("okx", ApiKey("k", "s"))


def test_neither_ccxt_nor_pybit_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from adapters.exchanges.registry import *; from adapters.secrets.keys import ApiKey; "
        "import adapters.exchanges.bybit.trading, adapters.exchanges.ccxt_unified.trading; "
        "sys.exit(any(name.split('.')[0] in ('ccxt', 'pybit', 'requests') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
