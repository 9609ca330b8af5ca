"""How much may leave a wallet within a stretch of time: the limit that bounds what a thief gets before he is seen."""

from collections.abc import Mapping, Sequence

import msgspec

from engine.ids import HotWalletId, Instant
from engine.money import AssetId


class PayoutPolicy(msgspec.Struct, frozen=True):
    """The rules for paying one asset. An asset without a policy is not paid."""

    token: AssetId
    cap_units: int
    """At most this in one transfer; what is more is split."""
    approvals: int
    """How many APPROVERs must say yes."""
    window_ms: int
    window_units: int
    """At most this leaves one hot wallet within `window_ms`."""


class Signed(msgspec.Struct, frozen=True):
    """What was signed before and counts: paid, or still able to be. What is proved dead does not."""

    hot_wallet: HotWalletId
    token: AssetId
    units: int
    at_ms: Instant


def room_units(policy: PayoutPolicy, signed: Sequence[Signed], hot_wallet: HotWalletId, now: Instant) -> int:
    """Give how much may still be signed now; never below zero."""
    since = now - policy.window_ms
    gone = sum(
        past.units
        for past in signed
        if past.at_ms > since and past.hot_wallet == hot_wallet and past.token == policy.token
    )
    return max(0, policy.window_units - gone)


def cap_of(policies: Mapping[AssetId, PayoutPolicy], token: AssetId) -> int:
    """Give the cap of one transfer; 0, which nothing passes, for an asset without a policy."""
    policy = policies.get(token)
    return 0 if policy is None else policy.cap_units
