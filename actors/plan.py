"""What the club's actors need to know of an installation: its networks, and whether its money is real. No keys."""

import msgspec

from adapters.chains.registry import CHAINS
from engine.money import Asset, Network


class ChainPlan(msgspec.Struct, frozen=True):
    """A network as this installation reaches it: addresses of nodes, the preferred first."""

    network: Network
    nodes: tuple[str, ...]
    assets: tuple[Asset, ...]
    """What the club trades there."""
    treasury: tuple[str, ...] = ()
    """The operator's own addresses."""

    @property
    def coin(self) -> Asset:
        """Give what fees are paid in."""
        return CHAINS[self.network].coin

    @property
    def block_ms(self) -> int:
        """Give the usual time between two blocks."""
        return CHAINS[self.network].block_ms


class ClubPlan(msgspec.Struct, frozen=True):
    """The club of an installation. `devnet`: the address of the demo's own TRON; empty for real networks."""

    networks: tuple[ChainPlan, ...]
    node: str
    """The Ray node that signers stay on: the broadcast journal is a file there."""
    devnet: str = ""

    @property
    def is_demo(self) -> bool:
        """Tell whether the money is worth nothing."""
        return bool(self.devnet)

    def chain(self, network: Network) -> ChainPlan:
        """Give one network; KeyError for one that is not here."""
        for plan in self.networks:
            if plan.network is network:
                return plan
        raise KeyError(network)
