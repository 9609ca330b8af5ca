"""What every answer wears, what addresses may hold, and how secrets are made and kept."""

import ast
from pathlib import Path

import pytest
from aiohttp import hdrs

from api.access.context import Site
from api.routes import all_routes
from tests.api.browser import browsing, enrol
from tests.api.conftest import Api, serving

ROOT = Path(__file__).parents[2]
SECRET_WORDS = ("password", "token", "secret", "code", "key")


async def test_pages_come_under_a_policy_without_exceptions(api: Api) -> None:
    for path in ("/", "/login", "/bots/aaaaaaaa", "/reset?token=abc"):
        async with api.http.get(api.address + path) as response:
            policy = {
                each.split()[0]: each.split()[1:]
                for each in response.headers["Content-Security-Policy"].split(";")
            }
            assert response.content_type == "text/html"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
        assert policy.get("object-src", policy["default-src"]) == ["'none'"]
        words = [word for values in policy.values() for word in values]
        assert not [word for word in words if "unsafe" in word or word == "*" or "://" in word]


async def test_over_tls_browsers_are_told_to_insist_on_it_on_every_answer(api: Api) -> None:
    async with serving(api.engine, Site("https://trellis.example.org")) as (address, _):
        for path in ("/", "/api/v1/site", "/api/v1/nothing", "/healthz"):
            async with api.http.get(address + path) as response:
                age = response.headers["Strict-Transport-Security"].partition("max-age=")[2].partition(";")[0]
                assert int(age) >= 31_536_000
    async with api.http.get(api.address) as response:
        assert "Strict-Transport-Security" not in response.headers


async def test_every_kind_of_answer_names_its_type(api: Api) -> None:
    expected = {
        "/api/v1/site": "application/json",
        "/api/v1/nothing": "application/problem+json",
        "/metrics": "text/plain; version=0.0.4; charset=utf-8",
        "/": "text/html; charset=utf-8",
    }
    for path, media_type in expected.items():
        headers = (await api.get(path)).headers
        assert headers[hdrs.CONTENT_TYPE].startswith(media_type)


async def test_the_live_stream_is_for_our_own_pages(api: Api) -> None:
    async with browsing(api.address) as ann:
        await enrol(api, ann)
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            assert (await ann.get("/stream", **headers)).status == 403


def test_routes_that_read_and_routes_that_change_are_told_apart_by_method() -> None:
    assert {route.method for route in all_routes()} == {hdrs.METH_GET, hdrs.METH_POST, hdrs.METH_PATCH}
    assert not [route.path for route in all_routes() if route.method == hdrs.METH_GET and route.body is not None]


def test_no_route_takes_a_secret_in_its_address() -> None:
    for route in all_routes():
        names = [*route.parameters, *(route.query.__struct_fields__ if route.query else ())]
        assert not [name for name in names if any(word in name for word in SECRET_WORDS)], route.path


async def test_an_error_that_nobody_foresaw_tells_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(api.services.people.users, "has_operator", fails)
    answer = await api.get("/api/v1/site")
    assert (answer.status, answer.body["type"]) == (500, "urn:trellis:problem:internal")
    assert "secret" not in str(answer.body)
    assert "Traceback" not in str(answer.body)


async def test_passwords_are_stored_as_argon2id_at_owasps_cost_or_above(api: Api) -> None:
    async with browsing(api.address) as ann:
        await enrol(api, ann)
    rows = await api.engine.database.rows("SELECT password_hash FROM credentials")
    assert rows
    for row in rows:
        _, kind, _, costs, *_ = row["password_hash"].split("$")
        memory, time_cost, _ = (int(each.partition("=")[2]) for each in costs.split(","))
        assert kind == "argon2id"
        assert (memory >= 19_456, time_cost >= 2) == (True, True)


def test_random_words_come_from_the_systems_generator() -> None:
    """`random` is for jitter only: never in what guards accounts or seals secrets."""
    for folder in ("api/access", "adapters/secrets", "engine/access"):
        for path in (ROOT / folder).rglob("*.py"):
            names = {
                alias.name
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for alias in node.names
            }
            assert "random" not in names, path
