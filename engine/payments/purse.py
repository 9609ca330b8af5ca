"""Whether a wallet can afford a batch of transfers, one after the other, beside those that are still under way.

A preflight weighs one transfer alone. Signed together, a hundred of them share one balance and one stock of energy,
and a transfer that runs out of either on the chain burns its fee for nothing.
"""

from collections.abc import Sequence

import msgspec

from engine.payments.chain import Preflight, Shortage


class UnderWay(msgspec.Struct, frozen=True):
    """What attempts that are neither paid nor dead may still take from the wallet."""

    count: int = 0
    fee_limits: int = 0
    """The sum of the worst fees, in the network's own coin."""
    token_units: int = 0
    """Of the asset that is weighed."""


def allot(wishes: Sequence[tuple[Preflight, int]], under_way: UnderWay) -> list[Shortage | None]:
    """Say of each transfer of one asset what it lacks, given to the earlier ones first; None: it can be sent.

    A wish is a preflight and the units to send. Energy is used before coin is burned, as the chain does.
    """
    if not wishes:
        return []
    first = wishes[0][0]
    energy = first.energy_left - under_way.count * max(weighed.energy_needed for weighed, _ in wishes)
    coin = first.coin_units - under_way.fee_limits
    tokens = first.token_units - under_way.token_units
    answers: list[Shortage | None] = []
    for weighed, units in wishes:
        lacks = _lack(weighed, units, energy, coin, tokens)
        answers.append(lacks)
        if lacks is None:
            tokens -= units
            if energy >= weighed.energy_needed:
                energy -= weighed.energy_needed
            else:
                coin -= weighed.fee_limit
    return answers


def _lack(weighed: Preflight, units: int, energy: int, coin: int, tokens: int) -> Shortage | None:
    if weighed.shortage is Shortage.RECIPIENT_NOT_ACTIVE:
        return weighed.shortage
    if tokens < units:
        return Shortage.TOKEN
    if energy < weighed.energy_needed and coin < weighed.fee_limit:
        return Shortage.ENERGY if weighed.energy_needed > 0 else Shortage.COIN
    # The chain's own weighing knows costs that we do not count, as bandwidth.
    return weighed.shortage if weighed.shortage is not Shortage.TOKEN else None
