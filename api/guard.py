"""Who may speak to the API: the holder of the token, addressing us by our own name, from no foreign page.

Loopback alone is no protection: any page in the operator's browser can send requests there, and a name that its
owner points at 127.0.0.1 makes them same-origin (DNS rebinding). So the Host and Origin headers are checked first.
"""

import hmac
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from api.problems import ApiProblem, Kind

OWN_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


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

    def check_token(self, request: web.Request) -> None:
        """Refuse a request without the token, in a time that tells nothing about it."""
        scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        is_right = hmac.compare_digest(given.strip().encode(errors="replace"), self._token)
        if scheme.lower() != "bearer" or not is_right:
            raise ApiProblem(Kind.UNAUTHORISED)


def _host_name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
