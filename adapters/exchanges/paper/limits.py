"""How often one may ask: Bybit's limits per account and endpoint, and per address. Windows are whole seconds.

Order endpoints allow 20 a second on spot and 10 on linear; a batch counts its items against a bucket of its own.
An address that sends more than 600 requests in 5 seconds is shut out with HTTP 403 for ten minutes; one that opens
more than 500 sockets in 5 minutes is refused the next.
"""

import msgspec

IP_WINDOW_MS = 5000
SOCKET_WINDOW_MS = 300_000


class Limits(msgspec.Struct, frozen=True):
    """The venue's limits; 0 means none, for benchmarks of something else than the limiter."""

    spot_per_s: int = 20
    linear_per_s: int = 10
    query_per_s: int = 50
    ip_per_5s: int = 600
    ip_ban_s: int = 600
    sockets_per_5min: int = 500


UNLIMITED = Limits(spot_per_s=0, linear_per_s=0, query_per_s=0, ip_per_5s=0, sockets_per_5min=0)
"""No limits at all."""


class Allowance(msgspec.Struct, frozen=True):
    """What a request used: how many of its items may pass, and what the limit headers say."""

    granted: int
    limit: int
    remaining: int
    reset_ms: int

    def headers(self) -> dict[str, str]:
        """Write the limit headers."""
        return {
            "X-Bapi-Limit": str(self.limit),
            "X-Bapi-Limit-Status": str(self.remaining),
            "X-Bapi-Limit-Reset-Timestamp": str(self.reset_ms),
        }


class RateLimiter:
    """Count requests in fixed windows."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._used: dict[tuple[int, str, str], tuple[int, int]] = {}
        self._by_address: dict[str, tuple[int, int]] = {}
        self._banned_until: dict[str, int] = {}
        self._sockets: dict[str, tuple[int, int]] = {}

    def use(self, uid: int, operation: str, category: str, now_ms: int, items: int = 1) -> Allowance:
        """Count `items` of an operation against the account's bucket for it."""
        limit = self._limit_of(operation, category)
        if not limit:
            return Allowance(items, 0, 0, now_ms)
        window = now_ms // 1000
        bucket = (uid, operation, category)
        start, used = self._used.get(bucket, (window, 0))
        if start != window:
            used = 0
        granted = min(items, limit - used)
        self._used[bucket] = (window, used + granted)
        return Allowance(granted, limit, limit - used - granted, (window + 1) * 1000)

    def admit(self, address: str, now_ms: int) -> bool:
        """Count a request of an address; tell whether it may pass."""
        if not self.limits.ip_per_5s:
            return True
        if now_ms < self._banned_until.get(address, 0):
            return False
        if _count(self._by_address, address, now_ms // IP_WINDOW_MS) <= self.limits.ip_per_5s:
            return True
        self._banned_until[address] = now_ms + self.limits.ip_ban_s * 1000
        return False

    def admit_socket(self, address: str, now_ms: int) -> bool:
        """Count a new socket of an address; tell whether it may be opened."""
        if not self.limits.sockets_per_5min:
            return True
        return _count(self._sockets, address, now_ms // SOCKET_WINDOW_MS) <= self.limits.sockets_per_5min

    def pardon(self) -> None:
        """Forget every count and ban."""
        self._used.clear()
        self._by_address.clear()
        self._banned_until.clear()
        self._sockets.clear()

    def _limit_of(self, operation: str, category: str) -> int:
        if operation.startswith("order.") and operation not in QUERIES:
            return self.limits.spot_per_s if category == "spot" else self.limits.linear_per_s
        return self.limits.query_per_s


def _count(counts: dict[str, tuple[int, int]], address: str, window: int) -> int:
    start, used = counts.get(address, (window, 0))
    used = used + 1 if start == window else 1
    counts[address] = (window, used)
    return used


QUERIES = frozenset({"order.realtime", "order.history", "order.spot-borrow-check"})
"""Operations under `order` that only ask."""
