"""What a company may owe at once, by its tier: a value, made here once and handed to whoever decides.

Lowering a tier, a factor or a cap blocks new deals. It never touches one that exists: the rules read these terms
only when something new begins.
"""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

import msgspec

from engine.money import UsdMicros

HOUR_MS = 3_600_000
_DOLLAR = 1_000_000


class Tier(StrEnum):
    """How far the club trusts a company, from small to large."""

    S = "S"
    M = "M"
    L = "L"
    XL = "XL"


class VelocityWindow(msgspec.Struct, frozen=True):
    """How much a company may promise within the last `hours`, whatever it has settled meanwhile."""

    hours: int
    usd: UsdMicros

    @property
    def length_ms(self) -> int:
        """Give the window's length."""
        return self.hours * HOUR_MS


class TierTerms(msgspec.Struct, frozen=True):
    """The limits of one tier. The deposit times `k` bounds what is open, and so does `cap_open_exposure`."""

    k: Decimal
    cap_per_deal: UsdMicros
    cap_open_exposure: UsdMicros
    velocity: tuple[VelocityWindow, ...]


Tiers = Mapping[Tier, TierTerms]


def _terms(k: str, cap_per_deal: int, cap_open_exposure: int, hour: int, day: int) -> TierTerms:
    windows = (VelocityWindow(1, _dollars(hour)), VelocityWindow(24, _dollars(day)))
    return TierTerms(Decimal(k), _dollars(cap_per_deal), _dollars(cap_open_exposure), windows)


def _dollars(amount: int) -> UsdMicros:
    return UsdMicros(amount * _DOLLAR)


TIERS: Tiers = MappingProxyType(
    {
        # The hour's window lets the open exposure turn over twice, the day's five times: a stolen account
        # cannot run a company's whole month through in a night.
        Tier.S: _terms("2", cap_per_deal=10_000, cap_open_exposure=25_000, hour=50_000, day=125_000),
        Tier.M: _terms("3", cap_per_deal=50_000, cap_open_exposure=150_000, hour=300_000, day=750_000),
        Tier.L: _terms("4", cap_per_deal=250_000, cap_open_exposure=750_000, hour=1_500_000, day=3_750_000),
        Tier.XL: _terms("5", cap_per_deal=1_000_000, cap_open_exposure=3_000_000, hour=6_000_000, day=15_000_000),
    }
)
"""The club's terms unless its operator sets others."""
