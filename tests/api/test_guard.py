"""Who may speak to the API, and what a stranger hears."""

import pytest

from tests.api.conftest import TOKEN, Api


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ¤"]
)
async def test_without_the_token_there_is_no_answer(api: Api, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = await api.ask("GET", "/api/v1/bots", token=None, headers=headers)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.body["type"] == "urn:trellis:problem:unauthorised"


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/status", "/api/v1/stream", "/api/v1/bots/aaaaaaaa/pnl"])
async def test_figures_are_for_the_holder_of_the_token_only(api: Api, path: str) -> None:
    assert (await api.ask("GET", path, token=None)).status == 401


@pytest.mark.parametrize(("host", "status"), [("evil.example", 421), ("", 421), ("[", 421), ("trellis.test", 200)])
async def test_a_foreign_host_name_is_refused_against_dns_rebinding(api: Api, host: str, status: int) -> None:
    assert (await api.get("/api/v1/bots", Host=host)).status == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [("https://evil.example", 403), ("http://127.0.0.1:1", 403), ("null", 403), ("own", 200)],
)
async def test_a_page_of_another_site_is_refused(api: Api, origin: str, status: int) -> None:
    origin = api.address if origin == "own" else origin
    assert (await api.get("/api/v1/bots", Origin=origin)).status == status


async def test_health_is_open_and_says_nothing_about_money(api: Api) -> None:
    answer = await api.ask("GET", "/healthz", token=None)
    assert answer.status == 200
    assert {"database", "supervisor", "paper venue"} <= {part["name"] for part in answer.body["components"]}


async def test_a_body_beyond_the_limit_is_refused(api: Api) -> None:
    answer = await api.post("/api/v1/bots", {"config": {"symbol": "x" * 100_000}})
    assert answer.status == 413
    assert answer.body["type"].endswith("too-large")


async def test_a_wrong_method_says_which_is_right(api: Api) -> None:
    answer = await api.ask("DELETE", "/api/v1/bots")
    assert answer.status == 405
    assert set(answer.headers["Allow"].split(",")) == {"GET", "POST"}


async def test_nothing_is_cached_or_sniffed(api: Api) -> None:
    answer = await api.get("/api/v1/bots")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
