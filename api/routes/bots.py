"""Bots: weigh, create, look, start, stop. Whatever the rules refuse comes back as 422 with every reason."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from actors.messages import StopOutcome
from api.problems import refused
from api.resources import (
    Bot,
    BotList,
    CreateBot,
    Levels,
    PreviewBot,
    Profit,
    StopBot,
    Stopped,
    to_bot,
)
from api.routing import Routes
from api.services import OPERATOR_AT_API, Services
from engine.errors import Refusal, Rejected, RejectReason
from engine.grid.config import GridConfig
from engine.grid.preview import Preview
from engine.ids import BotId

routes = Routes("Bots")


@routes.get("/api/v1/bots", problems=(503,))
async def list_bots(services: Services) -> BotList:
    """List every bot, newest first."""
    views = await services.desk.views()
    return BotList([to_bot(view) for view in sorted(views, key=lambda view: view.created_ms, reverse=True)])


@routes.post("/api/v1/bots", status=201, problems=(400, 409, 415, 422, 503))
async def create_bot(services: Services, body: CreateBot, command_id: str) -> Bot:
    """Create a bot and, unless asked not to, start it. The same Idempotency-Key gives the same bot."""
    name = body.name.strip() or f"{body.config.symbol} {body.config.direction}"
    with _symbol_refused(body.config):
        made = await services.desk.create(
            OPERATOR_AT_API, body.account, name, body.config, command_id, start=body.start
        )
    if isinstance(made, list):
        raise refused(made, "config")
    return to_bot(made)


@routes.post("/api/v1/bots/preview", problems=(400, 415, 422, 503))
async def preview_bot(services: Services, body: PreviewBot) -> Preview:
    """Weigh a bot before it exists: orders, profit per grid, the worst corner, the risk. Changes nothing."""
    with _symbol_refused(body.config):
        preview = await services.desk.preview(body.account, body.config)
    if isinstance(preview, list):
        raise refused(preview, "config")
    return preview


@routes.get("/api/v1/bots/{bot}", problems=(404, 503))
async def show_bot(services: Services, bot: str) -> Bot:
    """Show one bot."""
    return to_bot(await services.desk.view(BotId(bot)))


@routes.get("/api/v1/bots/{bot}/levels", problems=(404, 503))
async def show_levels(services: Services, bot: str) -> Levels:
    """Say of each level why it has, or has not, an order."""
    view = await services.desk.view(BotId(bot))
    return Levels(view.id, view.price, view.live, view.as_of_ms, list(view.levels))


@routes.get("/api/v1/bots/{bot}/pnl", problems=(404, 503))
async def show_profit(services: Services, bot: str) -> Profit:
    """Show a bot's result, term by term."""
    view = await services.desk.view(BotId(bot))
    return Profit(view.id, view.profit, view.live, view.as_of_ms)


@routes.post("/api/v1/bots/{bot}/start", problems=(400, 404, 409, 503))
async def start_bot(services: Services, bot: str, command_id: str | None) -> Bot:
    """Start a bot, or start it again after a stop or a pause."""
    return to_bot(await services.desk.start(OPERATOR_AT_API, BotId(bot), command_id))


@routes.post("/api/v1/bots/{bot}/stop", problems=(400, 404, 409, 415, 503))
async def stop_bot(services: Services, bot: str, body: StopBot, command_id: str | None) -> Bot:
    """Cancel every order of a bot and end it, keeping or selling the position."""
    return to_bot(await services.desk.stop(OPERATOR_AT_API, BotId(bot), body.sell, command_id))


@routes.post("/api/v1/bots/{bot}/emergency-stop", problems=(404, 503))
async def emergency_stop_bot(services: Services, bot: str) -> Stopped:
    """Cancel every order of one bot at once, also while the database is away. The position stays."""
    return _stopped(await services.desk.emergency_stop(OPERATOR_AT_API, BotId(bot)))


@routes.post("/api/v1/emergency-stop", problems=(503,))
async def emergency_stop_all(services: Services) -> Stopped:
    """Cancel every order of every bot at once, also while the database is away. The positions stay."""
    return _stopped(await services.desk.emergency_stop(OPERATOR_AT_API, None))


@contextmanager
def _symbol_refused(config: GridConfig) -> Iterator[None]:
    """Say of a pair that the venue does not list what is said of any other wrong value."""
    try:
        yield
    except Rejected as error:
        if error.reason is not RejectReason.NOT_FOUND:
            raise
        message = f"{config.symbol} is not traded on the {config.market} market of this account's venue"
        raise refused([Refusal("unknown_symbol", "symbol", message, "for example BTCUSDT")], "config") from None


def _stopped(outcomes: Sequence[StopOutcome]) -> Stopped:
    return Stopped(list(outcomes), all(outcome.stopped for outcome in outcomes))
