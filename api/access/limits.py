"""Counts requests in sliding windows: by where they come from, and by whose they are.

It decides nothing about the numbers (`engine/access/rates.py`). The counts live in this process: a restart forgets
them, and wrong passwords are counted in the database besides.
"""

import ipaddress
import time

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from api.problems import ApiProblem, Kind
from engine.access.rates import PER_ACCOUNT, PER_ADDRESS, RateClass, Rates


class RequestLimits:
    """Lets requests pass, or says when the next one may come."""

    def __init__(self, per_address: Rates = PER_ADDRESS, per_account: Rates = PER_ACCOUNT) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._per_address = _items(per_address)
        self._per_account = _items(per_account)

    async def pass_address(self, kind: RateClass, ip: str) -> dict[str, str]:
        """Count a request from a place in the network; give the headers that tell how many are left."""
        return await self._pass(kind, self._per_address[kind], "address", _network(ip))

    async def pass_account(self, kind: RateClass, who: str) -> dict[str, str]:
        """Count a request of a person, or about an address."""
        return await self._pass(kind, self._per_account[kind], "account", who.lower())

    async def _pass(self, kind: RateClass, item: RateLimitItemPerSecond, *key: str) -> dict[str, str]:
        names = (kind.value, *key)
        is_let = await self._limiter.hit(item, *names)
        window = await self._limiter.get_window_stats(item, *names)
        wait_s = max(1, int(window.reset_time - time.time()) + 1)
        if not is_let:
            raise ApiProblem(Kind.TOO_MANY, f"wait {wait_s} s", code="rate_limited", retry_after_s=wait_s)
        return {
            "RateLimit-Policy": f'"{kind}";q={item.amount};w={item.get_expiry()}',
            "RateLimit": f'"{kind}";r={window.remaining};t={wait_s}',
        }


def _items(rates: Rates) -> dict[RateClass, RateLimitItemPerSecond]:
    return {kind: RateLimitItemPerSecond(rate.count, rate.per_s) for kind, rate in rates.items()}


def _network(ip: str) -> str:
    """Take a subscriber's whole IPv6 network for one place: addresses in it are free."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return ip
