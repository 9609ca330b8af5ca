"""A person at a screen: Chromium on the built dashboard, kept from other hosts, and watched for what nobody sees:
errors in the console, violations of the accessibility rules, pages that scroll sideways, text that is cut off or
lies on other text.

The screenshots lie in `test-output/screens`, to be looked at.
"""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, Response, Route, async_playwright, expect

REPOSITORY = Path(__file__).parents[2]
WEB = REPOSITORY / "api" / "web"
SHOTS = REPOSITORY / "test-output" / "screens"
LAYOUT = Path(__file__).with_name("layout.js")
AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"

SIZES = {"desktop": (1440, 900), "phone": (360, 780)}
"""The phone is the narrowest that is still sold: what fits there fits everywhere."""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
NAMES_OF_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# While there is none nothing is being loaded. The network is never idle where a page follows the live stream.
LOADING = "main [aria-busy=true], main .animate-pulse"
# What the network layer says about an answer that the page expects and shows.
REFUSED = re.compile(r"Failed to load resource: the server responded with a status of 4(01|09|22|29)")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start the machine's Chromium, or skip the test and say what is missing."""
    program = next(filter(None, map(shutil.which, NAMES_OF_CHROMIUM)), None)
    if program is None:
        pytest.skip("there is no Chromium here: as root, make chromium")
    if not (WEB / "dist" / ".built").exists() or not AXE.exists():
        pytest.skip("the dashboard is not built: make web")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


class Screen:
    """One window on the dashboard. `problems` collects whatever must not be there."""

    def __init__(self, page: Page, address: str, name: str) -> None:
        self.page = page
        self.address = address
        self.name = name
        self.problems: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(f"error on the page: {error}"))
        page.on("response", self._on_response)

    async def open(self, path: str) -> None:
        """Go to a page of ours."""
        await self.page.goto(self.address + path)
        await self.page.wait_for_selector("h1")

    async def press(self, what: str) -> None:
        """Press what bears this data-test mark."""
        await self.page.click(f"[data-test={what}]")

    async def fill(self, **values: str) -> None:
        """Type into the fields of these names."""
        for name, value in values.items():
            await self.page.fill(f"main input[name={name}], [role=dialog] input[name={name}]", value)

    async def look(self, what: str) -> None:
        """Keep a picture, and note what is wrong with the page as it stands."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        await expect(self.page.locator(LOADING)).to_have_count(0, timeout=15_000)
        await self.page.evaluate("scrollTo(0, 0)")  # Else what sticks to the top is drawn across the middle.
        await self.page.screenshot(path=SHOTS / f"{self.name}-{what}.png", full_page=True)
        root = "document.documentElement"
        beyond_px = await self.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")
        if beyond_px > 0:
            self.problems.append(f"{what}: scrolls sideways by {beyond_px} px")
        self.problems += [f"{what}: {each}" for each in await self.page.evaluate(LAYOUT.read_text())]
        await self.page.evaluate(AXE.read_text())
        found: list[dict[str, Any]] = await self.page.evaluate(
            "rules => axe.run(document, {runOnly: rules}).then(result => result.violations)", RULES
        )
        for violation in found:
            places = ", ".join(str(node["target"]) for node in violation["nodes"][:3])
            self.problems.append(f"{what}: {violation['id']} at {places}")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not REFUSED.search(message.text):
            self.problems.append(f"console: {message.text}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 500:
            self.problems.append(f"{response.status} from {response.request.method} {response.url}")


@asynccontextmanager
async def screen(
    browser: Browser, address: str, *, size: str, locale: str, theme: str, name: str
) -> AsyncIterator[Screen]:
    """Open a window that nobody has used; when it closes, nothing may be wrong."""
    width, height = SIZES[size]
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        locale={"ru": "ru-RU", "en": "en-GB"}[locale],
        color_scheme="light" if theme == "light" else "dark",
        timezone_id="Europe/Berlin",
        has_touch=size == "phone",
        is_mobile=size == "phone",
        reduced_motion="reduce",  # A colour that is still changing has no contrast to measure.
    )
    seen = Screen(await context.new_page(), address, f"{name}-{size}-{locale}-{theme}")

    async def only_ours(route: Route, request: Request) -> None:
        if request.url.startswith((address, "data:", "blob:")):
            await route.continue_()
        else:
            seen.problems.append(f"asked another host: {request.url}")
            await route.abort()

    await context.route("**/*", only_ours)
    try:
        yield seen
        assert not seen.problems, "\n".join(seen.problems)
    except Exception:
        await seen.page.screenshot(path=SHOTS / f"{seen.name}-failed.png", full_page=True)
        raise
    finally:
        await context.close()
