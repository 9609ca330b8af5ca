"""What tests in a browser begin with: Chromium, an installation that has its operator, a person who is in."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, expect

from tests.api.browser import PASSWORD, new_email, token_to
from tests.api.conftest import Api
from tests.web.screens import Screen, chromium, screen

# What a page shows is tested here, not how soon: beside other tests two cores need more than five seconds.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
async def browser(api: Api) -> AsyncIterator[Browser]:
    """Start Chromium on an installation whose operator's account was made on the page itself."""
    async with chromium() as started:
        if not await api.services.people.users.has_operator():
            await _set_up(api, started)
        yield started


async def _set_up(api: Api, browser: Browser) -> None:
    token = await api.services.people.enrolment.offer_set_up()
    async with screen(browser, api.address, size="phone", locale="ru", theme="dark", name="doors") as seen:
        await seen.open("/")
        await seen.page.wait_for_url("**/setup")
        await seen.open(f"/setup?token={token}")
        await seen.look("set-up")
        await seen.fill(email=new_email(), password=PASSWORD)
        await seen.press("submit")
        await seen.page.wait_for_url("**/dashboard")


async def register(api: Api, seen: Screen) -> str:
    """Register and confirm on the page; give the address under which one is signed in now."""
    email = new_email()
    await seen.open("/register")
    await seen.fill(email=email, password=PASSWORD)
    await seen.look("register")
    await seen.press("submit")
    await seen.page.wait_for_selector("[role=status] h1")
    await seen.open(f"/confirm?token={await token_to(api, email)}")
    assert "token" not in seen.page.url, "a link's word stays out of the history"
    await seen.press("submit")
    await seen.page.wait_for_url("**/dashboard")
    return email
