"""Who speaks to the API, addressing us by our own name, from no foreign page, not too often, and may they do this.

Loopback alone is no protection: any page in the operator's browser can send requests there, and a name that its
owner points at 127.0.0.1 makes them same-origin (DNS rebinding). So the Host and Origin headers are checked first.
What changes something and comes with cookies must also bring the word that only our own page knows (CSRF).
"""

import hmac
import logging
from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from api.access.client import address_of, client_of
from api.access.context import Client, Site
from api.access.cookies import Cookies
from api.access.limits import RequestLimits
from api.access.sign_in import SignIn
from api.problems import ApiProblem, Kind
from engine.access.principals import Access, Principal, Role, Via, may_call
from engine.access.rates import RateClass
from engine.errors import VenueError
from storage.seed import OPERATOR
from storage.sessions import SignedIn

log = logging.getLogger(__name__)

OWN_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
OPERATOR_BY_TOKEN = Principal(OPERATOR, frozenset({Role.USER, Role.OPERATOR}), Via.TOKEN)
CSRF_HEADER = "X-CSRF-Token"
READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
RATE_HEADERS = web.RequestKey("rate headers", dict[str, str])
"""Where a request keeps what its answer says about rates."""


class Guard:
    """Checks each request before anything else looks at it."""

    def __init__(
        self,
        token: str,
        allowed_hosts: tuple[str, ...],
        sign_in: SignIn,
        site: Site,
        limits: RequestLimits | None = None,
        proxies: Collection[str] = (),
    ) -> None:
        self._token = token.encode()
        self._names = OWN_NAMES | set(allowed_hosts) | {urlsplit(site.public_url).hostname}
        self._sign_in = sign_in
        self._proxies = frozenset(proxies)
        self.limits = limits or RequestLimits()
        self.cookies = Cookies(site.is_secure)

    def check_origin(self, request: web.Request) -> None:
        """Refuse a Host or an Origin that is not ours, and what another site's page sends."""
        if _host_name(f"//{request.headers.get(hdrs.HOST, '')}") not in self._names:
            raise ApiProblem(Kind.MISDIRECTED, "set TRELLIS_API_ALLOWED_HOSTS to answer under this name")
        origin = request.headers.get(hdrs.ORIGIN)
        # The whole origin, not only its name: another program's page on this machine is foreign too.
        is_foreign = origin is not None and origin.split("://")[-1] != request.headers[hdrs.HOST]
        # Browsers say it even where they send no Origin. A link in a letter leads to a page, never to the API.
        site = request.headers.get("Sec-Fetch-Site", "none")
        is_foreign |= request.path.startswith("/api/") and site not in ("same-origin", "none")
        if is_foreign:
            log.warning("guard.foreign_origin path=%s origin=%s site=%s", request.path, origin, site)
            raise ApiProblem(Kind.FOREIGN_ORIGIN)

    async def admit(
        self, request: web.Request, access: Access, rate: RateClass, *, is_emergency: bool = False
    ) -> Principal | None:
        """Say who asks, and refuse whoever may not call a route of this access, or calls too often.

        In an emergency, while the database is away, whoever was known within a quarter of an hour is believed.
        """
        principal = self._by_token(request)
        if principal is None:
            request[RATE_HEADERS] = await self.limits.pass_address(rate, address_of(request, self._proxies))
            principal = await self._by_session(request, access, is_emergency)
        if principal is not None and principal.via is Via.SESSION and access is not Access.PUBLIC:
            request[RATE_HEADERS] = await self.limits.pass_account(rate, principal.user)
        if may_call(access, principal):
            return principal
        if principal is None:
            raise self._nobody(request)
        log.warning("guard.forbidden user=%s path=%s", principal.user, request.path)
        raise ApiProblem(Kind.FORBIDDEN)

    def client(self, request: web.Request) -> Client:
        """Describe where a request comes from."""
        return client_of(request, self._proxies)

    def _by_token(self, request: web.Request) -> Principal | None:
        """Compare the token in a time that tells nothing about it."""
        scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        is_right = hmac.compare_digest(given.strip().encode(errors="replace"), self._token)
        return OPERATOR_BY_TOKEN if scheme.lower() == "bearer" and is_right else None

    async def _by_session(self, request: web.Request, access: Access, is_emergency: bool) -> Principal | None:
        token = self.cookies.access(request)
        try:
            signed_in = await self._sign_in.known(token) if token else None
        except VenueError:
            signed_in = self._sign_in.remembered(token) if token and is_emergency else None
            if signed_in is None:
                raise
        if signed_in is None:
            return None
        # Signing in or out needs no word of a session's: the check of the origin stands before it.
        if request.method not in READING and access is not Access.PUBLIC:
            self._check_csrf(request, signed_in)
        return Principal(signed_in.user, frozenset(signed_in.roles), Via.SESSION, signed_in.session)

    def _check_csrf(self, request: web.Request, signed_in: SignedIn) -> None:
        given = request.headers.get(CSRF_HEADER, "").encode(errors="replace")
        if not hmac.compare_digest(given, self._sign_in.csrf(signed_in).encode()):
            log.warning("guard.csrf user=%s path=%s", signed_in.user, request.path)
            detail = f"send {CSRF_HEADER} as GET /api/v1/session gives it"
            raise ApiProblem(Kind.FOREIGN_ORIGIN, detail, code="csrf")

    def _nobody(self, request: web.Request) -> ApiProblem:
        # The page renews its session once when it hears this word, and not when there is nothing to renew.
        if self.cookies.refresh(request):
            return ApiProblem(Kind.UNAUTHORISED, "the access has run out: renew it", code="session_expired")
        return ApiProblem(Kind.UNAUTHORISED, code="unauthorised")


def _host_name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
