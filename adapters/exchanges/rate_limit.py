"""How many requests an account may send now, as far as this process and the venue's answers tell.

A bucket starts from the venue's documented limit, obeys what the venue's headers say, and is shared by all bots
of an account in the process. It never sleeps and never sends: callers ask, and wait as long as it says.
"""

from collections import deque
from collections.abc import Hashable
from weakref import WeakValueDictionary

WINDOW_S = 1.05
"""A second, and a little more: two requests a second apart here may arrive closer together there."""


class Bucket:
    """Lets at most `limit` requests pass in any window. Times are `time.monotonic()` seconds."""

    def __init__(self, limit: int, window_s: float = WINDOW_S) -> None:
        self.limit = limit
        self._window_s = window_s
        self._sent_at: deque[float] = deque()
        self._closed_until = 0.0

    def available(self, now_s: float) -> int:
        """Tell how many requests may be sent now."""
        if now_s < self._closed_until:
            return 0
        sent_at = self._sent_at
        oldest = now_s - self._window_s
        while sent_at and sent_at[0] <= oldest:
            sent_at.popleft()
        return max(0, self.limit - len(sent_at))

    def take(self, now_s: float, count: int = 1) -> bool:
        """Use up `count` requests if there are that many; say whether there were."""
        if self.available(now_s) < count:
            return False
        self._sent_at.extend([now_s] * count)
        return True

    def wait_s(self, now_s: float) -> float:
        """Tell how long until the next request may be sent."""
        if self.available(now_s):
            return 0.0
        if now_s < self._closed_until:
            return self._closed_until - now_s
        # With room for `limit`, the request that blocks is the one `limit` places from the newest.
        blocking = self._sent_at[len(self._sent_at) - self.limit] if self.limit else now_s
        return max(0.0, blocking + self._window_s - now_s)

    def observe(self, limit: int, remaining: int, now_s: float) -> None:
        """Adopt what the venue says: its limit, and fewer remaining requests than we counted.

        More remaining than we counted is not adopted: the venue has not yet seen what is still on its way.
        """
        if limit > 0:
            self.limit = limit
        for _ in range(self.available(now_s) - max(0, remaining)):
            self._sent_at.append(now_s)

    def close_until(self, until_s: float) -> None:
        """Let nothing pass before `until_s`."""
        self._closed_until = max(self._closed_until, until_s)


ADDRESS_PER_S = 25
"""Bybit shuts an address out for ten minutes after 600 requests in 5 seconds, whosever they are. Several processes
of ours may share it, and none knows of the others: each keeps to a share, however many accounts it has."""


class Address:
    """What a host allows our address: one share, and one ban, for all accounts that this process uses there."""

    def __init__(self) -> None:
        self.banned_until_s = 0.0
        self.share = Bucket(ADDRESS_PER_S)


class AccountLimits:
    """The buckets of one account (or of the public side of one venue), made on first use."""

    def __init__(self, address: Address | None = None) -> None:
        self._buckets: dict[Hashable, Bucket] = {}
        self._address = address or Address()

    @property
    def share(self) -> Bucket:
        """Give what this process may ask the host, over all accounts."""
        return self._address.share

    def bucket(self, kind: Hashable, limit: int) -> Bucket:
        """Give the bucket of one kind of request, starting at the documented `limit`."""
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = Bucket(limit)
        return bucket

    def halt(self, until_s: float) -> None:
        """Stop every request until `until_s`: the venue has banned us, and each further one prolongs the ban."""
        self._address.banned_until_s = max(self._address.banned_until_s, until_s)

    def halted_s(self, now_s: float) -> float:
        """Tell how long the halt still lasts; 0 when there is none."""
        return max(0.0, self._address.banned_until_s - now_s)


_shared: WeakValueDictionary[tuple[str, str], AccountLimits] = WeakValueDictionary()
_addresses: WeakValueDictionary[str, Address] = WeakValueDictionary()


def shared_limits(host: str, account: str) -> AccountLimits:
    """Give the limits of an account at a host: the same ones to everybody in this process."""
    limits = _shared.get((host, account))
    if limits is None:
        address = _addresses.get(host)
        if address is None:
            address = _addresses[host] = Address()
        limits = _shared[(host, account)] = AccountLimits(address)
    return limits
