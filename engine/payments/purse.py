"""Whether a wallet can afford a batch of transfers, one after the other, beside those that are still under way.

A preflight weighs one transfer alone. Signed together, a hundred of them share one balance and one stock of
energy, and a transfer that runs out of either on the chain burns its fee for nothing.
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

    A wish is a preflight and the units to send. Energy is used before coin is burned, as the chain does; what is
    under way is taken to need as much energy as the dearest wish.
    """
    if not wishes:
        return []
    first = wishes[0][0]
    energy, coin = _left(first, max(weighed.energy_needed for weighed, _ in wishes), under_way)
    tokens = first.token_units - under_way.token_units
    answers: list[Shortage | None] = []
    for weighed, units in wishes:
        # As it was weighed, or with no energy left: then all of the fee limit may burn, bandwidth beside it.
        has_energy = energy >= min(weighed.energy_needed, weighed.energy_left)
        fee = weighed.worst_fee_units if has_energy else weighed.fee_limit + weighed.worst_fee_units
        lacks = _lack(weighed, units, fee, coin, tokens)
        answers.append(lacks)
        if lacks is None:
            tokens -= units
            coin -= fee
            energy = max(0, energy - weighed.energy_needed)
    return answers


def _left(weighed: Preflight, energy_needed: int, under_way: UnderWay) -> tuple[int, int]:
    """Give the energy and the coin that what is under way leaves over."""
    if under_way.count == 0:
        return weighed.energy_left, weighed.coin_units
    covered = min(under_way.count, weighed.energy_left // energy_needed) if energy_needed else under_way.count
    burning = under_way.fee_limits * (under_way.count - covered) // under_way.count
    return weighed.energy_left - covered * energy_needed, weighed.coin_units - burning


def _lack(weighed: Preflight, units: int, fee: int, coin: int, tokens: int) -> Shortage | None:
    if weighed.shortage is not None:
        return weighed.shortage
    if tokens < units:
        return Shortage.TOKEN
    if coin < fee:
        return Shortage.ENERGY if weighed.energy_needed else Shortage.COIN
    return None
