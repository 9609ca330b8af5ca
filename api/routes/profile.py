"""One's own account: profile, password, address, one-time codes, sessions, and all that is kept about one."""

from zoneinfo import available_timezones

from aiohttp import web

from api.people_resources import (
    Accepted,
    BeginTotp,
    ChangeEmail,
    ChangePassword,
    ChangeProfile,
    ConfirmTotp,
    DisableTotp,
    Export,
    OpenSession,
    RecoveryCodes,
    SessionList,
    TotpSeed,
    User,
    to_user,
)
from api.problems import ApiProblem, Kind, refused
from api.routes.people import to_entry
from api.routing import Routes
from api.services import Services
from engine.access.principals import Principal, SessionId
from engine.access.rates import RateClass
from engine.errors import Refusal
from storage.paging import PAGE_ROWS_MAX

routes = Routes("Profile")


@routes.patch("/api/v1/profile", problems=(400, 415, 422, 503))
async def change_profile(services: Services, principal: Principal, body: ChangeProfile) -> User:
    """Change how one is called and how the screens look; what is left out stays."""
    if body.time_zone is not None and body.time_zone not in available_timezones():
        refusal = Refusal("unknown_time_zone", "time_zone", "is not a time zone", "for example Europe/Berlin")
        raise refused([refusal])
    given = {
        "display_name": body.display_name,
        "locale": body.locale,
        "time_zone": body.time_zone,
        "theme": body.theme,
    }
    changes = {name: str(value) for name, value in given.items() if value is not None}
    if changes:
        await services.people.users.change_profile(principal.user, changes, principal.actor)
    return await _user(services, principal)


@routes.post("/api/v1/profile/password", status=204, rate=RateClass.SIGN_IN, problems=(400, 401, 415, 422, 503))
async def change_password(
    services: Services, principal: Principal, body: ChangePassword, request: web.Request
) -> None:
    """Set a new password. Every other session ends."""
    client = services.guard.client(request)
    await services.people.own.change_password(principal, body.current, body.new, body.code, client)
    services.stream.recheck()


@routes.post("/api/v1/profile/email", status=202, rate=RateClass.MAIL, problems=(400, 415, 422, 503))
async def change_email(
    services: Services, principal: Principal, body: ChangeEmail, request: web.Request
) -> Accepted:
    """Ask for a new address: a letter to it brings the link that makes it count."""
    client = services.guard.client(request)
    await services.people.own.ask_email_change(principal, body.password, body.email, client)
    return Accepted()


@routes.post("/api/v1/profile/totp", rate=RateClass.SIGN_IN, problems=(400, 409, 415, 422, 503))
async def begin_totp(services: Services, principal: Principal, body: BeginTotp, request: web.Request) -> TotpSeed:
    """Begin to use one-time codes: gives the seed for an authenticator app. In force once a code was confirmed."""
    client = services.guard.client(request)
    return TotpSeed(*await services.people.own.begin_totp(principal, body.password, client))


@routes.post("/api/v1/profile/totp/confirm", rate=RateClass.SIGN_IN, problems=(400, 409, 415, 422, 503))
async def confirm_totp(services: Services, principal: Principal, body: ConfirmTotp) -> RecoveryCodes:
    """Put one-time codes in force. Gives ten recovery codes, this one time; every other session ends."""
    codes = await services.people.own.confirm_totp(principal, body.code)
    services.stream.recheck()
    return RecoveryCodes(codes)


@routes.post(
    "/api/v1/profile/totp/disable", status=204, rate=RateClass.SIGN_IN, problems=(400, 401, 409, 415, 422, 503)
)
async def disable_totp(services: Services, principal: Principal, body: DisableTotp, request: web.Request) -> None:
    """Use one-time codes no more; asks for the password and a code."""
    client = services.guard.client(request)
    await services.people.own.disable_totp(principal, body.password, body.code, client)
    services.stream.recheck()


@routes.get("/api/v1/profile/sessions", problems=(503,))
async def list_sessions(services: Services, principal: Principal) -> SessionList:
    """List the browsers in which one is signed in."""
    rows = await services.people.sessions.of_user(principal.user)
    return SessionList(
        [
            OpenSession(
                id=row.id,
                device=row.device,
                ip=row.ip,
                created_ms=row.created_at_ms,
                last_used_ms=row.last_used_at_ms,
                current=row.id == principal.session,
            )
            for row in rows
        ]
    )


@routes.post("/api/v1/profile/sessions/{session}/end", status=204, problems=(404, 503))
async def end_session(services: Services, principal: Principal, session: str) -> None:
    """Sign out another browser of one's own."""
    ended = await services.people.sessions.end(
        principal.user, SessionId(session), "ended by its owner", principal.actor
    )
    if not ended:
        raise ApiProblem(Kind.NOT_FOUND, "there is no such session")
    services.stream.recheck()


@routes.post("/api/v1/profile/sessions/end-others", status=204, problems=(503,))
async def end_other_sessions(services: Services, principal: Principal) -> None:
    """Sign out every other browser."""
    await services.people.sessions.end_others(principal.user, principal.session, principal.actor)
    services.stream.recheck()


@routes.get("/api/v1/profile/export", rate=RateClass.EXPORT, problems=(503,))
async def export_profile(services: Services, principal: Principal) -> Export:
    """Give everything that is kept about oneself, without secrets. Trades have a CSV file of their own."""
    row = await services.people.users.get(principal.user)
    assert row is not None
    audit = await services.people.audit.page(target=f"user:{principal.user}", limit=PAGE_ROWS_MAX)
    bots = await services.bots.page(owner=principal.user, limit=PAGE_ROWS_MAX)
    return Export(
        user=await _user(services, principal),
        created_ms=row.created_at_ms,
        sessions=await services.people.sessions.of_user(principal.user),
        accounts=await services.accounts.of_owner(principal.user),
        bots=bots.items,
        audit=[to_entry(entry) for entry in audit.items],
    )


async def _user(services: Services, principal: Principal) -> User:
    row = await services.people.users.get(principal.user)
    credential = await services.people.credentials.get(principal.user)
    assert row is not None
    return to_user(row, credential is not None and credential.totp_active)
