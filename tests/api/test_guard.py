"""Who may speak to the API, and what a stranger hears."""

import pytest

from api.access.limits import RequestLimits
from engine.access.rates import Rate, RateClass
from tests.api.browser import PASSWORD, browsing, enrol, new_email
from tests.api.conftest import NO_LIMITS, TOKEN, Api, serving


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


# ---------------------------------------------------------------------- commands that come with cookies


@pytest.mark.parametrize("word", ["", "0" * 64, "another session's"])
async def test_a_command_with_cookies_must_bring_the_word_of_its_session(api: Api, word: str) -> None:
    async with browsing(api.address) as ann, browsing(api.address) as eve:
        await enrol(api, ann)
        await enrol(api, eve)
        ann.csrf = eve.csrf if "another" in word else word
        for path in ("/bots/preview", "/profile/sessions/end-others", "/emergency-stop"):
            answer = await ann.post(path, {})
            assert (answer.status, answer.body["code"]) == (403, "csrf")
        assert (await ann.get("/bots")).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_what_a_page_of_another_site_sends_is_refused(api: Api, site: str) -> None:
    async with browsing(api.address) as ann:
        email = await enrol(api, ann)
        body = {"email": email, "password": PASSWORD}
        for path in ("/auth/login", "/auth/logout", "/auth/refresh", "/emergency-stop"):
            assert (await ann.post(path, body, **{"Sec-Fetch-Site": site})).status == 403
        assert (await ann.get("/session", **{"Sec-Fetch-Site": site})).status == 403
        assert (await ann.post("/auth/login", body, **{"Sec-Fetch-Site": "same-origin"})).status == 200


async def test_reading_changes_nothing_so_no_command_is_a_get(api: Api) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "TRACE"):
        answer = await api.ask(method, "/api/v1/emergency-stop")
        assert answer.status == 405


async def test_other_sites_are_not_invited(api: Api) -> None:
    answer = await api.get("/api/v1/bots", Origin=api.address)
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_every_answer_says_that_it_is_data_and_no_page(api: Api) -> None:
    paths = ("/api/v1/bots", "/api/v1/nothing", "/healthz", "/api/v1/openapi.json")
    for path in paths:
        headers = (await api.get(path)).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; frame-ancestors 'none'")
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
        assert "json" in headers["Content-Type"]


# ---------------------------------------------------------------------- how often


async def test_who_asks_too_often_hears_when_to_come_again(api: Api) -> None:
    few = dict(NO_LIMITS) | {RateClass.SIGN_IN: Rate(3, 60)}
    limits = RequestLimits(few, NO_LIMITS)
    proxies = ("127.0.0.1",)
    async with serving(api.engine, limits=limits, proxies=proxies) as (address, _), browsing(address) as eve:
        here, there = {"X-Forwarded-For": "2001:db8::1"}, {"X-Forwarded-For": "2001:db8:1::1"}
        body = {"email": new_email(), "password": PASSWORD}
        left = []
        for _ in range(3):
            answer = await eve.post("/auth/login", body, **here)
            assert answer.status == 401
            left.append(answer.headers["RateLimit"])
        assert [each.split(";")[1] for each in left] == ["r=2", "r=1", "r=0"]
        assert answer.headers["RateLimit-Policy"] == '"sign-in";q=3;w=60'
        # Another address of the same subscriber is the same place.
        for host in (here, {"X-Forwarded-For": "2001:db8::ffff:2"}):
            full = await eve.post("/auth/login", body, **host)
            assert (full.status, full.body["code"]) == (429, "rate_limited")
            assert 1 <= int(full.headers["Retry-After"]) <= 61
        assert (await eve.post("/auth/login", body, **there)).status == 401
        assert (await eve.get("/site", **here)).status == 200


async def test_an_address_in_the_mail_and_an_account_have_rates_of_their_own(api: Api) -> None:
    few = dict(NO_LIMITS) | {RateClass.MAIL: Rate(2, 60), RateClass.READ: Rate(5, 60)}
    async with (
        serving(api.engine, limits=RequestLimits(NO_LIMITS, few)) as (address, _),
        browsing(address) as ann,
        browsing(address) as bob,
    ):
        victim = new_email()
        for expected in (202, 202, 429):
            assert (await ann.post("/auth/recover", {"email": victim})).status == expected
        assert (await ann.post("/auth/recover", {"email": victim.upper()})).status == 429
        await enrol(api, ann)
        await enrol(api, bob)
        statuses = [(await ann.get("/bots")).status for _ in range(6)]
        assert statuses == [200] * 5 + [429]
        assert (await bob.get("/bots")).status == 200


async def test_a_stranger_cannot_choose_the_address_that_is_counted(api: Api) -> None:
    few = dict(NO_LIMITS) | {RateClass.SIGN_IN: Rate(1, 60)}
    async with serving(api.engine, limits=RequestLimits(few, NO_LIMITS)) as (address, _), browsing(address) as eve:
        body = {"email": new_email(), "password": PASSWORD}
        forged = [{"X-Forwarded-For": f"192.0.2.{number}"} for number in range(2)]
        assert [(await eve.post("/auth/login", body, **each)).status for each in forged] == [401, 429]
