"""What operators do about the club: freezes, alarms, refused commands."""

from api.club import Club, answered
from api.club_resources import (
    ActingQuery,
    AlarmList,
    AlarmView,
    ClubPageQuery,
    EnterFreeze,
    FreezeList,
    FreezeView,
    RefusedList,
    RefusedView,
)
from api.problems import ApiProblem, FieldProblem, Kind
from api.routing import Routes
from api.services import Services
from engine.access.principals import Access, Principal
from engine.payments.freeze import Scope
from storage.freezes import FreezeRow

routes = Routes("Club")


@routes.get("/api/v1/club/freezes", problems=(400, 503))
async def list_freezes(services: Services) -> FreezeList:
    """List where nothing is signed now, and why. Everybody in the club may know."""
    return FreezeList([_to_freeze(row) for row in await services.club.freezes.current()])


@routes.post("/api/v1/club/freezes", status=201, problems=(400, 403, 409, 415, 422, 503))
async def enter_freeze(
    services: Services, principal: Principal, query: ActingQuery, body: EnterFreeze, command_id: str
) -> FreezeView:
    """Stop signing, at once: everything, a network, a wallet, or one's own company. One person is enough."""
    club = services.club
    acting, command = await club.command(principal, command_id, query.member)
    is_own = body.scope is Scope.COMPANY and body.subject in acting.roles
    if not (principal.is_operator or is_own):
        raise ApiProblem(Kind.FORBIDDEN, "members freeze their own company; operators freeze the rest")
    if (body.scope is Scope.GLOBAL) != (body.subject == ""):
        detail = "name what is frozen; only `global` needs no subject"
        raise ApiProblem(Kind.MALFORMED, detail, [FieldProblem(detail, "#/subject")])
    freeze = await club.freezes.enter(body.scope, body.subject, body.reason, command)
    return await _freeze(club, freeze)


@routes.post("/api/v1/club/freezes/{freeze}/lift", access=Access.OPERATOR, problems=(400, 403, 404, 409, 422, 503))
async def lift_freeze(
    services: Services, principal: Principal, freeze: str, query: ActingQuery, command_id: str
) -> FreezeView:
    """Want a freeze lifted. It is, when a second operator wants it too."""
    club = services.club
    _, command = await club.command(principal, command_id, query.member)
    answered(await club.freezes.lift(freeze, command), bool)
    return await _freeze(club, freeze)


@routes.get("/api/v1/club/alarms", access=Access.OPERATOR, problems=(503,))
async def list_alarms(services: Services) -> AlarmList:
    """List what somebody must look at, the gravest first, each with its runbook."""
    rows = await services.club.alarms.current()
    return AlarmList(
        [
            AlarmView(
                id=row.id,
                kind=row.kind,
                subject=row.subject,
                severity=row.severity,
                detail=row.detail,
                raised_ms=row.raised_at_ms,
                cleared_ms=row.cleared_at_ms,
                runbook=f"/docs/runbooks/{row.kind}",
            )
            for row in rows
        ]
    )


@routes.get("/api/v1/club/refusals", access=Access.OPERATOR, problems=(400, 503))
async def list_refusals(services: Services, query: ClubPageQuery) -> RefusedList:
    """List the commands that our rules refused, newest first, with the rule."""
    page = await services.club.refusals.page(cursor=query.cursor, limit=query.limit)
    return RefusedList(
        [
            RefusedView(
                row.actor,
                row.name,
                row.target,
                row.refusal.code,
                row.refusal.message,
                row.refusal.allowed,
                row.at_ms,
            )
            for row in page.items
        ],
        page.next_cursor,
    )


async def _freeze(club: Club, freeze: str) -> FreezeView:
    for row in await club.freezes.history():
        if row.id == freeze:
            return _to_freeze(row)
    raise ApiProblem(Kind.NOT_FOUND, f"there is no freeze {freeze}")


def _to_freeze(row: FreezeRow) -> FreezeView:
    return FreezeView(
        id=row.id,
        scope=row.scope,
        subject=row.subject,
        safe_mode=row.is_safe_mode,
        reason=row.reason,
        entered_by=row.entered_by,
        entered_ms=row.entered_at_ms,
        lifted_ms=row.lifted_at_ms,
        lifters=row.lifters,
    )
