"""A bot's past, read from the database: orders, executions, round trips, funding, its log, its figures over time.

Lists are newest first and paged by a cursor, so that rows which arrive meanwhile neither repeat nor hide others.
"""

from enum import StrEnum
from typing import Annotated

import msgspec

from api.problems import ApiProblem, FieldProblem, Kind
from api.resources import MetricsHistory
from api.routing import Routes
from api.services import Services
from engine.grid.state import OrderPhase
from engine.ids import BotId, Instant, LinkId
from engine.trading.orders import OrderStatus
from storage.actions import ActionRow
from storage.executions import ExecutionRow, FundingRow, RoundTripRow
from storage.orders import OrderRow
from storage.paging import PAGE_ROWS_MAX, Page

routes = Routes("History")

Limit = Annotated[int, msgspec.Meta(ge=1, le=PAGE_ROWS_MAX)]
Cursor = Annotated[str, msgspec.Meta(max_length=300, description="`next_cursor` of the page before.")]
Moment = Annotated[int, msgspec.Meta(ge=0, le=2**53, description="Milliseconds since the epoch.")]

DAY_MS = 86_400_000
POINTS_MAX = 2_000


class OrderState(StrEnum):
    """Which orders to list."""

    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    ALL = "all"


_STATUSES: dict[OrderState, list[str] | None] = {
    # Whatever may still be at the venue, with every doubt about it.
    OrderState.OPEN: [
        OrderStatus.OPEN,
        OrderPhase.SENT,
        OrderPhase.LIVE,
        OrderPhase.CANCELLING,
        OrderPhase.UNKNOWN,
    ],
    OrderState.FILLED: [OrderStatus.FILLED],
    OrderState.CANCELLED: [OrderStatus.CANCELLED, OrderStatus.REJECTED, "absent"],
    OrderState.ALL: None,
}


class ListQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page of a list."""

    cursor: Cursor | None = None
    limit: Limit = 50


class OrdersQuery(ListQuery, frozen=True, forbid_unknown_fields=True):
    """A page of orders."""

    state: OrderState = OrderState.ALL
    since_ms: Moment | None = None
    until_ms: Moment | None = None


class ExecutionsQuery(ListQuery, frozen=True, forbid_unknown_fields=True):
    """A page of executions, of one order or of all."""

    order: str | None = None
    since_ms: Moment | None = None
    until_ms: Moment | None = None


class LevelQuery(ListQuery, frozen=True, forbid_unknown_fields=True):
    """A page of what concerns one level, or all."""

    level: Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)] | None = None


class SpanQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A span of time, thinned to a number of points."""

    until_ms: Moment
    since_ms: Moment | None = None
    """A day before `until_ms` if it is left out."""
    points: Annotated[int, msgspec.Meta(ge=2, le=POINTS_MAX)] = 500


@routes.get("/api/v1/bots/{bot}/orders", problems=(400, 404, 503))
async def list_orders(services: Services, bot: str, query: OrdersQuery) -> Page[OrderRow]:
    """List a bot's orders: open, filled, cancelled or all."""
    known = await _known(services, bot)
    return await services.orders.page(
        known,
        statuses=_STATUSES[query.state],
        since_ms=_instant(query.since_ms),
        until_ms=_instant(query.until_ms),
        cursor=query.cursor,
        limit=query.limit,
    )


@routes.get("/api/v1/bots/{bot}/executions", problems=(400, 404, 503))
async def list_executions(services: Services, bot: str, query: ExecutionsQuery) -> Page[ExecutionRow]:
    """List a bot's executions, with the fee of each."""
    known = await _known(services, bot)
    return await services.executions.page(
        known,
        link_id=LinkId(query.order) if query.order else None,
        since_ms=_instant(query.since_ms),
        until_ms=_instant(query.until_ms),
        cursor=query.cursor,
        limit=query.limit,
    )


@routes.get("/api/v1/bots/{bot}/round-trips", problems=(400, 404, 503))
async def list_round_trips(services: Services, bot: str, query: LevelQuery) -> Page[RoundTripRow]:
    """List the completed buys and sells of a bot's intervals: what its grid profit consists of."""
    known = await _known(services, bot)
    return await services.executions.round_trips(known, level=query.level, cursor=query.cursor, limit=query.limit)


@routes.get("/api/v1/bots/{bot}/funding", problems=(400, 404, 503))
async def list_funding(services: Services, bot: str, query: ListQuery) -> Page[FundingRow]:
    """List the funding that a bot's position paid (positive) or received."""
    known = await _known(services, bot)
    return await services.executions.funding(known, cursor=query.cursor, limit=query.limit)


@routes.get("/api/v1/bots/{bot}/actions", problems=(400, 404, 503))
async def list_actions(services: Services, bot: str, query: LevelQuery) -> Page[ActionRow]:
    """List what a bot did and why, in words."""
    known = await _known(services, bot)
    return await services.actions.page(known, level=query.level, cursor=query.cursor, limit=query.limit)


@routes.get("/api/v1/bots/{bot}/metrics-history", problems=(400, 404, 503))
async def show_metrics_history(services: Services, bot: str, query: SpanQuery) -> MetricsHistory:
    """Give a bot's figures over a span of time, for charts."""
    known = await _known(services, bot)
    since_ms = query.until_ms - DAY_MS if query.since_ms is None else query.since_ms
    if since_ms >= query.until_ms:
        detail = "the span is empty: since_ms must be before until_ms"
        raise ApiProblem(Kind.MALFORMED, detail, [FieldProblem(detail, parameter="since_ms")])
    rows = await services.metrics.series(
        known, Instant(since_ms), Instant(query.until_ms), points_max=query.points
    )
    return MetricsHistory(known, rows)


async def _known(services: Services, bot: str) -> BotId:
    """Tell an unknown bot from one whose list is empty."""
    if await services.bots.get(BotId(bot)) is None:
        raise ApiProblem(Kind.NOT_FOUND, f"there is no bot {bot!r}")
    return BotId(bot)


def _instant(moment: int | None) -> Instant | None:
    return None if moment is None else Instant(moment)
