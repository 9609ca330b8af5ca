"""What operators do about the club: how it is, freezes, alarms, refused commands."""

from actors.messages import ClubReport
from api.club import Club, answered
from api.club_resources import (
    ActingQuery,
    ActorView,
    AlarmList,
    AlarmView,
    ClubPageQuery,
    ClubStatus,
    EnterFreeze,
    FreezeList,
    FreezeView,
    NodeView,
    PaidIn,
    PayIn,
    RefusedList,
    RefusedView,
    WatcherView,
)
from api.problems import ApiProblem, FieldProblem, Kind
from api.routing import Routes
from api.services import Services
from engine.access.principals import Access, Principal
from engine.ids import CompanyId
from engine.payments.freeze import Scope
from storage.freezes import FreezeRow

routes = Routes("Club")


@routes.get("/api/v1/club/status", access=Access.OPERATOR, problems=(503,))
async def show_club_status(services: Services) -> ClubStatus:
    """Show how far networks are read, how the single writers are, what waits, what is frozen."""
    club = services.club
    parts = await club.desk.health()
    reports = await club.desk.reports()
    alarms = await club.alarms.current()
    return ClubStatus(
        ok=all(part.ok for part in parts) and not alarms,
        demo="" if club.demo is None else club.demo.progress,
        watchers=[_to_watcher(name, report) for name, report in reports.items() if name.startswith("watcher:")],
        actors=[ActorView(part.name, part.ok, part.detail, part.age_ms) for part in parts],
        tasks={state.value: count for state, count in (await club.payouts.counts()).items()},
        alarms=len(alarms),
        freezes=[_to_freeze(row) for row in await club.freezes.current()],
    )


@routes.post("/api/v1/club/demo/pay-in", status=201, access=Access.OPERATOR, problems=(400, 409, 415, 422, 503))
async def pay_in(services: Services, body: PayIn) -> PaidIn:
    """Demo only: let a company transfer from its own account on the devnet to its address here."""
    club = services.club
    if club.demo is None:
        raise ApiProblem(Kind.CONFLICT, "companies pay in by themselves: their keys are not here", code="no_demo")
    asset = await club.asset(body.token)
    await club.to_units(asset.id, body.amount)
    return PaidIn(await club.demo.pay_in(CompanyId(body.company), asset, body.amount))


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


def _to_watcher(name: str, report: ClubReport) -> WatcherView:
    facts = report.detail
    cursor, head = facts.get("cursor") or {}, facts.get("head") or {}
    return WatcherView(
        network=name.partition(":")[2],
        block=cursor.get("number", 0),
        head=head.get("number", 0),
        age_ms=facts.get("read_age_ms"),
        nodes=[
            NodeView(
                name=node["name"],
                resting=node["is_resting"],
                failures=node["failures"],
                latency_ms=node["latency_ms"],
                head=node["head"],
                lag=node["lag"],
                last_error=node["last_error"],
            )
            for node in facts.get("nodes", ())
        ],
    )
