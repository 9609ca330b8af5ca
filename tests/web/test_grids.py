"""A grid's life on the page: weigh it, launch it, watch it earn, stop it, start it again, read what it did."""

import csv
import re

import pytest
from playwright.async_api import Browser, expect

from tests.api.conftest import Api
from tests.web.conftest import register
from tests.web.screens import Screen, screen

LOOKS = [("desktop", "en", "light"), ("phone", "ru", "dark")]
WORKING = "[data-test=level][data-phase=live]"
FILL_LIMIT_MS = 60_000
"""The model's market moves when it likes."""


async def _to_the_form(api: Api, seen: Screen) -> None:
    await register(api, seen)
    await seen.press("connect-paper")
    await seen.page.wait_for_url("**/bots/create")
    await expect(seen.page.locator("#field-lower")).not_to_have_value("")
    await expect(seen.page.locator("#field-amount")).to_be_visible()


async def _type(seen: Screen, **values: str) -> None:
    for field, value in values.items():
        await seen.page.fill(f"#field-{field}", value)


async def _has_status(seen: Screen, status: str) -> None:
    mark = seen.page.locator("[data-test=status]").first
    await expect(mark).to_have_attribute("data-status", status, timeout=30_000)


def _close_to(price: int) -> dict[str, str]:
    """Lay a grid so close to the price that moves fill it within seconds. It earns less than its fees."""
    return {"lower": str(price - 250), "upper": str(price + 250), "grids": "40", "amount": "4000"}


@pytest.mark.parametrize(("size", "locale", "theme"), LOOKS)
async def test_a_trader_weighs_launches_watches_and_stops_a_grid(
    api: Api, browser: Browser, size: str, locale: str, theme: str
) -> None:
    async with screen(browser, api.address, size=size, locale=locale, theme=theme, name="grids") as seen:
        page = seen.page
        await _to_the_form(api, seen)

        # What fits the market is suggested; the preview says what will be at the exchange, and the risk.
        await _type(seen, amount="2000")
        await expect(page.locator("[data-test=preview-orders]")).to_be_visible()
        await expect(page.locator("[data-test=risks] li").first).to_be_visible()
        await seen.look("preview")

        # What cannot be is refused beside its field, in the reader's language, and cannot be launched.
        await page.check("[data-test=understood]")
        await _type(seen, grids="501")
        refusal = page.locator("#hint-grids[role=alert]")
        await expect(refusal).to_contain_text("500")
        assert bool(re.search("[а-я]", await refusal.inner_text())) is (locale == "ru")
        await seen.look("refused")
        await expect(page.locator("[data-test=launch-paper]")).to_be_disabled()

        shown = await page.inner_text("[data-test=market-now]")
        price = re.search(r"\d\d\D?\d\d\d", shown)
        assert price is not None, shown
        await _type(seen, **_close_to(int(re.sub(r"\D", "", price.group()))))
        await expect(page.locator("[data-test=launch-paper]")).to_be_enabled()
        promised = sum(map(int, re.findall(r"\d+", await page.inner_text("[data-test=preview-orders]"))))
        assert promised == 40
        await seen.press("launch-paper")

        # Its orders appear, then its fills, without a reload.
        await page.wait_for_url(re.compile(r"/bots/[a-z0-9]{8}$"))
        bot = page.url.rpartition("/")[2]
        await _has_status(seen, "running")
        await expect(page.locator(WORKING)).to_have_count(promised)
        await seen.look("bot")
        await seen.press("tab-trades")
        # The first is the purchase at the start.
        await expect(page.locator("#tab-panel tbody tr").nth(2)).to_be_visible(timeout=FILL_LIMIT_MS)
        await expect(page.locator("[data-test=fill-news]")).not_to_be_empty()
        await seen.look("bot-trades")
        await expect(page.locator("[data-test=if-stopped]")).to_be_visible()

        # The list of bots stops it, saying first what that means in numbers.
        await seen.open("/dashboard")
        await expect(page.locator("[data-test=bot]")).to_have_count(1)
        await expect(page.locator("[data-test=fills]")).to_be_visible()
        await seen.look("dashboard")
        await page.click("[data-test=bot] [data-test=stop]")
        await expect(page.locator("[data-test=stop-ways]")).to_contain_text("USDT")
        await seen.look("stop")
        await seen.press("stop-confirm")
        await _has_status(seen, "stopped")
        await seen.look("dashboard-stopped")

        # What it leaves behind is on its page: cancelled orders, log; and it can go on.
        await seen.open(f"/bots/{bot}?tab=cancelled")
        await expect(page.locator("#tab-panel tbody tr").nth(30)).to_be_visible()
        await seen.look("bot-cancelled")
        await seen.press("tab-log")
        await expect(page.locator("#tab-panel tbody tr").first).to_be_visible()
        await seen.look("bot-log")
        await seen.press("start")
        await _has_status(seen, "running")
        await seen.press("tab-orders")
        # One or two may wait: the price has moved on, and may stand right at their level.
        await expect(page.locator(WORKING).nth(promised - 3)).to_be_attached()

        # Stopped for good: what it holds is sold.
        await seen.press("stop")
        await page.check("input[name=way][value=sell]")
        await expect(page.locator("[data-test=stop-ways]")).to_contain_text("BTC")
        await seen.press("stop-confirm")
        await _has_status(seen, "stopped")
        await expect(page.locator("[data-test=if-stopped]")).to_have_count(0)
        await seen.look("bot-sold")

        await seen.open("/trades")
        await expect(page.locator("[data-test=trade]").first).to_be_visible()
        await seen.look("trades")
        told = await api.get(f"/api/v1/bots/{bot}/executions?limit=500")
        assert await _downloaded_trades(seen) == {each["exec_id"] for each in told.body["items"]}


async def _downloaded_trades(seen: Screen) -> set[str]:
    async with seen.page.expect_download() as download:
        await seen.press("csv")
    path = await (await download.value).path()
    with path.open(newline="") as file:
        return {row["execution"] for row in csv.DictReader(file)}


async def test_a_grid_is_launched_and_stopped_by_keyboard_alone(api: Api, browser: Browser) -> None:
    async with screen(browser, api.address, size="desktop", locale="en", theme="dark", name="grid-keys") as seen:
        page = seen.page
        await _to_the_form(api, seen)
        await page.focus("#field-amount")
        await page.keyboard.press("ControlOrMeta+a")
        await page.keyboard.type("2000")
        await expect(page.locator("[data-test=preview-orders]")).to_be_visible()
        await _tab_to(seen, "understood")
        await page.keyboard.press("Space")
        await expect(page.locator("[data-test=launch-paper]")).to_be_enabled()
        await _tab_to(seen, "launch-paper")
        await page.keyboard.press("Enter")
        await page.wait_for_url(re.compile(r"/bots/[a-z0-9]{8}$"))
        await _has_status(seen, "running")
        await _tab_to(seen, "stop")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("[data-test=stop-ways]")
        await _tab_to(seen, "stop-confirm")
        await page.keyboard.press("Enter")
        await _has_status(seen, "stopped")


async def _tab_to(seen: Screen, mark: str) -> None:
    for _ in range(120):
        await seen.page.keyboard.press("Tab")
        if await seen.page.evaluate(
            "mark => document.activeElement?.closest(`[data-test=${mark}]`) !== null", mark
        ):
            return
    raise AssertionError(f"the Tab key never reaches {mark}")
