"""The cookies that hold a session's tokens: out of reach of scripts, of other sites, over TLS of plain HTTP."""

from typing import Literal

from aiohttp import web

from api.access.context import Grant
from engine.access.sessions import SESSION_MS


class Cookies:
    """Writes and reads the two cookies; their names tell browsers to insist on TLS where we have it."""

    def __init__(self, is_secure: bool) -> None:
        self._is_secure = is_secure
        # `__Host-`: only this host, only over TLS, no other path; a neighbour under the same domain cannot set it.
        prefix = "__Host-" if is_secure else ""
        self.access_name = f"{prefix}trellis_access"
        self.refresh_name = f"{prefix}trellis_refresh"

    def access(self, request: web.Request) -> str | None:
        """Read the access token."""
        return request.cookies.get(self.access_name)

    def refresh(self, request: web.Request) -> str | None:
        """Read the renewal token."""
        return request.cookies.get(self.refresh_name)

    def put(self, response: web.StreamResponse, grant: Grant) -> None:
        """Hand the tokens to the browser."""
        self._put(response, self.access_name, grant.access, "Lax")
        self._put(response, self.refresh_name, grant.refresh, "Strict")

    def remove(self, response: web.StreamResponse) -> None:
        """Take the tokens back, and have the browser forget what it kept of us."""
        for name in (self.access_name, self.refresh_name):
            response.del_cookie(name, path="/", secure=self._is_secure, httponly=True)
        response.headers["Clear-Site-Data"] = '"cache", "cookies", "storage"'

    def _put(
        self, response: web.StreamResponse, name: str, value: str, same_site: Literal["Lax", "Strict"]
    ) -> None:
        # The server knows when a token ends; the browser keeps both as long as the session may last, so that an
        # ended one is told from none.
        response.set_cookie(
            name,
            value,
            max_age=SESSION_MS // 1000,
            path="/",
            secure=self._is_secure,
            httponly=True,
            samesite=same_site,
        )
