"""The club as the API sees it: companies come in here, and here is told how watchers, signers and sessions are.

What people ask of offers, deals, payouts and freezes goes to the repositories of `storage` directly; every one of
those commands is a transaction of its own and needs no actor to be alive.
"""

import asyncio
from typing import Any

from ray.exceptions import RayError

from actors import chains, wiring
from actors.admission import Admission
from actors.messages import ClubReport, ComponentHealth, decode
from actors.plan import ClubPlan
from engine.money import Network
from storage.database import Database

ANSWER_LIMIT_S = 3.0


class ClubDesk:
    """The door to the club's actors."""

    def __init__(self, database: Database, plan: "wiring.Plan", supervisor: Any) -> None:
        assert plan.club is not None
        self.plan: ClubPlan = plan.club
        self.admission = Admission(database, plan, plan.club.networks)
        self._supervisor = supervisor

    async def reports(self) -> dict[str, ClubReport]:
        """Say how each actor is, by name; nothing of those that do not answer."""
        answer = await self._ask("reports")
        return {} if answer is None else decode(answer, dict[str, ClubReport])

    async def health(self) -> list[ComponentHealth]:
        """Say how the club's parts are."""
        answer = await self._ask("health")
        if answer is None:
            return [ComponentHealth("club", False, "its supervisor does not answer")]
        return decode(answer, list[ComponentHealth])

    def check_address(self, network: Network, address: str) -> None:
        """Raise ValueError, saying what is wrong, for text that is no address of the network."""
        chains.check_address(network, address)

    async def _ask(self, question: str) -> bytes | None:
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                answer: bytes = await getattr(self._supervisor, question).remote()
                return answer
        except (RayError, TimeoutError):
            return None
