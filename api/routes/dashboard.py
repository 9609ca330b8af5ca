"""The dashboard: everything at a glance, of one owner."""

from typing import Annotated

import msgspec

from api.overview import overview
from api.resources import Owner
from api.routes.history import Moment
from api.routing import Routes
from api.services import Services
from api.trading_resources import Dashboard
from engine.access.principals import Principal
from engine.ids import Instant, UserId

routes = Routes("Dashboard")


class DashboardQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far back the curve reaches, and when the reader's day began."""

    days: Annotated[int, msgspec.Meta(ge=1, le=3_650)] = 7
    day_began_ms: Moment | None = None
    """Left out: midnight UTC."""
    owner: Owner | None = None
    """For operators; left out: one's own."""


@routes.get("/api/v1/dashboard", problems=(400, 503))
async def show_dashboard(services: Services, principal: Principal, query: DashboardQuery) -> Dashboard:
    """Show the figures of one's bots by quote coin, their curve, the latest fills, and what needs attention."""
    owner = services.owner_filter(principal, query.owner) or UserId(principal.user)
    day_began_ms = None if query.day_began_ms is None else Instant(query.day_began_ms)
    return await overview(services.desk, services.metrics, services.trades, owner, query.days, day_began_ms)
