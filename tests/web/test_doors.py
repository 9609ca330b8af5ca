"""Coming in and going out, as people do it: register, confirm, connect, protect the account, leave, come back."""

from collections.abc import AsyncIterator

import pyotp
import pytest
from playwright.async_api import Browser, expect

from tests.api.browser import PASSWORD, new_email, token_to
from tests.api.conftest import Api
from tests.web.screens import Screen, chromium, screen

LOOKS = [("desktop", "en", "dark"), ("phone", "ru", "light")]


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest.fixture(scope="module", autouse=True)
async def set_up(api: Api, browser: Browser) -> None:
    """Make the operator's account on the page itself, unless another test has done so before."""
    if await api.services.people.users.has_operator():
        return
    token = await api.services.people.enrolment.offer_set_up()
    async with screen(browser, api.address, size="phone", locale="ru", theme="dark", name="doors") as seen:
        await seen.open("/")
        await seen.page.wait_for_url("**/setup")
        await seen.open(f"/setup?token={token}")
        await seen.look("set-up")
        await seen.fill(email=new_email(), password=PASSWORD)
        await seen.press("submit")
        await seen.page.wait_for_url("**/dashboard")


async def _register(api: Api, seen: Screen) -> str:
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


@pytest.mark.parametrize(("size", "locale", "theme"), LOOKS)
async def test_a_newcomer_registers_connects_paper_and_protects_the_account(
    api: Api, browser: Browser, size: str, locale: str, theme: str
) -> None:
    async with screen(browser, api.address, size=size, locale=locale, theme=theme, name="doors") as seen:
        page = seen.page
        email = await _register(api, seen)
        await page.wait_for_selector("[data-test=connect-paper]")
        await seen.look("first-steps")
        await seen.press("connect-paper")
        await page.wait_for_url("**/bots/create")

        await seen.open("/settings")
        await expect(page.locator("[data-test=account-row]")).to_have_count(1)
        await seen.look("settings")

        await seen.open("/profile")
        await page.fill("input[name=totp-password]", PASSWORD)
        await page.press("input[name=totp-password]", "Enter")
        secret = await page.inner_text("code[aria-label]")
        await seen.look("second-factor")
        await page.fill("input[name=code]", pyotp.TOTP(secret.strip()).now())
        await page.press("input[name=code]", "Enter")
        spare = await page.locator("section ul.font-mono li").first.inner_text()
        await seen.look("recovery-codes")

        await seen.press("account")
        await page.get_by_role("menuitem").last.click()
        await page.wait_for_url("**/login")
        await seen.fill(email=email, password="not this one at all")
        await seen.press("submit")
        await expect(page.locator("main [role=alert]")).not_to_be_empty()
        await seen.fill(password=PASSWORD)
        await seen.press("submit")
        await seen.fill(code=spare)
        await seen.look("sign-in-code")
        await seen.press("submit")
        await page.wait_for_url("**/dashboard")


async def test_language_and_theme_follow_the_person_to_another_device(api: Api, browser: Browser) -> None:
    async with screen(browser, api.address, size="desktop", locale="en", theme="dark", name="reading") as first:
        email = await _register(api, first)
        async with first.page.expect_response("**/profile"):
            await first.press("language")
        await expect(first.page.locator("html")).to_have_attribute("lang", "ru")
        async with first.page.expect_response("**/profile"):
            await first.press("theme")
        await expect(first.page.locator("html")).to_have_class("light")
    async with screen(browser, api.address, size="phone", locale="en", theme="dark", name="reading") as second:
        await second.open("/login?next=/settings")
        await expect(second.page.locator("html")).to_have_attribute("lang", "en")
        await second.fill(email=email, password=PASSWORD)
        await second.press("submit")
        await second.page.wait_for_url("**/settings")
        await expect(second.page.locator("html")).to_have_attribute("lang", "ru")
        await expect(second.page.locator("html")).to_have_class("light")
        await second.look("settings")


async def test_every_step_at_the_door_works_by_keyboard_alone(api: Api, browser: Browser) -> None:
    async with screen(browser, api.address, size="desktop", locale="en", theme="light", name="keys") as seen:
        email = await _register(api, seen)
        await seen.press("account")
        await seen.page.get_by_role("menuitem").last.click()
        await seen.page.wait_for_url("**/login")
        await expect(seen.page.locator("input[name=email]")).to_be_focused()
        await seen.page.keyboard.type(email)
        await seen.page.keyboard.press("Tab")
        await seen.page.keyboard.type(PASSWORD)
        await seen.page.keyboard.press("Enter")
        await seen.page.wait_for_url("**/dashboard")
        await seen.page.wait_for_selector("[data-test=connect-paper]")
        await seen.page.keyboard.press("Tab")
        await expect(seen.page.get_by_role("link", name="To the content")).to_be_focused()
