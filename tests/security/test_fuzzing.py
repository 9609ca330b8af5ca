"""Schemathesis sends what the served OpenAPI allows, and what it does not: no answer may be an error of ours."""

import asyncio
import sys
import tempfile
from pathlib import Path

import pytest

from tests.api.browser import Browser, browsing, enrol
from tests.api.club import club_is_ready
from tests.api.conftest import Api

SEEDS = (1, 7, 42)
EXAMPLES = 2
"""Of each route and seed; by hand: `EXAMPLES = 500` before a release."""
TIME_LIMIT_S = 240
CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance,status_code_conformance"
LEFT_OUT = {
    "/api/v1/stream": "has no end",
    "/api/v1/emergency-stop": "stops every bot of the tests that follow",
    "/api/v1/auth/logout": "would end the session that everything else is asked with",
    "/api/v1/profile/sessions/{session}/end": "the same: it finds the session's id in the answers",
}


@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_that_a_user_can_send_makes_an_error_of_ours(api: Api, seed: int) -> None:
    await club_is_ready(api)  # Until then /healthz rightly says 503.
    async with browsing(api.address) as user:
        await enrol(api, user)
        await assert_holds(user, seed)


async def test_nothing_that_an_operator_can_send_makes_an_error_of_ours(api: Api) -> None:
    async with browsing(api.address) as operator:
        email = await enrol(api, operator)
        await api.engine.database.rows(
            "INSERT INTO user_roles SELECT id, 'operator' FROM users WHERE email = $1", email
        )
        await assert_holds(operator, SEEDS[0], "--include-tag", "People")


async def assert_holds(browser: Browser, seed: int, *more: str) -> None:
    """Send what a seed leads to, and see that its session was good to the end."""
    code, words = await schemathesis(browser, seed, *more)
    print(words)
    assert code == 0, words
    assert (await browser.get("/session")).status == 200


async def schemathesis(browser: Browser, seed: int, *more: str) -> tuple[int, str]:
    """Run it beside the server, as somebody who is signed in."""
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{browser.address}/api/v1/openapi.json",
    ]
    command += ["--seed", str(seed), "--max-examples", str(EXAMPLES), "--checks", CHECKS, "--no-color"]
    command += ["--phases", "fuzzing", "--no-shrink", "--generation-database", "none", "--continue-on-failure"]
    command += ["--header", f"Cookie:trellis_access={browser.cookie('trellis_access')}"]
    command += ["--header", f"X-CSRF-Token:{browser.csrf}"]
    command += more
    for path in LEFT_OUT:
        command += ["--exclude-path", path]
    # A folder of its own: it keeps what it found beside where it is started.
    with tempfile.TemporaryDirectory(prefix="trellis-fuzzing-") as folder:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            async with asyncio.timeout(TIME_LIMIT_S):
                words, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode is not None
    return process.returncode, words.decode()
