"""Which exchanges there are, and how to reach each: the one place that knows the adapters by name.

Adapters are imported when asked for: ccxt alone costs seconds and a hundred megabytes.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from adapters.exchanges.bybit.hosts import DEMO, LIVE, TESTNET, BybitHosts, single_host
from adapters.secrets.keys import ApiKey
from engine.ports import MarketDataPort, TradingPort
from engine.trading.instrument import Market


class Environment(StrEnum):
    """Which of an exchange's worlds."""

    LIVE = "live"
    TESTNET = "testnet"
    DEMO = "demo"
    """The exchange's own paper trading on live prices."""
    LOCAL = "local"
    """A venue at an address of ours, such as the PaperVenue."""


class Exchange(msgspec.Struct, frozen=True):
    """An exchange as a user chooses it. What it lacks is absent here, not discovered by failing."""

    name: str
    title: str
    markets: frozenset[Market]
    environments: frozenset[Environment]
    needs_passphrase: bool = False


_BOTH, _SPOT = frozenset(Market), frozenset({Market.SPOT})
_LIVE_AND_LOCAL = frozenset({Environment.LIVE, Environment.LOCAL})

EXCHANGES: Mapping[str, Exchange] = {
    exchange.name: exchange
    for exchange in (
        Exchange("bybit", "Bybit", _BOTH, frozenset(Environment)),
        Exchange("binance", "Binance", _BOTH, _LIVE_AND_LOCAL),
        Exchange("okx", "OKX", _BOTH, _LIVE_AND_LOCAL, needs_passphrase=True),
        Exchange("kucoin", "KuCoin", _SPOT, _LIVE_AND_LOCAL, needs_passphrase=True),
        Exchange("mexc", "MEXC", _SPOT, _LIVE_AND_LOCAL),
    )
}


def market_data(
    name: str, environment: Environment = Environment.LIVE, address: str | None = None
) -> MarketDataPort:
    """Open the public side of an exchange. `address` names the venue of `Environment.LOCAL`."""
    _check(name, environment, address)
    if name == "bybit":
        from adapters.exchanges.bybit.market_data import BybitMarketData

        return BybitMarketData(_bybit_hosts(environment, address))
    from adapters.exchanges.ccxt_unified.market_data import CcxtMarketData

    return CcxtMarketData(name, address)


def trading(
    name: str, api_key: ApiKey, environment: Environment = Environment.LIVE, address: str | None = None
) -> TradingPort:
    """Open one account at an exchange. One port per account and process: its bots share it by `attach`."""
    exchange = _check(name, environment, address)
    if exchange.needs_passphrase and not api_key.passphrase:
        raise ValueError(f"a key of {exchange.title} has a passphrase; this one has none")
    if name == "bybit":
        from adapters.exchanges.bybit.trading import BybitTrading

        return BybitTrading(_bybit_hosts(environment, address), api_key)
    from adapters.exchanges.ccxt_unified.trading import CcxtTrading

    return CcxtTrading(name, api_key, address)


def _check(name: str, environment: Environment, address: str | None) -> Exchange:
    exchange = EXCHANGES.get(name)
    if exchange is None:
        raise ValueError(f"{name!r} is not one of {', '.join(EXCHANGES)}")
    if environment not in exchange.environments:
        raise ValueError(f"{exchange.title} has no {environment.value} environment here")
    if (address is not None) != (environment is Environment.LOCAL):
        raise ValueError("an address belongs to the local environment, and only to it")
    return exchange


def _bybit_hosts(environment: Environment, address: str | None) -> BybitHosts:
    if address is not None:
        return single_host(address)
    return {Environment.LIVE: LIVE, Environment.TESTNET: TESTNET, Environment.DEMO: DEMO}[environment]
