"""A desk in front of a host of this process, without Ray: a thin stand-in takes the supervisor's place."""

from collections.abc import Awaitable, Callable
from typing import Any

from actors.desk import BotDesk
from actors.host import BotHost
from actors.messages import HostReport, StopOutcome, decode, encode
from engine.ids import BotId
from tests.scenarios.world import World


class _Remote:
    """Lets a method be called as Ray's actors are: `handle.method.remote(...)`."""

    def __init__(self, method: Callable[..., Awaitable[Any]]) -> None:
        self.remote = method


class OneHost:
    """Passes on to a single host what the supervisor would spread over many."""

    def __init__(self, host: BotHost) -> None:
        self._host = host
        self.look = _Remote(self._look)
        self.snapshots = _Remote(self._snapshots)
        self.emergency_stop = _Remote(self._emergency_stop)
        self.why_not_running = _Remote(self._why_not_running)

    async def _look(self, bot: str) -> None:
        await self._host.assign([bot])
        await self._host.look(bot)

    async def _snapshots(self, bots: list[str]) -> dict[str, bytes]:
        answers = {bot: await self._host.snapshot(bot) for bot in bots}
        return {bot: told for bot, told in answers.items() if told is not None}

    async def _why_not_running(self, bot: str) -> str:
        return decode(await self._host.report(), HostReport).waits.get(BotId(bot), "")

    async def _emergency_stop(self, bot: str | None) -> bytes:
        left = await self._host.emergency_stop(bot)
        return encode([StopOutcome(BotId(name), not count, count, "") for name, count in left.items()])


async def desk_of(world: World) -> BotDesk:
    """Open a desk on a world with one host."""
    return BotDesk(
        world.database, world.plan, OneHost(world.hosts[0] if world.hosts else await world.host()), "hand"
    )
