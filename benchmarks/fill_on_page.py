"""How long after the venue's execution a fill stands on the dashboard, with a fleet of bots running.

`python -m benchmarks.fill_on_page`. The whole product runs as a user starts it (`trellis up` on the market model),
a browser shows the dashboard, and each fill that appears there is stamped in the frame that draws it. The venue
stamps executions in whole milliseconds of the same machine's clock. Beside it a second reader of the live stream
says how much of that time the server took.

The dashboard keeps the newest twelve fills: one that is pushed out before a frame was drawn is counted as unseen.
"""

import argparse
import asyncio
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import uvloop
from playwright.async_api import BrowserContext, Page, async_playwright
from rich.console import Console

from benchmarks.harness import Machine, Waits, introduce, result, save, table

TARGET_MS = 300.0
START_LIMIT_S = 90.0
RUNNING_LIMIT_S = 120.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
STAMP_FILLS = """() => {
  const seen = (window.fillsSeen = {})
  const note = () => requestAnimationFrame(() => {
    const now = performance.timeOrigin + performance.now()
    for (const row of document.querySelectorAll('[data-exec]')) seen[row.dataset.exec] ??= now
  })
  new MutationObserver(note).observe(document.body, { childList: true, subtree: true })
}"""


class Report(msgspec.Struct, frozen=True):
    """What a run has measured."""

    page: Waits
    stream: Waits
    unseen: int


class Trellis:
    """The product, started for this run, and its first operator."""

    def __init__(self, address: str, token: str) -> None:
        self.address = address
        self.token = token

    async def ask(self, context: BrowserContext, path: str, body: Any, csrf: str = "") -> Any:
        """Command what a page would, with the browser's own cookies."""
        headers = {"Idempotency-Key": uuid.uuid4().hex, "X-CSRF-Token": csrf}
        answer = await context.request.post(f"{self.address}/api/v1{path}", data=body, headers=headers)
        if not answer.ok:
            raise RuntimeError(f"{path}: {answer.status} {await answer.text()}")
        return await answer.json()


@asynccontextmanager
async def trellis(home: Path) -> AsyncIterator[Trellis]:
    """Run `trellis up` until the set-up link is printed; end it as Ctrl-C does."""
    environment = os.environ | {"TRELLIS_HOME": str(home), "TRELLIS_FEED": "model", "TRELLIS_API_PORT": "0"}
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("trellis"), "up", env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_LIMIT_S):
            link = await _set_up_link(process.stdout)
        draining = asyncio.create_task(process.stdout.read())
        address, _, token = link.partition("/setup?token=")
        yield Trellis(address, token)
        draining.cancel()
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        await process.wait()


async def _set_up_link(output: asyncio.StreamReader) -> str:
    said = []
    async for line in output:
        said.append(line.decode())
        if "/setup?token=" in said[-1]:
            return said[-1].strip()
    raise RuntimeError(f"Trellis did not start: {''.join(said)}")


