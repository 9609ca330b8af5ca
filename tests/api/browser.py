"""People as the API sees them: browsers with cookies, that send the word of their session with every command."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.api.conftest import Answer, Api

PASSWORD = "seven quiet herons at dusk"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class Browser:
    """One browser: keeps cookies, sends what a page of ours sends."""

    def __init__(self, address: str, http: aiohttp.ClientSession) -> None:
        self.address = address
        self.http = http
        self.csrf = ""

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send anything under /api/v1."""
        given = {"X-CSRF-Token": self.csrf, "Idempotency-Key": uuid.uuid4().hex, "User-Agent": FIREFOX, **headers}
        async with self.http.request(method, f"{self.address}/api/v1{path}", json=body, headers=given) as response:
            content = await response.read()
            is_json = "json" in response.content_type and content
            answer = Answer(
                response.status, response.headers, await response.json(content_type=None) if is_json else content
            )
        if isinstance(answer.body, dict) and "csrf" in answer.body:
            self.csrf = answer.body["csrf"]
        return answer

    async def get(self, path: str, **headers: str) -> Answer:
        """Read."""
        return await self.ask("GET", path, **headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        """Command."""
        return await self.ask("POST", path, body, **headers)

    def cookie(self, name: str) -> str:
        """Look at a cookie that is kept."""
        return next((each.value for each in self.http.cookie_jar if each.key == name), "")

    def put_cookie(self, name: str, value: str) -> None:
        """Put a cookie in place of the one that is kept."""
        self.http.cookie_jar.update_cookies({name: value}, response_url=_url(self.address))

    async def login(self, email: str, password: str = PASSWORD, code: str | None = None) -> Answer:
        """Sign in."""
        return await self.post("/auth/login", {"email": email, "password": password, "code": code})


@asynccontextmanager
async def browsing(address: str) -> AsyncIterator[Browser]:
    """Open a browser that nobody has used yet."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        yield Browser(address, http)


def new_email() -> str:
    """Think of an address."""
    return f"{uuid.uuid4().hex[:12]}@example.org"


async def letters_to(api: Api, email: str) -> list[dict[str, Any]]:
    """Read the letters to an address, newest first, as the operator does."""
    page = (await api.get("/api/v1/outbox?limit=500")).body
    return [letter for letter in page["items"] if letter["to"] == email]


async def token_to(api: Api, email: str) -> str:
    """Take the token out of the newest letter to an address."""
    link: str = (await letters_to(api, email))[0]["link"]
    return link.partition("token=")[2]


async def enrol(api: Api, browser: Browser, email: str | None = None, password: str = PASSWORD) -> str:
    """Register, open the link of the letter, and give the address under which one is signed in now."""
    email = email or new_email()
    asked = await browser.post("/auth/register", {"email": email, "password": password, "locale": "en"})
    assert (asked.status, asked.body) == (202, {})
    confirmed = await browser.post("/auth/confirm", {"token": await token_to(api, email)})
    assert confirmed.status == 200, confirmed.body
    assert confirmed.body["user"]["email"] == email
    return email


def _url(address: str) -> Any:
    from yarl import URL

    return URL(address)
