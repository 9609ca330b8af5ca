"""Accounts: TRX, who may sign, and the two resources that refill within a day."""

import msgspec

from .transactions import Key, Permission

DAY_MS = 86_400_000
OWNER_PERMISSION = 0
FIRST_ACTIVE_PERMISSION = 2

# What a new account's active permission allows: every type of contract that moves something, not the change of
# permissions itself.
DEFAULT_OPERATIONS = bytes.fromhex("7fff1fc0033ec30f000000000000000000000000000000000000000000000000")


class Usage(msgspec.Struct, frozen=True):
    """How much of a resource was used, as of a moment; it is given back evenly over a day."""

    used: int = 0
    at_ms: int = 0

    def now(self, now_ms: int) -> int:
        """Give what still counts as used."""
        left_ms = DAY_MS - (now_ms - self.at_ms)
        return self.used * left_ms // DAY_MS if 0 < left_ms < DAY_MS else self.used * (left_ms >= DAY_MS)

    def add(self, units: int, now_ms: int) -> "Usage":
        """Use more."""
        return Usage(self.now(now_ms) + units, now_ms)


class Account(msgspec.Struct, frozen=True):
    """An activated account. Without own permissions its key may do everything."""

    address: bytes
    balance: int = 0
    """In sun, a millionth of a TRX."""
    created_ms: int = 0
    owner: Permission | None = None
    actives: tuple[Permission, ...] = ()
    free_net: Usage = Usage()
    energy: Usage = Usage()
    energy_limit: int = 0
    """Energy a day from staked TRX, its own or rented."""

    def permission(self, number: int) -> Permission | None:
        """Give the permission with a number, if there is one."""
        if number == OWNER_PERMISSION:
            return self.owner or default_owner(self.address)
        actives = self.actives or (default_active(self.address),)
        return next((each for each in actives if each.id == number), None)

    def energy_left(self, now_ms: int) -> int:
        """Give what is left of today's staked energy."""
        return max(0, self.energy_limit - self.energy.now(now_ms))


def default_owner(address: bytes) -> Permission:
    """Give the owner permission of an account that never changed it."""
    return Permission(OWNER_PERMISSION, "owner", 1, (Key(address, 1),))


def default_active(address: bytes) -> Permission:
    """Give the active permission of an account that never changed it."""
    return Permission(FIRST_ACTIVE_PERMISSION, "active", 1, (Key(address, 1),), DEFAULT_OPERATIONS)
