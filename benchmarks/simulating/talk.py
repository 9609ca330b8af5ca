"""How people talk to the engine: through the doors of console and API, each wish under an id of its own.

They click twice, and they remember what they have said: should the database forget it, they say it again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from storage.club_commands import Command

if TYPE_CHECKING:
    from benchmarks.simulating.world import World

OPERATORS = ("op_ada", "op_grace")


class Talk:
    """What all people of a run have said."""

    def __init__(self, world: "World") -> None:
        self.numbers = 0
        """How many numbers were given away."""
        self._world = world
        self._said: list[tuple[int, Callable[[], Awaitable[object]]]] = []

    def number(self) -> int:
        """Give a number that nothing else has."""
        self.numbers += 1
        return self.numbers

    def command(self, actor: str) -> Command:
        """Sign a wish as somebody's."""
        return Command(actor, f"command {self.number()}", self._world.clock())

    async def say(self, who: str, what: str, wish: Callable[[], Awaitable[Any]]) -> Any:
        """Put a wish to the engine, sometimes twice at once."""
        self.remember(self._world.trace.add(who, what), wish)
        if self._world.dice.hits(self._world.dice.odds.people):
            self._world.dice.note("double click", who)
            answers = await asyncio.gather(wish(), wish())
            return answers[0]
        return await wish()

    def remember(self, moment: int, wish: Callable[[], Awaitable[object]]) -> None:
        """Keep a wish for the case that it is forgotten."""
        self._said.append((moment, wish))

    async def again_since(self, moment: int) -> None:
        """Say everything once more that was said since then."""
        for said_at, again in list(self._said):
            if said_at > moment:
                await again()
