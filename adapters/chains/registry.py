"""Which chains there are, and how each is opened: the one place that knows the adapters by name.

An adapter is imported when it is asked for: the libraries of one chain cost nobody who uses another.
"""

from collections.abc import Mapping

import msgspec

from adapters.chains.rpc import Clock, NodePool
from engine.money import Asset, AssetId, Network
from engine.payments.ports import KeyHolder, PayoutChain


class Chain(msgspec.Struct, frozen=True):
    """A network, in the numbers that waiting and warning go by."""

    network: Network
    title: str
    coin: Asset
    """What fees are paid in."""
    block_ms: int
    final_after_blocks: int
    """How many blocks pass, as a rule, until one is final."""


CHAINS: Mapping[Network, Chain] = {
    Network.TRON: Chain(
        network=Network.TRON,
        title="TRON",
        coin=Asset(AssetId("tron:TRX"), Network.TRON, "TRX", contract="", decimals=6),
        block_ms=3_000,
        final_after_blocks=19,
    ),
}


def payout_chain(pool: NodePool, clock: Clock) -> PayoutChain:
    """Open the chain that a pool's nodes belong to."""
    match Network(pool.network):
        case Network.TRON:
            from adapters.chains.tron.payouts import TronPayouts

            return TronPayouts(pool, clock)


def key_holder(network: Network, secret: bytearray) -> KeyHolder:
    """Take over a hot wallet's key: `secret` is emptied. ValueError for bytes that are no key."""
    match network:
        case Network.TRON:
            from adapters.chains.tron.keys import HotWalletKey

            return HotWalletKey(secret)


def check_address(network: Network, address: str) -> None:
    """Raise ValueError, saying what is wrong, for text that is no address of the network."""
    match network:
        case Network.TRON:
            from adapters.chains.tron.addresses import raw

            raw(address)
