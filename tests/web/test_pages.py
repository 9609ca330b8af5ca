"""The dashboard's files over a real socket: which address gets which file, under which policy, for how long."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from api.pages import POLICY, STAMP, Pages
from api.problems import ApiProblem, to_response

PAGE = "<!doctype html><title>Trellis</title><p>" + "a page " * 300
SCRIPT = "console.log('a script')\n" * 100


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    (tmp_path / "_nuxt").mkdir()
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "_nuxt" / "entry.abc123.js").write_text(SCRIPT)
    (tmp_path / "icon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / STAMP).write_text("")
    return tmp_path


@asynccontextmanager
async def _browsing(dist: Path) -> AsyncIterator[aiohttp.ClientSession]:
    @web.middleware
    async def answer(request: web.Request, handler) -> web.StreamResponse:  # type: ignore[no-untyped-def]
        try:
            return await handler(request)
        except ApiProblem as problem:
            return to_response(problem)

    app = web.Application(middlewares=[answer])
    app.router.add_get("/api/v1/site", _of_the_api)
    Pages(dist).add_to(app)
    async with TestServer(app) as server, aiohttp.ClientSession(server.make_url("/")) as http:
        yield http


async def _of_the_api(request: web.Request) -> web.Response:
    return web.json_response({"from": "the API"})


@pytest.mark.parametrize("path", ["/", "/login", "/bots/k3xq7mzp", "/bots/create?pair=BTCUSDT"])
async def test_every_address_of_a_page_gets_the_page(dist: Path, path: str) -> None:
    async with _browsing(dist) as http, http.get(path) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert await answer.text() == PAGE


async def test_a_page_may_run_and_ask_only_what_is_ours(dist: Path) -> None:
    async with _browsing(dist) as http, http.get("/login") as answer:
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert "unsafe" not in POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Frame-Options"] == "DENY"


async def test_files_with_a_hash_in_their_name_are_kept_and_pages_are_asked_for_again(dist: Path) -> None:
    async with _browsing(dist) as http:
        async with http.get("/_nuxt/entry.abc123.js") as script:
            assert script.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert script.headers["Content-Encoding"] == "gzip"
            assert script.content_type in ("text/javascript", "application/javascript")
            assert await script.text() == SCRIPT
        async with http.get("/") as page:
            assert page.headers["Cache-Control"] == "no-cache"
            tag = page.headers["ETag"]
        async with http.get("/", headers={"If-None-Match": tag}) as again:
            assert again.status == 304
        async with http.get("/", headers={"Accept-Encoding": "identity"}) as plain:
            assert "Content-Encoding" not in plain.headers


async def test_a_file_that_is_gone_is_not_a_page(dist: Path) -> None:
    async with _browsing(dist) as http:
        for path in ("/_nuxt/entry.old.js", "/favicon.ico", "/.built", "/..%2f..%2fetc%2fpasswd.txt"):
            async with http.get(path) as answer:
                assert answer.status == 404, path


async def test_addresses_of_the_api_are_never_pages(dist: Path) -> None:
    async with _browsing(dist) as http:
        async with http.get("/api/v1/site") as known:
            assert await known.json() == {"from": "the API"}
        for path in ("/api/v1/nothing", "/api/", "/healthz", "/metrics"):
            async with http.get(path) as answer:
                assert answer.status == 404, path
        async with http.post("/login") as answer:
            assert answer.status == 405


async def test_a_new_build_is_taken_without_a_restart(dist: Path) -> None:
    async with _browsing(dist) as http:
        async with http.get("/") as before:
            assert await before.text() == PAGE
        (dist / "index.html").write_text("<!doctype html>new")
        stamp = dist / STAMP
        os.utime(stamp, ns=(0, stamp.stat().st_mtime_ns + 1_000_000))
        async with http.get("/") as after:
            assert await after.text() == "<!doctype html>new"


async def test_without_a_build_a_plain_page_says_what_to_do(tmp_path: Path) -> None:
    async with _browsing(tmp_path) as http, http.get("/") as answer:
        assert answer.status == 503
        assert "make web" in await answer.text()
        assert answer.headers["Content-Security-Policy"] == POLICY
