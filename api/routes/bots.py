"""Bots: weigh, create, look, start, stop. Whatever the rules refuse comes back as 422 with every reason."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum

import msgspec

from actors.messages import StopOutcome
from actors.venues import UnknownAccount
from api.problems import ApiProblem, Kind, refused
from api.resources import (
    Bot,
    BotList,
    CreateBot,
    Levels,
    Owner,
    PreviewBot,
    Profit,
    RenameBot,
    StopBot,
    Stopped,
    to_bot,
)
from api.routes.history import Limit
from api.routing import Routes
from api.services import Services
from api.trading_resources import SuggestBot
from engine.access.principals import Principal
from engine.errors import Refusal, Rejected, RejectReason
from engine.grid.config import GridConfig, market_of
from engine.grid.preview import Preview
from engine.grid.stopping import StopPreview
from engine.ids import BotId
from engine.trading.instrument import Market

routes = Routes("Bots")


class Archived(StrEnum):
    """Whether to list bots that were put out of sight."""

    NO = "no"
    YES = "yes"
    ALL = "all"


_ARCHIVED = {Archived.NO: False, Archived.YES: True, Archived.ALL: None}


class BotsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which bots to list."""

    owner: Owner | None = None
    """For operators; left out: everybody's."""
    archived: Archived = Archived.NO
    limit: Limit | None = None
    """At most so many, the newest; left out: all of them."""


@routes.get("/api/v1/bots", problems=(400, 503))
async def list_bots(services: Services, principal: Principal, query: BotsQuery) -> BotList:
    """List one's bots (an operator: everybody's), newest first."""
    owner = services.owner_filter(principal, query.owner)
    views = await services.desk.views(owner, archived=_ARCHIVED[query.archived], limit=query.limit)
    return BotList([to_bot(view) for view in views])


@routes.post("/api/v1/bots", status=201, problems=(400, 409, 415, 422, 503))
async def create_bot(services: Services, principal: Principal, body: CreateBot, command_id: str) -> Bot:
    """Create a bot and, unless asked not to, start it. The same Idempotency-Key gives the same bot."""
    account = await services.owned_account(principal, body.account)
    name = body.name.strip() or f"{body.config.symbol} {body.config.direction}"
    with _symbol_refused(body.config.symbol, body.config.market, "config"):
        made = await services.desk.create(
            principal.actor, account.id, name, body.config, command_id, start=body.start, owner=account.owner
        )
    if isinstance(made, list):
        raise refused(made, "config")
    return to_bot(made)


@routes.post("/api/v1/bots/preview", problems=(400, 415, 422, 503))
async def preview_bot(services: Services, principal: Principal, body: PreviewBot) -> Preview:
    """Weigh a bot before it exists: orders, profit per grid, the worst corner, the risk. Changes nothing."""
    await services.owned_account(principal, body.account)
    with _symbol_refused(body.config.symbol, body.config.market, "config"):
        preview = await services.desk.preview(body.account, body.config, with_history=body.history)
    if isinstance(preview, list):
        raise refused(preview, "config")
    return preview


@routes.post("/api/v1/bots/suggest", problems=(400, 415, 422, 503))
async def suggest_bot(services: Services, principal: Principal, body: SuggestBot) -> GridConfig:
    """Lay a grid over where the market was in the last week, to begin a form with. Changes nothing."""
    await services.owned_account(principal, body.account)
    with _symbol_refused(body.symbol, market_of(body.direction), ""):
        return await services.desk.market.suggest(body.account, body.symbol, body.direction, body.amount)


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
async def start_bot(services: Services, principal: Principal, bot: str, command_id: str | None) -> Bot:
    """Start a bot, or start it again after a stop or a pause."""
    return to_bot(await services.desk.start(principal.actor, BotId(bot), command_id))


@routes.post("/api/v1/bots/{bot}/stop", problems=(400, 404, 409, 415, 503))
async def stop_bot(
    services: Services, principal: Principal, bot: str, body: StopBot, command_id: str | None
) -> Bot:
    """Cancel every order of a bot and end it, keeping or selling the position."""
    return to_bot(await services.desk.stop(principal.actor, BotId(bot), body.sell, command_id))


@routes.get("/api/v1/bots/{bot}/stop-preview", problems=(404, 409, 422, 503))
async def preview_stop(services: Services, bot: str) -> StopPreview:
    """Say in numbers what a stop would do now: keeping the position, and closing it at market. Changes nothing."""
    try:
        preview = await services.desk.preview_stop(BotId(bot))
    except UnknownAccount:
        raise ApiProblem(Kind.CONFLICT, "the bot's account was removed", code="account_removed") from None
    if preview is None:
        raise ApiProblem(Kind.CONFLICT, "the bot has not begun: a stop changes nothing", code="not_begun")
    return preview


@routes.post("/api/v1/bots/{bot}/rename", problems=(400, 404, 415, 503))
async def rename_bot(services: Services, principal: Principal, bot: str, body: RenameBot) -> Bot:
    """Give a bot another name."""
    return to_bot(await services.desk.rename(principal.actor, BotId(bot), body.name.strip()))


@routes.post("/api/v1/bots/{bot}/archive", problems=(404, 409, 503))
async def archive_bot(services: Services, principal: Principal, bot: str) -> Bot:
    """Put a bot that has ended out of sight; its history stays. Archived bots do not start again."""
    return to_bot(await services.desk.archive(principal.actor, BotId(bot)))


@routes.post("/api/v1/bots/{bot}/emergency-stop", is_emergency=True, problems=(404, 503))
async def emergency_stop_bot(services: Services, principal: Principal, bot: str) -> Stopped:
    """Cancel every order of one bot at once, also while the database is away. The position stays."""
    return _stopped(await services.desk.emergency_stop(principal.actor, BotId(bot)))


@routes.post("/api/v1/emergency-stop", is_emergency=True, problems=(503,))
async def emergency_stop_all(services: Services, principal: Principal) -> Stopped:
    """Cancel every order of one's bots at once (an operator: of everybody's). The positions stay.

    Works also while the database is away: for a user, on the bots that were looked at since the start.
    """
    if principal.is_operator:
        return _stopped(await services.desk.emergency_stop(principal.actor, None))
    own = await services.bots_of(principal.user)
    outcomes = await asyncio.gather(*(services.desk.emergency_stop(principal.actor, bot) for bot in own))
    return _stopped(list(itertools.chain.from_iterable(outcomes)))


@contextmanager
def _symbol_refused(symbol: str, market: Market, within: str) -> Iterator[None]:
    """Say of a pair that the venue does not list what is said of any other wrong value."""
    try:
        yield
    except Rejected as error:
        if error.reason is not RejectReason.NOT_FOUND:
            raise
        message = f"{symbol} is not traded on the {market} market of this account's venue"
        raise refused([Refusal("unknown_symbol", "symbol", message, "for example BTCUSDT")], within) from None


def _stopped(outcomes: Sequence[StopOutcome]) -> Stopped:
    return Stopped(list(outcomes), all(outcome.stopped for outcome in outcomes))
