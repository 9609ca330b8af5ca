"""How much may leave a wallet within a stretch of time: what bounds the loss to a thief before he is seen."""

import msgspec

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


def room_units(policy: PayoutPolicy, gone_units: int) -> int:
    """Give how much may still be signed, after `gone_units` within the window; never below zero.

    What is proved dead has not gone. What still may be paid has.
    """
    return max(0, policy.window_units - gone_units)
