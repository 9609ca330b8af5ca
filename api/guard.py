"""Who speaks to the API, addressing us by our own name, from no foreign page, and may they call this route.

Loopback alone is no protection: any page in the operator's browser can send requests there, and a name that its
owner points at 127.0.0.1 makes them same-origin (DNS rebinding). So the Host and Origin headers are checked first.
"""

import hmac
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from api.problems import ApiProblem, Kind
from engine.access.principals import Access, Principal, Role, Via, may_call
from storage.seed import OPERATOR

OWN_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
OPERATOR_BY_TOKEN = Principal(OPERATOR, frozenset({Role.USER, Role.OPERATOR}), Via.TOKEN)


class Guard:
    """Checks each request before anything else looks at it."""

    def __init__(self, token: str, allowed_hosts: tuple[str, ...]) -> None:
        self._token = token.encode()
        self._names = OWN_NAMES | set(allowed_hosts)

    def check_origin(self, request: web.Request) -> None:
        """Refuse a Host or an Origin that is not ours."""
        if _host_name(f"//{request.headers.get(hdrs.HOST, '')}") not in self._names:
            raise ApiProblem(Kind.MISDIRECTED, "set TRELLIS_API_ALLOWED_HOSTS to answer under this name")
        origin = request.headers.get(hdrs.ORIGIN)
        # The whole origin, not only its name: another program's page on this machine is foreign too.
        if origin is not None and origin.split("://")[-1] != request.headers[hdrs.HOST]:
            raise ApiProblem(Kind.FOREIGN_ORIGIN)

    async def admit(self, request: web.Request, access: Access) -> Principal | None:
        """Say who asks, and refuse whoever may not call a route of this access."""
        principal = self._by_token(request)
        if not may_call(access, principal):
            raise ApiProblem(Kind.UNAUTHORISED if principal is None else Kind.FORBIDDEN)
        return principal

    def _by_token(self, request: web.Request) -> Principal | None:
        """Compare the token in a time that tells nothing about it."""
        scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        is_right = hmac.compare_digest(given.strip().encode(errors="replace"), self._token)
        return OPERATOR_BY_TOKEN if scheme.lower() == "bearer" and is_right else None


def _host_name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
