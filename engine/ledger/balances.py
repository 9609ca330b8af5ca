"""What an account has, and how much of it pending transfers hold."""

import msgspec


class Balance(msgspec.Struct, frozen=True):
    """Base units on the account's normal side. `held` counts the pending transfers that would lower it."""

    units: int = 0
    held: int = 0

    @property
    def available(self) -> int:
        """Give what may still leave the account, as far as its floor allows."""
        return self.units - self.held
