"""The program as a whole: is it well, what does it measure, what changes, and what does the API offer."""

import logging
from collections import Counter
from typing import Annotated

import msgspec
from aiohttp import hdrs, web
from prometheus_client.core import Metric

from api import club_metrics, metrics
from api.live import ActionTaken, ExecutionSeen
from api.resources import Bot, Health, Status
from api.routing import Routes, json_response
from api.services import Services
from engine.access.principals import Access, Principal
from engine.errors import VenueError
from engine.ids import BotId
from storage import club_figures

log = logging.getLogger(__name__)

routes = Routes("System")


class StreamQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which bot to listen to."""

    bot: Annotated[str, msgspec.Meta(max_length=20)] | None = None
    """All of them if it is left out."""


@routes.get("/api/v1/status", problems=(503,))
async def show_status(services: Services, principal: Principal) -> Status:
    """Show the program: its feed, its components, one's bots (an operator: everybody's) by status."""
    components = await services.components()
    views = await services.desk.views(services.owner_filter(principal, None))
    programme = services.programme
    return Status(
        version=programme.version,
        environment=programme.environment,
        feed=programme.feed,
        placement=programme.placement,
        address=programme.address,
        started_ms=programme.started_ms,
        ok=all(component.ok for component in components),
        components=components,
        bots=dict(sorted(Counter(view.status for view in views).items())),
    )


@routes.get(
    "/api/v1/stream",
    media_type="text/event-stream",
    is_bounded=False,
    answer=str,
    mentions=(Bot, ExecutionSeen, ActionTaken),
    problems=(404, 503),
)
async def stream(
    services: Services, principal: Principal, query: StreamQuery, request: web.Request
) -> web.StreamResponse:
    """Follow what changes, as Server-Sent Events that are resumed by Last-Event-ID.

    Events are `bot` (a Bot), `execution` (an ExecutionSeen) and `action` (an ActionTaken). After `reset` forget
    what you have: every bot follows as it is now.
    """
    bot = BotId(query.bot) if query.bot else None
    if bot is not None:
        await services.check_bot(principal, bot)
    events = services.stream.events(services.screen(principal), bot, request.headers.get("Last-Event-ID"))
    # The first piece before the headers, so that an unknown bot or a full house is a problem document.
    first = await anext(events)
    response = web.StreamResponse(
        headers={hdrs.CONTENT_TYPE: "text/event-stream", hdrs.CACHE_CONTROL: "no-store", "X-Accel-Buffering": "no"}
    )
    try:
        await response.prepare(request)
        await response.write(first)
        async for text in events:
            await response.write(text)
    except (VenueError, TimeoutError) as error:
        # The answer has begun, so it can only end; the screen comes back with the id of its last event.
        log.warning("stream.ended error=%s", error)
    finally:
        await events.aclose()
    return response


@routes.get("/api/v1/openapi.json", access=Access.PUBLIC, answer=dict)
async def show_openapi(services: Services, request: web.Request) -> web.StreamResponse:
    """Describe this API (OpenAPI 3.1)."""
    return web.Response(body=services.openapi, content_type="application/json")


@routes.get("/healthz", access=Access.PUBLIC, problems=(503,), answer=Health)
async def show_health(services: Services, request: web.Request) -> web.StreamResponse:
    """Tell, by component and with its age, whether the program does its work; 503 while one does not."""
    components = await services.components()
    ok = all(component.ok for component in components)
    return json_response(Health(ok, components), 200 if ok else 503)


@routes.get("/metrics", access=Access.OPERATOR, media_type="text/plain", answer=str)
async def show_metrics(services: Services, request: web.Request) -> web.StreamResponse:
    """Give Prometheus its figures."""
    more: list[Metric] = []
    if services.has_club:
        figures = await club_figures.read(services.database, services.club.now())
        more = list(club_metrics.families(figures, await services.club.desk.reports()))
    text = services.meters.text(await services.desk.views(), await services.components(), more)
    return web.Response(body=text, headers={hdrs.CONTENT_TYPE: metrics.MEDIA_TYPE})
