"""A company joins the club: its row, and an address of its own on each network, whose key the platform draws.

Done again it changes nothing, whatever was missing the first time: a company whose address could not be made yet
gets it now.
"""

from collections.abc import Sequence

from actors import chains, wiring
from actors.plan import ChainPlan
from engine.settlement.companies import Company
from storage.companies import Companies
from storage.database import Database


class Admission:
    """The door through which companies come in."""

    def __init__(self, database: Database, plan: "wiring.Plan", networks: Sequence[ChainPlan]) -> None:
        self._companies = Companies(database)
        self._plan = plan
        self._networks = networks

    async def admit(self, company: Company, actor: str) -> Company:
        """Let a company in. `AlreadyExistsDifferently` for other content under a known id."""
        row = await self._companies.create(company, actor)
        for chain in self._networks:
            known = await self._companies.hot_wallets(chain.network)
            if all(wallet.company_id != company.id for wallet in known):
                # Two who admit one company at once: one key is kept, the other was shown to nobody.
                new = chains.draw_hot_wallet(self._plan, chain.network, company.id, company.created_at_ms)
                await self._companies.add_hot_wallet(*new, actor)
        return row
