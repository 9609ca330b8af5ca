"""The page to try the API: all of it is ours, and it acts in the reader's own session."""

from playwright.async_api import Browser, expect

from api.routes import all_routes
from tests.api.conftest import Api
from tests.web.conftest import register
from tests.web.screens import SHOTS, screen


async def test_the_api_can_be_read_and_tried(api: Api, browser: Browser) -> None:
    async with screen(browser, api.address, size="desktop", locale="en", theme="light", name="reference") as seen:
        page = seen.page
        await register(api, seen)
        await page.click("a[href='/settings']")
        await page.click("a[href='/reference']")
        box = page.locator("[data-test=reference]")
        await expect(box.locator(".opblock")).to_have_count(len(all_routes()), timeout=20_000)

        reading = box.locator(".opblock", has=page.locator("[data-path='/api/v1/profile']")).first
        await reading.locator(".opblock-summary-control").click()
        await reading.get_by_role("button", name="Try it out").click()
        await reading.get_by_role("button", name="Execute").click()
        await expect(reading.locator(".live-responses-table tbody .response-col_status").first).to_contain_text(
            "200"
        )

        # A command brings the session's word, as those of our own pages do.
        account = box.locator(".opblock-post", has=page.locator("[data-path='/api/v1/accounts']")).first
        await account.locator(".opblock-summary-control").click()
        await account.get_by_role("button", name="Try it out").click()
        await account.locator("textarea").fill('{"environment": "paper"}')
        await account.locator("input[placeholder='Idempotency-Key']").fill("from-the-reference")
        await account.get_by_role("button", name="Execute").click()
        status = account.locator(".live-responses-table tbody .response-col_status").first
        await expect(status).to_contain_text("201")
        await page.screenshot(path=SHOTS / f"{seen.name}.png")