async def fill_on_page(bots: int, seconds: float, folder: Path, console: Console) -> Report:
    """Launch the bots, open the dashboard, and stamp what appears for so long."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise RuntimeError("there is no Chromium here: as root, make chromium")
    async with (
        trellis(folder / "home") as product,
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=program, args=FLAGS) as browser,
    ):
        context = await browser.new_context(viewport={"width": 1440, "height": 900})
        with console.status(f"launching {bots} bots …"):
            await _launch(product, context, bots)
        page = await context.new_page()
        # What a sign-in on the page leaves behind: the cookies that we have are out of its sight.
        await page.add_init_script("localStorage['signed-in'] ??= Date.now() + 600_000")
        await page.goto(f"{product.address}/dashboard")
        await page.wait_for_selector("[data-test=bot]")
        await page.evaluate(STAMP_FILLS)
        with console.status(f"watching for {seconds:.0f} s …"):
            return await _watch(product, context, page, seconds)


async def _launch(product: Trellis, context: BrowserContext, bots: int) -> None:
    operator = {"token": product.token, "email": "reader@example.org", "password": secrets.token_hex(16)}
    csrf = (await product.ask(context, "/setup", operator | {"locale": "en"}))["csrf"]
    account = (await product.ask(context, "/accounts", {"environment": "paper", "label": "Paper"}, csrf))["id"]
    about = f"account={account}&symbol=BTCUSDT&market=spot"
    ticker = await context.request.get(f"{product.address}/api/v1/market/ticker?{about}")
    middle = float((await ticker.json())["price"])
    for number in range(bots):
        # Close to the price and a little apart, so that fills are frequent and do not all come at once.
        half = middle * (0.001 + 0.0001 * number)
        grid = {"lower": f"{middle - half:.0f}", "upper": f"{middle + half:.0f}", "grids": 20, "amount": "400"}
        config = {"symbol": "BTCUSDT", "direction": "spot", **grid}
        body = {"account": account, "name": f"bot {number}", "config": config, "start": True}
        await product.ask(context, "/bots", body, csrf)
    deadline = time.monotonic() + RUNNING_LIMIT_S
    while time.monotonic() < deadline:
        answer = await context.request.get(f"{product.address}/api/v1/bots")
        items = (await answer.json())["items"]
        statuses = Counter((each["status"], each["status_reason"]) for each in items)
        if sum(each["status"] == "running" for each in items) >= bots:
            return
        await asyncio.sleep(1.0)
    raise RuntimeError(f"not all of {bots} bots run after {RUNNING_LIMIT_S:.0f} s: {dict(statuses)}")


async def _watch(product: Trellis, context: BrowserContext, page: Page, seconds: float) -> Report:
    executed: dict[str, int] = {}
    arrived: dict[str, float] = {}
    cookies = {each["name"]: each["value"] for each in await context.cookies()}
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _follow(product.address, cookies, executed, arrived)
    await asyncio.sleep(1.0)
    drawn: Mapping[str, float] = await page.evaluate("window.fillsSeen")
    on_page = [drawn[each] - at for each, at in executed.items() if each in drawn]
    on_stream = [arrived[each] - at for each, at in executed.items()]
    if not on_page:
        raise RuntimeError(
            f"{len(executed)} fills came by the stream, {len(drawn)} to the page: nothing to compare"
        )
    return Report(Waits.of(on_page), Waits.of(on_stream), len(executed) - len(on_page))


async def _follow(
    address: str, cookies: Mapping[str, str], executed: dict[str, int], arrived: dict[str, float]
) -> None:
    async with (
        aiohttp.ClientSession(cookies=cookies, cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
        http.get(f"{address}/api/v1/stream", timeout=aiohttp.ClientTimeout(None)) as answer,
    ):
        answer.raise_for_status()
        kind = b""
        async for line in answer.content:
            if line.startswith(b"event: "):
                kind = line[7:].strip()
            elif line.startswith(b"data: ") and kind == b"execution":
                execution = msgspec.json.decode(line[6:])["execution"]
                executed[execution["exec_id"]] = execution["at_ms"]
                arrived[execution["exec_id"]] = time.time() * 1000


def show(report: Report, console: Console) -> None:
    """Print the figures and whether they meet the aim."""
    rows = [
        (name, each.median, each.p95, each.longest, each.count)
        for name, each in (("in the live stream", report.stream), ("on the page", report.page))
    ]
    table(console, "after the venue's execution", ("ms", "median", "p95", "longest", "fills"), rows)
    console.print(f"{report.unseen} fills were pushed out of the newest twelve before they were drawn")
    verdict = "[green]met[/green]" if report.page.p95 <= TARGET_MS else "[red]not met[/red]"
    console.print(f"p95 on the page {report.page.p95} ms, aim {TARGET_MS:.0f} ms: {verdict}")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fill_on_page", description=__doc__)
    parser.add_argument("--bots", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=90.0)
    arguments = parser.parse_args()
    console, machine = Console(), Machine.here()
    introduce(console, "fill on page", machine)
    folder = Path(tempfile.mkdtemp(prefix="trellis-fills-"))
    try:
        report = uvloop.run(fill_on_page(arguments.bots, arguments.seconds, folder, console))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(report, console)
    figures = msgspec.to_builtins(report)
    kept = save(
        result("fill_on_page", machine, vars(arguments), figures, ("aiohttp", "asyncpg", "ray", "playwright"))
    )
    console.print(f"written to {kept.relative_to(Path.cwd()) if kept.is_relative_to(Path.cwd()) else kept}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
