"""What the log holds: who did what and when, every refusal, and no secret; nothing from outside begins a line."""

import logging
import re

import pyotp
import pytest

from actors.redaction import formatter, redact
from tests.api.browser import PASSWORD, Browser, browsing, enrol, new_email, token_to
from tests.api.conftest import TOKEN, Api

NEW_PASSWORD = "eleven loud magpies before noon"


async def a_day_of_ann(api: Api, ann: Browser) -> list[str]:
    """Do everything that brings a secret along; give the secrets."""
    email = new_email()
    await ann.post("/auth/register", {"email": email, "password": PASSWORD})
    secrets = [PASSWORD, NEW_PASSWORD, TOKEN, await token_to(api, email)]
    await ann.post("/auth/confirm", {"token": secrets[-1]})
    secrets += [ann.csrf, ann.cookie("trellis_access"), ann.cookie("trellis_refresh")]
    seed = (await ann.post("/profile/totp", {"password": PASSWORD})).body["secret"]
    code = pyotp.TOTP(seed).now()
    recovery = (await ann.post("/profile/totp/confirm", {"code": code})).body["recovery_codes"]
    await ann.login(email, "my wrong password", "000000")
    await ann.login(email, PASSWORD, recovery[0])
    await ann.post("/auth/refresh")
    secrets += [seed, *recovery, "my wrong password", ann.cookie("trellis_access"), ann.cookie("trellis_refresh")]
    await ann.post("/profile/password", {"current": PASSWORD, "new": NEW_PASSWORD, "code": recovery[1]})
    await ann.post("/auth/recover", {"email": email})
    secrets.append(await token_to(api, email))
    await ann.post("/auth/reset", {"token": secrets[-1], "password": PASSWORD, "code": recovery[2]})
    await ann.get(f"/session?token={secrets[-1]}")
    return secrets


async def test_no_secret_reaches_the_log_whatever_one_does(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with browsing(api.address) as ann:
            secrets = await a_day_of_ann(api, ann)
    # Before any redaction: the second line of defence is not needed.
    text = caplog.text
    assert "api.request method=POST path=/api/v1/auth/login" in text
    assert [secret for secret in secrets if secret in text] == []


async def test_no_secret_reaches_the_database_in_the_clear(api: Api) -> None:
    async with browsing(api.address) as ann:
        secrets = await a_day_of_ann(api, ann)
    database = api.engine.database
    tables = await database.rows(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'outbox'"
    )
    # Letters wait in the outbox for the operator; without a mail server that is what it is for.
    for table in tables:
        rows = await database.rows(f"SELECT t::text AS words FROM {table['tablename']} AS t")
        words = "\n".join(row["words"] for row in rows)
        assert [secret for secret in secrets if secret in words] == [], table["tablename"]


async def test_refusals_are_logged_with_who_and_what(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with browsing(api.address) as ann:
            await enrol(api, ann)
            user = (await ann.get("/session")).body["user"]["id"]
            await ann.get("/users")
            await ann.login(new_email(), "a wrong password")
            await ann.get("/session", **{"Sec-Fetch-Site": "cross-site"})
            ann.csrf = "0" * 64
            await ann.post("/emergency-stop")
    assert f"guard.forbidden user={user} path=/api/v1/users" in caplog.text
    assert re.search(r"access.wrong_answer key=\w{12} code=wrong_credentials failures=1", caplog.text)
    assert "guard.foreign_origin path=/api/v1/session" in caplog.text
    assert f"guard.csrf user={user} path=/api/v1/emergency-stop" in caplog.text


# ---------------------------------------------------------------------- the second line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abcdef0123456789", "Authorization: ***"),
        ("sent Bearer abcdef0123456789 along", "sent Bearer *** along"),
        ("url=/reset?token=abc-DEF_123&x=1", "url=/reset?token=***&x=1"),
        ('{"password": "two words", "email": "a@b"}', '{"password": ***, "email": "a@b"}'),
        ("dsn=postgresql://me:hunter2@db/x", "dsn=postgresql://me:***@db/x"),
        ("hash $argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA", "hash ***"),
        ("trellis_access=abc; trellis_refresh=def", "trellis_access=***; trellis_refresh=***"),
        ("code=10006 took_ms=1.5", "code=10006 took_ms=1.5"),
        ("access.token_reused user=x", "access.token_reused user=x"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_nothing_from_outside_begins_a_line_of_its_own() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "path=%s", ("/a\n2026 ERROR forged\x1b[31m\u2028",), None)
    line = formatter().format(record)
    assert "\n" not in line
    assert "\x1b" not in line
    assert r"/a\n2026 ERROR forged\x1b[31m\u2028" in line


def test_times_in_the_log_are_utc() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "hello", (), None)
    record.created, record.msecs = 0.0, 7.0
    assert formatter().format(record).startswith("1970-01-01T00:00:00.007Z INFO ")
