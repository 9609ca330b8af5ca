"""Seals secrets for the database under the installation's keys, for those who may not know the adapters."""

from actors import wiring
from adapters.secrets.envelope import Sealed


class Seals:
    """Seals and opens under the keys that a plan names; a value opens at the place that it was sealed for only."""

    def __init__(self, plan: "wiring.Plan") -> None:
        self._vault = wiring.vault(plan)

    def seal(self, plain: bytes, *place: str) -> bytes:
        """Give what may be stored."""
        return self._vault.seal(plain, *place).content

    def open(self, content: bytes, *place: str) -> bytes:
        """Give back what was sealed; raises `adapters.secrets.sealed.SealBroken` for anything else."""
        return self._vault.open(Sealed(content), *place)
