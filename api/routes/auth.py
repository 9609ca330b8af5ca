"""Coming in and going out: set up, register, confirm, sign in, renew, sign out, recover.

Each is open to everybody, so each counts as something that can be guessed, and none tells whether an address has
an account. What is decided, is decided in `api/access`.
"""

from aiohttp import web

from actors.clock import now_ms
from api.access.context import Grant
from api.people_resources import (
    Accepted,
    Confirm,
    Login,
    Recover,
    Register,
    Reset,
    Session,
    SetUp,
    Site,
    to_user,
)
from api.problems import ApiProblem, Kind
from api.routing import Routes, json_response
from api.services import Services
from engine.access.principals import Access, Principal
from engine.access.rates import RateClass
from engine.ids import Instant, UserId

routes = Routes("Signing in")


@routes.get("/api/v1/site", access=Access.PUBLIC, problems=(503,))
async def show_site(services: Services) -> Site:
    """Tell what anybody may know: whose money, which prices, who may join."""
    programme = services.programme
    return Site(
        version=programme.version,
        environment=programme.environment,
        feed=programme.feed,
        registration=services.people.site.registration.value,
        setup_needed=not await services.people.users.has_operator(),
    )


@routes.post(
    "/api/v1/setup",
    status=201,
    access=Access.PUBLIC,
    rate=RateClass.SIGN_IN,
    answer=Session,
    problems=(400, 415, 422, 503),
)
async def set_up(services: Services, body: SetUp, request: web.Request) -> web.StreamResponse:
    """Make the first operator's account with the word that `trellis up` prints, and sign in."""
    grant = await services.people.enrolment.set_up(
        body.token,
        body.email,
        body.password,
        body.display_name.strip() or body.email.partition("@")[0],
        body.locale.value,
        services.guard.client(request),
    )
    return await _signed_in(services, grant, 201)


@routes.post(
    "/api/v1/auth/register",
    status=202,
    access=Access.PUBLIC,
    rate=RateClass.MAIL,
    problems=(400, 415, 422, 503),
)
async def register(services: Services, body: Register) -> Accepted:
    """Ask to join. A letter brings a link that makes the account; the answer is always the same."""
    await services.guard.limits.pass_account(RateClass.MAIL, body.email)
    await services.people.enrolment.register(body.email, body.password, body.locale.value, body.invite)
    return Accepted()


@routes.post(
    "/api/v1/auth/confirm",
    access=Access.PUBLIC,
    rate=RateClass.SIGN_IN,
    answer=Session,
    problems=(400, 401, 415, 422, 503),
)
async def confirm(
    services: Services, principal: Principal | None, body: Confirm, request: web.Request
) -> web.StreamResponse:
    """Open a confirmation link: a new account, signed in; or the new address of somebody who is signed in."""
    client = services.guard.client(request)
    grant = await services.people.enrolment.confirm(body.token, client, principal)
    if grant is not None:
        return await _signed_in(services, grant)
    return json_response(await current_session(services, request))


@routes.post(
    "/api/v1/auth/login",
    access=Access.PUBLIC,
    rate=RateClass.SIGN_IN,
    answer=Session,
    problems=(400, 401, 415, 503),
)
async def log_in(services: Services, body: Login, request: web.Request) -> web.StreamResponse:
    """Sign in. 401 `wrong_credentials` tells nothing more; `totp_required` asks for a one-time code too."""
    await services.guard.limits.pass_account(RateClass.SIGN_IN, body.email)
    client = services.guard.client(request)
    grant = await services.people.sign_in.with_password(body.email, body.password, body.code, client)
    return await _signed_in(services, grant)


@routes.post(
    "/api/v1/auth/refresh",
    access=Access.PUBLIC,
    rate=RateClass.COMMAND,
    answer=Session,
    problems=(401, 503),
)
async def refresh(services: Services, request: web.Request) -> web.StreamResponse:
    """Exchange the renewal cookie for new ones. A cookie that was exchanged before ends its session."""
    token = services.guard.cookies.refresh(request)
    if not token:
        raise ApiProblem(Kind.UNAUTHORISED, code="unauthorised")
    return await _signed_in(services, await services.people.sign_in.renew(token))


@routes.post("/api/v1/auth/logout", status=204, access=Access.PUBLIC, answer=None, problems=(503,))
async def log_out(services: Services, request: web.Request) -> web.StreamResponse:
    """End the session here and on the server, and have the browser forget it."""
    cookies = services.guard.cookies
    for token in filter(None, (cookies.refresh(request), cookies.access(request))):
        await services.people.sign_in.leave(token)
        services.stream.recheck()
    response = web.Response(status=204)
    cookies.remove(response)
    return response


@routes.post(
    "/api/v1/auth/recover",
    status=202,
    access=Access.PUBLIC,
    rate=RateClass.MAIL,
    problems=(400, 415, 503),
)
async def recover(services: Services, body: Recover) -> Accepted:
    """Ask for a new password. If the address has an account, a letter brings the link; we do not tell."""
    await services.guard.limits.pass_account(RateClass.MAIL, body.email)
    await services.people.enrolment.recover(body.email)
    return Accepted()


@routes.post(
    "/api/v1/auth/reset",
    status=204,
    access=Access.PUBLIC,
    rate=RateClass.SIGN_IN,
    problems=(400, 401, 415, 422, 503),
)
async def reset(services: Services, body: Reset, request: web.Request) -> None:
    """Set a new password with the link from a letter. Every session ends; one-time codes stay as they are."""
    client = services.guard.client(request)
    await services.people.enrolment.reset(body.token, body.password, body.code, client)
    services.stream.recheck()


@routes.get("/api/v1/session", answer=Session, problems=(503,))
async def show_session(services: Services, request: web.Request) -> Session:
    """Tell who is signed in here, with the word that commands must bring."""
    return await current_session(services, request)


async def current_session(services: Services, request: web.Request) -> Session:
    """Describe the session that a request comes with."""
    token = services.guard.cookies.access(request)
    signed_in = await services.people.sign_in.known(token) if token else None
    if signed_in is None:
        raise ApiProblem(Kind.FORBIDDEN, "the token opens no session", code="no_session")
    csrf = services.people.sign_in.csrf(signed_in)
    return await _session(services, signed_in.user, csrf, signed_in.expires_at_ms)


async def _signed_in(services: Services, grant: Grant, status: int = 200) -> web.StreamResponse:
    response = json_response(await _session(services, grant.user, grant.csrf, grant.expires_at_ms), status)
    services.guard.cookies.put(response, grant)
    return response


async def _session(services: Services, user: UserId, csrf: str, expires: Instant) -> Session:
    row, credential = await services.people.users.get(user), await services.people.credentials.get(user)
    assert row is not None
    user_now = to_user(row, credential is not None and credential.totp_active)
    return Session(user_now, csrf, max(0, expires - now_ms()))
