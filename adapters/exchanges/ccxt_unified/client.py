"""Makes a ccxt exchange object the way this folder needs it: exact numbers, few requests, any host.

ccxt costs more than six seconds and 120 MB to import, so it is imported here, when the first object is made.
"""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from adapters.exchanges.ccxt_unified.convert import Listed, read_market
from adapters.exchanges.ccxt_unified.errors import translate
from adapters.exchanges.ccxt_unified.profiles import Profile
from adapters.secrets.keys import ApiKey
from engine.errors import Rejected, RejectReason
from engine.trading.instrument import Instrument, Market


class CcxtClient:
    """One ccxt exchange object and its list of instruments."""

    def __init__(self, profile: Profile, api_key: ApiKey | None, address: str | None, timeout_s: float) -> None:
        self.profile = profile
        self._api_key = api_key
        self._address = address
        self._timeout_s = timeout_s
        self._exchange: Any = None
        self._listed: dict[tuple[Market, str], Listed] = {}
        self._loading = asyncio.Lock()

    async def exchange(self) -> Any:
        """Give the exchange object, with its markets loaded."""
        async with self._loading:
            if self._exchange is None:
                # The import blocks for seconds: not on the loop.
                module = await asyncio.to_thread(_import_ccxt)
                self._exchange = self._make(module)
            if not self._listed:
                try:
                    await self._exchange.load_markets()
                except Exception as error:
                    # ccxt raises anything, its parsers' KeyErrors too; nothing of it may pass the port unsorted.
                    raise translate(error, command=False) from error
                self._listed = self._read_markets()
        return self._exchange

    async def close(self) -> None:
        """Close its connections."""
        if self._exchange is not None:
            await self._exchange.close()
            self._exchange = None

    async def instruments(self, market: Market) -> list[Instrument]:
        """List every instrument that trades now."""
        self.require(market)
        await self.exchange()
        return [listed.instrument for (kind, _), listed in self._listed.items() if kind is market]

    async def listed(self, symbol: str, market: Market) -> Listed:
        """Find an instrument by the exchange's own name for it; `Rejected(NOT_FOUND)` if it is not listed."""
        self.require(market)
        await self.exchange()
        found = self._listed.get((market, symbol))
        if found is None:
            raise Rejected(
                RejectReason.NOT_FOUND, f"{symbol} is not traded on {self.profile.exchange} {market.value}"
            )
        return found

    async def of(self, instrument: Instrument) -> Listed:
        """Find what ccxt calls an instrument."""
        return await self.listed(instrument.symbol, instrument.market)

    def require(self, market: Market) -> None:
        """Refuse a market that we do not reach on this exchange."""
        if market not in self.profile.markets:
            raise Rejected(
                RejectReason.OTHER, f"{self.profile.exchange} {market.value} is not supported", "NotSupported"
            )

    def _make(self, module: Any) -> Any:
        exchange_class = getattr(module, self.profile.exchange)
        config: dict[str, Any] = {
            "number": str,
            # ccxt counts what an exchange's own hosts charge by address; a venue at an address of ours does not.
            "enableRateLimit": self._address is None,
            "newUpdates": True,
            "timeout": int(self._timeout_s * 1000),
            "aiohttp_trust_env": True,
            "options": {"adjustForTimeDifference": True, **self.profile.options},
        }
        if self._api_key is not None:
            config |= {
                "apiKey": self._api_key.key,
                "secret": self._api_key.secret,
                "password": self._api_key.passphrase or None,
            }
        exchange = exchange_class(config)
        # The list of coins needs more rights than trading does, and nothing of ours.
        exchange.has["fetchCurrencies"] = False
        if self._address is not None:
            exchange.urls["api"] = _moved(exchange.urls["api"], self._address, self.profile.hosts_apart)
        return exchange

    def _read_markets(self) -> dict[tuple[Market, str], Listed]:
        read = (read_market(self.profile, market) for market in self._exchange.markets.values())
        return {
            (listed.instrument.market, listed.instrument.symbol): listed
            for listed in read
            if listed is not None and listed.instrument.market in self.profile.markets
        }


def _import_ccxt() -> Any:
    import ccxt.pro

    return ccxt.pro


def _moved(addresses: Any, to: str, hosts_apart: bool) -> Any:
    """Put every address of an exchange on one host, keeping the paths."""
    if isinstance(addresses, Mapping):
        return {name: _moved(address, to, hosts_apart) for name, address in addresses.items()}
    parts = urlsplit(str(addresses))
    scheme = "ws" if parts.scheme.startswith("ws") else "http"
    host = f"/{parts.hostname}" if hosts_apart else ""
    return f"{scheme}://{urlsplit(to).netloc}{host}{parts.path}"
