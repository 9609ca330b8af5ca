"""Sessions: cookies, renewal, reuse, and what ends when one ends."""

import asyncio

import pytest

from api.access.context import Site
from tests.api.browser import PASSWORD, browsing, enrol
from tests.api.conftest import Answer, Api, serving


def codes(answer: Answer) -> tuple[int, str]:
    """Give what an answer says, in short."""
    return answer.status, answer.body["code"]


async def age(api: Api, session: str, by_ms: int) -> None:
    """Let time pass for a session's tokens."""
    await api.engine.database.rows(
        "UPDATE session_tokens SET replaced_at_ms = replaced_at_ms - $2, expires_at_ms = "
        "CASE kind WHEN 'access' THEN expires_at_ms - $2 ELSE expires_at_ms END WHERE session_id = $1",
        session,
        by_ms,
    )


async def open_session(api: Api, email: str) -> str:
    """Find the newest session of an address."""
    record = await api.engine.database.row(
        "SELECT sessions.id FROM sessions JOIN users ON users.id = user_id "
        "WHERE email = $1 ORDER BY sessions.created_at_ms DESC LIMIT 1",
        email,
    )
    assert record is not None
    session: str = record["id"]
    return session


async def test_an_access_that_has_run_out_is_renewed_and_the_old_tokens_are_replaced(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = await enrol(api, ann)
        old = ann.cookie("trellis_access"), ann.cookie("trellis_refresh")
        await age(api, await open_session(api, email), 15 * 60_000)
        assert codes(await ann.get("/session")) == (401, "session_expired")
        renewed = await ann.post("/auth/refresh")
        assert (renewed.status, renewed.body["user"]["email"]) == (200, email)
        assert not {ann.cookie("trellis_access"), ann.cookie("trellis_refresh")} & set(old)
        assert (await ann.get("/session")).status == 200


async def test_tabs_that_wake_up_together_all_go_on(api: Api) -> None:
    async with browsing(api.address) as ann:
        await enrol(api, ann)
        answers = await asyncio.gather(*(ann.post("/auth/refresh") for _ in range(4)))
        assert [answer.status for answer in answers] == [200] * 4
        assert (await ann.get("/session")).status == 200
        assert (await ann.post("/auth/refresh")).status == 200


async def test_a_renewal_token_that_comes_again_later_ends_the_session_for_both(api: Api) -> None:
    async with browsing(api.address) as ann, browsing(api.address) as thief:
        email = await enrol(api, ann)
        thief.put_cookie("trellis_refresh", ann.cookie("trellis_refresh"))
        await ann.post("/auth/refresh")
        session = await open_session(api, email)
        await age(api, session, 21_000)
        assert codes(await thief.post("/auth/refresh")) == (401, "session_ended")
        assert codes(await ann.get("/session")) == (401, "session_expired")
        assert codes(await ann.post("/auth/refresh")) == (401, "session_ended")
        row = await api.engine.database.row("SELECT ended_because FROM sessions WHERE id = $1", session)
        assert row is not None
        assert row["ended_because"] == "token reused"
        user = (await ann.login(email)).body["user"]["id"]
        entries = (await api.get(f"/api/v1/audit?target=user:{user}")).body["items"]
        assert "session.token_reused" in {entry["command"] for entry in entries}


async def test_a_thief_who_renews_first_is_found_out_by_the_owner(api: Api) -> None:
    async with browsing(api.address) as ann, browsing(api.address) as thief:
        email = await enrol(api, ann)
        thief.put_cookie("trellis_refresh", ann.cookie("trellis_refresh"))
        assert (await thief.post("/auth/refresh")).status == 200
        await age(api, await open_session(api, email), 21_000)
        assert codes(await ann.post("/auth/refresh")) == (401, "session_ended")
        assert codes(await thief.post("/auth/refresh")) == (401, "session_ended")


@pytest.mark.parametrize("column", ["expires_at_ms", "idle"])
async def test_a_session_ends_by_itself_when_idle_and_after_a_month(api: Api, column: str) -> None:
    async with browsing(api.address) as ann:
        email = await enrol(api, ann)
        session = await open_session(api, email)
        statement = (
            "UPDATE session_tokens SET expires_at_ms = now_ms() - 1 WHERE session_id = $1"
            if column == "idle"
            else "UPDATE sessions SET expires_at_ms = now_ms() - 1 WHERE id = $1"
        )
        await api.engine.database.rows(statement, session)
        assert codes(await ann.get("/session")) == (401, "session_expired")
        assert codes(await ann.post("/auth/refresh")) == (401, "session_ended")


async def test_one_sees_ones_browsers_and_ends_any_of_them(api: Api) -> None:
    async with browsing(api.address) as ann, browsing(api.address) as phone, browsing(api.address) as eve:
        email = await enrol(api, ann)
        assert (await phone.post("/auth/login", {"email": email, "password": PASSWORD})).status == 200
        await enrol(api, eve)
        listed = (await ann.get("/profile/sessions")).body["items"]
        assert [each["current"] for each in listed].count(True) == 1
        assert {each["device"] for each in listed} == {"Firefox, Linux"}
        assert {each["ip"] for each in listed} == {"127.0.0.1"}
        other = next(each["id"] for each in listed if not each["current"])
        assert (await eve.post(f"/profile/sessions/{other}/end")).status == 404
        assert (await ann.post(f"/profile/sessions/{other}/end")).status == 204
        assert codes(await phone.get("/session")) == (401, "session_expired")
        assert (await phone.login(email)).status == 200
        assert (await ann.post("/profile/sessions/end-others")).status == 204
        assert (await phone.get("/session")).status == 401
        assert (await ann.get("/session")).status == 200


async def test_a_person_who_is_disabled_is_out_at_once_and_cannot_come_back(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = await enrol(api, ann)
        user = (await ann.get("/session")).body["user"]["id"]
        assert (await api.post(f"/api/v1/users/{user}/disable")).body["status"] == "disabled"
        assert codes(await ann.get("/session")) == (401, "session_expired")
        assert codes(await ann.post("/auth/refresh")) == (401, "session_ended")
        assert codes(await ann.login(email)) == (403, "account_disabled")
        assert (await api.post(f"/api/v1/users/{user}/enable")).body["status"] == "active"
        assert (await ann.login(email)).status == 200
        assert (await api.post("/api/v1/users/nobody/disable")).status == 404


async def test_a_stream_ends_with_its_session(api: Api) -> None:
    async with browsing(api.address) as ann:
        await enrol(api, ann)
        async with asyncio.timeout(30), ann.http.get(f"{ann.address}/api/v1/stream") as stream:
            assert stream.status == 200
            assert await stream.content.readline() == b"retry: 2000\n"
            assert (await ann.post("/auth/logout")).status == 204
            rest = await stream.content.read()
            assert b"event: bot" not in rest


async def test_a_stream_shows_ones_own_bots_only(api: Api) -> None:
    foreign = (await api.create("foreign"))["id"]
    async with browsing(api.address) as ann:
        await enrol(api, ann)
        async with asyncio.timeout(30), ann.http.get(f"{ann.address}/api/v1/stream") as stream:
            assert await stream.content.readline() == b"retry: 2000\n"
            await api.post(f"/api/v1/bots/{foreign}/stop", {"sell": False})
            await ann.post("/auth/logout")
            assert foreign.encode() not in await stream.content.read()
    stopped = await api.get(f"/api/v1/bots/{foreign}")
    assert stopped.body["desired"] == "stopped_keeping"


async def test_cookies_are_out_of_reach_of_scripts_and_other_sites(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = await enrol(api, ann)
        written = {each.split("=")[0]: each for each in (await ann.login(email)).headers.getall("Set-Cookie")}
    assert set(written) == {"trellis_access", "trellis_refresh"}
    assert "SameSite=Lax" in written["trellis_access"]
    assert "SameSite=Strict" in written["trellis_refresh"]
    assert all("HttpOnly" in each and "Path=/" in each and "Domain" not in each for each in written.values())


async def test_over_tls_cookies_are_bound_to_the_host_and_never_sent_in_the_clear(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = await enrol(api, ann)
        site = Site("https://trellis.example.org")
        async with serving(api.engine, site) as (address, _), browsing(address) as browser:
            answer = await browser.login(email)
    written = answer.headers.getall("Set-Cookie")
    assert {each.split("=")[0] for each in written} == {"__Host-trellis_access", "__Host-trellis_refresh"}
    assert all("Secure" in each and "HttpOnly" in each and "Path=/;" in each + ";" for each in written)
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")


async def test_tokens_are_in_cookies_and_nowhere_else(api: Api) -> None:
    async with browsing(api.address) as ann:
        email = await enrol(api, ann)
        answer = await ann.login(email)
        tokens = ann.cookie("trellis_access"), ann.cookie("trellis_refresh")
        assert not any(token in str(answer.body) for token in tokens)
        stored = await api.engine.database.rows("SELECT * FROM session_tokens")
        assert not any(token.encode() in bytes(row["hash"]) for row in stored for token in tokens)
