"""Coming in and going out, as people do it: register, confirm, connect, protect the account, leave, come back."""

import pyotp
import pytest
from playwright.async_api import Browser, expect

from tests.api.browser import PASSWORD
from tests.api.conftest import Api
from tests.api.testnet import SECRET, in_place_of_testnet, new_key
from tests.web.conftest import register
from tests.web.screens import screen

LOOKS = [("desktop", "en", "dark"), ("phone", "ru", "light")]


@pytest.mark.parametrize(("size", "locale", "theme"), LOOKS)
async def test_a_newcomer_registers_connects_paper_and_protects_the_account(
    api: Api, browser: Browser, size: str, locale: str, theme: str
) -> None:
    async with screen(browser, api.address, size=size, locale=locale, theme=theme, name="doors") as seen:
        page = seen.page
        email = await register(api, seen)
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


@pytest.mark.parametrize(("size", "locale", "theme"), LOOKS)
async def test_an_exchange_key_is_verified_before_it_is_kept(
    api: Api, browser: Browser, size: str, locale: str, theme: str
) -> None:
    async with (
        in_place_of_testnet(api) as venue,
        screen(browser, api.address, size=size, locale=locale, theme=theme, name="keys") as seen,
    ):
        page, dialog = seen.page, seen.page.get_by_role("dialog")
        good, too_mighty = new_key(venue), new_key(venue, can_withdraw=True)
        await register(api, seen)
        await seen.open("/settings")
        await seen.press("add-exchange")
        await dialog.get_by_role("combobox").nth(1).click()
        await page.get_by_role("option", name={"en": "Testnet", "ru": "Тестовая сеть"}[locale]).click()

        await seen.fill(key=too_mighty["key"], secret=SECRET, password="not this one at all")
        await seen.press("connect")
        await expect(page.locator("[role=dialog] input[name=password]")).to_have_attribute("aria-invalid", "true")
        await seen.fill(password=PASSWORD)
        await seen.press("connect")
        await expect(page.locator("[role=dialog] input[name=key]")).to_have_attribute("aria-invalid", "true")
        await seen.look("refused")

        await seen.fill(key=good["key"])
        await seen.press("connect")
        row = page.locator("[data-test=account-row]")
        await expect(row).to_contain_text(f"…{good['key'][-4:]}")
        await seen.look("connected")
        shown = await page.content()
        assert SECRET not in shown
        assert good["key"] not in shown

        async with page.expect_response("**/check"):
            await row.get_by_role("button").first.click()
        await row.get_by_role("button").last.click()
        await seen.press("confirm")
        await expect(row).to_have_count(0)


async def test_language_and_theme_follow_the_person_to_another_device(api: Api, browser: Browser) -> None:
    async with screen(browser, api.address, size="desktop", locale="en", theme="dark", name="reading") as first:
        email = await register(api, first)
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


async def test_a_session_is_renewed_before_anything_is_refused(api: Api, browser: Browser) -> None:
    async with screen(browser, api.address, size="desktop", locale="en", theme="dark", name="renewal") as seen:
        await register(api, seen)
        answers: list[tuple[str, int]] = []
        seen.page.on("response", lambda answer: answers.append((answer.url.rpartition("/")[2], answer.status)))
        kept = "localStorage['signed-in']"
        assert 0 < await seen.page.evaluate(f"{kept} - Date.now()") < 15 * 60_000
        # As if the page was closed, and opened again when the session is about to end.
        await seen.page.evaluate(f"{kept} = Date.now()")
        await seen.open("/settings")
        assert ("refresh", 200) in answers
        assert [answer for answer in answers if answer[1] >= 400] == []
        assert await seen.page.evaluate(f"{kept} - Date.now()") > 0


async def test_every_step_at_the_door_works_by_keyboard_alone(api: Api, browser: Browser) -> None:
    async with screen(browser, api.address, size="desktop", locale="en", theme="light", name="keyboard") as seen:
        email = await register(api, seen)
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
